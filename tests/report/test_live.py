"""`robusttune watch`: a living page, and who may read it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from robusttune import TrialRecord
from robusttune._report.live import LivePage, LiveServer
from robusttune.cli import main

HEALTHY, FAILED = "completed", "failed"


def write_trial(root: Path, number: int, status: str = HEALTHY, **more: Any) -> None:
    """Write one trial into a project folder."""
    bad = status == FAILED
    record = TrialRecord(
        trial_id=str(number),
        number=number,
        status=status,
        unstable=bad,
        cause="unsafe_loss" if bad else None,
        step=number if bad else None,
        seconds=None if status == "running" else 10.0,
        value=0.5 + number if status == HEALTHY else None,
        params={"lr": 0.1 * number},
        **more,
    )
    folder = root / f"trial_{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "oracle.json").write_text("{}")
    (folder / "robusttune.json").write_text(record.to_json())
    (folder / "trial.json").write_text(json.dumps({"status": status.upper()}))


@pytest.fixture
def served(tmp_path):
    """A page of a project of six trials, served; and its folder."""
    root = tmp_path / "search"
    for number in range(6):
        write_trial(root, number, FAILED if number == 4 else "running" if number == 5 else HEALTHY)
    with LiveServer(LivePage(str(root), planned=12, seconds=0.2)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server, root
        server.shutdown()
        thread.join()


def ask(server, path=None, method="GET", **headers):
    """Send one request and return the response and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, server.path if path is None else path, headers=headers)
    response = connection.getresponse()
    return response, response.read().decode()


def test_page_is_served_with_its_progress(served):
    """Finished, failed and running trials, the time left, and the newest failure."""
    response, page = ask(served[0])
    assert response.status == 200
    assert "5 of 12 trials finished, 1 failed, 1 running, about 1 min left" in page
    assert 'href="#t4">trial 4: unsafe loss at step 4</a>' in page
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


def test_page_is_sent_again_only_when_the_search_has_changed(served):
    """What runs and only takes time is no change."""
    server, root = served
    tag = ask(server)[0].headers["ETag"]
    time.sleep(0.5)
    response, page = ask(server, If_None_Match=tag)
    assert (response.status, page) == (304, "")
    write_trial(root, 5, FAILED)
    deadline = time.monotonic() + 20
    while (answer := ask(server, If_None_Match=tag))[0].status == 304:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "6 of 12 trials finished, 2 failed" in answer[1]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80", "[::1]:80", ""]
)
def test_host_of_another_name_is_refused(served, host):
    """A site that has its own name lead to this machine reads nothing (DNS rebinding)."""
    response, body = ask(served[0], Host=host)
    assert (response.status, body) == (421, "")


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1:9999"])
def test_port_of_a_tunnel_may_be_another(served, host):
    """The end of `ssh -L` on another machine has a port of its own."""
    assert ask(served[0], Host=host)[0].status == 200


def test_requests_without_one_host_are_refused(served):
    """Neither none nor two."""
    server = served[0]
    for lines in ("", "Host: 127.0.0.1:1\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as one:
            one.sendall(f"GET {server.path} HTTP/1.1\r\n{lines}\r\n".encode())
            assert b" 421 " in one.recv(100)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/index.html",
        "/{}",
        "/{}/../oracle.json",
        "/{}/oracle.json",
        "/{}/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/{}/?x=1",
        "/x{}/",
        "/%ff/",
    ],
)
def test_no_other_path_is_answered(served, path):
    """There are no files; whoever does not know the token sees nothing."""
    token = served[0].path.strip("/")
    response, body = ask(served[0], path.format(token))
    assert (response.status, body) == (404, "")


def test_token_is_long_and_new_each_time(served):
    """Nobody guesses 192 bits."""
    with LiveServer(served[0].page) as other:
        assert other.path != served[0].path
        assert re.fullmatch(r"/[\w-]{32}/", other.path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_sent(served, method):
    """The page is to be read."""
    assert ask(served[0], method=method)[0].status == 501


def test_answers_tell_no_one_of_the_address(served):
    """No referrer, no frame, no cache, no other origin; HEAD has no body."""
    for response, _ in (ask(served[0]), ask(served[0], "/")):
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Server"].strip() == "robusttune"
    page = ask(served[0])[1]
    assert served[0].path.strip("/") not in page
    assert "connect-src 'self'" in page
    response, body = ask(served[0], method="HEAD")
    assert (response.status, body) == (200, "")


def test_server_listens_on_this_machine_only(served):
    """Not on the network."""
    assert served[0].server_address[0] == "127.0.0.1"


def test_too_many_requests_at_once_are_turned_away(served):
    """Connections that say nothing cannot take all threads: the others are closed, not kept."""
    server = served[0]
    threads = threading.active_count()
    held = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(30)]
    time.sleep(0.5)
    assert threading.active_count() - threads <= 8
    for one in held:
        one.close()
    deadline = time.monotonic() + 20
    while True:
        try:
            assert ask(server)[0].status == 200
            break
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_source_that_is_not_there_yet_is_waited_for(tmp_path):
    """The page says so, and has the trials once there are some."""
    root = tmp_path / "later"
    page = LivePage(str(root), seconds=0.01)
    first = page.current()[1].decode()
    assert "Waiting for" in first
    assert "The search has no trials yet" in first
    write_trial(root, 0)
    time.sleep(1.0)
    page._next = 0.0
    second = page.current()[1].decode()
    assert "Waiting for" not in second
    assert "1 trial finished" in second


