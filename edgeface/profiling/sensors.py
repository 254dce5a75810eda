"""Temperatures, clocks, throttling, power and memory over time. What is missing is named, never guessed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgeface.boards.host import Host, PowerSensor

__all__ = ["Channel", "EnergyMeter", "Missing", "Monitor", "host_channels"]


@dataclass(slots=True)
class Channel:
    """One quantity over time; a value is None where its sensor failed at that moment."""

    name: str
    unit: str
    read: Callable[[], float | None]
    values: list[float | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Missing:
    """A sensor that is not there, and why."""

    sensor: str
    reason: str


class EnergyMeter:
    """Energy since it was made, from a counter or by integrating power between the calls of `read`.

    Args:
        host: whose sensors to use; the first one serves.
        clock: nanoseconds that never go back.
    """

    def __init__(self, host: Host, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        sensors = host.power_sensors()
        self.sensor: PowerSensor | None = sensors[0] if sensors else None
        self._clock = clock
        self._lock = threading.Lock()
        self._joules = 0.0
        self._last: tuple[int, float] | None = None
        self.watts: float | None = None

    def read(self) -> float | None:
        """Joules so far; None without a sensor or when it cannot be read. Call it often: power is integrated."""
        sensor = self.sensor
        if sensor is None:
            return None
        with self._lock:
            value = self._value(sensor)
            if value is None:
                self._last = None
                return None
            now = self._clock()
            if self._last is not None:
                then, before = self._last
                seconds = (now - then) / 1e9
                if sensor.energy is not None:
                    step = value - before
                    step += sensor.wrap * sensor.factor if step < 0 else 0.0
                    self.watts = step / seconds if seconds > 0 else self.watts
                else:
                    step = (value + before) / 2 * seconds
                    self.watts = value
                self._joules += step
            self._last = (now, value)
            return self._joules

    def _value(self, sensor: PowerSensor) -> float | None:
        """Joules of a counter, watts of a power sensor."""
        product = sensor.factor
        for file in (sensor.energy,) if sensor.energy is not None else sensor.power:
            try:
                product *= float(file.read_text())
            except (OSError, ValueError):
                return None
        return product


def host_channels(host: Host, energy: EnergyMeter | None = None) -> tuple[list[Channel], list[Missing]]:
    """A channel for each sensor of a machine, and the list of those that are missing."""
    channels: list[Channel] = []
    missing: list[Missing] = []
    zones = host.zones()
    for i, zone in enumerate(zones):
        if zone.celsius is None:
            missing.append(Missing(f"temperature {zone.kind}", f"{zone.name} cannot be read"))
            continue
        channels.append(Channel(f"temperature {zone.kind}", "°C", _zone_reader(host, i)))
    if not zones:
        missing.append(Missing("temperature", "/sys/class/thermal has no zones"))
    policies = [policy for policy in host.policies() if policy.current is not None]
    for policy in policies:
        path = f"/sys/devices/system/cpu/cpufreq/{policy.name}/scaling_cur_freq"
        channels.append(Channel(f"clock {policy.name}", "MHz", _scaled(host, path, 1e-3)))
    if not policies:
        missing.append(Missing("clock", "no cpufreq policies (a fixed clock, or a virtual machine)"))
    if host.throttle() is not None:
        channels.append(Channel("throttled", "0/1", lambda: _throttled(host)))
    else:
        missing.append(Missing("throttling", "neither firmware, hwmon nor cooling devices report it"))
    if energy is not None and energy.sensor is not None:
        channels.append(Channel(f"power {energy.sensor.name}", "W", lambda: (energy.read(), energy.watts)[1]))
    else:
        missing.append(Missing("power", "no hwmon, INA3221 or RAPL sensor that can be read"))
    if _rss(host) is not None:
        channels.append(Channel("memory resident", "MB", lambda: _rss(host)))
    else:
        missing.append(Missing("memory", "/proc/self/status has no VmRSS"))
    if host.load() is not None:
        channels.append(Channel("load", "processes", host.load))
    return channels, missing


class Monitor:
    """Samples channels: by hand with `sample`, or in the background within `running`.

    Args:
        channels: what to sample.
        clock: nanoseconds that never go back.
    """

    def __init__(self, channels: list[Channel], clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.channels = channels
        self.seconds: list[float] = []
        self._clock = clock
        self._began = clock()

    def sample(self) -> None:
        """Read every channel once."""
        self.seconds.append((self._clock() - self._began) / 1e9)
        for channel in self.channels:
            try:
                value = channel.read()
            except (OSError, ValueError):  # a sensor that went away in the middle
                value = None
            channel.values.append(value)

    @contextmanager
    def running(self, interval_s: float = 1.0) -> Iterator[None]:
        """Sample in a thread until the block ends, once at its beginning and once at its end."""
        stop = threading.Event()

        def loop() -> None:
            while not stop.wait(interval_s):
                self.sample()

        self.sample()
        thread = threading.Thread(target=loop, name="edgeface-monitor", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.sample()


def _zone_reader(host: Host, index: int) -> Callable[[], float | None]:
    name = host.zones()[index].name
    return _scaled(host, f"/sys/class/thermal/{name}/temp", 1e-3)


def _scaled(host: Host, path: str, factor: float) -> Callable[[], float | None]:
    def read() -> float | None:
        number = host.number(path)
        return None if number is None else number * factor

    return read


def _throttled(host: Host) -> float | None:
    throttle = host.throttle()
    return None if throttle is None else float(bool(throttle.now))


def _rss(host: Host) -> float | None:
    for line in (host.text("/proc/self/status") or "").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None
