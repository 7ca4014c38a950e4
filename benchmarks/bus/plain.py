"""Plain messages of a foreign DAQ on ActiveMQ's topic, into stored and handled ones.

The receiver is the real thing: `manage.py agent data`, a Celery worker with all its loops and PostgreSQL's durable
commits. No other program of the testbed runs: Rucio is away, for which the registrar waits. A message counts as handled
when its STF, its journal entry and its finished inbox entry are committed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from apps.agents.bus.stomp.frames import encode
from apps.agents.bus.stomp.wire import Wire
from benchmarks.bus.home import Buses
from benchmarks.numbers import percentile
from services.base import REPOSITORY

TOPIC = "/topic/epictopic"
CALM_RATE = 20.0
DEADLINE_SECONDS = 120.0
STF_BYTES = 1_000_000

_TAKING_DATA = "SELECT id FROM runs_run WHERE run_number = %s AND state = 'run'"
_FINISHED = """
SELECT extract(epoch FROM finished_at)::float8 FROM agents_inboundmessage
WHERE agent = 'data' AND run_number = %s AND msg_type = 'stf_gen' AND outcome = 'done' ORDER BY finished_at
"""
_KEPT = """
SELECT (SELECT count(*) FROM stf_stffile WHERE run_id = %(run)s),
    (SELECT count(*) FROM runs_journalentry WHERE run_id = %(run)s AND kind = 'stf_gen' AND heard)
"""
_NEWER = "SELECT sequence FROM stf_stffile WHERE run_id = %s AND sequence > %s ORDER BY sequence"


@dataclass(frozen=True)
class PlainRound:
    """Handled messages per second of `messages` sent at once; milliseconds from sending to handled at `CALM_RATE`."""

    round: int
    messages: int
    handled_per_second: float
    p50_ms: float
    p99_ms: float


class Daq:
    """A DAQ of the existing swf system on a connection that waits for nothing but the last receipt."""

    def __init__(self, buses: Buses) -> None:
        at = buses.activemq.environment()
        self._buffer = buses.home / "storage" / "E0_BUFFER"
        self._wire = Wire(
            (at["ACTIVEMQ_HOST"], buses.activemq.stomp_port),
            headers={"login": at["ACTIVEMQ_USER"], "passcode": at["ACTIVEMQ_PASSWORD"]},
        )

    def say(self, run_number: int, msg_type: str, **fields: Any) -> None:
        """Publish a message."""
        self._wire.send(_frame(run_number, msg_type, **fields))

    def stf(self, run_number: int, sequence: int) -> bytes:
        """The frame that announces an STF, of which there is no file."""
        name = f"swf.{run_number}.{sequence:06d}.stf"
        return _frame(
            run_number,
            "stf_gen",
            filename=name,
            sequence=sequence,
            file_url=str(self._buffer / str(run_number) / name),
            size_bytes=STF_BYTES,
            checksum=f"{zlib.adler32(name.encode()):08x}",
            state="run",
            substate="physics",
        )

    def send(self, frames: bytes) -> None:
        """Publish what was prepared."""
        self._wire.send(frames)

    def confirm(self) -> None:
        """Wait until the broker has everything."""
        end = {"transaction": "end"}
        data = encode("BEGIN", end) + encode("COMMIT", {**end, "receipt": "end"})
        self._wire.confirm(data, "end", DEADLINE_SECONDS)

    def close(self) -> None:
        """Leave."""
        self._wire.close()


def _frame(run_number: int, msg_type: str, **fields: Any) -> bytes:
    message = {
        "msg_type": msg_type,
        "namespace": "local",
        "execution_id": f"stf_datataking-ann-{run_number}",
        "run_id": str(run_number),
        **fields,
        "timestamp": datetime.now().isoformat(),
        "simulation_tick": 0.1,
        "sender": "daq_simulator-agent-ann-12",
    }
    headers = {"destination": TOPIC, "persistent": "true", "msg_type": msg_type, "run_id": run_number}
    return encode("SEND", headers, json.dumps(message).encode(), content_length=False)


def measure(buses: Buses, *, rounds: int, at_once: int, calmly: int) -> Iterator[PlainRound]:
    """Rounds of a flood and of a calm flow, each a run of its own."""
    log = buses.home / "log" / "data-agent.log"
    with (
        _data_agent(log),
        psycopg.connect(buses.postgres.url(), autocommit=True) as database,
    ):
        daq = Daq(buses)
        _flood(daq, database, 100_000, at_once // 4)  # for everybody to warm up
        for number in range(1, rounds + 1):
            rate = _flood(daq, database, 100_000 + 2 * number, at_once)
            latencies = _calm(daq, database, 100_001 + 2 * number, calmly)
            p50, p99 = (round(percentile(latencies, share) * 1e3, 2) for share in (0.5, 0.99))
            yield PlainRound(number, at_once, round(rate, 1), p50, p99)
        daq.close()


@contextmanager
def _data_agent(log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        agent = subprocess.Popen(
            [sys.executable, "manage.py", "agent", "data", "--log-level=WARNING"],
            cwd=REPOSITORY,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        agent.kill()
        agent.wait()


def _begin(daq: Daq, database: psycopg.Connection[Any], run_number: int) -> int:
    """Have the run taken over; its id in the database."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := database.execute(_TAKING_DATA, [run_number]).fetchone()):
        # Repeated, because before the agent's first start nobody keeps what is said.
        daq.say(
            run_number, "run_imminent", state="beam", substate="not_ready", dataset=f"swf.{run_number}.run"
        )
        daq.say(run_number, "start_run", state="run", substate="physics")
        _not_after(deadline, f"run {run_number} is not taken over")
        time.sleep(0.2)
    return int(found[0])


