"""Sensors over time, on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.clock import Clock
from support.trees import TREES, put

from edgeface.boards import Host
from edgeface.profiling.sensors import Channel, EnergyMeter, Monitor, host_channels


@pytest.mark.parametrize("name", sorted(TREES))
def test_every_board_has_channels_and_names_what_is_missing(name: str, tmp_path: Path) -> None:
    host = Host(TREES[name].write(tmp_path))
    energy = EnergyMeter(host)
    channels, missing = host_channels(host, energy)
    monitor = Monitor(channels)
    monitor.sample()
    monitor.sample()
    for channel in channels:
        assert len(channel.values) == 2
        assert channel.values[-1] is not None, channel.name
    kinds = {channel.name.split(" ")[0] for channel in channels} | {item.sensor for item in missing}
    kinds = {"throttling" if kind == "throttled" else kind for kind in kinds}
    assert {"temperature", "clock", "throttling", "power", "memory"} <= kinds, "measured or named as missing"
    assert all(item.reason for item in missing)


def test_a_machine_without_sensors(tmp_path: Path) -> None:
    channels, missing = host_channels(Host(tmp_path), EnergyMeter(Host(tmp_path)))
    assert channels == []
    assert [item.sensor for item in missing] == ["temperature", "clock", "throttling", "power", "memory"]


def test_values_follow_the_files_and_survive_their_loss(tmp_path: Path) -> None:
    clock = Clock()
    host = Host(TREES["rpi4"].write(tmp_path))
    channels, _ = host_channels(host)
    monitor = Monitor(channels, clock)
    found = {channel.name: channel for channel in channels}
    monitor.sample()
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "81000\n")
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "4\n")
    clock.sleep(2_000_000_000)
    monitor.sample()
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").unlink()
    put(tmp_path, "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "nonsense\n")
    clock.sleep(1_000_000_000)
    monitor.sample()
    assert monitor.seconds == [0, 2, 3]
    assert found["temperature cpu-thermal"].values == [45.764, 81.0, None]
    assert found["throttled"].values == [0, 1, 1]
    assert found["clock policy0"].values == [900, 900, None]
    assert found["memory resident"].values == [pytest.approx(81.92)] * 3


def test_a_sensor_that_raises_is_a_gap() -> None:
    def broken() -> float:
        raise OSError("gone")

    monitor = Monitor([Channel("x", "V", broken)])
    monitor.sample()
    assert monitor.channels[0].values == [None]


def test_power_is_integrated(tmp_path: Path) -> None:
    clock = Clock()
    meter = EnergyMeter(Host(TREES["jetson-orin-nano"].write(tmp_path)), clock)
    assert meter.read() == 0
    clock.sleep(1_000_000_000)
    assert meter.read() == pytest.approx(5.0)  # 5000 mV times 1000 mA for one second
    assert meter.watts == pytest.approx(5.0)
    put(tmp_path, "sys/class/hwmon/hwmon1/curr1_input", "3000\n")
    clock.sleep(1_000_000_000)
    assert meter.read() == pytest.approx(5 + 10)  # from 5 W to 15 W: 10 W on average
    (tmp_path / "sys/class/hwmon/hwmon1/curr1_input").unlink()
    assert meter.read() is None


def test_a_counter_that_wraps(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/powercap/intel-rapl:0/name", "package-0\n")
    counter = put(tmp_path, "sys/class/powercap/intel-rapl:0/energy_uj", "9000000\n")
    put(tmp_path, "sys/class/powercap/intel-rapl:0/max_energy_range_uj", "10000000\n")
    clock = Clock()
    meter = EnergyMeter(Host(tmp_path), clock)
    assert meter.sensor is not None
    assert meter.sensor.name == "rapl package-0"
    meter.read()
    clock.sleep(2_000_000_000)
    counter.write_text("1000000\n")
    assert meter.read() == pytest.approx(2.0)
    assert meter.watts == pytest.approx(1.0)


def test_the_background_thread_samples_at_both_ends_and_stops() -> None:
    import threading

    monitor = Monitor([Channel("one", "", lambda: 1.0)])
    before = set(threading.enumerate())
    with monitor.running(interval_s=1000):
        (own,) = set(threading.enumerate()) - before
    assert not own.is_alive()
    assert monitor.channels[0].values == [1.0, 1.0]
