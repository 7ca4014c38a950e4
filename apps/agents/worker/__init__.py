"""The worker of slices: any number of processes, on any machine that reaches the broker and the data.

It takes a slice from the queue that all workers share, processes it, says what it found, and takes the next. It has no
database and keeps nothing: whoever gave the slice out gives it out again when a worker is not heard of.
"""
