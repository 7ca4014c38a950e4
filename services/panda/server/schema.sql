-- Version 1. Applied whole, in one transaction, when the schema is absent. Times are UTC without a zone, as PanDA's.

CREATE TABLE version (number int NOT NULL);
INSERT INTO version VALUES (1);

CREATE FUNCTION utc() RETURNS timestamp LANGUAGE sql VOLATILE AS
$$ SELECT clock_timestamp() AT TIME ZONE 'UTC' $$;

CREATE TABLE tasks (
    jeditaskid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    taskname text NOT NULL,
    status text NOT NULL,
    oldstatus text,
    username text NOT NULL,
    vo text NOT NULL,
    prodsourcelabel text NOT NULL,
    site text,
    params jsonb NOT NULL,          -- as submitted, with userName, taskType, taskPriority
    refined jsonb,                  -- params as the refiner left them
    template text,                  -- job parameters with their variables
    command text,                   -- registered, to be carried out
    command_params jsonb,
    errordialog text,
    parent_tid bigint,
    attemptnr int NOT NULL DEFAULT 0,
    serial int NOT NULL DEFAULT 0,  -- last ${SN} given out
    creationdate timestamp NOT NULL DEFAULT utc(),
    modificationtime timestamp NOT NULL DEFAULT utc(),
    statechangetime timestamp NOT NULL DEFAULT utc(),
    starttime timestamp,
    activatedtime timestamp,
    endtime timestamp
);
CREATE INDEX tasks_name ON tasks (taskname, username, vo, prodsourcelabel);
CREATE INDEX tasks_modified ON tasks (username, modificationtime);
CREATE INDEX tasks_status ON tasks (status);
CREATE INDEX tasks_command ON tasks (jeditaskid) WHERE command IS NOT NULL;

CREATE TABLE datasets (
    datasetid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jeditaskid bigint NOT NULL REFERENCES tasks,
    type text NOT NULL,             -- input, pseudo_input, output, log
    name text NOT NULL,             -- without scope
    scope text,
    container text,                 -- as the task has it, with its slash
    lfn_template text,              -- of outputs and logs
    is_open boolean NOT NULL DEFAULT true,
    fed boolean NOT NULL DEFAULT false
);
CREATE INDEX datasets_task ON datasets (jeditaskid);

CREATE TABLE files (
    fileid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jeditaskid bigint NOT NULL REFERENCES tasks,
    datasetid bigint NOT NULL REFERENCES datasets,
    lfn text NOT NULL,
    scope text,
    pfn text,                       -- where the task gives it, instead of a catalogue
    status text NOT NULL DEFAULT 'ready',
    attached boolean NOT NULL DEFAULT true,
    fsize bigint NOT NULL DEFAULT 0,
    checksum text,
    attemptnr int NOT NULL DEFAULT 0,
    maxattempt int NOT NULL,
    pandaid bigint,                 -- of its latest job
    UNIQUE (datasetid, lfn)
);
CREATE INDEX files_ready ON files (jeditaskid, fileid) WHERE status = 'ready';
CREATE INDEX files_running ON files (jeditaskid) WHERE status = 'running';
CREATE INDEX files_task ON files (jeditaskid, fileid);

CREATE TABLE jobs (
    pandaid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jeditaskid bigint NOT NULL REFERENCES tasks,
    status text NOT NULL,
    site text NOT NULL,
    username text NOT NULL,
    prodsourcelabel text NOT NULL,
    priority int NOT NULL,
    attemptnr int NOT NULL,
    command text,                   -- what the pilot is told
    outcome text,                   -- finished or failed, as the pilot said, until the adder has looked
    report text,                    -- job_output_report of the pilot
    job_parameters text NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}',  -- what is not NULL of the rest of a job's description
    heartbeat timestamp,            -- when its pilot spoke last
    creationtime timestamp NOT NULL DEFAULT utc(),
    modificationtime timestamp NOT NULL DEFAULT utc(),
    statechangetime timestamp NOT NULL DEFAULT utc(),
    starttime timestamp,
    endtime timestamp
);
CREATE INDEX jobs_task ON jobs (jeditaskid, pandaid);
CREATE INDEX jobs_open ON jobs (jeditaskid) WHERE status NOT IN ('finished', 'failed', 'cancelled', 'closed');
CREATE INDEX jobs_waiting ON jobs (status, pandaid) WHERE status IN ('defined', 'assigned', 'holding');
CREATE INDEX jobs_queued ON jobs (site, priority DESC, pandaid) WHERE status = 'activated';
CREATE INDEX jobs_with_pilot ON jobs (heartbeat) WHERE status IN ('sent', 'starting', 'running', 'transferring');

CREATE TABLE jobfiles (
    rowid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pandaid bigint NOT NULL REFERENCES jobs,
    jeditaskid bigint NOT NULL,
    datasetid bigint NOT NULL REFERENCES datasets,
    fileid bigint,                  -- of inputs
    type text NOT NULL,
    lfn text NOT NULL,
    scope text,
    guid text,
    status text NOT NULL DEFAULT 'unknown',
    fsize bigint NOT NULL DEFAULT 0,
    checksum text
);
CREATE INDEX jobfiles_job ON jobfiles (pandaid);
-- The name of an output is given out once.
CREATE UNIQUE INDEX jobfiles_output ON jobfiles (datasetid, lfn) WHERE fileid IS NULL;

CREATE TABLE sandboxes (
    filename text PRIMARY KEY,
    username text NOT NULL,
    filesize bigint NOT NULL,
    checksum text,
    creationtime timestamp NOT NULL DEFAULT utc()
);
CREATE INDEX sandboxes_content ON sandboxes (username, filesize, checksum);

CREATE TABLE workers (
    harvesterid text NOT NULL,
    workerid text NOT NULL,
    status text NOT NULL,
    modificationtime timestamp NOT NULL DEFAULT utc(),
    PRIMARY KEY (harvesterid, workerid)
);

CREATE TABLE worker_nodes (
    site text NOT NULL,
    host text NOT NULL,
    described jsonb NOT NULL,
    modificationtime timestamp NOT NULL DEFAULT utc(),
    PRIMARY KEY (site, host)
);
