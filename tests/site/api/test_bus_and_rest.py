"""The same run told over the bus and over REST at once, in any order: it is one run, nothing of it is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.agents.bus.receive import Delivery, receive_batch
from apps.agents.models import DeadLetter
from apps.agents.registry import agent_spec
from apps.runs.models import JournalEntry, Run
from apps.stf.models import StfFile
from tests.agents.foreign_daq import ForeignDaq
from tests.rest import Agent

RUN = "102827"
STFS = 3
DATA = agent_spec("data")
BROKER = UUID("018f3f2e-0000-7000-8000-000000000001")


def over_the_bus(daq: ForeignDaq) -> list[Callable[[], Any]]:
    """Everything that the DAQ says of the run, in its order."""
    messages = enumerate(daq.whole_run(STFS))
    deliveries = [Delivery(body, uuid5(BROKER, str(number))) for number, body in messages]
    return [lambda one=one: receive_batch(DATA, [one]) for one in deliveries]  # type: ignore[misc]


def over_rest(agent: Agent) -> list[Callable[[], Any]]:
    """What the existing data agent posts of it, in its order; none of it may be refused for good by a bug."""

    def tell(method: str, path: str, body: dict[str, Any]) -> None:
        assert agent.ask(method, path, body).status_code in {200, 201, 404, 409}

    stfs = [
        {"run": RUN, "stf_filename": f"swf.{RUN}.{sequence:06d}.stf", "metadata": {"sequence": sequence}}
        for sequence in range(1, STFS + 1)
    ]
    return [
        lambda: tell("POST", "run-states/", {"run_number": RUN, "state": "imminent"}),
        lambda: tell("POST", "runs/", {"run_number": RUN}),
        lambda: tell("PATCH", f"run-states/{RUN}/", {"state": "running", "substate": "physics"}),
        *(lambda stf=stf: tell("POST", "stf-files/", stf) for stf in stfs),  # type: ignore[misc]
        lambda: tell("PATCH", f"run-states/{RUN}/", {"state": "ended", "substate": None}),
    ]


class Together(TestCase):
    """One example is one way in which the two may overtake each other."""

    @pytest.fixture(autouse=True)
    def _files(self, exit_buffer: Path) -> None:
        daq = ForeignDaq(RUN, namespace=settings.SWF_NAMESPACE)
        for sequence in range(1, STFS + 1):
            daq.write(exit_buffer, sequence, b"x" * sequence)

    @given(st.data())
    @effort(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
    def test_a_run_that_is_told_twice_is_one(self, data: st.DataObject) -> None:
        bus = over_the_bus(ForeignDaq(RUN, namespace=settings.SWF_NAMESPACE))
        rest = over_rest(Agent())
        while bus or rest:
            takes_bus = bool(bus) and (not rest or data.draw(st.booleans(), label="over the bus"))
            (bus if takes_bus else rest).pop(0)()

        assert not list(DeadLetter.objects.values_list("msg_type", "reason"))
        run = Run.objects.get()
        assert (run.lifecycle, run.expected_stf_count) == ("ended", STFS)
        assert (run.state, run.substate) == ("beam", "not_ready")
        assert sorted(StfFile.objects.values_list("sequence", flat=True)) == [1, 2, 3]
        assert JournalEntry.objects.filter(kind="stf_gen").count() == STFS
        assert JournalEntry.objects.filter(kind="run_taken_over").count() == 1
        for kind in ("run_imminent", "start_run", "end_run"):
            assert JournalEntry.objects.filter(kind=kind).count() == 1, kind
