"""Login by an identity provider: the code flow with a provider that really answers; and what is not believed."""

from __future__ import annotations

import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from joserfc.jwk import RSAKey

from apps.runs.access import Role
from apps.runs.models import Identity, JournalEntry, Namespace
from apps.runs.people import namespaces_of, roles_of
from swf_site.settings import env
from tests.issuer import CLIENT, SECRET, Issuer, issuer
from tests.people import a_user
from tests.web import PATIENCE, Web

__all__ = ["issuer"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def provider(issuer: Issuer, settings: Any) -> Issuer:
    settings.SWF_OIDC_ISSUER = issuer.url
    settings.SWF_OIDC_CLIENT_ID, settings.SWF_OIDC_CLIENT_SECRET = CLIENT, SECRET
    settings.SWF_OIDC_ROLES = {
        "shifters": [("operator", "local")],
        "tools": [("agent", "*")],
        "chiefs": [("admin", "")],
    }
    return issuer


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """Not followed: the answer is what is asked for."""


def at_provider(location: str) -> str:
    """Where the provider sends the browser back to."""
    try:
        urllib.request.build_opener(_Stay).open(location, timeout=PATIENCE)
    except urllib.error.HTTPError as answer:
        return str(answer.headers["Location"])
    raise AssertionError("the provider has sent nobody back")


def log_in(client: Client, to: str = "/agents/") -> Any:
    """The answer at the end of a login that began for this page."""
    begun = client.get("/login/oidc/", {"next": to})
    assert begun.status_code == 302, begun.content.decode()
    back = urlsplit(at_provider(begun["Location"]))
    return client.get(f"{back.path}?{back.query}")


def who(client: Client) -> str:
    """Who is logged in."""
    key = client.session.get("_auth_user_id")
    return User.objects.get(pk=key).get_username() if key else ""


def test_a_user_comes_by_the_provider_and_goes_where_it_wanted(client: Client, provider: Issuer) -> None:
    assert "Log in with your institute" in client.get("/login/").content.decode()

    answer = log_in(client)

    assert (answer.status_code, answer["Location"]) == (302, "/agents/")
    assert who(client) == "ann"
    ann = User.objects.get()
    assert (ann.has_usable_password(), ann.is_staff, ann.is_superuser) == (False, False, False)
    assert Identity.objects.get().subject == "1001"
    assert "<span>ann</span>" in client.get("/agents/").content.decode()


def test_who_comes_again_is_the_same_under_whatever_name(client: Client, provider: Issuer) -> None:
    log_in(client)
    provider.claims["preferred_username"] = "ann2"

    log_in(Client())

    assert User.objects.get().username == "ann"


def test_groups_are_roles_in_namespaces_as_long_as_they_last(client: Client, provider: Issuer) -> None:
    Namespace.objects.create(name="local")
    provider.claims["groups"] = ["shifters", "tools", "unheard-of"]
    log_in(client)
    ann = User.objects.get()
    # The namespaces of a lower role do not widen the higher one.
    assert (roles_of(ann), namespaces_of(ann)) == ({Role.OPERATOR}, {"local"})

    provider.claims["groups"] = []
    log_in(client)

    ann = User.objects.get()
    assert (roles_of(ann), namespaces_of(ann)) == (frozenset(), frozenset())
    changes = JournalEntry.objects.filter(kind="access_changed").order_by("pk")
    assert [entry.payload["roles"] for entry in changes] == [["operator"], []]
    assert {entry.actor for entry in changes} == {provider.url}


def test_without_groups_admins_say_what_a_user_may(client: Client, provider: Issuer, settings: Any) -> None:
    settings.SWF_OIDC_ROLES = {}
    settings.SWF_ANONYMOUS_READ = False
    log_in(client)

    page = client.get("/agents/")

    assert page.status_code == 403
    assert "This needs the role viewer; ann has no role: ask an admin" in page.content.decode()


def test_a_name_that_another_user_has_is_not_taken_over(client: Client, provider: Issuer) -> None:
    User.objects.create_superuser("ann", password="beam")

    answer = log_in(client)

    assert answer.status_code == 403
    assert "there is a user ann already" in answer.content.decode()
    assert who(client) == ""


@pytest.mark.parametrize("name", ["ann\nbob", "<b>", "x" * 101])
def test_a_name_that_is_none_is_refused(client: Client, provider: Issuer, name: str) -> None:
    provider.claims["preferred_username"] = name

    assert log_in(client).status_code == 403
    assert not User.objects.exists()


def test_who_may_not_log_in_any_more_does_not(client: Client, provider: Issuer) -> None:
    log_in(Client())
    User.objects.update(is_active=False)

    assert "may not log in any more" in log_in(client).content.decode()
    assert who(client) == ""


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"iss": "http://evil.example.org"}, "iss"),
        ({"aud": "another-client"}, "aud"),
        ({"exp": int(time.time()) - 600}, "expired"),
        ({"nonce": "of another login"}, "nonce"),
    ],
)
def test_what_the_provider_cannot_mean_is_not_believed(
    client: Client, provider: Issuer, lies: dict[str, Any], words: str
) -> None:
    provider.lies = lies

    answer = log_in(client)

    assert answer.status_code == 403
    assert "The login was refused" in answer.content.decode()
    assert words in answer.content.decode()
    assert who(client) == ""
    assert not User.objects.exists()


