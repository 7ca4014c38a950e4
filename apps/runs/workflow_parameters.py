"""The parameters of a workflow: one typed, frozen section per part of the system that reads them.

The timing of a run has no defaults here: it comes from `workflows/daq_state_machine.toml`, which a workflow
file includes. Every other section may be left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]
Policy = Literal["none", "both", "round-robin", "hash", "explicit"]
FileName = Annotated[str, Field(pattern=r"^[^/]*[^/.][^/]*$")]


Rule = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+:[0-9]{1,9}(-[0-9]{1,9})?$")]
OutDs = Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]|\{(nickname|run|site)\})+$")]


def _twice(names: Iterable[str]) -> str:
    """Those that are named more than once."""
    return ", ".join(name for name, count in Counter(names).items() if count > 1)


class _Section(BaseModel):
    """Strict: `"20"` is not a number and `true` is not 1; mistakes in quoting show here and not in a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Workflow(_Section):
    """Who this workflow is, and whether its clock is the wall clock."""

    name: Name
    version: str = "1"
    description: str = ""
    realtime: bool = True  # False: no waiting at all, the delays below pass on a simulated clock


class DaqStateMachine(_Section):
    """The script of a run, in seconds."""

    no_beam_not_ready_delay: Seconds
    beam_not_ready_delay: Seconds
    beam_ready_delay: Seconds
    beam_not_ready_end_delay: Seconds
    broadcast_delay: Seconds
    stf_interval: Seconds
    stf_generation_time: Seconds
    physics_period_duration: Seconds
    physics_period_count: Annotated[int, Field(ge=0)]  # 0 = until somebody ends the run
    standby_duration: Seconds
    stf_count: Annotated[int, Field(ge=1)] | None = None  # exactly so many per period; replaces its duration

    @model_validator(mode="after")
    def _time_passes(self) -> Self:
        if self.stf_count is None and self.stf_interval + self.stf_generation_time == 0:
            raise ValueError("a period would never end: set stf_count, or an stf_interval above 0")
        return self


class Stf(_Section):
    """What one super time frame looks like."""

    size_bytes: Bytes = 2_000_000
    tf_count: Annotated[int, Field(ge=1, le=65_536)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    from_dir: Name | None = None  # stream the files of this directory instead of simulated ones
    # Which ones, in this order; left out, all that lie there when the run is requested, by name.
    files: Annotated[tuple[FileName, ...], Field(min_length=1, strict=False)] | None = None

    @model_validator(mode="after")
    def _files_lie_somewhere(self) -> Self:
        if self.files and not self.from_dir:
            raise ValueError("files are names in a directory: set from_dir as well")
        return self


class Buffer(_Section):
    """When the DAQ exit buffer deletes an STF that has been declared releasable."""

    release_policy: Literal["at_once", "after_time", "above_fill", "keep"] = "at_once"
    release_after_seconds: Seconds = 60.0
    fill_mark: Annotated[float, Field(ge=0, le=1)] = 0.8
    capacity_bytes: Bytes = 10_000_000_000


class Replication(_Section):
    """Which storage elements must hold a verified copy of every STF."""

    # Not strict: TOML and JSON know lists only.
    rses: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)] = ("E1_BNL", "E1_JLAB")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if twice := _twice(self.rses):
            raise ValueError(f"rses names {twice} more than once")
        return self


