"""Make ``portraits.jpg``: heads of six people side by side, cut out of public-domain portraits in Debian packages.

    python examples/make_portraits.py

Needs a Debian 12 with ``apt-get`` and a network. Where each portrait is from stands in ``examples/README.md``.
"""

import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
#: Sides of a head in ``portraits.jpg``.
SIDE = 224
XRAYTABLE = "python-xraylarch-doc/usr/share/doc/python-xraylarch-doc/examples/xraytable/images"
#: File within its unpacked package, and centre x, y and side of the square around the head.
HEADS = [
    ("python3-skimage/usr/lib/python3/dist-packages/skimage/data/astronaut.png", (225, 124), 186),
    ("python-matplotlib-data/usr/share/matplotlib/mpl-data/sample_data/grace_hopper.jpg", (265, 215), 372),
    (f"{XRAYTABLE}/Marie_Curie.jpg", (124, 140), 216),
    (f"{XRAYTABLE}/Henry_Moseley.jpg", (126, 152), 250),
    (f"{XRAYTABLE}/Charles_Barkla.jpg", (1480, 1400), 2700),
    (f"{XRAYTABLE}/Dmitri_Mendeleev.jpg", (408, 330), 480),
]


def square(photo: np.ndarray, centre: tuple[int, int], side: int) -> np.ndarray:
    """The square of a photo, `SIDE` pixels wide; beyond its edge the edge goes on."""
    x, y, half = *centre, side // 2
    wide = cv2.copyMakeBorder(photo, half, half, half, half, cv2.BORDER_REPLICATE)
    cut = wide[y : y + 2 * half, x : x + 2 * half]
    return cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)


def main() -> None:
    """Fetch the packages, cut out the heads."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        heads = []
        for package in sorted({path.partition("/")[0] for path, _, _ in HEADS}):
            subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
            archive = next(folder.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg-deb", "-x", archive, folder / package], check=True)
        for path, centre, side in HEADS:
            heads.append(square(cv2.imread(str(folder / path)), centre, side))
    cv2.imwrite(str(HERE / "portraits.jpg"), np.concatenate(heads, axis=1), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
