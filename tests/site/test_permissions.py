"""Every address answers every kind of user as the matrix says; and the matrix knows every address."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from apps.agents.choices import IncidentKind
from apps.agents.models import Incident
from apps.agents.services import Trouble, issue_token, open_incidents
from apps.runs.access import Right
from apps.runs.models import Run
from swf_site import matrix
from swf_site.matrix import COLUMNS, Row
from tests.agents.letters import Handler, parked
from tests.fast import a_sampled_run, cut
from tests.people import a_user
from tests.processing import BNL, a_processed_run, attach, submit, task_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

ROWS = [
    row
    for row in matrix.rows()
    if row.route not in ("stream", "websocket", "oidc-login", "oidc-done", "logout")
]


@dataclass
class World:
    """Something at every address that can be changed, and a client of each kind."""

    run: Run
    values: dict[str, str]
    clients: dict[str, tuple[Client, dict[str, str]]]

    def ask(self, row: Row, column: str) -> Any:
        """The answer to a request that says where it belongs and no more; what it changes is taken back."""
        client, headers = self.clients[column]
        with transaction.atomic():
            answer = client.generic(
                row.method, self._address(row), self._body(row), "application/json", headers=headers
            )
            transaction.set_rollback(True)
        return answer

    def _body(self, row: Row) -> str:
        here = self.run.namespace.name
        said = {"namespace": here, "name": here, "run_number": self.run.run_number}
        return json.dumps(said) if row.method != "GET" else ""

    def _address(self, row: Row) -> str:
        own = {"pk": self.values.get(row.route.rpartition("-")[0], "1")}
        own["wish"] = "kill" if row.route == "command" else "pause"
        address = re.sub(r"<(\w+)>", lambda match: (self.values | own).get(match[1], "1"), row.address)
        return address.replace("/...", "/")


@pytest.fixture
def world() -> World:
    run = a_processed_run()
    attach()
    submit()
    here = run.namespace.name
    open_incidents([Trouble(IncidentKind.CORRUPT_TF, "swf.1.stf", "TF 7 is corrupt", run)])
    letter, incident = parked(Handler()), Incident.objects.get()
    one = cut(a_sampled_run(1))[0]
    values = {
        "run_number": str(run.run_number),
        "sequence": "1",
        "stf_filename": run.stf_files.order_by("pk")[0].stf_filename,
        "execution_id": run.execution.execution_id,
        "tf_file_id": str(one.fastmon_file.tf_file_id),
        "tf-slice": str(one.pk),
        "msg_id": str(UUID(int=0)),
        "name": BNL,
        "switch": "on",
        "state": "down",
        "processing-task": str(task_of(run).pk),
        "incident": str(incident.pk),
        "dead-letter": str(letter.pk),
    }
    users = {
        "viewer": a_user("viewer", "viewer", within=here),
        "agent": a_user("agent", "agent", within=here),
        "operator": a_user("operator", "operator", within=here),
        "operator elsewhere": a_user("guest", "operator", within="elsewhere"),
        "operator of all": a_user("chief", "operator"),
        "admin": a_user("admin", "admin", within=""),
    }
    clients: dict[str, tuple[Client, dict[str, str]]] = {column: (Client(), {}) for column in COLUMNS}
    for column, user in users.items():
        clients[column][0].force_login(user)
    secret = issue_token(users["admin"], by="tester", name="for tests", scopes=["read"]).secret
    clients[matrix.PROGRAM] = (Client(), {"Authorization": f"Bearer {secret}"})
    return World(run, values, clients)


def is_let_in(answer: Any) -> bool:
    """Whether the answer is about what was asked, rather than about who asks."""
    if answer.status_code == 302:
        return not answer["Location"].startswith(("/login/", "/admin/login/"))
    return answer.status_code not in (401, 403)


@pytest.mark.parametrize("column", COLUMNS)
def test_every_address_answers_as_the_matrix_says(world: World, settings: Any, column: str) -> None:
    settings.SWF_ANONYMOUS_READ = COLUMNS[column].anybody_reads

    wrong = []
    for row in ROWS:
        answer = world.ask(row, column)
        assert answer.status_code != 500, row
        if is_let_in(answer) != row.allows(column):
            wrong.append(f"{row.method} {row.address}: {answer.status_code}")

    assert not wrong


def test_what_is_refused_changes_nothing_and_says_why(world: World) -> None:
    rows = [row for row in ROWS if row.right is Right.OPERATE]
    assert rows

    for row in rows:
        said = world.ask(row, "operator elsewhere").content.decode()
        assert "guest acts in elsewhere" in said, row


def test_every_route_that_changes_something_is_classified() -> None:
    assert not matrix.unclassified(), "say in swf_site/rights.py who may do this"
    assert not matrix.unused(), "no route has this name"


def test_no_view_has_permissions_of_its_own() -> None:
    default = django_settings.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"]
    views = {pattern.callback.cls for _, pattern in _rest()}  # type: ignore[attr-defined]

    assert {
        f"{kind.__module__}.{kind.__name__}" for view in views for kind in view.permission_classes
    } == set(default)


def _rest() -> Iterator[Any]:
    routes = matrix._routes(matrix.get_resolver().url_patterns)
    return (route for route in routes if hasattr(route[1].callback, "cls"))


def test_a_change_that_nobody_has_classified_is_for_admins(world: World, settings: Any) -> None:
    statuses = {
        column: world.clients[column][0].post("/agents/").status_code
        for column in ("operator of all", "admin")
    }

    assert statuses == {"operator of all": 403, "admin": 200}


def test_the_document_is_current(tmp_path: Path) -> None:
    document = django_settings.BASE_DIR / "docs" / "permissions.md"
    copy = tmp_path / "permissions.md"
    copy.write_text(document.read_text())

    call_command("write_permissions", "--file", str(copy), stdout=StringIO())

    assert copy.read_text() == document.read_text(), "write it anew: manage.py write_permissions"
