"""The names of what PanDA tells of a job and of a task, in its order."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


JOB_ATTRIBUTES = _words(
    """
    PandaID jobDefinitionID schedulerID pilotID creationTime creationHost modificationTime
    modificationHost AtlasRelease transformation homepackage prodSeriesLabel prodSourceLabel prodUserID
    assignedPriority currentPriority attemptNr maxAttempt jobStatus jobName maxCpuCount maxCpuUnit
    maxDiskCount maxDiskUnit ipConnectivity minRamCount minRamUnit startTime endTime cpuConsumptionTime
    cpuConsumptionUnit commandToPilot transExitCode pilotErrorCode pilotErrorDiag exeErrorCode
    exeErrorDiag supErrorCode supErrorDiag ddmErrorCode ddmErrorDiag brokerageErrorCode brokerageErrorDiag
    jobDispatcherErrorCode jobDispatcherErrorDiag taskBufferErrorCode taskBufferErrorDiag computingSite
    computingElement jobParameters metadata prodDBlock dispatchDBlock destinationDBlock destinationSE
    nEvents grid cloud cpuConversion sourceSite destinationSite transferType taskID cmtConfig
    stateChangeTime prodDBUpdateTime lockedby relocationFlag jobExecutionID VO pilotTiming workingGroup
    processingType prodUserName nInputFiles countryGroup batchID parentID specialHandling jobsetID
    coreCount nInputDataFiles inputFileType inputFileProject inputFileBytes nOutputDataFiles
    outputFileBytes jobMetrics workQueue_ID jediTaskID jobSubStatus actualCoreCount reqID maxRSS maxVMEM
    maxSWAP maxPSS avgRSS avgVMEM avgSWAP avgPSS maxWalltime nucleus eventService failedAttempt hs06sec
    gshare hs06 totRCHAR totWCHAR totRBYTES totWBYTES rateRCHAR rateWCHAR rateRBYTES rateWBYTES
    resource_type diskIO memory_leak memory_leak_x2 container_name job_label gco2_regional gco2_global
    cpu_architecture_level outputFileType
    """
)
JOB_COUNTERS = _words(
    """
    jobDefinitionID cpuConsumptionTime pilotErrorCode exeErrorCode supErrorCode ddmErrorCode
    brokerageErrorCode jobDispatcherErrorCode taskBufferErrorCode nEvents jobExecutionID nOutputDataFiles
    outputFileBytes failedAttempt
    """
)
TASK_ATTRIBUTES = _words(
    """
    jediTaskID taskName status userName creationDate modificationTime startTime endTime frozenTime
    prodSourceLabel workingGroup vo coreCount taskType processingType taskPriority currentPriority
    architecture transUses transHome transPath lockedBy lockedTime termCondition splitRule walltime
    walltimeUnit outDiskCount outDiskUnit workDiskCount workDiskUnit ramCount ramUnit ioIntensity
    ioIntensityUnit workQueue_ID progress failureRate errorDialog reqID oldStatus cloud site countryGroup
    parent_tid eventService ticketID ticketSystemType stateChangeTime superStatus campaign mergeRamCount
    mergeRamUnit mergeWalltime mergeWalltimeUnit throttledTime numThrottled mergeCoreCount goal
    assessmentTime cpuTime cpuTimeUnit cpuEfficiency baseWalltime nucleus baseRamCount ttcRequested
    ttcPredicted ttcPredictionDate rescueTime requestType gshare resource_type useJumbo diskIO diskIOUnit
    memory_leak_core memory_leak_x2 attemptNr container_name framework activatedTime queuedTime actionTime
    job_execution_params task_creation_arguments raw_task_params nFiles nFilesFinished nFilesFailed
    nFilesMissing pctFinished pctFailed
    """
)
