"""All writes of STFs, datasets, replicas and proofs. Nothing else changes these tables."""

from .buffer import mark_released, mark_withdrawn
from .closeout import evaluate, force_close
from .dataset import close_dataset, dataset_name, open_dataset
from .generated import Announcement, GeneratedStf, record_generated, record_generated_many
from .registration import mark_registered, mark_registration_failed, retry_failed, retry_registration
from .replication import ReplicaChange, apply_replica_changes

__all__ = [
    "Announcement",
    "GeneratedStf",
    "ReplicaChange",
    "apply_replica_changes",
    "close_dataset",
    "dataset_name",
    "evaluate",
    "force_close",
    "mark_registered",
    "mark_registration_failed",
    "mark_released",
    "mark_withdrawn",
    "open_dataset",
    "record_generated",
    "record_generated_many",
    "retry_failed",
    "retry_registration",
]
