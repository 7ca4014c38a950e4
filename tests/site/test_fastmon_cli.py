"""`swf-testbed fastmon` against a real web server: what it prints, what it follows, and how it fails."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from services.base import REPOSITORY
from swf_site.cli import main
from swf_site.cli.fastmon import Client, Rates, Wakes
from swf_site.cli.fastmon_display import Figures, shown, size, sparkline
from tests.fast import a_sampled_run, cut, not_sampled, sampled

SECONDS = 60.0


def test_the_newest_values_are_drawn_with_the_highest_full() -> None:
    assert sparkline([0.0, 1.0, 3.5, None, 7.0]) == "▁▂▅·█"
    assert sparkline([9.0, 1.0, 2.0], width=2) == "▅█"
    assert sparkline([0.0, None]) == "▁·"
    assert sparkline([]) == ""


def test_bytes_have_units() -> None:
    assert [size(number) for number in (999, 1_900_000, 2e9)] == ["999 B", "1.9 MB", "2.0 GB"]


def test_rates_are_those_of_the_last_seconds() -> None:
    rates = Rates()

    def at(second: float, count: int, run: int = 1) -> float:
        content = {"run_number": run, "summary": {"sampled": count, "tfs": 0, "hits": 0}}
        return rates.of(content, second)["sampled"]

    assert [at(0, 0), at(5, 10), at(10, 10), at(15, 10), at(21, 10)] == [0, 2, 1, 0, 0]
    assert [at(22, 3, run=2), at(23, 5, run=2)] == [0, 2]


@pytest.mark.django_db
def test_everything_that_is_amiss_is_shown(exit_buffer: object) -> None:
    from swf_site.pages.fastmon_content import as_content, gather

    run = a_sampled_run(1, workers="external")
    sampled(run, 2, corrupt=[105])
    not_sampled(run, 3, skipped="older than 10 s")
    cut(run)

    printed = io.StringIO()
    console = Console(width=120, file=printed)
    console.print(shown(Figures(as_content(gather(run)), trouble="nobody answers")))
    said = " ".join(printed.getvalue().split())

    for words in (
        f"Run {run.run_number} 2 STFs sampled",
        "time frames 39",
        "1 skipped, 0 failed, 0 wait",
        "corrupt 1",
        "of 8 8 queued, 0 claimed",
        "waits for a worker to be up: somebody has to start one",
        "STF 3 skipped: older than 10 s",
        "nobody answers",
    ):
        assert words in said


@pytest.mark.django_db
def test_no_more_is_shown_than_fits(exit_buffer: object) -> None:
    from swf_site.pages.fastmon_content import as_content, gather

    content = as_content(gather(a_sampled_run(1)))
    printed = io.StringIO()

    Console(width=120, file=printed).print(shown(Figures(content), height=24))

    assert len(printed.getvalue().splitlines()) == 23
    assert "more detectors: enlarge the terminal" in printed.getvalue()


@pytest.mark.usefixtures("exit_buffer")
def test_it_prints_once(live_server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    run = a_sampled_run(2)

    assert main(["fastmon", "--url", live_server.url, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["run_number"], found["summary"]["sampled"], len(found["detectors"])) == (
        run.run_number,
        2,
        32,
    )
    assert main(["fastmon", "--url", live_server.url, "--run", str(run.run_number), "--once"]) == 0
    assert "SVT_IB" in capfd.readouterr().out


def test_what_is_not_there_is_said(live_server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--url", live_server.url], "there is no run yet"),
        (["--url", live_server.url, "--run", "1"], "there is no run 1"),
        (["--url", "http://127.0.0.1:9"], "does not answer"),
        (["--url", "testbed"], "is no address of a testbed"),
    ):
        assert main(["fastmon", "--once", *arguments]) == 1
        assert words in capfd.readouterr().err


@pytest.mark.usefixtures("exit_buffer")
def test_it_follows_a_run_until_it_is_interrupted(live_server: Any) -> None:
    run = a_sampled_run(1)

    with _on_a_terminal("fastmon", "--url", live_server.url) as terminal:
        terminal.wait_for("1 STFs sampled")
        sampled(run, 2)
        terminal.wait_for("2 STFs sampled")
        newer = a_sampled_run(3)
        terminal.wait_for(f"Run {newer.run_number}  3 STFs sampled")
        terminal.process.send_signal(signal.SIGINT)
        terminal.drain()

        assert terminal.process.wait(SECONDS) == 130
        assert "Traceback" not in terminal.text


@pytest.mark.usefixtures("exit_buffer")
def test_while_the_testbed_is_away_it_says_so_and_shows_what_it_has(live_server: Any) -> None:
    run = a_sampled_run(1)
    address = urlsplit(live_server.url)

    with (
        Relay((address.hostname, address.port)) as relay,
        _on_a_terminal("fastmon", "--url", relay.url) as terminal,
    ):
        terminal.wait_for("1 STFs sampled")
        relay.cut()
        terminal.wait_for("does not answer")
        sampled(run, 2)
        relay.mend()
        terminal.wait_for("2 STFs sampled")


class Stream:
    """A testbed's events: connected at once, another one when `tell` is called."""

    def __init__(self) -> None:
        self.told = threading.Event()

    def __call__(self, url: str, token: str, run: int | None) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(type="connected")
        self.told.wait()
        yield SimpleNamespace(type="tf_file_registered")
        threading.Event().wait()

    def tell(self) -> None:
        self.told.set()


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """What is listened to."""
    told = Stream()
    monkeypatch.setattr("swf_site.cli.fastmon.events", told)
    return told


