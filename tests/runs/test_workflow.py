"""Workflow files: what is merged in which order, and that every mistake is named with the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.runs.workflow import WorkflowError, WorkflowParameters, load_workflow

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
HEAD = '[workflow]\nname = "w"\ninclude = ["daq_state_machine.toml"]\n'

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a workflow file beside a copy of the defaults."""
    defaults = (WORKFLOWS / "daq_state_machine.toml").read_text()
    (tmp_path / "daq_state_machine.toml").write_text(defaults)

    def _write(text: str, name: str = "w.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write


def refusal(path: Path, **overrides: object) -> str:
    """The error's text with the directory taken out."""
    with pytest.raises(WorkflowError) as caught:
        load_workflow(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("name", ["stf_datataking", "demo", "fast"])
def test_the_workflows_of_the_repository_load(name: str) -> None:
    assert load_workflow(WORKFLOWS / f"{name}.toml").name == name


def test_the_defaults_are_those_of_the_existing_system(write: Write) -> None:
    machine = load_workflow(write(HEAD)).parameters.daq_state_machine
    assert machine.model_dump() == {
        "no_beam_not_ready_delay": 5.0,
        "beam_not_ready_delay": 5.0,
        "beam_ready_delay": 2.0,
        "beam_not_ready_end_delay": 5.0,
        "broadcast_delay": 1.0,
        "stf_interval": 2.0,
        "stf_generation_time": 0.1,
        "physics_period_duration": 10.0,
        "physics_period_count": 2,
        "standby_duration": 2.0,
        "stf_count": None,
    }


def test_a_key_of_the_file_beats_its_includes_and_an_override_beats_both(write: Write) -> None:
    write("[stf]\nsize_bytes = 1000\nseed = 1\ntf_count = 10\n", "small.toml")
    path = write(HEAD.replace('.toml"]', '.toml", "small.toml"]') + "[stf]\nseed = 2\ntf_count = 20\n")
    stf = load_workflow(path, {"stf.tf_count": 30}).parameters.stf
    assert (stf.size_bytes, stf.seed, stf.tf_count) == (1000, 2, 30)


def test_includes_may_include_and_bring_a_name(write: Write) -> None:
    write(HEAD + "[stf]\nseed = 7\n", "base.toml")
    loaded = load_workflow(write('[workflow]\ninclude = ["base.toml"]\nversion = "2"\n'))
    assert (loaded.name, loaded.version, loaded.parameters.stf.seed) == ("w", "2", 7)
    assert [path.name for path in loaded.sources] == ["daq_state_machine.toml", "base.toml", "w.toml"]
    assert loaded.text.startswith("# daq_state_machine.toml\n")
    assert 'version = "2"' in loaded.text


def test_overrides_by_short_name(write: Write) -> None:
    overrides = {"stf_count": 20, "stf_interval": 1, "rses": ["E1_BNL"], "realtime": False}
    parameters = load_workflow(write(HEAD), overrides).parameters
    assert parameters.daq_state_machine.stf_count == 20
    assert parameters.daq_state_machine.stf_interval == 1.0
    assert parameters.replication.rses == ("E1_BNL",)
    assert parameters.workflow.realtime is False


def test_an_optional_key_can_be_taken_back(write: Write) -> None:
    path = write(HEAD + "[daq_state_machine]\nstf_count = 3\n")
    assert load_workflow(path, {"stf_count": None}).parameters.daq_state_machine.stf_count is None


def test_parameters_survive_json(write: Write) -> None:
    parameters = load_workflow(write(HEAD), {"from_dir": "/data/stf"}).parameters
    stored = json.loads(json.dumps(parameters.model_dump()))
    assert WorkflowParameters.model_validate(stored) == parameters


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "[stf]\nsize_byte = 5\n",
            "w.toml: stf.size_byte = 5: unknown key, did you mean stf.size_bytes? "
            "[stf] has size_bytes, tf_count, seed, from_dir, files",
        ),
        (
            "[stf]\nstf_count = 5\n",
            "w.toml: stf.stf_count = 5: unknown key, did you mean daq_state_machine.stf_count? "
            "[stf] has size_bytes, tf_count, seed, from_dir, files",
        ),
        (
            "[closeouts]\nhole_wait_second = 5\n",
            "w.toml: closeouts.hole_wait_second = 5: unknown key, did you mean closeout.hole_wait_seconds? "
            "The sections are workflow, daq_state_machine, stf, buffer, replication, processing, fastmon, fastproc, "
            "closeout",
        ),
        (
            "[cosmics]\n",
            "w.toml: cosmics = {}: unknown key. "
            "The sections are workflow, daq_state_machine, stf, buffer, replication, processing, fastmon, fastproc, "
            "closeout",
        ),
        (
            '[stf]\nsize_bytes = "2 MB"\n',
            "w.toml: stf.size_bytes = '2 MB': should be a valid integer",
        ),
        (
            "[daq_state_machine]\nstf_count = true\n",
            "w.toml: daq_state_machine.stf_count = True: should be a valid integer",
        ),
        (
            "[daq_state_machine]\nstandby_duration = -1.5\n",
            "w.toml: daq_state_machine.standby_duration = -1.5: should be greater than or equal to 0",
        ),
        (
            "[daq_state_machine]\nstandby_duration = inf\n",
            "w.toml: daq_state_machine.standby_duration = inf: should be a finite number",
        ),
        (
            "[buffer]\nfill_mark = 80\n",
            "w.toml: buffer.fill_mark = 80: should be less than or equal to 1",
        ),
        (
            '[buffer]\nrelease_policy = "never"\n',
            "w.toml: buffer.release_policy = 'never': "
            "should be 'at_once', 'after_time', 'above_fill' or 'keep'",
        ),
        (
            '[processing]\npolicy = "sometimes"\n',
            "w.toml: processing.policy = 'sometimes': "
            "should be 'none', 'both', 'round-robin', 'hash' or 'explicit'",
        ),
        (
            '[processing]\npolicy = "explicit"\n',
            'w.toml: processing.rules: the policy explicit needs rules, such as "E1_BNL:1-10"',
        ),
        (
            '[processing]\nrules = ["E1_BNL:9-1"]\n',
            "w.toml: processing.rules = ['E1_BNL:9-1']: rule 'E1_BNL:9-1': "
            "its last sequence comes before its first",
        ),
        (
            '[processing]\nsites = ["E1_BNL"]\nrules = ["E1_JLAB:1"]\n',
            "w.toml: processing.rules = ['E1_JLAB:1']: rule 'E1_JLAB:1': E1_JLAB is none of the sites",
        ),
        (
            '[processing]\nsites = ["E1_MARS"]\n',
            "w.toml: processing names E1_MARS, where no copy goes: replication.rses has E1_BNL, E1_JLAB",
        ),
        (
            '[processing]\nout_ds = "user.{nickname}.swf.{run}"\n',
            "w.toml: processing: out_ds needs {run} and {site}: "
            "it is the name of a task, which PanDA takes only once",
        ),
        (
            '[replication]\nrses = ["E1_BNL", 7]\n',
            "w.toml: replication.rses = ['E1_BNL', 7]: should be a valid string",
        ),
        (
            '[replication]\nrses = ["E1_BNL", "E1_BNL"]\n',
            "w.toml: replication: rses names E1_BNL more than once",
        ),
        (
            "[daq_state_machine]\nstf_interval = 0\nstf_generation_time = 0\n",
            "w.toml: daq_state_machine: a period would never end: set stf_count, or an stf_interval above 0",
        ),
    ],
)
def test_a_mistake_is_named_with_file_key_value_and_way_out(write: Write, lines: str, message: str) -> None:
    assert refusal(write(HEAD + lines)) == message


