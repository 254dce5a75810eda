"""Reading ``/proc`` and ``/sys``, and recognising boards, on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trees import A53, A55, TREES, Tree, put

from edgeface.boards import Host, recognise
from edgeface.boards.host import parse_cpu_list


@pytest.mark.parametrize("name", sorted(TREES))
def test_each_board_is_recognised(name: str, tmp_path: Path) -> None:
    host = Host(TREES[name].write(tmp_path))
    here = recognise(host)
    assert here is not None
    assert here.board.name == name


@pytest.mark.parametrize("name", sorted(name for name in TREES if not name.startswith("generic")))
def test_each_file_tells_the_truth_about_its_tree(name: str, tmp_path: Path) -> None:
    host = Host(TREES[name].write(tmp_path))
    here = recognise(host)
    assert here is not None
    board = here.board
    assert len(host.cpus()) == board.cores
    merged: dict[str, list[int]] = {}
    for cluster in board.clusters:
        merged.setdefault(cluster.core, []).extend(cluster.cpus)
    assert host.clusters() == merged
    for cluster in board.clusters:
        for cpu in host.cpus():
            if cpu.number in cluster.cpus:
                assert ("dotprod" in cpu.features) == ("dotprod" in cluster.features)
    assert board.thermal_zone in [zone.kind for zone in host.zones()]
    paths = {f"/sys/devices/system/cpu/cpufreq/{policy.name}/scaling_governor" for policy in host.policies()}
    assert not paths or paths == set(board.facts["governor"]["paths"])


def test_a_known_model_with_unknown_compatible_is_recognised(tmp_path: Path) -> None:
    tree = Tree("Raspberry Pi 5 Model B Rev 2.0", ["raspberrypi,5-model-z"], [(0xD0B, A55)])
    here = recognise(Host(tree.write(tmp_path)))
    assert here is not None
    assert (here.board.name, here.reason) == ("rpi5", "device tree: model Raspberry Pi 5 Model B Rev 2.0")


def test_an_x86_machine_is_no_board(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sse avx2\n\n")
    host = Host(tmp_path)
    assert recognise(host) is None
    assert [(cpu.core, "avx2" in cpu.features) for cpu in host.cpus()] == [("unknown", True)]


def test_an_empty_machine_knows_nothing_and_does_not_fail(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert host.model is None
    assert host.compatible == ()
    assert host.cpus() == host.policies() == host.zones() == host.swaps() == host.power_sensors() == []
    assert host.throttle() is None
    assert host.memory() == {}
    assert host.load() is None
    assert host.operating_system() is None


def test_policies_and_zones(tmp_path: Path) -> None:
    host = Host(TREES["rock5b"].write(tmp_path))
    assert [(policy.name, policy.cpus, policy.maximum) for policy in host.policies()] == [
        ("policy0", (0, 1, 2, 3), 1800000),
        ("policy4", (4, 5), 2400000),
        ("policy6", (6, 7), 2400000),
    ]
    assert [(zone.kind, zone.celsius, zone.passive) for zone in host.zones()][1] == ("bigcore0-thermal", 42.0, (85.0,))


@pytest.mark.parametrize(
    ("bits", "now", "since"),
    [
        ("0", (), ()),
        ("50005", ("under_voltage", "throttled"), ("under_voltage", "throttled")),
        ("0x80008", ("soft_temperature_limit",), ("soft_temperature_limit",)),
        ("20000", (), ("frequency_capped",)),
    ],
)
def test_raspberry_pi_throttle_bits(bits: str, now: tuple[str, ...], since: tuple[str, ...], tmp_path: Path) -> None:
    tree = Tree("Raspberry Pi 3", [], [(0xD03, A53)], throttled=bits)
    throttle = Host(tree.write(tmp_path)).throttle()
    assert throttle is not None
    assert (throttle.now, throttle.since_boot) == (now, since)


def test_under_voltage_of_newer_kernels_and_cooling_devices(tmp_path: Path) -> None:
    host = Host(TREES["rpi5"].write(tmp_path))
    throttle = host.throttle()
    assert throttle is not None
    assert throttle.now == ()
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    put(tmp_path, "sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n")
    put(tmp_path, "sys/class/thermal/cooling_device0/cur_state", "2\n")
    throttle = host.throttle()
    assert throttle is not None
    assert throttle.now == ("under_voltage", "thermal_cooling")


def test_power_sensors(tmp_path: Path) -> None:
    (nano,) = Host(TREES["jetson-nano"].write(tmp_path / "a")).power_sensors()
    assert (nano.name, nano.factor, len(nano.power)) == ("ina3221x POM_5V_IN", 1e-3, 1)
    (orin,) = Host(TREES["jetson-orin-nano"].write(tmp_path / "b")).power_sensors()
    assert (orin.name, orin.factor) == ("ina3221 VDD_IN", 1e-6)
    assert [file.name for file in orin.power] == ["in1_input", "curr1_input"]


def test_swap_on_disk_is_seen_and_zram_is_not(tmp_path: Path) -> None:
    put(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 p 1 0 1\n/var/swap file 100 50 -2\n")
    assert Host(tmp_path).swaps() == ["/var/swap"]


@given(st.text(max_size=40))
def test_cpu_lists_of_any_text(text: str) -> None:
    numbers = parse_cpu_list(text)
    assert list(numbers) == sorted(set(numbers))


@given(st.binary(max_size=400))
def test_any_cpuinfo(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        put(root, "proc/cpuinfo", "")
        (root / "proc/cpuinfo").write_bytes(data)
        for cpu in Host(root).cpus():
            assert cpu.number >= 0