@pytest.fixture
def wakes(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Wakes:
    """They listen, have taken notice of the connection, and would wait for an hour."""
    monkeypatch.setattr("swf_site.cli.fastmon.POLL_SECONDS", 3600.0)
    made = Wakes(Client("http://127.0.0.1:9"), 1)
    made.start()
    made.wait()
    return made


def test_an_event_ends_the_wait(stream: Stream, wakes: Wakes) -> None:
    waiting = threading.Thread(target=wakes.wait, daemon=True)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()

    stream.tell()
    waiting.join(SECONDS)
    assert not waiting.is_alive()


def test_who_hears_events_looks_seldom_on_his_own(wakes: Wakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swf_site.cli.fastmon.POLL_SECONDS", 0.5)
    begun = time.monotonic()
    wakes.wait()

    assert time.monotonic() - begun >= 3 * 0.5


class Relay:
    """A way to a web server that can be cut: one GET at a time, each over a connection of its own."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._address = self._listening.getsockname()
        self.url = f"http://127.0.0.1:{self._address[1]}"

    def __enter__(self) -> Self:
        self._serve()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Nobody answers any more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def mend(self) -> None:
        """It answers again, at the same address."""
        self._listening = socket.create_server(self._address)
        self._serve()

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            # Who has waited for too long has left.
            with client, socket.create_connection(self._target) as server, suppress(ConnectionError):
                server.sendall(client.recv(65_536))
                while chunk := server.recv(65_536):
                    client.sendall(chunk)


class _Terminal:
    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.text = ""
        self._master = master

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + SECONDS
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} was not shown: {self.text[-2000:]}"
            self.read(0.2)

    def read(self, seconds: float) -> bool:
        """Take in what is written within so many seconds; False when nothing more can come."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                chunk = os.read(self._master, 65_536).decode(errors="replace")
            except OSError:
                return False
            self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", chunk)
        return True

    def drain(self) -> None:
        """Read until it has closed its side."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.read(0.2):
            pass


@contextmanager
def _on_a_terminal(*arguments: str) -> Iterator[_Terminal]:
    """The command in a process of its own that believes to be on a terminal."""
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "140", "LINES": "70"}
    process = subprocess.Popen(
        [sys.executable, "-m", "swf_site.cli", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        # What a shell has put into the background ignores Ctrl-C, and so would this, in tests that run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(slave)
    try:
        yield _Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
