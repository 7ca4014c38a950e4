"""Tasks, jobs and files as PanDA describes them: its names, its order, its kinds of values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from services.panda.queues import QUEUES
from services.panda.server.attributes import JOB_ATTRIBUTES, JOB_COUNTERS, TASK_ATTRIBUTES
from services.panda.server.database import Row, Transaction
from services.panda.server.refine import RAM_MB
from services.panda.server.templates import TRANSFORMATION, files_per_job

_CONSTANT = {
    "AtlasRelease": "",
    "prodSeriesLabel": "pandatest",
    "maxDiskUnit": "MB  ",
    "ipConnectivity": "yes  ",
    "minRamUnit": "MB",
    "lockedby": "jedi",
    "relocationFlag": 1,
    "workQueue_ID": 1,
    "gshare": "root",
    "resource_type": "Undefined",
    "job_label": "user",
}
# What a job does not have is None, or 0 for counters and error codes.
_DEFAULTS = {**dict.fromkeys(JOB_ATTRIBUTES), **dict.fromkeys(JOB_COUNTERS, 0), **_CONSTANT}


def describe_jobs(transaction: Transaction, job_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Descriptions by id; an unknown id is left out."""
    jobs = transaction.rows(
        "SELECT jobs.*, tasks.taskname FROM jobs JOIN tasks USING (jeditaskid) WHERE pandaid = ANY(%s)",
        [list(job_ids)],
    )
    files = files_of(transaction, [job["pandaid"] for job in jobs])
    return {job["pandaid"]: _describe(job, files[job["pandaid"]]) for job in jobs}


def files_of(transaction: Transaction, job_ids: Sequence[int]) -> dict[int, list[Row]]:
    """The files of jobs, each with its dataset's name and container."""
    found: dict[int, list[Row]] = defaultdict(list)
    rows = transaction.rows(
        "SELECT jobfiles.*, datasets.name AS dataset, datasets.scope AS dataset_scope, datasets.container,"
        " COALESCE(files.attemptnr, 0) AS attemptnr"
        " FROM jobfiles JOIN datasets USING (datasetid) LEFT JOIN files ON files.fileid = jobfiles.fileid"
        " WHERE jobfiles.pandaid = ANY(%s) ORDER BY rowid",
        [list(job_ids)],
    )
    for row in rows:
        found[row["pandaid"]].append(row)
    return found


def _describe(job: Row, files: list[Row]) -> dict[str, Any]:
    outputs = [file for file in files if file["type"] == "output"]
    inputs = [file for file in files if file["type"] == "input"]
    task_id = job["jeditaskid"]
    known = {
        "PandaID": job["pandaid"],
        "creationTime": job["creationtime"],
        "modificationTime": job["modificationtime"],
        "stateChangeTime": job["statechangetime"],
        "prodDBUpdateTime": job["creationtime"],
        "startTime": job["starttime"],
        "endTime": job["endtime"],
        "prodSourceLabel": job["prodsourcelabel"],
        "prodUserID": job["username"],
        "prodUserName": job["username"],
        "assignedPriority": job["priority"],
        "currentPriority": job["priority"],
        "attemptNr": job["attemptnr"],
        # Every attempt is a job of its own, and its last.
        "maxAttempt": job["attemptnr"],
        "jobStatus": job["status"],
        "jobName": f"{job['taskname']}.{job['pandaid']}",
        "commandToPilot": job["command"],
        "computingSite": job["site"],
        "jobParameters": job["job_parameters"],
        "prodDBlock": _did(inputs[0]) if inputs else None,
        "destinationDBlock": outputs[0]["dataset"] if outputs else None,
        "specialHandling": f"NULL,pc,tq={job['creationtime'].timestamp():.6f}",
        **dict.fromkeys(("taskID", "jobsetID", "jediTaskID", "reqID"), task_id),
    }
    return {**_DEFAULTS, **job["attributes"], **known, "Files": [_file(file, job["site"]) for file in files]}