def test_a_value_from_an_include_is_blamed_on_the_include(write: Write) -> None:
    write("[stf]\nseed = -1\n", "bad.toml")
    path = write(HEAD.replace('.toml"]', '.toml", "bad.toml"]'))
    assert refusal(path) == "bad.toml: stf.seed = -1: should be greater than or equal to 0"


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    message = refusal(write(HEAD + "[stf]\nseed = -1\n"), stf_cout=3)
    assert message.splitlines() == [
        "overrides: stf_cout = 3: unknown key, did you mean daq_state_machine.stf_count? "
        "The sections are workflow, daq_state_machine, stf, buffer, replication, processing, fastmon, fastproc, "
        "closeout",
        "w.toml: stf.seed = -1: should be greater than or equal to 0",
    ]


def test_a_section_given_as_an_override_is_told_its_keys(write: Write) -> None:
    message = refusal(write(HEAD), closeout={"hole_wait_seconds": 1})
    assert message == (
        "overrides: closeout = {'hole_wait_seconds': 1}: "
        "[closeout] is a section; its keys are hole_wait_seconds"
    )


def test_without_the_defaults_the_file_says_what_to_include(write: Write) -> None:
    message = refusal(write('[workflow]\nname = "w"\n'))
    assert message == 'w.toml: daq_state_machine: missing; set it, or include "daq_state_machine.toml"'


def test_a_workflow_needs_a_name(write: Write) -> None:
    assert refusal(write(HEAD.replace('name = "w"\n', ""))) == "w.toml: workflow: missing; set it"


def test_an_include_loop_is_shown(write: Write) -> None:
    write('[workflow]\ninclude = ["w.toml"]\n', "b.toml")
    message = refusal(write('[workflow]\ninclude = ["b.toml"]\n'))
    assert message == "b.toml: workflow.include = 'w.toml': include loop: w.toml -> b.toml -> w.toml"


def test_a_missing_include_is_named_with_its_neighbours(write: Write) -> None:
    message = refusal(write('[workflow]\ninclude = ["daq_statemachine.toml"]\n'))
    assert message == (
        "w.toml: workflow.include = 'daq_statemachine.toml': no such file beside w.toml; "
        "did you mean 'daq_state_machine.toml'? There are: daq_state_machine.toml, w.toml"
    )


def test_include_must_be_a_list(write: Write) -> None:
    message = refusal(write('[workflow]\ninclude = "daq_state_machine.toml"\n'))
    assert message == ("w.toml: workflow.include = 'daq_state_machine.toml': should be a list of file names")


def test_a_missing_workflow_is_named_with_its_neighbours(write: Write) -> None:
    path = write(HEAD, "demo.toml").with_name("dmeo.toml")
    assert refusal(path) == (
        "dmeo.toml: No such file or directory; did you mean 'demo.toml'? "
        "There are: daq_state_machine.toml, demo.toml"
    )


def test_bad_syntax_is_told_with_its_line(write: Write) -> None:
    message = refusal(write("[workflow]\nname = demo\n"))
    assert message == "w.toml: not valid TOML: Invalid value (at line 2, column 8)"
