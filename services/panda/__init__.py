"""The embedded PanDA-compatible server: a subset of REST v1 as of panda-server 1.0.4, in one process."""
