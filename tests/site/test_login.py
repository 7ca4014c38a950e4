"""Logging in and out; pages for readers only; and what pages say to those who may not act."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import a_run, a_running_run
from tests.pages import text
from tests.people import a_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def log_in(client: Client, name: str, password: str, to: str = "") -> Any:
    """The answer to the form of the login page."""
    return client.post("/login/", {"username": name, "password": password, "next": to})


def test_a_user_logs_in_goes_on_and_logs_out(client: Client) -> None:
    a_user("ann", "operator", password="beam")
    assert '<a href="/login/?next=/agents/">Log in</a>' in client.get("/agents/").content.decode()

    answer = log_in(client, "ann", "beam", "/agents/")

    assert (answer.status_code, answer["Location"]) == (302, "/agents/")
    assert "ann Log out" in text(client.get("/agents/"))
    assert client.get("/logout/").status_code == 405
    client.post("/logout/")
    assert "Log out" not in text(client.get("/agents/"))


@pytest.mark.parametrize(("name", "password"), [("ann", "bear"), ("bob", "beam"), ("", "")])
def test_who_is_not_known_is_told_so(client: Client, name: str, password: str) -> None:
    a_user("ann", password="beam")

    page = log_in(client, name, password)

    assert page.status_code == 200
    assert 'role="alert"' in page.content.decode()
    assert "_auth_user_id" not in client.session


def test_without_users_it_says_how_the_first_is_made(client: Client) -> None:
    assert "manage createsuperuser" in text(client.get("/login/"))
    a_user("ann", password="beam")
    assert "createsuperuser" not in text(client.get("/login/"))


def test_the_login_leads_to_no_other_server(client: Client) -> None:
    a_user("ann", password="beam")

    assert log_in(client, "ann", "beam", "https://evil.example.org/")["Location"] == "/"


def test_the_form_needs_the_token_of_its_page() -> None:
    a_user("ann", password="beam")

    assert log_in(Client(enforce_csrf_checks=True), "ann", "beam").status_code == 403


def test_the_admin_has_the_same_login(client: Client) -> None:
    answer = client.get("/admin/runs/run/", follow=True)

    assert answer.redirect_chain[-1] == ("/login/?next=/admin/runs/run/", 302)
    client.force_login(a_user("ann", "operator"))
    refused = client.get("/admin/", follow=True)
    assert refused.status_code == 403
    assert "This needs the role admin; ann has operator" in text(refused)
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/admin/").status_code == 200


def test_pages_are_for_readers_where_anybody_is_not_one(client: Client, settings: Any) -> None:
    settings.SWF_ANONYMOUS_READ = False
    run = a_run()
    address = f"/runs/{run.run_number}/?page=2"

    assert client.get(address)["Location"] == f"/login/?next=/runs/{run.run_number}/%3Fpage%3D2"
    assert [client.get(path).status_code for path in ("/login/", "/healthz", "/favicon.ico")] == [
        200,
        200,
        302,
    ]
    client.force_login(a_user("stranger"))
    assert "stranger has no role" in text(client.get(address))
    client.force_login(a_user("ann", "viewer", within=""))
    assert client.get(address).status_code == 200


def test_strangers_see_no_brake_on_the_page_of_what_is_not_there(client: Client, settings: Any) -> None:
    from apps.stf.services import brake_on

    brake_on(None, by="ann", reason="disk is full")
    assert "disk is full" in text(client.get("/nowhere/"))
    settings.SWF_ANONYMOUS_READ = False

    assert "disk is full" not in text(client.get("/nowhere/")) + text(client.get("/login/"))


def test_a_page_offers_actions_to_those_who_may_and_tells_others_why_not(client: Client) -> None:
    run = a_running_run()
    address = f"/runs/{run.run_number}/"
    assert "Operators act here: log in" in text(client.get(address))

    client.force_login(a_user("guest", "operator", within="elsewhere"))
    page = text(client.get(address))
    assert "You may not act here: this is of the namespace test; guest acts in elsewhere." in page
    assert "Abort" not in page
    assert "this concerns all namespaces; guest acts in elsewhere" in text(client.get("/processing/"))

    client.force_login(a_user("shifter", "operator", within="test"))
    page = text(client.get(address))
    assert "Abort" in page
    assert "You may not act here" not in page


def test_an_operator_of_another_namespace_changes_nothing(client: Client) -> None:
    run = a_running_run()
    client.force_login(a_user("guest", "operator", within="elsewhere"))

    answer = client.post(f"/runs/{run.run_number}/abort/", {"reason": "fun"})

    assert answer.status_code == 403
    assert not run.journal.filter(kind="abort_workflow").exists()


def test_who_has_not_logged_in_is_led_back_to_the_page_of_the_action(client: Client) -> None:
    run = a_running_run()

    assert client.post(f"/runs/{run.run_number}/stop/")["Location"] == f"/login/?next=/runs/{run.run_number}/"
    assert client.post("/processing/brake/on/")["Location"] == "/login/?next=/processing/"
