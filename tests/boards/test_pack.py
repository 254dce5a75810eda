"""The offline bundle: made of small made-up wheels, and really installed from, with no index in reach."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgeface.boards.pack import PackError, pack_board, platform_tags
from edgeface.cli.app import main
from edgeface.errors import InvalidInputError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

MAIN = """
import sys
def main():
    print("doctor says hello" if sys.argv[1:] == ["doctor"] else sys.argv)
"""


def write_wheel(folder: Path, name: str, files: dict[str, str], extra: str = "", platform: str = "any") -> Path:
    """A wheel with these files; with a script of the same name if one is a module with ``main``."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    tag = f"py3-none-{platform}"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{extra}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n" if name == "edgeface" else "",
    }
    record = "".join(f"{file},,\n" for file in files) + f"{info}/RECORD,,\n"
    path = folder / f"{module}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    files = {"edgeface/__init__.py": MAIN, "edgeface/models/edgeface-s.efm": "not a network"}
    write_wheel(folder, "edgeface", files, "Requires-Dist: needed\n")
    write_wheel(folder, "needed", {"needed.py": ""})
    write_wheel(folder, "ncnn", {"ncnn.py": ""}, platform="manylinux_2_27_aarch64")
    # pip's own wheel, out of the one that is installed here
    import pip

    home = Path(pip.__file__).parent
    with zipfile.ZipFile(folder / f"pip-{pip.__version__}-py3-none-any.whl", "w") as archive:
        for path in sorted(home.rglob("*.py")) + sorted(home.rglob("*.pem")) + sorted(home.rglob("*.txt")):
            archive.write(path, path.relative_to(home.parent))
        info = f"pip-{pip.__version__}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pip\nVersion: {pip.__version__}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder


def pack(index: Path, out: Path, **options: str) -> Path:
    options = {"python": PYTHON, **options}
    return pack_board(
        "rpi4",
        wheel=index / "edgeface-1.0-py3-none-any.whl",
        out=out,
        pip_options=["--no-index", f"--find-links={index}"],
        **options,
    )


@pytest.fixture(scope="module")
def unpacked(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    with tarfile.open(pack(index, folder / "a.tar")) as tar:
        tar.extractall(folder, filter="data")
    return folder / f"edgeface-rpi4-py{PYTHON.replace('.', '')}"


def test_everything_is_in_it(unpacked: Path) -> None:
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    wheels = {file for file in files if file.startswith("wheels/")}
    assert files - wheels == {
        *("README.txt", "SHA256SUMS", "bundle.env", "edgeface.service", "install.sh", "rpi4.toml"),
        "models/edgeface-s.efm",
    }
    assert {wheel.split("-")[0] for wheel in wheels} == {f"wheels/{n}" for n in ("edgeface", "needed", "ncnn", "pip")}
    assert "@" not in (unpacked / "README.txt").read_text()


def test_it_is_the_same_every_time(index: Path, tmp_path: Path) -> None:
    assert pack(index, tmp_path / "a.tar").read_bytes() == pack(index, tmp_path / "b.tar").read_bytes()


def install(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(folder / "install.sh"), *options], check=False, capture_output=True, text=True)


def host_index(folder: Path, unpacked: Path) -> Path:
    """The same bundle with a runtime wheel for the machine that the tests run on."""
    import shutil

    copy = folder / "bundle"
    folder.mkdir(exist_ok=True)
    shutil.copytree(unpacked, copy)
    for wheel in (copy / "wheels").glob("ncnn*"):
        wheel.unlink()
    write_wheel(copy / "wheels", "ncnn", {"ncnn.py": ""})
    sign(copy)
    return copy


