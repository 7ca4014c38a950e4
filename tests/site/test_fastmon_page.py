"""The page of fast monitoring as the server draws it, what it downloads, and its WebSocket."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from django.test import Client
from rest_framework.serializers import ListSerializer, Serializer

from apps.agents import services as agents
from apps.agents.choices import IncidentKind
from apps.runs.models import Run
from apps.stf.choices import WorkerStatus
from apps.stf.histograms import fill
from swf_site.api.fastmon_serializers import FastmonSerializer
from swf_site.pages.fastmon_content import as_content, gather
from tests.factories import a_running_run
from tests.fast import a_sampled_run, beat, claimed, cut, not_sampled, sampled, settle, some_hits
from tests.pages import text
from tests.people import a_user
from tests.queries import queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer", "long_heard")]


def address(run: Run, rest: str = "") -> str:
    return f"/runs/{run.run_number}/fastmon/{rest}"


def content(client: Client, run: Run, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = client.get(address(run, f"data.json{query}")).json()
    return found


def test_a_run_that_is_not_sampled_says_how_one_is(client: Client) -> None:
    page = text(client.get(address(a_running_run())))

    assert "This run is not sampled" in page
    assert "fastmon.stf_sampling_rate is 0" in page


def test_a_run_without_samples_says_what_to_look_for(client: Client) -> None:
    run = a_sampled_run(0)

    assert "Nothing is sampled yet" in text(client.get(address(run)))
    assert content(client, run)["summary"]["sampled"] == 0


def test_what_was_sampled_is_told_in_numbers(client: Client) -> None:
    run = a_sampled_run(2)
    sampled(run, 3, corrupt=[205])
    not_sampled(run, 4, skipped="older than 10 s")
    not_sampled(run, 5, failed="the file is gone")

    page = text(client.get(address(run)))

    for words in (
        "STFs sampled 3 none waits",
        "Not sampled 2 1 skipped, 1 failed",
        "Time frames 59 in 6 files",
        "Hits 1 500",
        "Corrupt time frames 1 left out of all plots",
        "STF 4 skipped: older than 10 s",
        "STF 5 failed: the file is gone",
    ):
        assert words in page


def test_the_histograms_are_those_of_all_hits(client: Client) -> None:
    run = a_sampled_run(2)
    expected = fill(np.concatenate([some_hits(1), some_hits(2)]))

    found = content(client, run)

    assert (found["tf_count"], found["hits"], found["stf_count"]) == (40, 1000, 2)
    for detector in found["detectors"]:
        nth = detector["number"]
        assert detector["hits"] == expected.entries[nth]
        for row, quantity in enumerate(("occupancy", "adc", "time")):
            assert detector["histograms"][quantity]["counts"] == expected.counts[row][nth].tolist()
    first, last = found["detectors"][0], found["detectors"][-1]
    assert first["means"]["adc"] == pytest.approx(expected.means[1][0], rel=1e-4)
    assert first["hits_per_tf"] == pytest.approx(expected.entries[0] / 40, rel=1e-4)
    assert (last["hits"], last["means"]["adc"]) == (0, None)
    assert found["latency"]["sequences"] == [1, 2]


def test_the_lines_have_the_latency_and_the_windows(client: Client) -> None:
    run = a_sampled_run(2)

    found = content(client, run, "?group=tracking")

    windows = run.histogram_windows.order_by("begin_time")
    assert found["times"] == [window.begin_time.timestamp() for window in windows]
    strips = [detector["strip"] for detector in found["detectors"]]
    assert all(len(strip["mean_adc"]) == len(strip["hits_per_tf"]) == len(windows) for strip in strips)


def test_a_group_has_its_detectors_and_a_window_its_hits(client: Client) -> None:
    run = a_sampled_run(1)
    begin = run.histogram_windows.get().begin_time.isoformat()

    pid = content(client, run, "?group=pid")
    window = client.get(address(run, "data.json"), {"group": "pid", "window": begin}).json()

    assert [one["name"] for one in pid["detectors"]] == ["BTOF", "FTOF", "dRICH", "pfRICH", "hpDIRC"]
    assert (window["window"], window["detectors"]) == (begin, pid["detectors"])
    assert content(client, run, "?window=newest")["window"] == begin


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("group=muons", "there are tracking, pid, ecal, hcal, far_forward, far_backward"),
        ("window=today", "is no window of run"),
        ("window=2000-01-01T00:00:00Z", "has no window that began at"),
        ("reference=me", "is not the number of a run"),
        ("reference=1", "There is no run 1"),
    ],
)
def test_what_is_not_there_is_said(client: Client, query: str, words: str) -> None:
    answer = client.get(address(a_sampled_run(1), f"?{query}"))

    assert answer.status_code == 404
    assert words in text(answer)


def test_a_run_is_compared_with_an_earlier_one(client: Client) -> None:
    earlier, _, run = a_sampled_run(1), a_running_run(), a_sampled_run(2)

    page = client.get(address(run, f"?reference={earlier.run_number}"))

    assert page.context["compared"]["tf_count"] == 20
    assert page.context["references"] == [str(earlier.run_number)]
    assert f"run {earlier.run_number}, scaled to as many TFs" in text(page)
    assert f"<option selected>{earlier.run_number}</option>" in page.content.decode()


def test_the_csv_has_a_line_per_bin(client: Client) -> None:
    run = a_sampled_run(1)

    answer = client.get(address(run, "data.csv?group=tracking"))
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))

    assert f"run-{run.run_number}-tracking.csv" in answer.headers["Content-Disposition"]
    assert len(rows) == 8 * 3 * 64
    adc = [row for row in rows if (row["detector"], row["quantity"]) == ("SVT_IB", "adc")]
    assert (adc[0]["from"], adc[-1]["to"], adc[0]["unit"]) == ("0.0", "256.0", "ADC counts")
    hits = fill(some_hits(1)).counts[1][0]
    assert [int(row["hits"]) for row in adc] == hits.tolist()


def test_rest_answers_what_the_page_shows(client: Client) -> None:
    run = a_sampled_run(1)

    assert client.get(f"/api/runs/{run.run_number}/fastmon/?group=ecal").json() == content(
        client, run, "?group=ecal"
    )
    unknown = client.get(f"/api/runs/{run.run_number}/fastmon/?windw=newest")
    assert (unknown.status_code, list(unknown.json()["errors"])) == (400, ["windw"])
    refused = client.get(f"/api/runs/{run.run_number}/fastmon/?group=muons")
    assert refused.status_code == 404
    assert "there are tracking" in refused.json()["detail"]


def test_the_schema_has_what_rest_answers(client: Client) -> None:
    run = a_sampled_run(1)
    not_sampled(run, 4, skipped="older than 10 s")
    beat("host-1")
    cut(run)
    answer = client.get(f"/api/runs/{run.run_number}/fastmon/").json()

    assert all([answer["summary"]["last_reasons"], answer["slices"]["workers"], answer["detectors"]])
    assert_alike(FastmonSerializer(), answer)


def assert_alike(serializer: Any, content: Any) -> None:
    """The fields of the serializer are those of the content, at every depth."""
    if isinstance(serializer, ListSerializer):
        for one in content:
            assert_alike(serializer.child, one)
    elif isinstance(serializer, Serializer):
        assert content.keys() == serializer.fields.keys()
        for name, field in serializer.fields.items():
            assert_alike(field, content[name])


def test_slices_are_told_with_their_backlog_and_workers(client: Client) -> None:
    run = a_sampled_run(1)
    beat("host-1")
    cut(run)
    first, second = claimed()
    beat("host-1", WorkerStatus.BUSY, req_id=second.req_id, attempt=1)
    settle(first)

    page = text(client.get(address(run)))

    assert "1 done 1 given out 2 queued" in page
    assert "Backlog 3 slices of 600" in page
    assert f"host-1 host Busy {second} 0 0" in page
    slices = content(client, run)["slices"]
    assert (slices["created"], slices["done"], slices["backlog"], slices["workers_up"]) == (4, 1, 3, 1)


def test_slices_that_nobody_takes_say_so(client: Client) -> None:
    run = a_sampled_run(1, workers="external")
    cut(run)

    page = text(client.get(address(run)))

    assert "4 slices wait for a worker to be up: somebody has to start one (swf-testbed worker)" in page
    assert "None has been heard of lately" in page


def test_a_slice_that_failed_is_told_with_its_reason(client: Client) -> None:
    run = a_sampled_run(1)
    one = cut(run)[0]
    for _ in range(3):
        claimed(2)
        settle(one, error="exit code 7")

    assert "1 failed : exit code 7" in text(client.get(address(run)))


def test_an_agent_that_waits_is_named(client: Client) -> None:
    run = a_sampled_run(1)
    agents.beat(
        "fastmon",
        agent_type="fastmon",
        started_at=run.requested_at,
        waiting_for="XRootD is away",
        counters={},
    )

    assert "fastmon waits: XRootD is away" in text(client.get(address(run)))


def test_incidents_are_named_until_they_are_cleared(client: Client) -> None:
    run = a_sampled_run(1)
    name = run.samples.get().stf.stf_filename
    agents.open_incidents([agents.Trouble(IncidentKind.CORRUPT_TF, name, "the CRC of TF 5 is wrong", run)])
    assert "Incidents 1 to look at" in text(client.get(address(run)))
    assert f"Open Corrupt time frame, {name} : the CRC of TF 5 is wrong" in text(client.get(address(run)))
    (incident,) = content(client, run)["incidents"]

    agents.clear([incident["id"]], by="shifter", reason="seen")

    assert "Incidents 0 nothing to look at" in text(client.get(address(run)))


def test_operators_change_the_policy(client: Client) -> None:
    run = a_sampled_run(1)
    assert "Set the policy" not in text(client.get(address(run)))
    client.force_login(a_user("shifter", "operator"))
    assert "Set the policy" in text(client.get(address(run)))

    done = client.post(address(run, "policy/"), {"policy": "sample_down"}, follow=True)
    refused = client.post(address(run, "policy/"), {"policy": "none"}, follow=True)

    assert "When there are too many slices: Sample down." in text(done)
    assert "there is no backlog policy" in text(refused)
    run.fast.refresh_from_db()
    assert (run.fast.backlog_policy, run.fast.policy_changed_by) == ("sample_down", "shifter")


def test_nobody_else_changes_the_policy(client: Client) -> None:
    run = a_sampled_run(1)

    assert client.post(address(run, "policy/"), {"policy": "all"}).status_code == 302

    run.fast.refresh_from_db()
    assert run.fast.backlog_policy == "newest_first"


def test_the_page_takes_a_constant_number_of_queries(client: Client) -> None:
    run = a_sampled_run(1)
    beat("host-1")
    cut(run)
    few = queries_of(lambda: client.get(address(run)))
    for sequence in range(2, 5):
        sampled(run, sequence)
    cut(run)
    beat("host-2")

    assert queries_of(lambda: client.get(address(run))) <= few


def test_the_other_pages_lead_here(client: Client) -> None:
    run = a_sampled_run(2)

    for path in ("/", f"/runs/{run.run_number}/"):
        assert f'href="{address(run)}"' in client.get(path).content.decode()
    assert "2 STFs" in text(client.get(f"/runs/{run.run_number}/"))


def test_the_timeline_counts_what_is_said_of_every_sample(client: Client) -> None:
    run = a_sampled_run(2)
    not_sampled(run, 3, skipped="older than 10 s")
    cut(run)

    answer = client.get(f"/runs/{run.run_number}/")
    page, lines = text(answer), answer.context["timeline"]

    # They may fall on both sides of a step.
    assert sum(number for line in lines for stage, number in line.counts if stage == "TF files") == 4
    assert "STFs were not sampled: older than 10 s" in page
    assert "slices created" not in page


def test_what_is_gathered_needs_the_run_alone() -> None:
    run = a_running_run()

    found = as_content(gather(run, group="ecal"))

    assert [one["name"] for one in found["detectors"]] == ["BIC_AstroPix", "BIC_SciFi", "EEEMCal", "FEMC"]
    assert found["slices"]["created"] == 0
