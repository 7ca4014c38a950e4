"""The verifier of outputs: registered is only what Rucio holds as PanDA said."""

from __future__ import annotations

import pytest

from apps.agents.data.outputs import OutputVerifier
from apps.agents.data.rucio import BufferFile
from apps.runs.errors import RetryableError
from apps.stf.models import ProcessingOutput
from tests.factories import kinds
from tests.fakes.rucio import FakeRucio
from tests.processing import BNL, a_processed_run, an_output, attach, job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


@pytest.fixture
def verifier(rucio: FakeRucio) -> OutputVerifier:
    return OutputVerifier(rucio)  # type: ignore[arg-type]


def the_output() -> ProcessingOutput:
    return ProcessingOutput.objects.get()


def put(rucio: FakeRucio, dataset: str = "user.swf.out", size: int = 10, rse: str = BNL) -> None:
    rucio.put_output(dataset, BufferFile("a.root", "", size, "0000000a"), rse=rse)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (None, "Rucio knows no copy of it at E1_BNL"),
        ({"rse": "E1_JLAB"}, "Rucio knows no copy of it at E1_BNL"),
        ({"size": 9}, "Rucio has 9 bytes with adler32 0000000a, PanDA said 10 and 0000000a"),
        ({"dataset": ""}, "it is not in the dataset user.swf.out"),
    ],
)
def test_an_output_that_is_not_there_as_said_is_named_until_it_is(
    verifier: OutputVerifier, rucio: FakeRucio, how: dict[str, object] | None, reason: str
) -> None:
    run = a_processed_run(1)
    attach()
    job(run, 1, status="finished", outputs=(an_output("a.root"),))
    if how is not None:
        put(rucio, **how)  # type: ignore[arg-type]
    for _ in range(2):
        verifier.step()
    assert (the_output().reason, the_output().registered_at) == (reason, None)
    assert kinds(run, "output_missing") == ["output_missing"]

    put(rucio)
    verifier.step()
    assert the_output().reason == ""
    assert the_output().registered_at is not None
    verifier.step()
    assert kinds(run, "output_registered") == ["output_registered"]


def test_an_output_without_a_dataset_needs_none(verifier: OutputVerifier, rucio: FakeRucio) -> None:
    run = a_processed_run(1)
    attach()
    job(run, 1, status="finished", outputs=(an_output("a.root"),))
    ProcessingOutput.objects.update(dataset="")
    put(rucio, dataset="")
    verifier.step()
    assert the_output().registered_at is not None


def test_while_rucio_is_away_they_wait(verifier: OutputVerifier, rucio: FakeRucio) -> None:
    run = a_processed_run(1)
    attach()
    job(run, 1, status="finished", outputs=(an_output("a.root"),))
    rucio.away = "connection refused"
    with pytest.raises(RetryableError, match="Rucio does not answer"):
        verifier.step()
    assert the_output().reason == ""