class Processing(_Section):
    """What PanDA is to make of every STF, and where. Left out, nothing is processed."""

    policy: Policy = "none"
    # The sites, in the order in which they take turns; left out, all that hold a copy.
    sites: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)] | None = None
    # Of the policy explicit: "E1_BNL:1-10".
    rules: Annotated[tuple[Rule, ...], Field(strict=False, validate_default=True)] = ()
    queues: dict[Name, Name] = {}  # PanDA's queue by site, where it is not called like the site
    payload: Name = "python3 -m payloads.stf_summary %IN --root stf.root --summary stf.json"
    outputs: Annotated[tuple[FileName, ...], Field(min_length=1, strict=False)] = ("stf.root", "stf.json")
    out_ds: OutDs = "user.{nickname}.swf.{run}.{site}.processed"
    n_files_per_job: Annotated[int, Field(ge=1, le=200)] = 1
    processing_type: Name = "stfprocessing"
    ram_count: Annotated[int, Field(ge=1)] = 2000  # MB
    max_walltime: Annotated[int, Field(ge=1)] = 3600  # seconds
    max_attempt: Annotated[int, Field(ge=1, le=50)] = 3
    working_group: Name = "EIC"
    vo: Name = "wlcg"
    prod_source_label: Name = "test"

    @model_validator(mode="after")
    def _out_ds_is_unique(self) -> Self:
        if not ("{run}" in self.out_ds and "{site}" in self.out_ds):
            raise ValueError(
                "out_ds needs {run} and {site}: it is the name of a task, which PanDA takes only once"
            )
        return self

    @field_validator("sites")
    @classmethod
    def _sites_differ(cls, sites: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if sites and (twice := _twice(sites)):
            raise ValueError(f"names {twice} more than once")
        return sites

    @field_validator("rules")
    @classmethod
    def _rules_name_sites(cls, rules: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        sites = info.data.get("sites")
        if info.data.get("policy") == "explicit" and not rules:
            raise ValueError('the policy explicit needs rules, such as "E1_BNL:1-10"')
        for rule in rules:
            site, _, numbers = rule.partition(":")
            first, _, last = numbers.partition("-")
            if sites and site not in sites:
                raise ValueError(f"rule {rule!r}: {site} is none of the sites")
            if int(last or first) < int(first):
                raise ValueError(f"rule {rule!r}: its last sequence comes before its first")
        return rules


class FastMon(_Section):
    """What is read of every STF for fast monitoring. Without a rate, nothing is."""

    stf_sampling_rate: Annotated[float, Field(ge=0, le=1)] = 0.05  # of an STF's time frames
    tf_files_per_stf: Annotated[int, Field(ge=1, le=100)] = (
        3  # blocks of consecutive ones, spread over the STF
    )
    tfs_per_file: Annotated[int, Field(ge=1)] | None = (
        None  # length of a block; replaces the rate unless that is 0
    )
    sampling_seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    window_seconds: Annotated[float, Field(ge=1, le=86_400)] = 10.0  # of a window of histograms
    max_age_seconds: Annotated[float, Field(gt=0)] = 10.0  # STFs that waited longer are skipped
    keep_seconds: Seconds = 60.0  # how long TF files stay when no slice of them is left


class FastProc(_Section):
    """How samples are cut into slices, and what processes them. Without slices per sample, none are."""

    slices_per_sample: Annotated[int, Field(ge=0, le=1000)] = 15  # of an STF, shared out over its TF files
    workers: Literal["local", "panda", "external"] = "local"  # who starts them
    target_worker_count: Annotated[int, Field(ge=0, le=10_000)] = 2  # no more than these
    slice_processing_time: Annotated[float, Field(gt=0)] = 0.1  # seconds; what to expect until it is measured
    worker_rampup_time: Seconds = 2.0  # from wanting one more worker to starting it
    worker_rampdown_time: Seconds = 20.0  # how long a worker too many is kept
    lease_seconds: Annotated[float, Field(ge=1)] = 15.0  # of a slice whose worker is not heard of
    backlog_policy: Literal["all", "newest_first", "sample_down"] = "newest_first"
    backlog_limit: Annotated[int, Field(ge=1)] = 600  # slices; for the policies other than all
    slice_payload: str = ""  # a command for every slice; left out, the built-in summary


class Closeout(_Section):
    """How the end of a run is proved."""

    hole_wait_seconds: Seconds = 30.0


class WorkflowParameters(_Section):
    """All parameters of one execution, nothing left to a default elsewhere."""

    workflow: Workflow
    daq_state_machine: DaqStateMachine
    stf: Stf = Stf()
    buffer: Buffer = Buffer()
    replication: Replication = Replication()
    processing: Processing = Processing()
    fastmon: FastMon = FastMon()
    fastproc: FastProc = FastProc()
    closeout: Closeout = Closeout()

    @model_validator(mode="after")
    def _processed_where_a_copy_is(self) -> Self:
        sites = set(self.processing.sites or ()) | {rule.partition(":")[0] for rule in self.processing.rules}
        if missing := sorted(sites - set(self.replication.rses)):
            raise ValueError(
                f"processing names {', '.join(missing)}, where no copy goes: "
                f"replication.rses has {', '.join(self.replication.rses)}"
            )
        return self


SECTIONS: dict[str, tuple[str, ...]] = {
    section: tuple(kind.annotation.model_fields)  # type: ignore[union-attr]
    for section, kind in WorkflowParameters.model_fields.items()
}
DOTTED_KEYS = tuple(f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys)
_USES = Counter(key for keys in SECTIONS.values() for key in keys)
# Keys that only one section has may be given without it.
DOTTED_BY_NAME = {
    key: f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys if _USES[key] == 1
}
