"""The data: STFs with their datasets and replicas, their processing at the sites, and the proof that none is lost."""

from .archiving import CloseoutProof, Dataset, Replica, StfFile
from .processing import (
    Brake,
    DecisionBox,
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    StfProcessing,
)

__all__ = [
    "Brake",
    "CloseoutProof",
    "Dataset",
    "DecisionBox",
    "ProcessingJob",
    "ProcessingOutput",
    "ProcessingSite",
    "ProcessingTask",
    "Replica",
    "StfFile",
    "StfProcessing",
]
