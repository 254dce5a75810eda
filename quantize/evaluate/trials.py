"""What detectors are measured on: a labelled set, or several as one, at an input size, upright or turned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeface.engine import parse_size
from quantize.config import TrialOptions
from quantize.data.jsonl import read_jsonl
from quantize.data.sample import Sample
from quantize.models.turned import TURNS

CROWD = "crowd"
CROWD_FACES = 8
"""A photo of a crowd has at least so many labelled faces."""


@dataclass(frozen=True)
class Trial:
    """A set at an input size.

    Attributes:
        name: folder of a set; ``a+b`` pools two; ``a+b:crowd`` takes the photos of these with eight faces or more.
        size: (width, height) of the input.
        turn: degrees by which its photos are turned (`quantize.models.turned`).
    """

    name: str
    size: tuple[int, int]
    turn: int = 0

    @staticmethod
    def parse(text: str) -> Trial:
        """``SET@WxH``, or ``SET@WxH+90`` with photos turned. Raises ValueError for anything else.

        Examples:
            >>> Trial.parse("wider+wider2:crowd@640x480+90")
            Trial(name='wider+wider2:crowd', size=(640, 480), turn=90)
        """
        name, _, rest = text.rpartition("@")
        size, plus, turn = rest.partition("+")
        if not name or (plus and turn not in map(str, TURNS)):
            raise ValueError(f"trial must be SET@WxH or SET@WxH+90, +180, +270, but got {text!r}")
        return Trial(name, parse_size(size), int(turn or 0))

    @staticmethod
    def of(options: TrialOptions) -> Trial:
        """What a recipe names."""
        return Trial(options.set, options.size, options.turn)

    @property
    def members(self) -> list[str]:
        """Folders of its sets. Raises ValueError for a part that does not exist."""
        names, colon, part = self.name.partition(":")
        if colon and part != CROWD:
            raise ValueError(f"the part of a set must be {CROWD}, but got {part!r} in {self.name}")
        return names.split("+")

    def keeps(self, sample: Sample) -> bool:
        """Whether a photo of its sets counts."""
        return not self.name.endswith(f":{CROWD}") or sum(not f.ignore for f in sample.faces) >= CROWD_FACES


WIDER = ("wider", "wider2", "wider+wider2", f"wider+wider2:{CROWD}")
VAL = (
    *(Trial(name, (side, side)) for side in (640, 320) for name in WIDER),
    Trial("wider+wider2", (192, 192)),
    Trial("wider+wider2", (128, 128)),
    Trial("wider", (640, 640), 90),
    Trial("mask_web", (640, 640)),
    Trial("aflw2000", (320, 320)),
    Trial("aflw2000", (640, 640)),
    *(Trial("aflw2000", (320, 320), turn) for turn in (90, 180, 270)),
    Trial("afw", (640, 640)),
    Trial("background", (640, 640)),
    Trial("people_degraded", (320, 320)),
)
"""What the tables of the documentation are made of."""

LIGHTNESS_SETS = ("wider", "wider2", "wider+wider2", "aflw2000")
"""Sets in colour, without masks, with faces large enough for `quantize.evaluate.lightness`."""


class FolderSets:
    """Labelled sets in folders of ``folder``, each with its ``labels.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, list[Sample]] = {}

    def __contains__(self, name: str) -> bool:
        return (self.folder / name / "labels.jsonl").is_file()

    def samples(self, name: str) -> list[Sample]:
        """Raises ValueError where a line of the labels cannot be read: a figure over the rest would mislead."""
        if name not in self._known:
            samples, skipped = read_jsonl(self.folder / name)
            if skipped:
                raise ValueError(f"labels to measure by must all be readable, but got {skipped[0]}")
            self._known[name] = samples
        return self._known[name]

    def embeddings(self, name: str) -> Path | None:
        """What the quality of a set is measured by, where it has it."""
        path = self.folder / name / "embeddings.npz"
        return path if path.is_file() else None


class SplitSets:
    """The dev split, by the source of its photos: ``dev/NAME``.

    Args:
        samples: as the source labelled them; what teachers say is no truth to measure by.
        uses: of each source, what its labels hold (``use`` in a recipe); sources without labels are left out.
    """

    PREFIX = "dev/"

    def __init__(self, samples: Sequence[Sample], uses: Mapping[str, str]) -> None:
        self.sets: dict[str, list[Sample]] = {}
        for s in samples:
            use = uses.get(s.source, "unlabelled")
            boxed = s.complete and not s.unknown_below
            if use in ("landmarks", "pose") or (use in ("detection", "negatives") and boxed):
                self.sets.setdefault(self.PREFIX + s.source, []).append(s)

    def __contains__(self, name: str) -> bool:
        return name in self.sets

    def samples(self, name: str) -> list[Sample]:
        return self.sets[name]

    def embeddings(self, name: str) -> Path | None:
        return None

    def trials(self) -> list[Trial]:
        """Every set at 640 and 320 pixels."""
        return [Trial(name, (side, side)) for name in self.sets for side in (640, 320)]


Sets = FolderSets | SplitSets