def test_source_that_cannot_be_read_just_now_keeps_its_page(tmp_path):
    """A file that is half written, or a folder that goes for a moment, takes nothing away."""
    root = tmp_path / "search"
    for number in range(3):
        write_trial(root, number)
    page = LivePage(str(root))
    page.current()
    (root / "trial_1" / "trial.json").write_text('{"status": "COMPL')
    page._next = 0.0
    assert "3 trials finished" in page.current()[1].decode()
    root.rename(tmp_path / "gone")
    page._next = 0.0
    gone = page.current()[1].decode()
    assert "3 trials finished" in gone
    assert "Cannot be read at the moment" in gone


def test_passwords_are_not_on_the_page():
    """Nor those of a database that does not answer."""
    page = LivePage("nosuch://me:secret@nowhere.invalid/db").current()[1].decode()
    assert "secret" not in page
    assert "nosuch://me:***@nowhere.invalid" in page


def test_port_that_is_taken_is_one_line(tmp_path, capsys):
    """No traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["watch", str(tmp_path), "--port", str(port), "--no-browser"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"robusttune: port {port} is taken")
    assert told.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "70000", "http"])
def test_port_that_is_none_is_refused(port, capsys):
    """With what it may be."""
    with pytest.raises(SystemExit) as ended:
        main(["watch", "x", "--port", port])
    assert ended.value.code == 2
    assert "0 to 65535" in capsys.readouterr().err or port == "-1"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_command_prints_its_address_and_ends_at_ctrl_c(tmp_path):
    """The address comes at once, with how to reach it from elsewhere; Ctrl-C is no traceback."""
    command = [sys.executable, "-m", "robusttune", "watch", str(tmp_path / "x"), "--no-browser"]
    heard = (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None
    with subprocess.Popen(  # a job in the background, as CI may be one, does not hear Ctrl-C
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    ) as run:
        first, second = run.stdout.readline(), run.stdout.readline()
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/ until Ctrl-C", first)
    assert "ssh -L" in second
    assert errors == ""
    assert run.returncode == 0


def test_browser_keeps_the_place_of_the_reader(served, browser):
    """New trials come, and sort order, filter, columns, theme and place stay as they were."""
    server, root = served
    for number in range(6, 60):
        write_trial(root, number, FAILED if number % 3 == 0 else HEALTHY)
    server.page._next = 0.0
    context = browser.new_context(viewport={"width": 1280, "height": 700})
    page = context.new_page()
    errors = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    page.click("#theme")
    page.select_option("#filter", label="failed or unstable")
    page.click("#trials th:nth-child(1) button")
    page.click("#trials th:nth-child(1) button")
    page.click("#columns summary")
    page.uncheck("#columns input[value='2']")
    page.locator("#all").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, document.getElementById('all').offsetTop - 40)")
    place = page.evaluate("document.getElementById('all').getBoundingClientRect().top")
    for number in range(60, 63):
        write_trial(root, number, FAILED)
    page.wait_for_selector("#t62", timeout=30_000)
    assert page.locator("#trials tbody tr").first.get_attribute("id") == "t62"
    assert page.locator("#trials th:nth-child(1)").get_attribute("aria-sort") == "descending"
    assert page.locator("#trials tbody tr:not([data-x])").count() == 0
    assert page.locator("#filter").evaluate("e => e.selectedOptions[0].text") == (
        "failed or unstable"
    )
    assert not page.is_visible("#trials th:nth-child(2)")
    assert page.inner_text("#theme") == "Light"
    assert page.evaluate("document.body.dataset.theme") == "dark"
    after = page.evaluate("document.getElementById('all').getBoundingClientRect().top")
    assert after == pytest.approx(place, abs=2)
    assert page.inner_text("#pulse").startswith("Updated")
    assert [error for error in errors if "304" not in error] == []
    context.close()


def test_browser_says_when_the_server_has_gone(served, browser):
    """A page that is not updated any more does not look as if it were."""
    server, _ = served
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    context.set_offline(True)
    page.wait_for_selector("#pulse:text('Not updated')", timeout=20_000)
    context.close()
