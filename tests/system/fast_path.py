"""What must be true of a run's fast path once it is through, whatever was killed meanwhile."""

from __future__ import annotations

from .testbed import Testbed, wait_until

_OF_RUN = "run_id = (SELECT id FROM runs_run WHERE run_number = %(run)s)"
_FILES = f"stf_fastmonfile AS file JOIN stf_fastmonsample AS sample ON sample.id = sample_id WHERE {_OF_RUN}"
_IS_THROUGH = f"SELECT drained_at IS NOT NULL FROM stf_fastrun WHERE {_OF_RUN}"
# Pairs of numbers that must be equal.
_EQUAL = {
    "STFs, decided samples": f"""
        SELECT (SELECT count(*) FROM stf_stffile WHERE {_OF_RUN}),
            (SELECT count(*) FROM stf_fastmonsample WHERE state <> 'waiting' AND {_OF_RUN})""",
    "decided samples, counted": f"""
        SELECT (SELECT count(*) FROM stf_fastmonsample WHERE state <> 'waiting' AND {_OF_RUN}),
            (SELECT stf_samples_received FROM stf_fastrun WHERE {_OF_RUN})""",
    "skipped, counted": f"""
        SELECT (SELECT count(*) FROM stf_fastmonsample WHERE state = 'skipped' AND {_OF_RUN}),
            (SELECT stf_samples_skipped FROM stf_fastrun WHERE {_OF_RUN})""",
    "sampled, in histograms": f"""
        SELECT (SELECT count(*) FROM stf_fastmonsample WHERE state = 'sampled' AND {_OF_RUN}),
            (SELECT coalesce(sum(stf_count), 0) FROM stf_histogramwindow WHERE {_OF_RUN})""",
    "hits read, in histograms": f"""
        SELECT (SELECT coalesce(sum(hits), 0) FROM stf_fastmonsample WHERE {_OF_RUN}),
            (SELECT coalesce(sum(hits), 0) FROM stf_histogramwindow WHERE {_OF_RUN})""",
    "TF files, said": f"""
        SELECT (SELECT count(*) FROM {_FILES}),
            (SELECT count(*) FROM runs_journalentry WHERE kind = 'tf_file_registered' AND {_OF_RUN})""",
    "slices, ended": f"""
        SELECT (SELECT count(*) FROM stf_tfslice WHERE {_OF_RUN}),
            (SELECT slices_done + slices_failed + slices_skipped FROM stf_fastrun WHERE {_OF_RUN})""",
    "slices done, counted": f"""
        SELECT (SELECT count(*) FROM stf_tfslice WHERE status = 'done' AND {_OF_RUN}),
            (SELECT slices_done FROM stf_fastrun WHERE {_OF_RUN})""",
    "samples cut, through": f"""
        SELECT (SELECT count(*) FROM stf_fastmonsample WHERE slicing = 'cut' AND {_OF_RUN}),
            (SELECT count(*) FROM runs_journalentry WHERE kind = 'sample_processed' AND {_OF_RUN})""",
}
# Why it may not be through.
_STATE = f"""
SELECT to_jsonb(fast) || jsonb_build_object(
    'samples', (SELECT jsonb_object_agg(state || ' ' || slicing, n) FROM (
        SELECT state, slicing, count(*) AS n FROM stf_fastmonsample WHERE {_OF_RUN} GROUP BY 1, 2) AS states),
    'agents', (SELECT jsonb_object_agg(instance_name, status || ' ' || description) FROM agents_systemagent),
    'workers', (SELECT count(*) FROM stf_worker WHERE ended_at IS NULL)
) FROM stf_fastrun AS fast WHERE {_OF_RUN}
"""
_WRONG = f"""
SELECT stf_filename FROM (
    SELECT stf_filename, sample.hits AS read, sum((slice.result->>'hits')::bigint) AS found
    FROM stf_fastmonsample AS sample JOIN stf_stffile AS stf ON stf.id = stf_id
    JOIN stf_fastmonfile AS file ON file.sample_id = sample.id
    JOIN stf_tfslice AS slice ON slice.fastmon_file_id = file.id
    WHERE sample.{_OF_RUN} GROUP BY sample.id, stf.id HAVING bool_and(slice.status = 'done')
) AS done WHERE read <> found
"""


def assert_fast_path_adds_up(testbed: Testbed, run: int) -> int:
    """Every STF has one decided sample, every count is exact, and slices found the hits that samples have.

    Returns:
        How many slices were done.
    """
    values = {"run": run}
    try:
        wait_until(
            lambda: testbed.try_rows(_IS_THROUGH, values) == [(True,)],
            seconds=180,
            what="the fast path is through",
        )
    except AssertionError as error:
        raise AssertionError(f"{error}: {testbed.rows(_STATE, values)}") from error
    found = {name: testbed.rows(query, values)[0] for name, query in _EQUAL.items()}
    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}
    assert testbed.rows(_WRONG, values) == []
    return int(found["slices done, counted"][0])
