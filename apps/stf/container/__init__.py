"""The STF container: one file with the hits of about a thousand time frames (see docs/stf-container.md).

`format` and `reader` stand alone: a payload on a worker node needs these two, numpy and crc32c, nothing else.
That is why this package imports nothing by itself.
"""
