"""What Linux says about the machine: device tree, CPUs, clocks, temperatures, power, memory.

Every reader takes what it needs from below one root, so that a folder with a few files can stand for a board in tests,
and gives None (or an empty list) where the kernel does not offer something. Nothing here raises on odd contents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["CORE_NAMES", "LIKE", "Cpu", "Host", "Policy", "PowerSensor", "Throttle", "Zone", "parse_cpu_list"]

# MIDR_EL1 part numbers of Arm Ltd (implementer 0x41).
CORE_NAMES: Final = {
    0xD03: "cortex-a53",
    0xD04: "cortex-a35",
    0xD05: "cortex-a55",
    0xD07: "cortex-a57",
    0xD08: "cortex-a72",
    0xD09: "cortex-a73",
    0xD0A: "cortex-a75",
    0xD0B: "cortex-a76",
    0xD0C: "neoverse-n1",
    0xD41: "cortex-a78",
    0xD42: "cortex-a78",  # A78AE
    0xD44: "cortex-x1",
    0xD47: "cortex-a710",
    0xD49: "neoverse-n2",
    0xD4B: "cortex-a78",  # A78C
    0xC07: "cortex-a7",
}
#: Kinds of core with a column in the table, fastest first, and the kinds that execute the same instructions.
LIKE: Final = {
    "cortex-a76": (
        "cortex-a75",
        "cortex-a78",
        "cortex-a710",
        "cortex-x1",
        "neoverse-n1",
        "neoverse-n2",
    ),
    "cortex-a72": ("cortex-a57", "cortex-a73"),
    "cortex-a55": (),
    "cortex-a53": ("cortex-a35",),
}
_ARM = 0x41
# The kernel's names of features for which people have better ones.
_FEATURES: Final = {"asimddp": "dotprod", "asimdhp": "fp16", "neon": "asimd"}

# Bits of the Raspberry Pi firmware's get_throttled; + 16 for "has happened since boot".
_PI_BITS: Final = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")


@dataclass(frozen=True, slots=True)
class Cpu:
    """One CPU of ``/proc/cpuinfo``: its number, kind of core ("unknown" if not Arm Ltd's), features."""

    number: int
    core: str
    features: frozenset[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """One cpufreq policy: CPUs with a common clock. Frequencies are in kHz."""

    name: str
    cpus: tuple[int, ...]
    governor: str | None
    current: int | None
    maximum: int | None
    hardware_maximum: int | None


@dataclass(frozen=True, slots=True)
class Zone:
    """One thermal zone: its temperature and its passive trip points, in °C."""

    name: str
    kind: str
    celsius: float | None
    passive: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Throttle:
    """What holds the clock down: now, and since boot; the source that says so."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class PowerSensor:
    """A sensor of power or energy.

    Attributes:
        name: for people.
        energy: file that counts µJ; None if the sensor gives power.
        power: files whose product is the power; one file in µW or mW, or two in mV and mA.
        factor: that makes watts (of `power`) or joules (of `energy`).
        wrap: µJ at which a counter starts again; 0 if it does not.
    """

    name: str
    energy: Path | None
    power: tuple[Path, ...]
    factor: float
    wrap: int = 0


class Host:
    """A view of ``/proc`` and ``/sys``.

    Args:
        root: folder that holds them; "/" for the machine itself.
    """

    def __init__(self, root: Path | str = "/") -> None:
        self.root = Path(root)

    def text(self, path: str) -> str | None:
        """Contents of a file without trailing white space and NULs; None if it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_bytes().decode("utf-8", "replace").rstrip("\0\n\t ")
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """Contents of a file as an integer (decimal, or hex with 0x); None if it is none."""
        return _integer(self.text(path))

    def paths(self, pattern: str) -> list[Path]:
        """Files that match, sorted with numbers by value (cpu2 before cpu10)."""
        return sorted(self.root.glob(pattern.lstrip("/")), key=_natural)

    @property
    def model(self) -> str | None:
        """The device tree's model, such as "Raspberry Pi 4 Model B Rev 1.4"."""
        return self.text("/proc/device-tree/model") or self.text("/sys/firmware/devicetree/base/model")

    @property
    def compatible(self) -> tuple[str, ...]:
        """The device tree's compatible strings, most specific first."""
        raw = self.text("/proc/device-tree/compatible") or self.text("/sys/firmware/devicetree/base/compatible") or ""
        return tuple(entry for entry in raw.split("\0") if entry)

    def cpus(self) -> list[Cpu]:
        """CPUs that are online, in order of their numbers."""
        found = []
        for block in (self.text("/proc/cpuinfo") or "").split("\n\n"):
            fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in block.splitlines())}
            number = _integer(fields.get("processor"))
            if number is None:
                continue
            part = _integer(fields.get("CPU part"))
            arm = _integer(fields.get("CPU implementer")) == _ARM and part is not None
            core = CORE_NAMES.get(part or 0, f"arm-{part:#x}") if arm else "unknown"
            words = (fields.get("Features") or fields.get("flags") or "").split()
            found.append(Cpu(number, core, frozenset(_FEATURES.get(word, word) for word in words)))
        return sorted(found, key=lambda cpu: cpu.number)

    def clusters(self) -> dict[str, list[int]]:
        """Kind of core -> CPU numbers, in order of the first number."""
        clusters: dict[str, list[int]] = {}
        for cpu in self.cpus():
            clusters.setdefault(cpu.core, []).append(cpu.number)
        return clusters

    def offline(self) -> tuple[int, ...]:
        """CPUs that the kernel knows and that are switched off."""
        return parse_cpu_list(self.text("/sys/devices/system/cpu/offline") or "")

    def policies(self) -> list[Policy]:
        """The cpufreq policies; empty where the clock is fixed or out of our sight (virtual machines)."""
        found = []
        for folder in self.paths("/sys/devices/system/cpu/cpufreq/policy*"):
            at = f"/{folder.relative_to(self.root)}"
            found.append(
                Policy(
                    name=folder.name,
                    cpus=parse_cpu_list((self.text(f"{at}/affected_cpus") or "").replace(" ", ",")),
                    governor=self.text(f"{at}/scaling_governor"),
                    current=self.number(f"{at}/scaling_cur_freq"),
                    maximum=self.number(f"{at}/scaling_max_freq"),
                    hardware_maximum=self.number(f"{at}/cpuinfo_max_freq"),
                )
            )
        return found

    def zones(self) -> list[Zone]:
        """The thermal zones; temperatures are None where a zone's sensor is off."""
        found = []
        for folder in self.paths("/sys/class/thermal/thermal_zone*"):
            at = f"/{folder.relative_to(self.root)}"
            milli = self.number(f"{at}/temp")
            passive = tuple(
                value / 1000
                for kind in self.paths(f"{at}/trip_point_*_type")
                if (self.text(f"/{kind.relative_to(self.root)}") or "") == "passive"
                and (value := self.number(f"{at}/{kind.name.removesuffix('type')}temp")) is not None
            )
            celsius = None if milli is None else milli / 1000
            found.append(Zone(folder.name, self.text(f"{at}/type") or folder.name, celsius, passive))
        return found

    def throttle(self) -> Throttle | None:
        """Throttling as firmware or kernel report it; None where neither does.

        Sources: the Raspberry Pi firmware's get_throttled bits (older kernels), the hwmon device rpi_volt (newer ones;
        it knows of under-voltage only), the cooling devices of the CPUs.
        """
        raw = self.text("/sys/devices/platform/soc/soc:firmware/get_throttled") or ""
        bits = int(raw, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", raw) else None  # hex, with or without 0x
        now, past, sources = [], [], []
        if bits is not None:
            now += [name for i, name in enumerate(_PI_BITS) if bits >> i & 1]
            past += [name for i, name in enumerate(_PI_BITS) if bits >> (16 + i) & 1]
            sources.append("firmware get_throttled")
        for folder in self.paths("/sys/class/hwmon/hwmon*"):
            at = f"/{folder.relative_to(self.root)}"
            alarm = self.number(f"{at}/in0_lcrit_alarm")
            if self.text(f"{at}/name") == "rpi_volt" and alarm is not None:
                now += ["under_voltage"] if alarm and "under_voltage" not in now else []
                sources.append("hwmon rpi_volt")
        for folder in self.paths("/sys/class/thermal/cooling_device*"):
            at = f"/{folder.relative_to(self.root)}"
            kind, state = self.text(f"{at}/type") or "", self.number(f"{at}/cur_state")
            if ("cpufreq" in kind or kind == "Processor") and state is not None:
                now += ["thermal_cooling"] if state > 0 and "thermal_cooling" not in now else []
                sources.append("cooling devices")
        if not sources:
            return None
        return Throttle(tuple(now), tuple(past), ", ".join(dict.fromkeys(sources)))

    def memory(self) -> dict[str, int]:
        """``/proc/meminfo`` in bytes."""
        pairs = re.findall(r"^(\w+):\s+(\d+) kB$", self.text("/proc/meminfo") or "", re.MULTILINE)
        return {name: int(kilobytes) * 1024 for name, kilobytes in pairs}

    def swaps(self) -> list[str]:
        """Files and devices that Linux swaps to, without those in compressed memory (zram)."""
        lines = (self.text("/proc/swaps") or "").splitlines()[1:]
        return [line.split()[0] for line in lines if line.split() and "zram" not in line.split()[0]]

    def load(self) -> float | None:
        """Processes that want to run, averaged over the last minute."""
        first = (self.text("/proc/loadavg") or "").split(" ")[0]
        try:
            return float(first)
        except ValueError:
            return None

    def operating_system(self) -> str | None:
        """PRETTY_NAME of ``/etc/os-release``."""
        match = re.search(r'^PRETTY_NAME="?([^"\n]*)', self.text("/etc/os-release") or "", re.MULTILINE)
        return match[1] if match else None

    def power_sensors(self) -> list[PowerSensor]:
        """Sensors of power or energy, those of the whole board first where names tell.

        hwmon energy and power files, INA3221 rails (hwmon, and the IIO form of old Jetson kernels), RAPL on x86.
        """
        return [*self._iio_power(), *self._hwmon_power(), *self._rapl()]

    def _hwmon_power(self) -> Iterator[PowerSensor]:
        for folder in self.paths("/sys/class/hwmon/hwmon*"):
            at = f"/{folder.relative_to(self.root)}"
            name = self.text(f"{at}/name") or folder.name
            for file in self.paths(f"{at}/energy*_input"):
                label = self.text(f"{at}/{file.name.removesuffix('input')}label") or file.name
                yield PowerSensor(f"{name} {label}", file, (), 1e-6)
            for file in self.paths(f"{at}/power*_input"):
                label = self.text(f"{at}/{file.name.removesuffix('input')}label") or file.name
                yield PowerSensor(f"{name} {label}", None, (file,), 1e-6)
            for volts in self.paths(f"{at}/in*_input") if name.startswith("ina3221") else ():
                current = volts.with_name(volts.name.replace("in", "curr", 1))
                label = self.text(f"{at}/{volts.name.removesuffix('input')}label") or volts.name
                if current.exists():
                    yield PowerSensor(f"{name} {label}", None, (volts, current), 1e-6)

    def _iio_power(self) -> Iterator[PowerSensor]:
        for file in self.paths("/sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power*_input"):
            rail = self.text(
                f"/{file.relative_to(self.root).parent}/{file.name.replace('in_power', 'rail_name_')[:11]}"
            )
            yield PowerSensor(f"ina3221x {rail or file.name}", None, (file,), 1e-3)

    def _rapl(self) -> Iterator[PowerSensor]:
        for file in self.paths("/sys/class/powercap/intel-rapl:?/energy_uj"):
            at = f"/{file.parent.relative_to(self.root)}"
            if self.number(f"{at}/energy_uj") is not None:  # readable by root only on most systems
                wrap = self.number(f"{at}/max_energy_range_uj") or 0
                yield PowerSensor(f"rapl {self.text(f'{at}/name') or file.parent.name}", file, (), 1e-6, wrap)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of the kernel's list format; text that is none gives none.

    Examples:
        >>> parse_cpu_list("0-2,5")
        (0, 1, 2, 5)
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        if match:
            numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(numbers))


def _integer(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text):
        return None
    return int(text, 16) if "x" in text else int(text)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
