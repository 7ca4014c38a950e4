"""Tokens, verbs, arguments, and bodies that make no sense."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.panda.contract.conftest import Server

pytestmark = pytest.mark.services

UNKNOWN = 987654321
PATIENCE = 60.0


def test_without_a_token_hardly_anything_is_told(server: Server) -> None:
    assert server.nobody.get("system/is_alive")["success"] is True
    refused = {"success": False, "message": "SSL secure connection is required", "data": None}
    assert server.nobody.get("task/get_status", task_id=1) == refused
    assert server.nobody.post("task/kill", task_id=1) == refused
    assert server.nobody.post("pilot/acquire_jobs", site_name="E1_BNL") == refused


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x" * 5000])
def test_a_token_that_is_none_is_refused(server: Server, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}x", "Origin": "EIC"}
    response = httpx.get(f"{server.base}/api/v1/system/is_alive", headers=headers, timeout=PATIENCE)
    assert response.status_code == 403
    assert response.text.startswith("ERROR : Token authentication failed. Invalid token. ")


def test_a_token_has_no_other_role_and_no_other_vo(server: Server) -> None:
    headers = {"Authorization": server.user.http.headers["Authorization"]}
    url = f"{server.base}/api/v1/system/is_alive"
    role = httpx.get(url, headers={**headers, "Origin": "EIC.production"}, timeout=PATIENCE)
    assert (role.status_code, role.text) == (
        403,
        "ERROR : Token authentication failed. Not a member of the EIC/production group",
    )
    other = httpx.get(url, headers={**headers, "Origin": "atlas"}, timeout=PATIENCE)
    assert (other.status_code, other.text) == (403, "ERROR : Token authentication failed. Unknown vo : atlas")


def test_the_last_character_of_a_signature_counts(server: Server) -> None:
    token = server.user.http.headers["Authorization"]
    head, _, signature = token.rpartition(".")
    wrong = f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    headers = {"Authorization": wrong, "Origin": "EIC"}
    response = httpx.get(f"{server.base}/api/v1/system/is_alive", headers=headers, timeout=PATIENCE)
    assert response.status_code == 403


def test_a_user_is_no_pilot(server: Server) -> None:
    assert server.user.post("pilot/update_job", job_id=1, job_status="running")["message"] == (
        "production or pilot role required"
    )
    assert server.user.post("pilot/acquire_jobs", site_name="E1_BNL", prod_source_label="managed")[
        "message"
    ] == ("no production/pilot role in VOMS FQANs or non pilot owner")


@pytest.mark.parametrize(
    ("verb", "path", "given", "message"),
    [
        ("GET", "task/kill", {"task_id": 1}, "expecting POST, received GET"),
        ("POST", "task/get_status", {"task_id": 1}, "expecting GET, received POST"),
        ("GET", "task/get_status", {}, "Argument error: missing a required argument: 'task_id'"),
        (
            "GET",
            "task/get_job_ids",
            {"x": 1, "task_id": 1},
            "Argument error: got an unexpected keyword argument 'x'",
        ),
        ("POST", "task/kill", {"task_id": "1"}, "Type error: 'task_id' must be of type int, got str."),
        (
            "POST",
            "task/submit",
            {"task_parameters": "a"},
            "Type error: 'task_parameters' must be of type dict, got str.",
        ),
        ("POST", "job/kill", {"job_ids": ["a"]}, "Type error: All elements in 'job_ids' must be int."),
        (
            "GET",
            "task/get_job_ids",
            {"task_id": "a"},
            "Type error: 'task_id' with value 'a' could not be casted to type int from str.",
        ),
        ("GET", "task/get_status", {"task_id": "a"}, "jediTaskID must be an integer"),
    ],
)
def test_arguments_are_checked_in_the_same_words(
    server: Server, verb: str, path: str, given: dict[str, Any], message: str
) -> None:
    ask = server.user.get if verb == "GET" else server.user.post
    assert ask(path, **given) == {"success": False, "message": message, "data": None}


def test_a_body_that_is_no_json_is_told_so(server: Server) -> None:
    response = server.user.http.post("task/submit", content="{")
    assert response.status_code == 500
    assert response.text.startswith("ERROR : received invalid JSON : Expecting property name")


@pytest.mark.parametrize(
    "path", ["/", "/server/panda/getJob", "/api/v1/task", "/api/v1/task/drop", "/api/v2/task/kill"]
)
def test_anything_else_is_forbidden(server: Server, path: str) -> None:
    response = httpx.get(f"{server.base}{path}", timeout=PATIENCE)
    assert response.status_code == 403 if server.embedded else response.status_code >= 400
    if server.embedded:
        assert response.text == f"ERROR : method {path.rpartition('/')[2]} is forbidden"


@pytest.mark.parametrize("name", ["..%2f..%2fkey.pem", ".part", "absent", "a/b", "%00"])
def test_the_cache_gives_nothing_else(server: Server, name: str) -> None:
    assert httpx.get(f"{server.base}/cache/{name}", timeout=PATIENCE).status_code in (400, 403, 404)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["\x00", "\ud800", "E1_BNL", "running", "finished", "{", "None", "2026-11-22 00:00:00"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
POSTED = {
    "task/submit": ["task_parameters", "parent_tid"],
    "task/kill": ["task_id", "broadcast"],
    "task/finish": ["task_id", "soft"],
    "task/retry": ["task_id", "new_parameters"],
    "task/reload_input": ["task_id"],
    "task/pause": ["task_id"],
    "task/increase_attempts": ["task_id", "increase"],
    "job/kill": ["job_ids", "code", "kill_options"],
    "job/get_description": ["job_ids"],
    "pilot/acquire_jobs": [
        "site_name",
        "n_jobs",
        "task_id",
        "node",
        "prod_source_label",
        "target_architecture",
    ],
    "pilot/update_job": [
        "job_id",
        "job_status",
        "attempt_nr",
        "job_output_report",
        "max_rss",
        "start_time",
        "meta_data",
    ],
    "pilot/update_jobs_bulk": ["job_list"],
    "pilot/update_worker_status": ["worker_id", "harvester_id", "status"],
    "pilot/update_worker_node": ["site", "host_name", "cpu_model", "total_memory"],
    "file_server/validate_cache_file": ["file_size", "checksum"],
    "file_server/upload_cache_file": ["file"],
}
ASKED = {
    "task/get_status": ["task_id"],
    "task/get_details": ["task_id", "include_parameters"],
    "task/get_datasets_and_files": ["task_id", "dataset_types"],
    "task/get_tasks_modified_since": ["since", "dn", "full", "min_task_id"],
    "task/get_tasks_detailed_info_since": ["since", "filters", "n_tasks"],
    "job/get_status": ["job_ids", "timeout"],
    "pilot/get_job_status": ["job_ids"],
}
OPTIONAL = "site jobParameters log noInput pfnList nFiles nEvents maxAttempt nFilesPerJob"
TASK = st.fixed_dictionaries(
    {
        "taskName": st.just("user.swf.fuzz/") | values,
        "vo": st.just("wlcg"),
        "prodSourceLabel": st.just("fuzz"),
    },
    optional=dict.fromkeys(OPTIONAL.split(), values),
)
some = settings(max_examples=30, suppress_health_check=list(HealthCheck))


def _answered(response: httpx.Response) -> None:
    """With an envelope; or, for a body that is no JSON, as the real server does."""
    if response.status_code == 500:
        assert response.text.startswith("ERROR : received invalid")
        return
    assert response.status_code == 200, response.text
    assert set(response.json()) == {"success", "message", "data"}


@pytest.mark.parametrize("path", POSTED)
def test_no_body_makes_an_error(server: Server, path: str) -> None:
    @some
    @given(st.dictionaries(st.sampled_from(POSTED[path]), values) | values)
    def attempt(body: Any) -> None:
        _answered(server.pilot.http.post(path, content=json.dumps(body)))

    attempt()
    assert server.user.get("system/is_alive")["success"] is True


@pytest.mark.parametrize("path", ASKED)
def test_no_query_makes_an_error(server: Server, path: str) -> None:
    texts = (
        st.text()
        | st.integers().map(str)
        | st.sampled_from(["None", "True", "1e999", "nan", "{}", '{"a": 1}'])
    )

    @some
    @given(st.lists(st.tuples(st.sampled_from(ASKED[path]), texts), max_size=4))
    def attempt(query: list[tuple[str, str]]) -> None:
        clean = [(name, text.encode("utf-8", "replace").decode()) for name, text in query]
        _answered(server.user.http.get(path, params=clean))

    attempt()


def test_no_task_stops_the_server(server: Server) -> None:
    """Tasks that are accepted whatever they ask for end as broken, with a reason."""
    made: list[int] = []

    @some
    @given(TASK)
    def attempt(parameters: dict[str, Any]) -> None:
        response = server.user.http.post("task/submit", content=json.dumps({"task_parameters": parameters}))
        _answered(response)
        if response.status_code == 200 and response.json()["success"]:
            made.append(response.json()["data"])

    attempt()
    for task_id in made:
        if server.user.wait(task_id, "broken", "running", "failed", "aborted", "done") == "broken":
            assert server.user.info(task_id)["errorDialog"]
        else:
            server.user.post("task/kill", task_id=task_id)


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=a", "multipart/form-data", "text/x"]
)
def test_no_bytes_make_an_error(server: Server, kind: str) -> None:
    @some
    @given(st.binary(max_size=200), st.sampled_from(["gzip", "identity"]))
    def attempt(body: bytes, encoding: str) -> None:
        headers = {"Content-Type": kind, "Content-Encoding": encoding}
        _answered(server.user.http.post("file_server/upload_cache_file", content=body, headers=headers))

    attempt()