def test_a_signature_of_another_key_is_not_believed(client: Client, provider: Issuer) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "1"})

    assert log_in(client).status_code == 403
    assert not User.objects.exists()


def test_another_issuer_at_the_address_is_not_believed(client: Client, provider: Issuer) -> None:
    provider.lies = {"issuer": "http://evil.example.org"}

    answer = client.get("/login/oidc/")

    assert answer.status_code == 403
    assert "calls itself http://evil.example.org" in answer.content.decode()


def test_an_answer_that_nobody_has_asked_for_is_refused(client: Client, provider: Issuer) -> None:
    begun = client.get("/login/oidc/")
    back = urlsplit(at_provider(begun["Location"]))
    address = f"{back.path}?{back.query}"

    assert Client().get(address).status_code == 403
    assert client.get(address).status_code == 302
    assert client.get(address).status_code == 403
    assert client.get("/login/oidc/done/").status_code == 403
    refused = client.get("/login/oidc/done/", {"error": "access_denied", "error_description": "not today"})
    assert "not today" in refused.content.decode()


def test_a_provider_that_is_away_is_said_so(client: Client, provider: Issuer) -> None:
    provider.stop()

    answer = client.get("/login/oidc/")

    assert answer.status_code == 403
    assert "does not answer" in answer.content.decode()


@pytest.mark.parametrize("to", ["https://evil.example.org/", "//evil.example.org", "javascript:alert(1)"])
def test_nobody_is_sent_to_another_server(client: Client, provider: Issuer, to: str) -> None:
    assert log_in(client, to)["Location"] == "/"


def test_it_is_off_without_a_provider(client: Client, settings: Any) -> None:
    settings.SWF_OIDC_ISSUER = ""

    assert client.get("/login/oidc/").status_code == 404
    assert client.get("/login/oidc/done/").status_code == 404
    assert "Log in with" not in client.get("/login/").content.decode()


@pytest.mark.parametrize("text", ["shifters", "shifters=boss", "=viewer"])
def test_roles_that_are_none_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_OIDC_ROLES", text)

    with pytest.raises(ImproperlyConfigured, match="GROUP=ROLE"):
        env.roles("SWF_OIDC_ROLES")


def test_roles_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_OIDC_ROLES", "/epic/a=b=operator:local, /epic/a=b=agent:*,epic=viewer")

    assert env.roles("SWF_OIDC_ROLES") == {
        "/epic/a=b": [("operator", "local"), ("agent", "*")],
        "epic": [("viewer", "")],
    }
    assert tuple(Role.values) == env.ROLES


@pytest.mark.django_db(transaction=True)
def test_a_browser_logs_in_at_a_real_server(issuer: Issuer, tmp_path: Path) -> None:
    """From the server to the provider and back, with nothing but cookies."""
    a_user("local", "viewer", within="local")
    issuer.claims["groups"] = ["shifters"]
    web = Web(
        tmp_path / "web.log",
        SWF_ANONYMOUS_READ="false",
        SWF_OIDC_ISSUER=issuer.url,
        SWF_OIDC_CLIENT_ID=CLIENT,
        SWF_OIDC_CLIENT_SECRET=SECRET,
        SWF_OIDC_ROLES="shifters=operator:local",
    )
    web.start()
    try:
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        page = browser.open(f"{web.url}/login/oidc/?next=/processing/", timeout=PATIENCE)
        assert (page.status, page.url) == (200, f"{web.url}/processing/")
        assert "<span>ann</span>" in page.read().decode()
    finally:
        web.kill()
    assert {"/.well-known/openid-configuration", "/authorize", "/keys"} <= set(issuer.asked)
