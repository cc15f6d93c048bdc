"""A page that lives: the report of a running search, served to the browsers of this machine.

One page, and nothing else, is served: on 127.0.0.1 only, to requests that name this machine as
their host, so that no site can reach it by a name of its own (DNS rebinding), and under a path that
nobody can guess. No file is ever opened by the name that a request gives.
"""

from __future__ import annotations

import errno
import hmac
import logging
import os
import secrets
import socket
import threading
import time
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePath

from robusttune._records import one_line
from robusttune._report.html import render
from robusttune._report.progress import progress_of
from robusttune._report.report import Report
from robusttune._report.search_data import Search
from robusttune._report.sources import read, without_password

_log = logging.getLogger("robusttune.report")

# A page asks again after so many seconds, and a search is read again no sooner; where reading and
# drawing it takes long, after this many times that, so that the search keeps most of the machine.
_SECONDS, _SPARING = 3.0, 2.0
# Requests at once, and seconds that one may take to be read.
_MOST_REQUESTS, _PATIENCE = 8, 10.0
_HOSTS = frozenset({"127.0.0.1", "localhost"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class LivePage:
    """The page of a search, made anew when the search has changed and somebody asks.

    Args:
        source: A folder, a file or a URL, as on the command line; it need not exist yet.
        study: Which of several searches; None: the only one.
        planned: How many trials the search is to have; None: as it says itself.
        seconds: Between two looks at the source (> 0).
    """

    def __init__(
        self,
        source: str,
        study: str | None = None,
        *,
        planned: int | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        self.source, self.study, self.planned, self.seconds = source, study, planned, seconds
        self._reading = threading.Lock()
        self._run, self._count = secrets.token_hex(4), 0
        self._next = 0.0
        self._seen: tuple[Search, str] | None = None
        self._page: tuple[str, bytes] = ("", b"")

    def current(self) -> tuple[str, bytes]:
        """Return the version and the page; the old one while another request makes the new one."""
        first = not self._page[1]
        if self._reading.acquire(blocking=first):
            try:
                if time.monotonic() >= self._next:
                    self._refresh()
            finally:
                self._reading.release()
        return self._page

    def _refresh(self) -> None:
        began = time.monotonic()
        search, trouble = self._read()
        if self._seen != (_still(search), trouble):
            self._count += 1
            version = f"{self._run}-{self._count}"
            report = Report(search)
            progress = progress_of(
                report,
                version=version,
                seconds=self.seconds,
                planned=self.planned,
                trouble=trouble,
            )
            page = render(report, live=progress).encode("utf-8", errors="replace")
            self._page = version, page
            self._seen = _still(search), trouble
        ended = time.monotonic()
        # The first time, most of it goes to loading the host's own modules.
        took = 0.0 if self._count == 1 else ended - began
        self._next = ended + max(self.seconds * 0.9, _SPARING * took)

    def _read(self) -> tuple[Search, str]:
        """Return the search, the last one that could be read if need be, and why it is not new."""
        shown = without_password(self.source)
        try:
            return read(self.source, self.study), ""
        except (OSError, ValueError) as error:
            told = one_line(without_password(str(error)), 300)
        if self._seen is not None and self._seen[0].records:
            return self._seen[0], f"Cannot be read at the moment: {told}"
        name = PurePath(shown).name or shown
        return Search(name=name), f"Waiting for {shown}: {told}"


def _still(search: Search) -> Search:
    """Return a search without what changes by the mere passing of time."""
    records = tuple(
        replace(record, seconds=None) if record.status == "running" else record
        for record in search.records
    )
    return replace(search, records=records)


class LiveServer(ThreadingHTTPServer):
    """Serves one page on 127.0.0.1.

    Args:
        page: The page.
        port: 0: any that is free.

    Raises:
        OSError: The port is taken, or may not be used.
    """

    daemon_threads = True
    # On Windows the option would let another program take the same port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, page: LivePage, port: int = 0) -> None:
        self.page = page
        self.path = f"/{secrets.token_urlsafe(24)}/"
        self._places = threading.BoundedSemaphore(_MOST_REQUESTS)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                reason = "taken" if error.errno == errno.EADDRINUSE else "not to be used"
                told = f"port {port} is {reason}: pass another one, or none to use a free one"
                raise OSError(told) from error
            raise

    @property
    def url(self) -> str:
        """The address of the page; whoever has it can read the page on this machine."""
        return f"http://127.0.0.1:{self.server_port}{self.path}"

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer in a thread of its own; too many at once are turned away."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong with one request; a browser that goes away is no event."""
        _log.debug("a request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    timeout = _PATIENCE
    server_version, sys_version = "robusttune", ""

    def do_GET(self) -> None:
        """Send the page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send the headers of the page."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Log, and never the path, which is a secret."""
        _log.debug("a request was answered")

    def _answer(self, *, with_body: bool) -> None:
        if not self._names_this_machine():
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"")
            return
        asked = self.path.encode("utf-8", "replace")
        if not hmac.compare_digest(asked, self.server.path.encode()):
            self._send(HTTPStatus.NOT_FOUND, b"")
            return
        version, page = self.server.page.current()
        tag = f'"{version}"'
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, b"", tag)
        else:
            self._send(HTTPStatus.OK, page, tag, with_body=with_body)

    def _names_this_machine(self) -> bool:
        """Whether the Host header is this machine's, with any port: a tunnel may have another."""
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and hosts[0].rpartition(":")[0] in _HOSTS

    def _send(
        self, status: HTTPStatus, body: bytes, tag: str = "", *, with_body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", tag)
        if status is HTTPStatus.OK:
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
