"""Which runtime is taken, ncnn's own manners, and what a runtime may not do by itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import tiny

from edgeface.bundle import Bundle, bundled_models
from edgeface.engine import FaceEngine
from edgeface.errors import BundleCorruptError, BundleError, RuntimeFailedError
from edgeface.images import read_image
from edgeface.manifest import DECODE_RULE
from edgeface.runtimes import RUNTIMES, candidates, choose, installed
from edgeface.runtimes.cores import core_of, ranking

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
INSTALLED = [name for name in RUNTIMES if installed(name) and name != "tflite"]
CORES = ("cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76")
ncnn = pytest.mark.skipif(not installed("ncnn"), reason="ncnn is not installed (edgeface[ncnn])")


def ncnn_bundle(path: Path, network: tuple[bytes, bytes] | None = None, **changes: Any) -> Path:
    """A bundle of the tiny network for ncnn alone."""
    param, weights = network = network or tiny.ncnn_network()
    entry = tiny.ncnn_entry("tiny", network, **changes)
    text = tiny.json.dumps(tiny.manifest([entry])).encode()
    return tiny.pack(path, {"manifest.json": text, "tiny.param": param, "tiny.bin": weights})


@ncnn
@pytest.mark.parametrize("size", [(64, 64), (96, 32), (320, 240)])
def test_ncnn_finds_the_face_where_it_is(tmp_path: Path, size: tuple[int, int]) -> None:
    with FaceEngine(ncnn_bundle(tmp_path / "t.efm"), runtime="ncnn", size=size) as engine:
        for corner in ((16, 24), (40, 8), (16, 24)):  # the buffers are the same ones
            faces = engine.detect(tiny.red_squares(size, [corner]), color="bgr")
            assert len(faces) == 1
            centre = faces.boxes[0].reshape(2, 2).mean(axis=0)
            np.testing.assert_allclose(centre, np.add(corner, 4), atol=0.01)
    assert engine.info.runtime == "ncnn"
    assert engine.info.reason == "requested"


@pytest.mark.parametrize(
    ("runtime", "native"), [("ncnn", "extract"), ("litert", "Invoke"), ("onnxruntime", "run_with_iobinding")]
)
def test_other_threads_go_on_while_a_network_computes(runtime: str, native: str) -> None:
    """Nobody is made to give up the interpreter lock here: another thread counts only if the call releases it."""
    if runtime not in INSTALLED:
        pytest.skip(f"{runtime} is not installed")
    counted, stop = [0], threading.Event()
    before, seen = 0, 0

    def count() -> None:
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0)

    def watch(_: Any, event: str, function: Any) -> None:
        nonlocal before, seen
        if event in ("c_call", "c_return") and function.__name__ == native:
            before, seen = counted[0], seen + (counted[0] - before) * (event == "c_return")

    with FaceEngine("edgeface-s", runtime=runtime, size=(640, 480)) as engine:
        network = engine._runtime
        assert network is not None
        interval = sys.getswitchinterval()
        sys.setswitchinterval(600)
        thread = threading.Thread(target=count)
        try:
            thread.start()
            sys.setprofile(watch)
            for _ in range(20):  # on a busy machine the other thread may get no core during one of them
                network.run()
        finally:
            sys.setprofile(None)
            stop.set()
            sys.setswitchinterval(interval)
            thread.join()
    assert seen > 20


@ncnn
def test_ncnn_refuses_what_the_manifest_does_not_say(tmp_path: Path) -> None:
    param, weights = tiny.ncnn_network()
    cases: list[tuple[tuple[bytes, bytes], type[Exception], str]] = [
        ((param.replace(b" p8 ", b" q8 "), weights), BundleError, r"outputs of tiny.param must be \['p8'"),
        ((param.replace(b"image", b"photo"), weights), BundleError, r"inputs of tiny.param must be \['image'\]"),
        ((param.replace(b"0=22 1=1 3=32", b"0=22 1=1 3=16"), weights), BundleError, "tensor p32 of the network must"),
        ((param, weights[:-40]), RuntimeFailedError, "must be a network that ncnn takes, with its weights"),
        ((b"nothing", weights), RuntimeFailedError, "must be a network that ncnn takes, with its weights"),
    ]  # fmt: skip
    for number, (network, error, message) in enumerate(cases):
        with pytest.raises(error, match=message):
            FaceEngine(ncnn_bundle(tmp_path / f"{number}.efm", network), runtime="ncnn")


def test_weights_are_hashed_too(tmp_path: Path) -> None:
    param, weights = tiny.ncnn_network()
    entry = tiny.ncnn_entry("tiny", (param, weights))
    text = tiny.json.dumps(tiny.manifest([entry])).encode()
    wrong = tiny.pack(tmp_path / "t.efm", {"manifest.json": text, "tiny.param": param, "tiny.bin": weights[::-1]})
    with pytest.raises(BundleCorruptError, match=r"sha256 of tiny\.bin"):
        Bundle.open(wrong)
    good = Bundle.open(ncnn_bundle(tmp_path / "g.efm"))
    (model,) = good.manifest.models
    assert good.read_weights(model) == weights
    assert good.manifest.to_dict()["models"][0]["weights"] == entry["weights"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "weights must be an object"),
        ({"weights": {"file": "tiny.bin"}}, "weights.sha256 must be there"),
        ({"weights": {"file": "tiny.param", "sha256": "0" * 64}}, "weights.file must be another file than tiny.param"),
        ({"weights": {"file": "../x", "sha256": "0" * 64}}, "weights.file must be a string of the form"),
        ({"format": "onnx"}, "weights must be there for format ncnn alone, but got them for onnx"),
    ],
)
def test_manifests_with_wrong_weights(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle.open(ncnn_bundle(tmp_path / "t.efm", **changes))


def test_an_x86_is_counted_and_takes_litert_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts, of an emulated CPU without VNNI and AVX-512, say little (docs/runtimes.md)."""
    assert {cost.runtime for cost in ranking("x86-64")} == {"ncnn", "litert", "onnxruntime"}
    monkeypatch.setattr("edgeface.runtimes.installed", lambda name: True)
    choice = choose(Bundle.open(bundled_models()["edgeface-s"]), core="x86-64")
    assert (choice.runtime, choice.model.precision) == ("litert", "int8")
    assert choice.reason == "first that fits: no counts to follow on x86-64"


