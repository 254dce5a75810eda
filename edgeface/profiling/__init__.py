"""Measuring on a device: `measure` and its statistics, sensors over time, JSON and HTML reports, `compare`, `doctor`.

Everything that measures takes its clock as an argument, so that the profiler itself is tested on a clock that the test
moves.
"""