def _file(file: Row, site: str) -> dict[str, Any]:
    out = file["type"] in ("output", "log")
    return {
        "row_ID": file["rowid"],
        "PandaID": file["pandaid"],
        "GUID": file["guid"],
        "lfn": file["lfn"],
        "type": file["type"],
        "dataset": file["container"] if out else _did(file),
        "status": file["status"],
        "prodDBlock": None if out else _did(file),
        "prodDBlockToken": None,
        "dispatchDBlock": None,
        "dispatchDBlockToken": None,
        "destinationDBlock": file["dataset"] if out else None,
        "destinationDBlockToken": None,
        "destinationSE": site if out else None,
        "fsize": file["fsize"],
        "md5sum": None,
        "checksum": file["checksum"],
        "scope": file["scope"],
        "jediTaskID": file["jeditaskid"],
        "datasetID": file["datasetid"],
        "fileID": file["fileid"] if file["fileid"] is not None else file["rowid"],
        "attemptNr": max(0, file["attemptnr"] - 1),
    }


def _did(file: Row) -> str:
    return f"{file['dataset_scope']}:{file['dataset']}" if file["dataset_scope"] else str(file["dataset"])


def for_pilot(job: Row, files: list[Row], n_sent: int) -> dict[str, Any]:
    """A job as a pilot is given it: lists are joined by commas, what is missing is the text NULL."""
    inputs = [file for file in files if file["type"] == "input"]
    outputs = [file for file in files if file["type"] == "output"]
    logs = [file for file in files if file["type"] == "log"]
    written, attributes = [*outputs, *logs], job["attributes"]
    rse = QUEUES[job["site"]].rse
    task_id = job["jeditaskid"]
    return {
        "StatusCode": 0,
        "PandaID": job["pandaid"],
        "prodSourceLabel": job["prodsourcelabel"],
        "swRelease": "",
        "homepackage": "NULL",
        "transformation": attributes.get("transformation"),
        "jobName": f"{job['taskname']}.{job['pandaid']}",
        "jobDefinitionID": 0,
        "cloud": attributes.get("cloud") or "NULL",
        "inFiles": _joined(file["lfn"] for file in inputs),
        "dispatchDblock": _nulls(inputs),
        "dispatchDBlockToken": _nulls(inputs),
        "dispatchDBlockTokenForOut": _nulls(written),
        "outFiles": _joined(file["lfn"] for file in written),
        "destinationDblock": _joined(file["dataset"] for file in written),
        "destinationDBlockToken": _nulls(written),
        "prodDBlocks": _joined(_did(file) for file in inputs),
        "prodDBlockToken": _nulls(inputs),
        "realDatasets": _joined(file["container"] for file in written),
        "realDatasetsIn": _joined(_did(file) for file in inputs),
        "fileDestinationSE": _joined(job["site"] for _ in written),
        "logFile": logs[0]["lfn"] if logs else "",
        "logGUID": logs[0]["guid"] if logs else "",
        "jobPars": job["job_parameters"],
        "attemptNr": job["attemptnr"],
        "GUID": _joined(file["guid"] or "NULL" for file in inputs),
        "checksum": _joined(file["checksum"] or "NULL" for file in inputs),
        "fsize": _joined(str(file["fsize"]) for file in inputs),
        "scopeIn": _joined(file["scope"] for file in inputs),
        "scopeOut": _joined(file["scope"] for file in outputs),
        "scopeLog": logs[0]["scope"] if logs else "",
        "ddmEndPointIn": _joined(rse for _ in inputs),
        "ddmEndPointOut": _joined(rse for _ in written),
        "destinationSE": "NULL",
        "prodUserID": job["username"],
        "maxCpuCount": attributes.get("maxCpuCount"),
        "minRamCount": attributes.get("minRamCount"),
        "maxDiskCount": attributes.get("maxDiskCount"),
        "cmtConfig": "NULL",
        "processingType": attributes.get("processingType"),
        "transferType": "NULL",
        "sourceSite": "NULL",
        "currentPriority": job["priority"],
        "taskID": task_id,
        "coreCount": attributes.get("coreCount"),
        "jobsetID": task_id,
        "reqID": task_id,
        "nucleus": "NULL",
        "maxWalltime": attributes.get("maxWalltime"),
        "resource_type": "Undefined",
        "ioIntensity": None,
        "ioIntensityUnit": None,
        "nSent": n_sent,
    }


