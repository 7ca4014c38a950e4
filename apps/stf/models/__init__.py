"""The data: STFs with their datasets and replicas, their processing at the sites, the proof that none is lost, and the
fast path beside all that."""

from .archiving import CloseoutProof, Dataset, Replica, StfFile, StfRemark
from .processing import (
    Brake,
    DecisionBox,
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    StfProcessing,
)
from .sampling import FastMonFile, FastMonSample, HistogramWindow
from .slices import FastRun, TFSlice, Worker, WorkerTask

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
