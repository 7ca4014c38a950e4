"""Processing in the admin: rows are to look at, actions go through the services, each with its reason."""

from __future__ import annotations

import pytest
from django.db.models import Model
from django.test import Client

from apps.stf import services
from apps.stf.models import Brake, ProcessingSite
from tests.people import a_user
from tests.processing import BNL, a_processed_run, attach, process, submit, task_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def do(client: Client, action: str, *rows: Model, reason: str = "") -> str:
    """The page after the action on these rows."""
    path = f"/admin/stf/{rows[0]._meta.model_name}/"
    chosen = {"action": action, "_selected_action": [row.pk for row in rows], "reason": reason}
    return client.post(path, chosen, follow=True).content.decode()


def test_sites_are_marked_down_and_up_with_a_reason(admin_client: Client) -> None:
    a_processed_run()
    site = ProcessingSite.objects.get(name=BNL)

    assert "needs a name (by) and a reason" in do(admin_client, "mark_down", site)
    assert "E1_BNL is down." in do(admin_client, "mark_down", site, reason="cooling")
    site.refresh_from_db()
    assert (site.is_down, site.down_reason, site.changed_by) == (True, "cooling", "admin")
    assert "E1_BNL is up." in do(admin_client, "mark_up", site, reason="cold again")


@pytest.mark.parametrize("command", ["kill", "finish", "retry", "reload"])
def test_tasks_are_commanded(admin_client: Client, command: str) -> None:
    run = a_processed_run()
    attach()
    task = task_of(run)
    assert "is not submitted yet" in do(admin_client, command, task)
    submit()

    assert f"will be told to {command}." in do(admin_client, command, task, reason="wrong payload")
    task.refresh_from_db()
    assert (task.command, task.command_by, task.command_reason) == (command, "admin", "wrong payload")


def test_brakes_are_taken_off_and_put_on_again(admin_client: Client) -> None:
    run = a_processed_run()
    brakes = [
        services.brake_on(None, by="ann", reason="disk"),
        services.brake_on(run.run_number, by="ann", reason="x"),
    ]

    do(admin_client, "take_off", *brakes, reason="bigger disk")
    assert list(Brake.objects.values_list("is_on", "by")) == [(False, "admin")] * 2
    do(admin_client, "put_on", brakes[0], reason="full again")
    assert Brake.objects.get(is_on=True).run is None


def test_it_is_for_admins_and_nobody_edits(client: Client) -> None:
    a_processed_run()
    site = ProcessingSite.objects.get(name=BNL)
    client.force_login(a_user("ann", "operator"))
    assert "This needs the role admin" in do(client, "mark_down", site, reason="fun")
    client.force_login(a_user("bob", "admin"))
    assert client.post(f"/admin/stf/processingsite/{site.pk}/change/", {"is_down": True}).status_code == 403
    assert not ProcessingSite.objects.filter(is_down=True).exists()


def test_every_list_is_searched(admin_client: Client) -> None:
    run = a_processed_run()
    attach()
    submit()
    process(run, [1])
    services.brake_on(run.run_number, by="ann", reason="x")

    for name in (
        "processingtask",
        "stfprocessing",
        "processingjob",
        "processingoutput",
        "decisionbox",
        "brake",
    ):
        page = admin_client.get(f"/admin/stf/{name}/", {"q": run.run_number}).content.decode()
        assert "/change/" in page, name