@pytest.mark.parametrize("core", CORES)
def test_auto_takes_the_fewest_instructions_of_what_is_there(core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.find("edgeface-s")
    monkeypatch.setattr("edgeface.runtimes.installed", lambda name: name != "tflite")
    choice = choose(bundle, size=(320, 320), core=core)
    possible = [c for c in ranking(core) if bundle.select(RUNTIMES[c.runtime].formats, (320, 320), c.precision)]
    best = min(possible, key=lambda c: c.millions)
    assert (choice.runtime, choice.model.precision) == (best.runtime, best.precision)
    assert f"{best.millions:.1f} M instructions in {best.precision} on {core}, the fewest" in choice.reason
    others = [c for c in possible if c.runtime != best.runtime]
    monkeypatch.setattr("edgeface.runtimes.installed", lambda name: name not in ("tflite", best.runtime))
    second = choose(bundle, size=(320, 320), core=core)
    assert (second.runtime, second.model.precision) == min(others, key=lambda c: c.millions)[:2]
    assert f"{best.runtime} is not installed" in second.reason


def test_the_table_has_every_core_in_both_precisions() -> None:
    for core in CORES:
        rows = ranking(core)
        assert {(c.runtime, c.precision) for c in rows} >= {
            (runtime, precision) for runtime in ("ncnn", "litert", "onnxruntime") for precision in ("int8", "float32")
        } - {("litert", "float32")}, core
    assert ranking("abacus") == ranking(None) == ()
    assert [c[0] for c in candidates(precision="int8")] == ["litert", "ncnn", "onnxruntime", "tflite"]
    assert [c[:2] for c in candidates("onnxruntime", "float32", "cortex-a53")] == [("onnxruntime", "float32")]


@pytest.mark.parametrize(
    ("machine", "cores", "features", "cpus", "core"),
    [
        ("x86_64", ["unknown"], "", None, "x86-64"),
        ("aarch64", ["cortex-a53"] * 4, "", None, "cortex-a53"),
        ("aarch64", ["cortex-a55"] * 4 + ["cortex-a76"] * 4, "dotprod", None, "cortex-a76"),
        ("aarch64", ["cortex-a55"] * 4 + ["cortex-a76"] * 4, "dotprod", [0, 1], "cortex-a55"),
        ("aarch64", ["cortex-a57"], "", None, "cortex-a72"),
        ("aarch64", ["arm-0xd4f"], "dotprod", None, "cortex-a76"),
        ("aarch64", ["unknown"], "", None, "cortex-a72"),
        ("armv7l", ["unknown"], "", None, None),
        ("riscv64", [], "", None, None),
    ],
)
def test_the_kind_of_core(machine: str, cores: list[str], features: str, cpus: Any, core: str | None) -> None:
    found = [SimpleNamespace(number=n, core=c, features=frozenset(features.split())) for n, c in enumerate(cores)]
    host = SimpleNamespace(cpus=lambda: found)
    assert core_of(cpus, host=host, machine=machine) == core  # type: ignore[arg-type]


@ncnn
@pytest.mark.parametrize("name", [n for n in bundled_models(DECODE_RULE) if not n.endswith("-float32")])
@pytest.mark.parametrize("size", ["320x240", "320x320", "640x480", "336x208"])
def test_ncnn_in_float_is_the_float_network(name: str, size: str) -> None:
    """Sizes whose levels end in half a cell among them: a crop folded for another size reads the wrong cells."""
    if f"{name}-float32" not in bundled_models() or not installed("onnxruntime"):
        pytest.skip("the float network is in a checkout only, and runs in onnxruntime")
    image = read_image(EXAMPLE)
    found = []
    for model, runtime in ((name, "ncnn"), (f"{name}-float32", "onnxruntime")):
        with FaceEngine(model, runtime=runtime, precision="float32", size=size, min_score=0.1) as engine:
            found.append(engine.detect(image, color="bgr"))
    a, b = found
    assert len(a) == len(b) > 0
    side = float(b.heights[0])
    assert float(np.abs(a.boxes - b.boxes).max()) < 0.01 * side
    assert float(np.abs(a.landmarks - b.landmarks).max()) < 0.01 * side
    assert float(np.abs(a.angles - b.angles).max()) < 0.5
    assert float(np.abs(a.scores - b.scores).max()) < 0.01


@ncnn
@pytest.mark.skipif(os.environ.get("OMP_WAIT_POLICY") is not None, reason="the user has set how threads wait")
def test_threads_of_ncnn_sleep_and_the_environment_stays() -> None:
    code = (
        "import os, time, numpy as np; from edgeface import FaceEngine; before = dict(os.environ)\n"
        "e = FaceEngine('edgeface-n', runtime='ncnn', threads=2)\n"
        "e.detect(np.zeros((240, 320, 3), np.uint8), color='bgr')\n"
        "cpu = time.process_time(); time.sleep(0.5); busy = time.process_time() - cpu\n"
        "assert busy < 0.1, busy; assert dict(os.environ) == before"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@pytest.mark.parametrize("runtime", INSTALLED)
def test_arrays_need_no_opencv(runtime: str) -> None:
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "import numpy as np; from edgeface import FaceEngine, QualityGate\n"
        f"with FaceEngine('edgeface-n', runtime={runtime!r}) as engine:\n"
        "    engine.detect(np.zeros((240, 320, 3), np.uint8), color='bgr').filter(QualityGate())\n"
        "    engine.track(np.zeros((240, 320, 3), np.uint8), color='bgr')\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


NEEDS_OPENCV = {
    "read": "from edgeface.images import read_image; read_image('examples/astronaut.jpg')",
    "write": "from edgeface.images import write_image; write_image('x.png', picture)",
    "draw": "from edgeface.draw import draw_faces; draw_faces(picture, faces)",
    "crop": "from edgeface.align import aligned_crop; aligned_crop(picture, faces[0].landmarks, color='bgr')",
    "film": "from edgeface.sources.video import VideoSource; VideoSource('examples/astronaut.jpg').open()",
    "camera": "from edgeface.sources.camera import CameraSource; CameraSource(0).open()",
    "flow": "from edgeface.tracking.flow import FlowFollower; from edgeface.frame import as_frame\n"
    "FlowFollower().remember(as_frame(picture, 'bgr'))",
    "command": "from edgeface.cli.app import app; app(['detect', 'examples/astronaut.jpg'], standalone_mode=False)",
}


@pytest.mark.parametrize("what", NEEDS_OPENCV)
def test_what_needs_opencv_says_how_to_get_it(what: str) -> None:
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "import numpy as np; from edgeface.errors import RuntimeUnavailableError; from edgeface.faces import Faces\n"
        "picture = np.zeros((48, 64, 3), np.uint8)\n"
        "faces = Faces(boxes=np.array([[8, 8, 40, 40]], np.float32), scores=np.ones(1, np.float32),\n"
        "    landmarks=np.array([[[16, 16], [32, 16], [24, 24], [18, 32], [30, 32]]], np.float32),\n"
        "    rotations=np.eye(3, dtype=np.float32)[None], quality=np.ones(1, np.float32), size=(64, 48))\n"
        "try:\n    " + NEEDS_OPENCV[what].replace("\n", "\n    ") + "\n"
        "except RuntimeUnavailableError as error:\n"
        "    assert 'pip install opencv-python-headless' in str(error), error\n"
        "else:\n    sys.exit('no error')"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=Path(__file__).parents[2])


def strace() -> list[str]:
    """The tracer, in a place without a network where this user may make one."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    alone = ["unshare", "--net"]
    may = shutil.which("unshare") and not subprocess.run([*alone, "true"], check=False, capture_output=True).returncode
    return [*(alone if may else []), "strace", "-f", "-qq", "-e", "trace=network,%file,openat"]


SCRIPT = (
    "import sys, numpy as np\n"
    "if sys.argv[1] == 'opencv':\n"
    "    import cv2; cv2.resize(np.zeros((8, 8, 3), np.uint8), (4, 4)); sys.exit()\n"
    "from edgeface import FaceEngine\n"
    "with FaceEngine('edgeface-n', runtime=sys.argv[1], threads=2) as engine:\n"
    "    engine.detect(np.zeros((240, 320, 3), np.uint8), color='bgr')\n"
)


def traced(tmp_path: Path, what: str, **variables: str) -> tuple[list[str], list[str]]:
    """Calls that reach for a network, and those that change files, while a runtime is imported, opened and run."""
    home = tmp_path / "home"
    home.mkdir()
    log = tmp_path / "log"
    # onnxruntime does not report where CI is set
    kept = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment = kept | {"HOME": str(home)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | variables
    command = [*strace(), "-o", str(log), sys.executable, "-P", "-c", SCRIPT, what]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if "ptrace" in done.stderr.lower() and done.returncode:
        pytest.skip("this machine forbids ptrace")
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in log.read_text(errors="replace").splitlines() if " = -1 " not in line]
    sockets = [line for line in lines if re.search(r" (socket|connect|bind|sendto|sendmsg)\(", line)]
    changing = r"O_WRONLY|O_RDWR|O_CREAT| (mkdir|rename|unlink|link|symlink|truncate|chmod)\w*\("
    changes = [line for line in lines if re.search(changing, line)]
    local = re.compile(r"AF_UNIX|AF_LOCAL")
    outside = re.compile(r'"/dev/(null|shm/|tty)|"/proc/self/')
    return [s for s in sockets if not local.search(s)], [c for c in changes if not outside.search(c)]


@pytest.mark.parametrize("what", [*INSTALLED, "opencv"])
def test_nothing_is_sent_and_nothing_written(tmp_path: Path, what: str) -> None:
    sockets, changes = traced(tmp_path, what)
    assert sockets == []
    assert changes == []
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.skipif("onnxruntime" not in INSTALLED, reason="onnxruntime is not installed")
def test_the_user_may_let_onnxruntime_report(tmp_path: Path) -> None:
    """What the test above would see if telemetry were on; onnxruntime before 1.29 had none."""
    import onnxruntime

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29):
        pytest.skip("this onnxruntime has no telemetry")
    _, changes = traced(tmp_path, "onnxruntime", ORT_DISABLE_TELEMETRY="0")
    assert any("deviceid" in line for line in changes)


@pytest.mark.skipif("litert" not in INSTALLED, reason="LiteRT is not installed")
def test_kernels_of_litert_do_not_give_the_same_bits() -> None:
    """What `edgeface.runtimes.litert.load` says: XNNPACK and the reference kernels differ by some steps."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    bundle = Bundle.find("edgeface-s")
    model = bundle.select(("tflite",), (320, 240), "int8")
    assert model is not None
    image = np.random.default_rng(0).integers(-128, 128, (1, 240, 320, 3)).astype(np.int8)
    results = []
    for kernels in (OpResolverType.AUTO, OpResolverType.AUTO, OpResolverType.BUILTIN_REF):
        network = Interpreter(model_content=bundle.read(model), experimental_op_resolver_type=kernels, num_threads=1)
        network.allocate_tensors()
        network.set_tensor(network.get_input_details()[0]["index"], image)
        network.invoke()
        results.append([network.get_tensor(o["index"]).astype(int) for o in network.get_output_details()])
    same, again, reference = results
    assert all(np.array_equal(a, b) for a, b in zip(same, again, strict=True))
    steps = max(int(np.abs(a - b).max()) for a, b in zip(same, reference, strict=True))
    assert 0 < steps <= 40
