"""What ``edgeface bench`` and ``edgeface profile`` do, without the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from edgeface.boards import Host, recognise
from edgeface.errors import InvalidInputError
from edgeface.profiling.layers import layer_times
from edgeface.profiling.measure import TOTAL, measure
from edgeface.profiling.report import build_report, subject_entry
from edgeface.profiling.sensors import EnergyMeter, Monitor, host_channels
from edgeface.profiling.statistics import summarise
from edgeface.profiling.subjects import Config, EngineSubject, Feed, prepare

__all__ = ["Progress", "affinity_matrix", "bench", "profile"]

Progress = Callable[[str, float], None]


def bench(
    configs: Iterable[Config],
    feed: Feed,
    frames: str,
    *,
    duration_s: float = 10.0,
    runs: int = 10,
    warmup: int = 5,
    seed: int = 0,
    label: str = "",
    host: Host | None = None,
    progress: Progress | None = None,
    interval_s: float = 0.5,
) -> dict[str, Any]:
    """Measure configurations against each other.

    Returns:
        A report of kind "bench" (``report.schema.json``).

    Raises:
        InvalidInputError: none of the configurations exists here.
    """
    host = host or Host()
    subjects, skipped = prepare(configs, feed)
    if not subjects:
        reasons = "; ".join(reason for _, reason in skipped)
        raise InvalidInputError(f"configurations must hold one that exists here, but got: {reasons}")
    energy = EnergyMeter(host)
    channels, missing = host_channels(host, energy)
    monitor = Monitor(channels)
    with monitor.running(interval_s):
        records = measure(
            subjects,
            duration_s=duration_s,
            runs=runs,
            warmup=warmup,
            seed=seed,
            joules=energy.read if energy.sensor is not None else None,
            progress=progress,
        )
    return build_report(
        "bench",
        host=host,
        label=label,
        settings={"frames": frames, "duration_s": duration_s, "runs": runs, "warmup": warmup, "seed": seed},
        subjects=[subject_entry(subject, records[subject.key]) for subject in subjects],
        skipped=skipped,
        monitor=monitor,
        missing=missing,
        warnings=warnings_of(host, monitor, subjects),
    )


def profile(
    config: Config,
    feed: Feed,
    frames: str,
    *,
    duration_s: float = 600.0,
    runs: int = 20,
    warmup: int = 5,
    label: str = "",
    host: Host | None = None,
    progress: Progress | None = None,
    interval_s: float = 1.0,
    matrix: bool = True,
    matrix_s: float = 2.0,
) -> dict[str, Any]:
    """Measure one configuration for long: does it hold its speed when the board is warm?

    Also its memory, its layers where the runtime tells them, and (`matrix`) its latency by CPUs and threads.

    Returns:
        A report of kind "profile" (``report.schema.json``).
    """
    host = host or Host()
    memory: dict[str, float | None] = {"before_bytes": _status(host, "VmRSS")}
    subjects, skipped = prepare([config], feed)
    if not subjects:
        raise InvalidInputError(f"configuration must exist here, but got: {skipped[0][1]}")
    subject = subjects[0]
    memory["open_bytes"] = _status(host, "VmRSS")
    energy = EnergyMeter(host)
    channels, missing = host_channels(host, energy)
    monitor = Monitor(channels)
    share = 0.9 if matrix else 1.0

    def scaled(key: str, fraction: float) -> None:
        if progress is not None:
            progress(key, fraction * share)

    with monitor.running(interval_s):
        records = measure(
            [subject],
            duration_s=duration_s,
            runs=runs,
            warmup=warmup,
            joules=energy.read if energy.sensor is not None else None,
            progress=scaled,
        )
    memory["after_bytes"] = _status(host, "VmRSS")
    # the kernel updates its high-water mark lazily: it may lag behind by some pages
    memory["peak_bytes"] = max((b for b in (*memory.values(), _status(host, "VmHWM")) if b is not None), default=None)
    cells = affinity_matrix(config, feed, host, duration_s=matrix_s) if matrix else []
    layers, reason = layer_times(config)
    if progress is not None:
        progress("", 1.0)
    return build_report(
        "profile",
        host=host,
        label=label,
        settings={"frames": frames, "duration_s": duration_s, "runs": runs, "warmup": warmup, "seed": 0},
        subjects=[subject_entry(subject, records[subject.key], layers, reason)],
        skipped=skipped,
        monitor=monitor,
        missing=missing,
        warnings=warnings_of(host, monitor, subjects),
        memory=memory,
        affinity=cells,
    )


def affinity_matrix(config: Config, feed: Feed, host: Host, duration_s: float = 2.0) -> list[dict[str, Any]]:
    """Median and P95 of a frame for sets of CPUs (one of each cluster, each cluster, all) and for 1, 2, 4 … threads.

    All cells are measured interleaved, like any other configurations.
    """
    configs = [
        replace(config, threads=threads, cpus=cpus)
        for cpus in cpu_sets(host)
        for threads in (1, 2, 3, 4, 6, 8)
        if threads <= len(cpus)
    ]
    subjects, _ = prepare(configs, feed)
    if not subjects:
        return []
    records = measure(subjects, duration_s=duration_s, runs=4, warmup=3)
    cells = []
    for subject in subjects:
        summary = summarise([ns / 1e6 for run in records[subject.key] for ns in run.stages[TOTAL]])
        cpus = list(subject.config.cpus or ())
        cells.append(
            {
                "cpus": cpus,
                "threads": subject.config.threads,
                "median_ms": summary["median"],
                "p95_ms": summary["p95"],
            }
        )
    return cells


def cpu_sets(host: Host) -> list[tuple[int, ...]]:
    """One CPU of each cluster, each cluster whole, all CPUs; those that this process may use, each set once."""
    allowed = os.sched_getaffinity(0)
    clusters = [tuple(cpu for cpu in cpus if cpu in allowed) for cpus in host.clusters().values()]
    clusters = [cpus for cpus in clusters if cpus] or [tuple(sorted(allowed))]
    sets = [cpus[-1:] for cpus in clusters] + clusters + [tuple(sorted(allowed))]
    return list(dict.fromkeys(sets))


def warnings_of(host: Host, monitor: Monitor, subjects: Sequence[EngineSubject]) -> list[str]:
    """What a reader of the figures must know."""
    found = []
    throttle = [c for c in monitor.channels if c.name == "throttled"]
    if throttle and any(value for value in throttle[0].values):
        share = sum(bool(value) for value in throttle[0].values) / max(len(throttle[0].values), 1)
        found.append(f"The board throttled in {share:.0%} of the samples: the figures are those of a lower clock.")
    governors = {policy.governor for policy in host.policies() if policy.governor}
    here = recognise(host)
    wanted = "performance" if here is None else here.board.governor
    if governors - {wanted}:
        names = ", ".join(sorted(governors))
        found.append(
            f"The governor is {names} and not {wanted}: latencies include the time that the clock takes to rise."
        )
    if all(subject.faces == 0 for subject in subjects):
        found.append("No face was found in the frames: decode and track had nothing to do. Give frames with faces.")
    load, cpus = host.load(), len(os.sched_getaffinity(0))
    # our own work is one process of the load
    if load is not None and load > cpus:
        found.append(f"Other processes compete for the CPUs (load {load:.1f} on {cpus}).")
    return found


def _status(host: Host, key: str) -> float | None:
    for line in (host.text("/proc/self/status") or "").splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) * 1024
    return None
