"""The data: STFs with their datasets and replicas, their processing at the sites, the proof that none is lost, and the
fast path beside all that."""

from .archiving import CloseoutProof, Dataset, Replica, StfFile, StfRemark
from .fast import FastMonFile, FastMonSample, FastRun, HistogramWindow, TFSlice, Worker, WorkerTask
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
    "FastMonFile",
    "FastMonSample",
    "FastRun",
    "HistogramWindow",
    "ProcessingJob",
    "ProcessingOutput",
    "ProcessingSite",
    "ProcessingTask",
    "Replica",
    "StfFile",
    "StfProcessing",
    "StfRemark",
    "TFSlice",
    "Worker",
    "WorkerTask",
]