def _joined(texts: Iterable[str]) -> str:
    return ",".join(texts)


def _nulls(files: list[Row]) -> str:
    return ",".join("NULL" for _ in files)


_TASK_CONSTANT = {
    "coreCount": 1,
    **dict.fromkeys(("walltime", "outDiskCount", "workDiskCount", "eventService", "baseRamCount"), 0),
    "workQueue_ID": 1,
    "cpuEfficiency": 90,
    "baseWalltime": 600,
    "requestType": "",
    "gshare": "root",
    "resource_type": "Undefined",
}


def describe_tasks(transaction: Transaction, tasks: Sequence[Row]) -> list[dict[str, Any]]:
    """Descriptions of these rows of the table of tasks, with the counts of their files."""
    counted = transaction.rows(
        "SELECT jeditaskid, count(*) AS files, count(*) FILTER (WHERE files.status = 'finished') AS finished,"
        " count(*) FILTER (WHERE files.status = 'failed' AND attached) AS failed,"
        " count(*) FILTER (WHERE NOT attached AND files.status <> 'finished') AS missing"
        " FROM files WHERE jeditaskid = ANY(%s) GROUP BY jeditaskid",
        [[task["jeditaskid"] for task in tasks]],
    )
    counts = {row["jeditaskid"]: row for row in counted}
    none = {"files": 0, "finished": 0, "failed": 0, "missing": 0}
    return [_describe_task(task, counts.get(task["jeditaskid"], none)) for task in tasks]


def _describe_task(task: Row, counts: Row) -> dict[str, Any]:
    params = task["params"]
    refined = task["refined"] or params
    files = counts["files"]
    known = {
        "jediTaskID": task["jeditaskid"],
        "taskName": task["taskname"],
        "status": task["status"],
        "superStatus": task["status"],
        "oldStatus": task["oldstatus"],
        "userName": task["username"],
        "creationDate": task["creationdate"],
        "modificationTime": task["modificationtime"],
        "stateChangeTime": task["statechangetime"],
        "startTime": task["starttime"],
        "endTime": task["endtime"],
        "activatedTime": task["activatedtime"],
        "prodSourceLabel": task["prodsourcelabel"],
        "vo": task["vo"],
        "site": task["site"],
        "errorDialog": task["errordialog"],
        "reqID": task["jeditaskid"],
        "parent_tid": task["parent_tid"] or task["jeditaskid"],
        "attemptNr": task["attemptnr"],
        "taskPriority": params["taskPriority"],
        "currentPriority": params.get("currentPriority") or params["taskPriority"],
        "cloud": params.get("workingGroup"),
        "ramCount": params.get("ramCount") or RAM_MB,
        "ramUnit": "MBPerCore",
        "transPath": TRANSFORMATION,
        "termCondition": params.get("osInfo"),
        "splitRule": _split_rule(params),
        "job_execution_params": task["template"],
        "task_creation_arguments": params.get("cliParams"),
        "raw_task_params": refined,
        "nFiles": files,
        "nFilesFinished": counts["finished"],
        "nFilesFailed": counts["failed"],
        "nFilesMissing": counts["missing"],
        "pctFinished": round(100 * counts["finished"] / files) if files else 0,
        "pctFailed": round(100 * counts["failed"] / files) if files else 0,
    }
    same = {
        name: params.get(name)
        for name in ("workingGroup", "taskType", "processingType", "architecture", "transUses", "transHome")
    }
    return {**dict.fromkeys(TASK_ATTRIBUTES), **_TASK_CONSTANT, **same, **known}


def _split_rule(params: dict[str, Any]) -> str:
    rules = {name: params[name] for name in ("nFilesPerJob", "nMaxFilesPerJob") if name in params}
    flags = [name for name in ("pfnList", "respectSplitRule", "runUntilClosed") if params.get(name)]
    rules = rules or {"nFilesPerJob": files_per_job(params)}
    return ",".join([*(f"{name}={value}" for name, value in rules.items()), *(f"{name}=1" for name in flags)])
