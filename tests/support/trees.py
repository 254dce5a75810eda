"""Folders that look like ``/proc`` and ``/sys`` of real boards, as their kernels print them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

A53 = "fp asimd evtstrm crc32 cpuid"
A53_CRYPTO = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
A55 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


@dataclass
class Tree:
    """What a board's kernel shows. Frequencies in kHz, temperatures in thousandths of a degree."""

    model: str
    compatible: list[str]
    cores: list[tuple[int, str]]  # MIDR part and features of each CPU
    governors: dict[int, tuple[str, list[int], int]] = field(default_factory=dict)  # policy: governor, CPUs, top kHz
    zones: list[tuple[str, int, list[int]]] = field(default_factory=list)  # type, temperature, passive trip points
    throttled: str | None = None
    files: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> Path:
        """Make the files below *root*."""
        put(root, "proc/device-tree/model", f"{self.model}\0")
        put(root, "proc/device-tree/compatible", "".join(f"{entry}\0" for entry in self.compatible))
        blocks = [
            f"processor\t: {i}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part:#05x}\nCPU revision\t: 3\n\n"
            for i, (part, features) in enumerate(self.cores)
        ]
        put(root, "proc/cpuinfo", "".join(blocks) + "Serial\t\t: 10000000abcdef01\n")
        put(
            root,
            "proc/meminfo",
            "MemTotal:        1000000 kB\nMemAvailable:     800000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        )
        put(root, "proc/loadavg", "0.20 0.10 0.05 1/123 4567\n")
        put(root, "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 100 0 5\n")
        put(root, "proc/self/status", "Name:\tpython3\nVmHWM:\t   90000 kB\nVmRSS:\t   80000 kB\n")
        put(root, "etc/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
        for number, (governor, cpus, top) in self.governors.items():
            at = f"sys/devices/system/cpu/cpufreq/policy{number}"
            put(root, f"{at}/affected_cpus", " ".join(map(str, cpus)) + "\n")
            put(root, f"{at}/scaling_governor", f"{governor}\n")
            put(root, f"{at}/scaling_cur_freq", f"{top // 2}\n")
            put(root, f"{at}/scaling_max_freq", f"{top}\n")
            put(root, f"{at}/cpuinfo_max_freq", f"{top}\n")
        for number, (kind, temperature, trips) in enumerate(self.zones):
            at = f"sys/class/thermal/thermal_zone{number}"
            put(root, f"{at}/type", f"{kind}\n")
            put(root, f"{at}/temp", f"{temperature}\n")
            for i, trip in enumerate(trips):
                put(root, f"{at}/trip_point_{i}_type", "passive\n")
                put(root, f"{at}/trip_point_{i}_temp", f"{trip}\n")
        if self.throttled is not None:
            put(root, "sys/devices/platform/soc/soc:firmware/get_throttled", f"{self.throttled}\n")
        for path, text in self.files.items():
            put(root, path, text)
        return root


def put(root: Path, path: str, text: str) -> Path:
    """Write one file and the folders above it."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def _one(governor: str, count: int, top: int) -> dict[int, tuple[str, list[int], int]]:
    return {0: (governor, list(range(count)), top)}


_RPI_VOLT = {"sys/class/hwmon/hwmon1/name": "rpi_volt\n", "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n"}
_RK3588_GOVERNORS = {
    0: ("schedutil", [0, 1, 2, 3], 1800000),
    4: ("schedutil", [4, 5], 2400000),
    6: ("schedutil", [6, 7], 2400000),
}
_RK3588_ZONES = [
    ("package-thermal", 41000, []),
    ("bigcore0-thermal", 42000, [85000]),
    ("bigcore2-thermal", 41500, [85000]),
    ("littlecore-thermal", 41000, [85000]),
]
_RK3588_CORES = [(0xD05, A55)] * 4 + [(0xD0B, A55)] * 4

#: Name of the board's file -> a tree of one such board.
TREES: dict[str, Tree] = {
    "rpi3": Tree(
        "Raspberry Pi 3 Model B Plus Rev 1.3",
        ["raspberrypi,3-model-b-plus", "brcm,bcm2837"],
        [(0xD03, A53)] * 4,
        _one("ondemand", 4, 1400000),
        [("cpu-thermal", 48312, [])],
        throttled="0",
    ),
    "rpi-zero2w": Tree(
        "Raspberry Pi Zero 2 W Rev 1.0",
        ["raspberrypi,model-zero-2-w", "brcm,bcm2837"],
        [(0xD03, A53)] * 4,
        _one("ondemand", 4, 1000000),
        [("cpu-thermal", 51540, [])],
        throttled="0",
    ),
    "rpi4": Tree(
        "Raspberry Pi 4 Model B Rev 1.4",
        ["raspberrypi,4-model-b", "brcm,bcm2711"],
        [(0xD08, A53)] * 4,
        _one("ondemand", 4, 1800000),
        [("cpu-thermal", 45764, [])],
        throttled="0",
        files=_RPI_VOLT,
    ),
    "rpi5": Tree(
        "Raspberry Pi 5 Model B Rev 1.0",
        ["raspberrypi,5-model-b", "brcm,bcm2712"],
        [(0xD0B, A55)] * 4,
        _one("ondemand", 4, 2400000),
        [("cpu-thermal", 47400, [])],
        files=_RPI_VOLT,
    ),
    "rk3566": Tree(
        "Pine64 Quartz64 Model A",
        ["pine64,quartz64-a", "rockchip,rk3566"],
        [(0xD05, A55)] * 4,
        _one("schedutil", 4, 1800000),
        [("cpu-thermal", 40000, [70000, 75000]), ("gpu-thermal", 39000, [70000])],
    ),
    "rk3568": Tree(
        "Radxa ROCK 3A",
        ["radxa,rock-3a", "rockchip,rk3568"],
        [(0xD05, A55)] * 4,
        _one("schedutil", 4, 1992000),
        [("cpu-thermal", 40000, [70000, 75000])],
    ),
    "rock5b": Tree(
        "Radxa ROCK 5B", ["radxa,rock-5b", "rockchip,rk3588"], _RK3588_CORES, _RK3588_GOVERNORS, _RK3588_ZONES
    ),
    "orangepi5": Tree(
        "Xunlong Orange Pi 5",
        ["xunlong,orangepi-5", "rockchip,rk3588s"],
        _RK3588_CORES,
        _RK3588_GOVERNORS,
        _RK3588_ZONES,
    ),
    "jetson-nano": Tree(
        "NVIDIA Jetson Nano Developer Kit",
        ["nvidia,p3450-0000", "nvidia,jetson-nano", "nvidia,tegra210"],
        [(0xD07, A53_CRYPTO)] * 4,
        _one("schedutil", 4, 1479000),
        [("AO-therm", 45000, []), ("CPU-therm", 38500, [98500]), ("GPU-therm", 37000, [])],
        files={
            "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power0_input": "2500\n",
            "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/rail_name_0": "POM_5V_IN\n",
        },
    ),
    "jetson-orin-nano": Tree(
        "NVIDIA Jetson Orin Nano Developer Kit",
        ["nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234"],
        [(0xD42, A55)] * 6,
        {0: ("schedutil", [0, 1, 2, 3], 1510400), 4: ("schedutil", [4, 5], 1510400)},
        [("cpu-thermal", 47000, [99000]), ("gpu-thermal", 46000, [99000])],
        files={
            "sys/class/hwmon/hwmon1/name": "ina3221\n",
            "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
            "sys/class/hwmon/hwmon1/in1_input": "5000\n",
            "sys/class/hwmon/hwmon1/curr1_input": "1000\n",
        },
    ),
    "imx8mp": Tree(
        "NXP i.MX8MPlus EVK board",
        ["fsl,imx8mp-evk", "fsl,imx8mp"],
        [(0xD03, A53_CRYPTO)] * 4,
        _one("schedutil", 4, 1800000),
        [("cpu-thermal", 46000, [85000]), ("soc-thermal", 46000, [85000])],
    ),
    "beaglebone-ai64": Tree(
        "BeagleBoard.org BeagleBone AI-64",
        ["beagle,j721e-beagleboneai64", "ti,j721e"],
        [(0xD08, A53_CRYPTO)] * 2,
        zones=[("wkup-thermal", 45000, []), ("mpu-thermal", 46000, [])],
    ),
    "h616": Tree(
        "OrangePi Zero2",
        ["xunlong,orangepi-zero2", "allwinner,sun50i-h616"],
        [(0xD03, A53_CRYPTO)] * 4,
        _one("schedutil", 4, 1512000),
        [("cpu-thermal", 47000, [60000, 70000])],
    ),
    "h618": Tree(
        "OrangePi Zero3",
        ["xunlong,orangepi-zero3", "allwinner,sun50i-h618"],
        [(0xD03, A53_CRYPTO)] * 4,
        _one("schedutil", 4, 1416000),
        [("cpu-thermal", 47000, [60000, 70000])],
    ),
    "stm32mp2": Tree(
        "STMicroelectronics STM32MP257F-EV1 Evaluation Board",
        ["st,stm32mp257f-ev1", "st,stm32mp257"],
        [(0xD04, A53_CRYPTO)] * 2,
        _one("ondemand", 2, 1500000),
        [("cpu-thermal", 44000, [])],
    ),
    "generic-cortex-a53": Tree(
        "Some TV box", ["vendor,box", "vendor,soc"], [(0xD03, A53)] * 4, _one("schedutil", 4, 1500000)
    ),
    "generic-cortex-a55": Tree(
        "Some TV box", ["vendor,box", "vendor,soc"], [(0xD05, A55)] * 4, _one("schedutil", 4, 1900000)
    ),
    "generic-cortex-a72": Tree("Some board", ["vendor,board"], [(0xD03, A53)] * 4 + [(0xD08, A53)] * 2),
    "generic-cortex-a76": Tree("Some board", ["vendor,board"], [(0xD05, A55)] * 6 + [(0xD0B, A55)] * 2),
}
