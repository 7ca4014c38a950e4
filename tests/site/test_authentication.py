"""REST lets in whoever brings a good token, as far as it goes; and nobody else where anonymous reading is off."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.agents.models import ApiToken, AppLog, DeadLetter, Subscriber, SystemAgent
from apps.agents.services import issue_token, revoke_tokens
from apps.runs.models import Namespace, Run, WorkflowDefinition
from apps.stf.models import ProcessingSite
from swf_site.api.namespaces import PATHS
from swf_site.api.urls import router
from tests.factories import a_run, an_stf, registered
from tests.people import a_user

pytestmark = pytest.mark.django_db

# Rows that belong to no namespace: a token of one has nothing to look for there.
NOBODYS = {SystemAgent, AppLog, Subscriber, DeadLetter, WorkflowDefinition, ProcessingSite}


@pytest.fixture
def ann() -> User:
    return a_user("ann", "operator")


def a_token(user: User, **what: Any) -> str:
    """A new token."""
    return issue_token(user, **{"by": "tester", "name": "for tests", **what}).secret


def ask(path: str, authorization: str = "", method: str = "GET", **body: Any) -> Any:
    """The answer to a request with this header."""
    headers = {"Authorization": authorization} if authorization else {}
    return Client().generic(
        method, path, data=json.dumps(body), content_type="application/json", headers=headers
    )


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token", "BEARER"])
def test_a_token_is_taken_under_both_names(ann: User, settings: Any, scheme: str) -> None:
    settings.SWF_ANONYMOUS_READ = False

    assert ask("/api/runs/", f"{scheme} {a_token(ann)}").status_code == 200


def test_a_token_that_is_not_good_is_401_with_the_reason(ann: User) -> None:
    """Though anybody may read: whoever brings a token believes in it."""
    revoked = issue_token(ann, by="tester", name="for tests")
    revoke_tokens([revoked.token.pk], by="bob")
    expired = issue_token(ann, by="tester", name="for tests", expires_at=timezone.now() + timedelta(days=1))
    ApiToken.objects.filter(pk=expired.token.pk).update(
        created_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(days=1)
    )

    answers = [
        ask("/api/runs/", f"Token {secret}") for secret in ("swf_x", revoked.secret, expired.secret, "")
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer["WWW-Authenticate"].split()[0] for answer in answers} == {"Bearer"}
    for answer, words in zip(answers, ("unknown", "revoked", "expired", "missing"), strict=True):
        assert words in answer.json()["detail"]


def test_changes_need_the_scope_and_the_right(ann: User) -> None:
    bob = User.objects.create_user("bob")
    path, body = "/api/brakes/on/", {"reason": "test"}

    statuses = [
        ask(path, f"Token {secret}", "POST", **body).status_code
        for secret in (a_token(ann, scopes=["read"]), a_token(bob), a_token(ann))
    ]

    assert statuses == [403, 403, 200]
    refused = ask(path, f"Token {a_token(ann, scopes=['read'])}", "POST", **body)
    assert "needs the scope write" in refused.json()["detail"]
    assert ask("/api/runs/", f"Token {a_token(ann, scopes=['write'])}").status_code == 403


def test_a_change_by_token_carries_the_name_of_its_user(ann: User) -> None:
    answer = ask("/api/brakes/on/", f"Token {a_token(ann)}", "POST", reason="test")

    assert "ann" in str(answer.json())


@pytest.mark.parametrize("off", [True, False])
def test_anonymous_reading_is_on_or_off(ann: User, settings: Any, *, off: bool) -> None:
    settings.SWF_ANONYMOUS_READ = not off
    lists = [f"/api/{prefix}/" for prefix, _, _ in router.registry]

    assert {ask(path).status_code for path in ["/api/", *lists]} == {401 if off else 200}

    client = Client()
    client.force_login(ann)
    assert {client.get(path).status_code for path in ["/api/", *lists]} == {200}


def test_who_may_not_log_in_is_told_how(settings: Any) -> None:
    settings.SWF_ANONYMOUS_READ = False

    answer = ask("/api/runs/")

    assert answer["Content-Type"] == "application/problem+json"
    assert "get_token" in answer.json()["detail"]


def test_every_list_is_kept_by_namespace_or_belongs_to_none() -> None:
    models = {view.queryset.model for _, view, _ in router.registry}

    assert models == set(PATHS) | NOBODYS
    assert not set(PATHS) & NOBODYS
    for model, path in PATHS.items():
        assert str(model.objects.filter(**{path: 1}).query)


@pytest.fixture
def two_runs(exit_buffer: Any) -> tuple[Run, Run]:
    """A run of the namespace `test` and one of another, with an STF each."""
    ours, theirs = a_run(), a_run()
    Run.objects.filter(pk=theirs.pk).update(namespace=Namespace.objects.create(name="theirs"))
    for run in (ours, theirs):
        registered(an_stf(run))
    return ours, theirs


def test_a_token_of_a_namespace_sees_what_is_in_it(ann: User, two_runs: tuple[Run, Run]) -> None:
    ours, _ = two_runs
    bound = f"Token {a_token(ann, namespace=ours.namespace)}"

    for path in ("runs", "stf-files", "replicas", "datasets"):
        rows, all_rows = (ask(f"/api/{path}/", by).json()["results"] for by in (bound, ""))
        assert 0 < len(rows) < len(all_rows)
    assert [ask(f"/api/runs/{run.run_number}/", bound).status_code for run in two_runs] == [200, 404]
    assert [ask(f"/api/{path}/", bound).status_code for path in ("systemagents", "dead-letters")] == [
        403,
        403,
    ]


def test_a_token_of_a_namespace_changes_what_is_in_it(ann: User, two_runs: tuple[Run, Run]) -> None:
    ours, _ = two_runs
    bound = f"Token {a_token(ann, namespace=ours.namespace)}"
    paths = [f"/api/runs/{run.run_number}/brake/on/" for run in two_runs]

    answers = [ask(path, bound, "POST", reason="test") for path in [*paths, "/api/brakes/on/"]]

    assert [answer.status_code for answer in answers] == [200, 403, 403]
    assert f"the namespace {ours.namespace} only" in answers[1].json()["detail"]
