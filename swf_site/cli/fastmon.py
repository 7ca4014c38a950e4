"""`swf-testbed fastmon`: what fast monitoring counts, here or at a remote testbed, by the public HTTP interface alone."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from swf_client import Refused, events
from swf_client.stream import DISCONNECTED

from swf_site.cli.errors import CommandError
from swf_site.cli.fastmon_display import Figures, shown

TIMEOUT_SECONDS = 10.0
# Asked again so soon while the stream of events tells nothing, and at most so often while it does.
POLL_SECONDS = 1.0
LEAST_SECONDS = 0.5
RATE_SECONDS = 10.0


class Away(Exception):
    """The testbed does not answer at the moment; the text says why."""


@dataclass
class Client:
    """The HTTP interface of a testbed, asked as whoever the token belongs to; without one, as anybody."""

    url: str
    token: str = ""

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in {"http", "https"}:
            raise CommandError(f"--url {self.url!r} is no address of a testbed: http://host:port")
        self.url = self.url.rstrip("/")

    def newest_run(self) -> int:
        """The number of the run that was requested last.

        Raises:
            CommandError: there is none, or the testbed refuses to say.
            Away: it does not answer.
        """
        runs = self._get("/api/runs/?limit=1")["results"]
        if not runs:
            raise CommandError("there is no run yet; take one: swf-testbed run")
        return int(runs[0]["run_number"])

    def fastmon(self, run_number: int) -> dict[str, Any]:
        """What fast monitoring shows of a run, of all detectors; raises as `newest_run`."""
        return self._get(f"/api/runs/{run_number}/fastmon/")

    def _get(self, path: str) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - the scheme is checked
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{self.url} does not answer: {getattr(error, 'reason', error)}") from error
        except ValueError as error:
            raise CommandError(f"{self.url + path} answers no JSON: is it a testbed's address?") from error
        if not isinstance(found, dict):
            raise CommandError(f"{self.url + path} is nothing of a testbed's")
        return found


@dataclass
class Rates:
    """How fast counts have grown of late."""

    _run_number: int | None = None
    _seen: deque[tuple[float, dict[str, Any]]] = field(default_factory=deque)

    def of(self, content: dict[str, Any], at: float) -> dict[str, float]:
        """Per second over the last seconds, of STFs, time frames and hits of the run, now that they are these."""
        summary = content["summary"]
        if content["run_number"] != self._run_number:
            self._run_number = content["run_number"]
            self._seen.clear()
        self._seen.append((at, summary))
        while at - self._seen[0][0] > RATE_SECONDS and len(self._seen) > 1:
            self._seen.popleft()
        since, before = self._seen[0]
        passed = at - since
        names = ("sampled", "tfs", "hits")
        return {name: (summary[name] - before[name]) / passed if passed > 0 else 0.0 for name in names}


class Wakes:
    """Whether there is news of a run, or of any: the testbed's stream of events tells, as far as it has one, to a thread."""

    def __init__(self, client: Client, run_number: int | None) -> None:
        self._client = client
        self._run_number = run_number
        self._news = threading.Event()
        self._listens = threading.Event()

    def start(self) -> None:
        """Listen; the thread ends with the process."""
        threading.Thread(target=self._listen, name="events", daemon=True).start()

    def wait(self) -> None:
        """Return when there may be something new, not too soon after the last time."""
        time.sleep(LEAST_SECONDS)
        # What is no event, heartbeats of workers for one, is looked for as well.
        self._news.wait(timeout=POLL_SECONDS * (4 if self._listens.is_set() else 1) - LEAST_SECONDS)
        self._news.clear()

    def _listen(self) -> None:
        try:
            for event in events(self._client.url, self._client.token, run=self._run_number):
                if event.type == DISCONNECTED:
                    self._listens.clear()
                else:
                    self._listens.set()
                    self._news.set()
        except Refused:
            self._listens.clear()  # it is then asked each second, which needs no stream


def print_once(out: Console, client: Client, run_number: int | None, *, as_json: bool) -> None:
    """Print what there is, of the newest run unless another is named, and leave.

    Raises:
        CommandError: there is no such run, or the testbed does not answer or refuses.
    """
    try:
        content = client.fastmon(client.newest_run() if run_number is None else run_number)
    except Away as error:
        raise CommandError(str(error)) from error
    if as_json:
        out.print_json(json.dumps(content), indent=None)
    else:
        out.print(shown(Figures(content)))


def watch(out: Console, client: Client, run_number: int | None) -> None:
    """Show a run and keep it up to date until Ctrl-C; without a number, always the newest.

    While the testbed is away, what was seen last stays, with why nothing newer is there.

    Raises:
        CommandError: there is no such run, or the testbed refuses; or it does not answer at the beginning.
    """
    rates = Rates()
    try:
        figures = _look(client, run_number, rates)
    except Away as error:
        raise CommandError(str(error)) from error
    wakes = Wakes(client, run_number)
    wakes.start()
    with Live(console=out, auto_refresh=False, screen=out.is_terminal) as live:
        while True:
            live.update(shown(figures, out.height if out.is_terminal else None), refresh=True)
            wakes.wait()
            try:
                figures = _look(client, run_number, rates)
            except Away as error:
                figures = Figures(figures.content, trouble=str(error))


def _look(client: Client, run_number: int | None, rates: Rates) -> Figures:
    content = client.fastmon(client.newest_run() if run_number is None else run_number)
    return Figures(content, rates.of(content, time.monotonic()))


def _refusal(error: urllib.error.HTTPError) -> Exception:
    """What to make of an answer that is none."""
    try:
        detail = str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        detail = f"{error.url} answers {error.code} {error.reason}"
    if error.code in {408, 429} or error.code >= 500:
        return Away(detail)
    return CommandError(detail if error.code not in {401, 403} else f"{detail} (--token)")
