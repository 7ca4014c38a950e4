"""Agents write in their own namespaces, whatever way the body says of which one it is."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.runs.models import Namespace, Run
from apps.runs.services import announce_run
from tests.factories import a_run, an_stf
from tests.people import a_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


@pytest.fixture(autouse=True)
def ours(settings: Any) -> None:
    settings.SWF_NAMESPACE = "ours"


@pytest.fixture
def theirs() -> Run:
    """A run of another namespace, with an STF."""
    run = a_run()
    run.namespace = Namespace.objects.create(name="theirs")
    run.save()
    run.execution.namespace = run.namespace
    run.execution.save()
    an_stf(run)
    return run


@pytest.fixture
def agent(client: Client) -> Client:
    client.force_login(a_user("agent", "agent", within="ours"))
    return client


def status(client: Client, path: str, body: Any, method: str = "post") -> int:
    """Of the answer to this body."""
    answer = getattr(client, method)(f"/api/{path}/", body, "application/json")
    return int(answer.status_code)


def test_what_names_nothing_is_of_this_testbed(agent: Client) -> None:
    assert status(agent, "runs", {"run_number": 42}) == 201
    assert Run.objects.get().namespace.name == "ours"
    assert status(agent, "namespaces/ensure", {"name": "ours"}) == 200
    assert status(agent, "systemagents/heartbeat", {"instance_name": "a-1", "agent_type": "data"}) == 201


def test_what_is_of_another_namespace_is_refused_however_it_is_named(agent: Client, theirs: Run) -> None:
    execution = theirs.execution.execution_id
    stf = theirs.stf_files.get().stf_filename
    bodies: list[tuple[str, Any]] = [
        ("runs", {"run_number": theirs.run_number}),
        ("runs", {"run_number": 42, "namespace": "theirs"}),
        ("run-states", {"run_number": 42, "metadata": {"execution_id": execution}}),
        ("stf-files", {"run": str(theirs.run_number), "stf_filename": "new.stf"}),
        (
            "stf-files",
            [{"run": 42, "stf_filename": "a.stf"}, {"run": theirs.run_number, "stf_filename": "b.stf"}],
        ),
        ("fastmon-files", {"stf_file": stf, "tf_filename": "a.tf", "tf_first": 0, "tf_last": 1}),
        ("system-state-events", {"run_number": theirs.run_number, "event_type": "x"}),
        ("workflow-executions", {"execution_id": "new-1", "namespace": "theirs"}),
        ("namespaces/ensure", {"name": "theirs"}),
        ("tf-slices/claim", {"worker_id": "w-1", "run_number": theirs.run_number}),
    ]

    assert [(path, body) for path, body in bodies if status(agent, path, body) != 403] == []
    assert status(agent, f"runs/{theirs.run_number}", {"total_stf_files": 1}, "patch") == 403
    assert status(agent, f"stf-files/{stf}", {"metadata": {}}, "patch") == 403


@pytest.mark.parametrize("spelled", ["{}", " {} ", "{}.0"])
def test_no_spelling_leads_round_it(agent: Client, theirs: Run, spelled: str) -> None:
    """What the view understands is what is decided on."""
    number = spelled.format(theirs.run_number)
    digits = str(theirs.run_number).translate({ord(str(n)): chr(0x660 + n) for n in range(10)})
    stf = spelled.format(theirs.stf_files.get().stf_filename).removesuffix(".0")

    for one in (number, digits, float(theirs.run_number)):
        assert status(agent, "runs", {"run_number": one}) in (400, 403)
        assert status(agent, "stf-files", {"run": one, "stf_filename": "new.stf"}) in (400, 403)
    tf_file = {"stf_file": stf, "tf_filename": "a.tf", "tf_first": 0, "tf_last": 1}
    assert status(agent, "fastmon-files", tf_file) == 403
    assert status(agent, "runs", {"run_number": 42, "namespace": " theirs "}) == 403
    assert status(agent, "namespaces/ensure", {"name": " theirs"}) == 403


def test_a_member_of_all_namespaces_writes_in_each(client: Client, theirs: Run) -> None:
    client.force_login(a_user("agent", "agent"))

    assert status(client, "runs", {"run_number": theirs.run_number}) == 200
    assert status(client, "namespaces/ensure", {"name": "new"}) == 201


@pytest.mark.parametrize("number", [True, "x", "-1", 10**30, None, [], {"a": 1}, 1.5])
def test_nonsense_is_for_the_view_to_refuse(agent: Client, number: Any) -> None:
    assert status(agent, "runs", {"run_number": number}) == 400
    assert status(agent, "stf-files", {"run": number, "stf_filename": "a\x00b"}) == 400


@pytest.mark.parametrize("body", [None, "text", [], ["text"], [None], 7])
def test_a_body_of_another_form_is_for_the_view_to_refuse(agent: Client, body: Any) -> None:
    assert status(agent, "stf-files", body) in (200, 201, 400)
    assert status(agent, "tf-slices/claim", body) == 400
    assert status(agent, "namespaces/ensure", body) == 400


def test_a_run_that_is_announced_twice_at_once_stays_where_it_is(agent: Client, theirs: Run) -> None:
    """Between the question and the answer: what is known already is left as it is, wherever it is."""
    run, created = announce_run(theirs.run_number, by="agent", namespace="ours")

    assert (created, run.namespace.name) == (False, "theirs")
