"""All writes of STFs, datasets, replicas, processing and proofs. Nothing else changes these tables."""

from .buffer import mark_released, mark_withdrawn
from .closeout import evaluate, force_close, reevaluate
from .dataset import close_dataset, dataset_name, open_dataset
from .decision_box import ensure_box, processing_parameters, set_policy, sites_of
from .fast_control import (
    announce_workers,
    mark_drained,
    set_backlog_policy,
    set_wanted_workers,
    stop_workers,
)
from .fast_run import ensure_fast_run, fastmon_parameters, fastproc_parameters
from .generated import (
    Announcement,
    GeneratedStf,
    record_generated,
    record_generated_many,
    record_if_all_new,
)
from .holding import brake_off, brake_on, site_down, site_up
from .jobs import JobReport, OutputReport, apply_job_reports, give_up, note_kill_asked
from .outputs import mark_outputs
from .processing import (
    begin_attach,
    close_input,
    input_name,
    mark_attached,
    mark_cleared,
    mark_detached,
    move_waiting,
    open_input,
)
from .registration import mark_registered, mark_registration_failed, retry_failed, retry_registration
from .replication import ReplicaChange, apply_replica_changes
from .samples import (
    SampleRead,
    TfFileMade,
    announce_samples,
    decide_samples,
    mark_removed,
    skip_samples,
)
from .slice_counts import lock_runs_of
from .slice_cutting import SAMPLES_AT_ONCE, cut_samples, shed_backlogs
from .slice_results import SliceReport, record_results
from .slices import claim_slices, give_back, return_expired
from .submission import begin_submission, mark_submitted, note_trouble
from .tasks import (
    MOST_RELOADS,
    TaskReport,
    apply_task_reports,
    finish_command,
    note_reload,
    postpone_command,
    request_command,
)
from .visiting import end_visiting_run, keep_remarks, remark
from .visiting_samples import SaidSlice, add_slices, add_tf_file, change_tf_file
from .visiting_slices import claim_for, end_visiting_slice
from .worker_tasks import end_worker_task, make_worker_task, note_open_jobs
from .workers import Beat, mark_lost, record_heartbeats

__all__ = [
    "MOST_RELOADS",
    "SAMPLES_AT_ONCE",
    "Announcement",
    "Beat",
    "GeneratedStf",
    "JobReport",
    "OutputReport",
    "ReplicaChange",
    "SaidSlice",
    "SampleRead",
    "SliceReport",
    "TaskReport",
    "TfFileMade",
    "add_slices",
    "add_tf_file",
    "announce_samples",
    "announce_workers",
    "apply_job_reports",
    "apply_replica_changes",
    "apply_task_reports",
    "begin_attach",
    "begin_submission",
    "brake_off",
    "brake_on",
    "change_tf_file",
    "claim_for",
    "claim_slices",
    "close_dataset",
    "close_input",
    "cut_samples",
    "dataset_name",
    "decide_samples",
    "end_visiting_run",
    "end_visiting_slice",
    "end_worker_task",
    "ensure_box",
    "ensure_fast_run",
    "evaluate",
    "fastmon_parameters",
    "fastproc_parameters",
    "finish_command",
    "force_close",
    "give_back",
    "give_up",
    "input_name",
    "keep_remarks",
    "lock_runs_of",
    "make_worker_task",
    "mark_attached",
    "mark_cleared",
    "mark_detached",
    "mark_drained",
    "mark_lost",
    "mark_outputs",
    "mark_registered",
    "mark_registration_failed",
    "mark_released",
    "mark_removed",
    "mark_submitted",
    "mark_withdrawn",
    "move_waiting",
    "note_kill_asked",
    "note_open_jobs",
    "note_reload",
    "note_trouble",
    "open_dataset",
    "open_input",
    "postpone_command",
    "processing_parameters",
    "record_generated",
    "record_generated_many",
    "record_heartbeats",
    "record_if_all_new",
    "record_results",
    "reevaluate",
    "remark",
    "request_command",
    "retry_failed",
    "retry_registration",
    "return_expired",
    "set_backlog_policy",
    "set_policy",
    "set_wanted_workers",
    "shed_backlogs",
    "site_down",
    "site_up",
    "sites_of",
    "skip_samples",
    "stop_workers",
]
