"""Local pilots: processes that take jobs of a queue from PanDA and run their payloads on this machine.

They speak the protocol of any pilot (`pilot/acquire_jobs`, `pilot/update_job`), so it makes no difference to a PanDA server
whether one of them or another pilot has a job. docs/payloads.md tells what becomes of a job, and of a bad one.
"""