def _flood(daq: Daq, database: psycopg.Connection[Any], run_number: int, count: int) -> float:
    """Messages handled per second, counted from the end of the first transaction to that of the last."""
    run = _begin(daq, database, run_number)
    frames = b"".join(daq.stf(run_number, sequence) for sequence in range(1, count + 1))
    daq.send(frames)
    daq.confirm()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(finished := [row[0] for row in database.execute(_FINISHED, [run_number])]) < count:
        _not_after(deadline, f"{count - len(finished)} of {count} messages are not handled")
        time.sleep(0.1)
    kept = database.execute(_KEPT, {"run": run}).fetchone()
    if kept != (count, count):
        raise SystemExit(f"of {count} messages, STFs and journal entries are {kept}")
    later = [moment for moment in finished if moment > finished[0]]
    return len(later) / (finished[-1] - finished[0]) if later else 0.0


def _calm(daq: Daq, database: psycopg.Connection[Any], run_number: int, count: int) -> list[float]:
    """Seconds from sending to the moment at which another session is told that it is committed, ordered."""
    run = _begin(daq, database, run_number)
    sent: dict[int, float] = {}
    handled: dict[int, float] = {}
    database.execute("LISTEN swf_journal")
    start = time.monotonic()
    for sequence in range(1, count + 1):
        sent[sequence] = time.monotonic()
        daq.send(daq.stf(run_number, sequence))
        _look(database, run, handled, until=start + sequence / CALM_RATE)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(handled) < count:
        _not_after(deadline, f"{count - len(handled)} of {count} messages are not handled")
        _look(database, run, handled, until=time.monotonic() + 0.1)
    database.execute("UNLISTEN *")
    return sorted(handled[sequence] - sent[sequence] for sequence in sent)


def _look(database: psycopg.Connection[Any], run: int, handled: dict[int, float], *, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        if list(database.notifies(timeout=left, stop_after=1)):
            moment = time.monotonic()
            for (sequence,) in database.execute(_NEWER, [run, max(handled, default=0)]).fetchall():
                handled[sequence] = moment
                moment = time.monotonic()  # further ones may have been committed while we asked


def _not_after(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise SystemExit(f"{complaint} after {DEADLINE_SECONDS:.0f} s")
