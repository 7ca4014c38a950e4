"""A server for others: what `SWF_PRODUCTION` changes, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from services.base import REPOSITORY
from tests.web import PATIENCE, Web

HOST = "swf.example.org"
SECRET = "iQ7vLx2mZk9Tn4Rb8Wc1Yd6Pf3Gh5Js0Ua-Eo_Vq-Xw-Nz-Kr-Mt"
IN_PRODUCTION = {
    "SWF_PRODUCTION": "true",
    "SWF_ALLOWED_HOSTS": HOST + ",127.0.0.1",
    "SWF_ANONYMOUS_READ": "",
    "SECRET_KEY": SECRET,
}


def check(**variables: str) -> subprocess.CompletedProcess[str]:
    """What `manage.py check --deploy` says of these variables."""
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE
    )


def test_django_has_nothing_to_say_against_it(postgres: object) -> None:
    done = check(**IN_PRODUCTION)

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_secrets_come_from_files_too(tmp_path: Path, postgres: object) -> None:
    (tmp_path / "key").write_text(SECRET + "\n")

    done = check(**{**IN_PRODUCTION, "SECRET_KEY": ""}, SECRET_KEY_FILE=str(tmp_path / "key"))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [({"SWF_DEBUG": "true"}, "SWF_DEBUG"), ({"SWF_ALLOWED_HOSTS": ""}, "SWF_ALLOWED_HOSTS")],
)
def test_what_is_not_for_others_is_refused(variables: dict[str, str], words: str) -> None:
    done = check(**{**IN_PRODUCTION, **variables})

    assert done.returncode != 0
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pages_are_for_users_unless_it_is_said() -> None:
    command = [sys.executable, "-c", "from django.conf import settings; print(settings.SWF_ANONYMOUS_READ)"]
    environment = {name: value for name, value in os.environ.items() if name != "SWF_ANONYMOUS_READ"}
    for given, expected in ({}, "False"), ({"SWF_ANONYMOUS_READ": "true"}, "True"):
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment | given,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
        assert done.stdout.strip() == expected, done.stderr


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    process = Web(tmp_path / "web.log", **IN_PRODUCTION)
    process.start()
    yield process
    process.kill()


def ask(web: Web, path: str, **headers: str) -> HTTPResponse:
    """The answer to a request as the proxy hands it on; redirects are not followed."""
    connection = HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_it_speaks_https_and_shows_nothing_to_strangers(web: Web) -> None:
    plain = ask(web, "/runs/1/", Host=HOST)
    page = ask(web, "/", Host=HOST, X_Forwarded_Proto="https")
    login = ask(web, "/login/", Host=HOST, X_Forwarded_Proto="https")
    rest = ask(web, "/api/runs/", Host=HOST, X_Forwarded_Proto="https")

    assert (plain.status, plain.headers["Location"]) == (301, f"https://{HOST}/runs/1/")
    assert (page.status, page.headers["Location"]) == (302, "/login/?next=/")
    assert login.status == 200
    assert "Secure" in (login.headers["Set-Cookie"] or "")
    assert "max-age=31536000" in (login.headers["Strict-Transport-Security"] or "")
    assert "frame-ancestors 'none'" in (login.headers["Content-Security-Policy"] or "")
    assert (login.headers["X-Content-Type-Options"], login.headers["X-Frame-Options"]) == ("nosniff", "DENY")
    assert rest.status == 401
    assert ask(web, "/api/messages/stream/", Host=HOST).status == 401
    assert ask(web, "/", Host="evil.example.org", X_Forwarded_Proto="https").status == 400