def sign(folder: Path) -> None:
    """Write the sums anew."""
    sums = subprocess.run(
        ["sh", "-c", "find . -type f ! -name SHA256SUMS | sort | xargs sha256sum"],
        check=True,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    (folder / "SHA256SUMS").write_text(sums.stdout)


def test_it_installs_without_an_index_and_runs_the_doctor(unpacked: Path, tmp_path: Path) -> None:
    bundle = host_index(tmp_path, unpacked)
    done = install(bundle, "--any-machine", "--prefix", str(tmp_path / "there"))
    assert done.returncode == 0, done.stderr
    assert "doctor says hello" in done.stdout
    assert (tmp_path / "there/share/edgeface/models/edgeface-s.efm").is_file()
    script = subprocess.run([tmp_path / "there/bin/edgeface", "x"], check=True, capture_output=True, text=True)
    assert "'x'" in script.stdout


def test_a_damaged_bundle_is_not_installed(unpacked: Path, tmp_path: Path) -> None:
    bundle = host_index(tmp_path, unpacked)
    (bundle / "models/edgeface-s.efm").write_text("another network")
    done = install(bundle, "--any-machine", "--prefix", str(tmp_path / "there"))
    assert done.returncode == 1
    assert "edgeface-s.efm" in done.stdout + done.stderr
    assert "some are damaged" in done.stderr
    assert not (tmp_path / "there").exists()


def test_nothing_of_the_folder_is_run_before_its_sum_is_checked(unpacked: Path, tmp_path: Path) -> None:
    bundle = host_index(tmp_path, unpacked)
    mark = tmp_path / "mark"
    with (bundle / "bundle.env").open("a") as file:
        file.write(f"touch {mark}\n")
    assert "some are damaged" in install(bundle, "--any-machine", "--prefix", str(tmp_path / "there")).stderr
    assert not mark.exists()


def test_settings_are_read_and_not_run(unpacked: Path, tmp_path: Path) -> None:
    """Even where the sums are right: whoever can change the one can change the other."""
    mark = tmp_path / "mark"
    for number, line in enumerate(
        (f"board=$(touch {mark})", f"python=3.11; touch {mark}", f"requirements=`touch {mark}`")
    ):
        bundle = host_index(tmp_path / str(number), unpacked)
        env = bundle / "bundle.env"
        name = line.partition("=")[0]
        kept = [row for row in env.read_text().splitlines() if not row.startswith(f"{name}=")]
        env.write_text("\n".join([*kept, line]) + "\n")
        sign(bundle)
        done = install(bundle, "--any-machine", "--prefix", str(tmp_path / "there"))
        assert done.returncode == 1
        assert "bundle.env must" in done.stderr
        assert not mark.exists()


@pytest.mark.parametrize("added", ["wheels/edgeface-9.9-py3-none-any.whl", "wheels/link.whl", "models/more.efm"])
def test_what_was_added_is_not_installed(added: str, unpacked: Path, tmp_path: Path) -> None:
    bundle = host_index(tmp_path, unpacked)
    if "link" in added:
        (bundle / added).symlink_to(next((bundle / "wheels").glob("needed*")))
    else:
        (bundle / added).write_bytes(b"anything")
    done = install(bundle, "--any-machine", "--prefix", str(tmp_path / "there"))
    assert done.returncode == 1
    assert "no others, but got others" in done.stderr
    assert not (tmp_path / "there").exists()


def test_the_wrong_machine_and_python_are_refused(unpacked: Path, tmp_path: Path) -> None:
    import platform

    if platform.machine() != "aarch64":
        assert "machine must be aarch64" in install(unpacked).stderr
    (unpacked / "bundle.env").write_text((unpacked / "bundle.env").read_text())
    bundle = host_index(tmp_path, unpacked)
    env = bundle / "bundle.env"
    env.write_text(env.read_text().replace(f"python={PYTHON}", "python=2.7"))
    assert "damaged" in install(bundle, "--any-machine").stderr
    assert "unknown option --no-such" in install(bundle, "--no-such").stderr


def test_wheels_that_do_not_exist_are_an_error(index: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"wheels must exist for manylinux_2_19_aarch64 .* ncnn"):
        pack(index, tmp_path / "a.tar", glibc="2.19")  # the runtime's needs 2.27


def test_the_wheel_has_to_be_given_whatever_the_index_has(index: Path, tmp_path: Path) -> None:
    """Nobody has registered the name: install.sh would run a stranger's package as root."""
    with pytest.raises(
        PackError, match=r"not on the package index, but got none; give a wheel of your own with --wheel"
    ):
        pack_board("rpi4", python=PYTHON, out=tmp_path / "a.tar", pip_options=["--no-index", f"--find-links={index}"])
    assert not (tmp_path / "a.tar").exists()


def test_another_wheel_is_refused(index: Path, tmp_path: Path) -> None:
    for wheel in ("needed-1.0-py3-none-any.whl", "x" * 300):
        with pytest.raises(InvalidInputError, match="wheel must be"):
            pack_board("rpi4", python=PYTHON, wheel=index / wheel, out=tmp_path / "a.tar")


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInputError, match=r"board must be one of .* but got toaster"):
        pack_board("toaster")
    with pytest.raises(InvalidInputError, match=r"python must be a version such as 3\.11"):
        pack_board("rpi4", python="three")
    with pytest.raises(InvalidInputError, match="wheel must be a file"):
        pack_board("rpi4", wheel=tmp_path / "no.whl")
    for glibc in ("2.16", "3.0", "new", "2.x"):
        with pytest.raises(InvalidInputError, match=r"glibc must be a version from 2\.17"):
            platform_tags(glibc)
    assert main(["boards", "pack", "--board", "toaster"]) == 1
    assert "board must be one of" in capsys.readouterr().err


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards"]) == 0
    assert "Raspberry Pi Zero 2 W" in capsys.readouterr().out
    assert main(["boards", "show", "rpi4"]) == 0
    assert "BCM2711" in capsys.readouterr().out
    assert main(["boards", "show", "toaster"]) == 1
    assert main(["boards", "--json"]) == 0
    import json

    assert json.loads(capsys.readouterr().out)["rpi5"]["soc"]["name"] == "Broadcom BCM2712"
