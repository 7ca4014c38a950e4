"""An STF is announced: once, again, with other bytes, for a run that does not take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.runs.errors import FieldRefused, NotFound
from apps.runs.journal import Cause, Heard, because_of
from apps.runs.models import Run
from apps.stf import services
from apps.stf.models import StfFile
from apps.stf.services import Announcement
from tests.factories import a_running_run, an_stf, ended, generated, kinds, registered
from tests.parallel import in_parallel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_an_announced_stf_waits_for_registration_in_the_buffer() -> None:
    stf = an_stf(a_running_run())

    assert (stf.registration, stf.buffer) == ("generated", "held")


def test_the_same_announcement_again_changes_nothing() -> None:
    run = a_running_run()
    first = an_stf(run)
    registered(first)
    again = services.record_generated(run.run_number, generated(run))

    assert again.pk == first.pk
    assert again.registration == "registered"
    assert StfFile.objects.count() == 1


def test_the_same_announcement_at_the_same_moment_is_one_stf(transactional_db: None) -> None:
    run = a_running_run()
    said = generated(run)
    in_parallel(*[lambda: services.record_generated(run.run_number, said)] * 4)

    assert StfFile.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"size_bytes": 7}, "size_bytes=7 (known: 23)"),
        ({"checksum": "00000001"}, "checksum='00000001' (known: '61290735')"),
        ({"stf_filename": "other.stf"}, "stf_filename='other.stf' (known: 'swf.100010.000001.stf')"),
    ],
)
def test_other_bytes_for_a_known_sequence_are_refused_with_both_values(
    changes: dict[str, Any], named: str
) -> None:
    run = a_running_run()
    an_stf(run, content=b"the bytes of run 100010")

    with pytest.raises(FieldRefused) as refusal:
        an_stf(run, content=b"the bytes of run 100010", **changes)
    assert str(refusal.value) == f"sequence: 1 of run {run.run_number} is taken by another file: {named}"


def test_a_name_that_belongs_to_another_sequence_is_refused() -> None:
    run = a_running_run()
    an_stf(run, stf_filename="one.stf")

    with pytest.raises(FieldRefused, match=r"the name 'one\.stf' belongs to another STF"):
        an_stf(run, 2, stf_filename="one.stf")


def test_a_failed_one_may_be_announced_anew_with_other_bytes() -> None:
    run = a_running_run()
    failed = an_stf(run)
    services.mark_registration_failed(run, {failed.pk: "the file is truncated"})
    again = an_stf(run, content=b"whole this time")

    assert again.pk == failed.pk
    assert (again.registration, again.registration_reason) == ("generated", "")
    assert again.size_bytes == len(b"whole this time")
    assert kinds(run)[-2:] == ["stf_failed", "stf_retried"]


def test_a_failed_one_is_not_announced_anew_under_the_name_of_another() -> None:
    run = a_running_run()
    an_stf(run, stf_filename="one.stf")
    failed = an_stf(run, 2)
    services.mark_registration_failed(run, {failed.pk: "the file is truncated"})

    with pytest.raises(FieldRefused, match=r"the name 'one\.stf' belongs to another STF"):
        an_stf(run, 2, stf_filename="one.stf")


def announced(run: Run, *sequences: int, **changes: Any) -> list[Announcement]:
    """STFs of a foreign DAQ, each said in a message of its own."""
    return [
        Announcement(
            run.run_number,
            replace(generated(run, sequence), **changes),
            Cause("data", heard=Heard("stf_gen", uuid4(), "their DAQ")),
        )
        for sequence in sequences
    ]


def said(run: Run) -> list[tuple[str, str, UUID, int]]:
    entries = run.journal.filter(kind="stf_gen").order_by("id")
    return [(one.subject, one.actor, one.msg_id, one.stream_sequence) for one in entries]


def test_many_are_recorded_in_order_each_as_the_message_that_said_it() -> None:
    first, second = a_running_run(), a_running_run()
    many = [*announced(first, 1, 2), *announced(second, 1), *announced(first, 3)]
    services.record_generated_many(many)

    for run in (first, second):
        own = [one for one in many if one.run_number == run.run_number]
        assert list(run.stf_files.values_list("sequence", flat=True)) == [one.stf.sequence for one in own]
        assert said(run) == [
            (one.stf.stf_filename, "their DAQ", one.cause.heard.msg_id, n)  # type: ignore[union-attr]
            for n, one in enumerate(own, start=1)
        ]


def test_many_new_ones_share_their_statements() -> None:
    run = a_running_run()
    counts = []
    for sequences in (range(1, 3), range(3, 53)):
        with CaptureQueriesContext(connection) as queries:
            services.record_generated_many(announced(run, *sequences))
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert run.stf_files.count() == 52


def test_among_many_a_known_one_changes_nothing() -> None:
    run = a_running_run()
    many = announced(run, 1, 2, 3)
    services.record_generated_many(many[:2])
    services.record_generated_many([*many, many[2]])

    assert run.stf_files.count() == 3
    assert len(said(run)) == 3


def test_what_our_own_daq_said_is_not_said_again_for_many() -> None:
    run = a_running_run()
    services.record_generated_many([replace(one, cause=Cause("data")) for one in announced(run, 1, 2)])

    assert run.stf_files.count() == 2
    assert said(run) == []


def test_one_bad_one_among_many_refuses_them_all() -> None:
    run = a_running_run()
    services.record_generated_many(announced(run, 1, stf_filename="one.stf"))

    with pytest.raises(FieldRefused, match=r"the name 'one\.stf' belongs to another STF"):
        services.record_generated_many([*announced(run, 2), *announced(run, 3, stf_filename="one.stf")])
    assert run.stf_files.count() == len(said(run)) == 1


def test_it_joins_the_transaction_in_progress_without_a_savepoint() -> None:
    run = a_running_run()
    with CaptureQueriesContext(connection) as queries:
        services.record_generated(run.run_number, generated(run))

    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "INSERT"]


def test_alone_it_is_a_transaction_of_its_own(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_running_run()
    failing = Mock(side_effect=ZeroDivisionError)
    monkeypatch.setattr("apps.runs.journal.record", failing)
    heard = Heard("stf_gen", uuid4(), "their DAQ")

    with pytest.raises(ZeroDivisionError), because_of(Cause("data", heard=heard)):
        services.record_generated(run.run_number, generated(run))
    assert not run.stf_files.exists()


def test_an_unknown_run_is_said() -> None:
    said = generated(a_running_run())

    with pytest.raises(NotFound, match="there is no run 7"):
        services.record_generated(7, said)


def test_an_ended_run_takes_late_stfs_and_a_closed_one_says_how_to_open_it() -> None:
    run = ended(a_running_run(), count=2)
    an_stf(run)
    services.force_close(run.run_number, by="ann", reason="no more to come")

    with pytest.raises(FieldRefused, match="is closed: it takes no more STFs; a corrected end_run"):
        an_stf(run, 2)
    ended(run, count=3)
    assert an_stf(run, 2).sequence == 2


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"sequence": 0}, "stf_sequence_from_one"),
        ({"checksum": "ABCDEF01"}, "stf_checksum_adler32"),
        ({"checksum": "1234"}, "stf_checksum_adler32"),
        ({"daq_state": "off", "daq_substate": "physics"}, "stf_core_state_legal"),
    ],
)
def test_postgresql_refuses_what_no_daq_may_say(changes: dict[str, Any], constraint: str) -> None:
    run = a_running_run()
    said = replace(generated(run), **changes)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        services.record_generated(run.run_number, said)
