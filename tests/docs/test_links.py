"""The check of external links, `make links`, with a host of its own: no network."""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from tests import ROOT

SCRIPT = ROOT / "docs" / "links.py"


@pytest.fixture(scope="module")
def links() -> ModuleType:
    """docs/links.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_links", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """A host's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens, for as long as the test lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    ("status", "word"),
    [(200, "there"), (302, "there"), (403, "refused"), (503, "refused"), (404, "missing")],
)
def test_answer(links: ModuleType, host: str, status: int, word: str) -> None:
    """What a status says of a link."""
    assert links.answer(f"{host}/{status}") == word


def test_host_that_is_not_reached(links: ModuleType, nowhere: str) -> None:
    """It says nothing of a link."""
    assert links.answer(nowhere) == "not reached"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "[a](https://a.org/b) and [c](https://c.org/d_(e)).",
            ["https://a.org/b", "https://c.org/d_(e)"],
        ),
        ("See https://a.org/b, or `https://c.org`.", ["https://a.org/b", "https://c.org"]),
        ("http://127.0.0.1:8000/page and {self.url}", []),
    ],
)
def test_links_of(links: ModuleType, text: str, found: list[str]) -> None:
    """Of Markdown and of prose, without addresses of this machine."""
    assert links.links_of(text) == found


def check(links: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *found: str) -> int:
    """Check a page that has these links."""
    page = tmp_path / "page.md"
    page.write_text(" ".join(found), encoding="utf-8")
    monkeypatch.setattr(links, "_OWN", ())
    return int(links.main(str(page)))


def test_only_a_missing_link_is_an_error(
    links: ModuleType,
    host: str,
    nowhere: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that refuses or is not reached may well be there."""
    others = [f"{host}/200", f"{host}/403", nowhere]
    assert check(links, tmp_path, monkeypatch, *others) == 0
    assert "3 links: 1 there, 1 refused, 1 not reached" in capsys.readouterr().out
    assert check(links, tmp_path, monkeypatch, *others, f"{host}/404") == 1
    assert f"missing      {host}/404  (page.md)" in capsys.readouterr().out


def test_without_a_network_nothing_was_checked(
    links: ModuleType,
    nowhere: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And that is said."""
    assert check(links, tmp_path, monkeypatch, nowhere) == 0
    assert "no link was checked" in capsys.readouterr().out
