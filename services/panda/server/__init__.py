"""The process of the embedded PanDA-compatible server: REST v1 over its own tables, and the steps behind it."""
