"""What a PanDA job runs on an STF: commands that need a file, numpy and uproot, and nothing of the testbed.

A payload runs in the directory of its job, from a sandbox that holds only the files named in `sandbox`. So it imports
the stand-alone reader `apps.stf.container` and nothing else of this repository. docs/payloads.md tells how to write one.
"""
