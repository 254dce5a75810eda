"""Training views: a window of a packed photo brought to the network's size, with its faces carried along.

The window is chosen from a face: its side at the network's input is drawn log-uniformly, so that every octave of face
sizes is trained equally often however the photos are distributed. Stitched views (MOS, arXiv 2110.10953, with up to 4
x 4 tiles) put smaller windows beside one another; they are where photos of one large face give small ones.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.config import ViewOptions
from quantize.data.pack import PackedPhotos
from quantize.data.photometric import camera, relight
from quantize.data.pose import geodesic_degrees, mirrored
from quantize.data.sample import MIRROR_POINTS, FaceLabel, Sample
from quantize.data.shape_model import ShapeModel
from quantize.train.methods.semiuhpe import hide


@dataclass
class Targets:
    """Faces of one view, arrays over faces: ``box`` (n, 4) xyxy, ``points`` (n, 5, 2), ``rotation`` (n, 3, 3),
    ``quality`` (n,); NaN where unknown. ``confidence`` (n,) 0–1: how sure its box is.

    ``ignore`` (n,): neither face nor background, for finds whose height is below ``limit`` (n,) pixels; any find where
    it is infinite.
    """

    box: NDArray[np.float32]
    points: NDArray[np.float32]
    rotation: NDArray[np.float32]
    quality: NDArray[np.float32]
    confidence: NDArray[np.float32]
    limit: NDArray[np.float32]
    ignore: NDArray[np.bool_]

    @staticmethod
    def of(sample: Sample) -> Targets:
        """Faces of a photo. Where smaller ones may be unlabelled, the whole photo is an ignore region for such
        finds.
        """
        faces = list(sample.faces)
        limits = [np.inf] * len(faces)
        if sample.unknown_below:
            faces.append(FaceLabel(np.array([0, 0, sample.width, sample.height], np.float32), ignore=True))
            limits.append(sample.unknown_below)

        def stacked(values: list[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
            unknown = np.full(shape, np.nan, np.float32)
            return (
                np.stack([unknown if v is None else np.asarray(v, np.float32) for v in values])
                if values
                else np.zeros((0, *shape), np.float32)
            )

        return Targets(
            stacked([f.box for f in faces], (4,)),
            stacked([f.points for f in faces], (5, 2)),
            stacked([f.rotation for f in faces], (3, 3)),
            stacked([f.quality for f in faces], ()),
            stacked([f.confidence for f in faces], ()),
            np.array(limits, np.float32),
            np.array([f.ignore for f in faces], bool),
        )

    @staticmethod
    def joined(parts: list[Targets]) -> Targets:
        return Targets(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Targets)))

    def take(self, keep: NDArray[Any]) -> Targets:
        return Targets(*(getattr(self, f.name)[keep] for f in fields(Targets)))


def carry(
    targets: Targets, affine: NDArray[np.float64], mirror: bool, width: int, height: int, smallest: float
) -> Targets:
    """Faces of the photo as the view sees them. ``affine`` (2, 3) takes photo to view coordinates, mirror included.

    Faces whose centre leaves the view go; those below ``smallest`` pixels or mostly cut off become ignore regions.
    """
    if not len(targets.box):
        return targets
    m, t = affine[:, :2], affine[:, 2]
    scale = float(np.sqrt(abs(np.linalg.det(m))))
    x1, y1, x2, y2 = targets.box.T
    centre = np.stack([(x1 + x2) / 2, (y1 + y2) / 2], 1) @ m.T + t
    # the box of the ellipse in the photo's box, turned: a face on its side is wider than it is high
    half = np.sqrt((np.stack([x2 - x1, y2 - y1], 1) / 2) ** 2 @ (m**2).T)
    full = np.concatenate([centre - half, centre + half], 1)
    box = full.copy()
    box[:, 0::2] = box[:, 0::2].clip(0, width)
    box[:, 1::2] = box[:, 1::2].clip(0, height)
    visible = (box[:, 2:] - box[:, :2]).clip(0).prod(1) / np.maximum((full[:, 2:] - full[:, :2]).prod(1), 1e-6)
    points = targets.points @ m.T + t
    rotation, quality = targets.rotation, targets.quality
    turn = m / scale
    if mirror:
        points = points[:, MIRROR_POINTS]
        rotation = mirrored(rotation)
        turn = turn @ np.diag([-1.0, 1])
    about = np.eye(3)
    about[:2, :2] = turn
    rotation = (about @ rotation).astype(np.float32)
    limit = targets.limit * np.float32(scale)
    whole = np.isfinite(targets.limit)
    ignore = targets.ignore | (half.min(1) * 2 < smallest) | (visible < 0.45)
    keep = ((visible > 0.15) | whole) & (box[:, 2] - box[:, 0] > 1) & (box[:, 3] - box[:, 1] > 1)
    carried = Targets(
        box.astype(np.float32), points.astype(np.float32), rotation, quality, targets.confidence, limit, ignore
    )
    return carried.take(keep)


def turned(targets: Targets) -> float:
    """How far the most turned labelled head of a photo is from frontal, 60 degrees and more being 1."""
    known = ~targets.ignore & ~np.isnan(targets.rotation).any((1, 2))
    if not known.any():
        return 0.0
    return min(1.0, float(geodesic_degrees(targets.rotation[known], np.eye(3)).max()) / 60)


class Views:
    """Draws views. A seed and a number give a view, always the same one.

    Args:
        photos: the packed training photos.
        options: ``[train.augment]`` of the recipe.
        chances: how often each photo is drawn, of `quantize.train.sampling`.
        points_variance: of KD-Loss's tolerant teacher: the share of the points' variance that is kept; 0 leaves them.
        hard: what `quantize.train.hard_negatives` found.
    """

    def __init__(
        self,
        photos: PackedPhotos,
        options: ViewOptions,
        chances: NDArray[np.float64],
        points_variance: float = 0.0,
        hard: NDArray[np.float32] | None = None,
    ) -> None:
        self.photos, self.options = photos, options
        self.hard = hard if hard is not None and options.hard else np.zeros((0, 6), np.float32)
        self.targets = [Targets.of(s) for s in photos.samples]
        if points_variance:
            _smooth_points(self.targets, points_variance)
        # heads in profile are rare in photos: a photo with one counts up to 1 + turned_boost times
        boost = np.array([1 + options.turned_boost * turned(t) for t in self.targets])
        self.cumulated = np.cumsum(chances * boost)

    def draw(self, rng: np.random.Generator) -> int:
        """The number of a photo."""
        at = int(np.searchsorted(self.cumulated, rng.random() * self.cumulated[-1], side="right"))
        return min(at, len(self.cumulated) - 1)

    def window(
        self, rng: np.random.Generator, width: int, height: int, most_side: float
    ) -> tuple[NDArray[np.uint8], Targets]:
        """One window of one photo, (height, width, 3), and its faces."""
        if len(self.hard) and rng.random() < self.options.hard:
            place = self._around_hard(rng, width, height)
        else:
            place = self._around_face(rng, width, height, most_side)
        return self._shown(rng, *place, width, height, self._angle(rng))

    def _angle(self, rng: np.random.Generator) -> float:
        """In-plane rotation of a window in degrees: mostly upright, some tilted, some of the full circle."""
        c = self.options
        if rng.random() < c.circle_share:
            quarter = 90.0 * int(rng.integers(1, 4)) + rng.uniform(-15, 15)  # cameras are mounted so, people lie so
            return float(quarter if rng.random() < 0.6 else rng.uniform(-180, 180))
        return float(rng.uniform(-1, 1) * (c.tilt if rng.random() < c.tilt_share else 5))

    def whole_photo(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], Targets]:
        """A photo as an application sees it, (size, size, 3): whole, or nearly so. Windows around faces are full of
        them; what a network must be silent about, which is most of a frame, it meets here as often as there.
        """
        i = self.draw(rng)
        ph, pw = self.photos[i].shape[:2]
        scale = size / max(ph, pw) * float(np.exp(rng.uniform(-1, 1) * self.options.whole_zoom))
        scale = min(scale, self.options.most_upscale)
        slack = np.abs(size / scale - np.array([pw, ph])) / 2
        middle = np.array([pw, ph]) / 2 + rng.uniform(-slack, slack)
        return self._shown(rng, i, scale, middle, size, size, float(rng.uniform(-5, 5)))

    def _shown(
        self,
        rng: np.random.Generator,
        i: int,
        scale: float,
        middle: NDArray[np.float64],
        width: int,
        height: int,
        degrees: float,
    ) -> tuple[NDArray[np.uint8], Targets]:
        image, targets = self.photos[i], self.targets[i]
        mirror = bool(rng.random() < 0.5)
        angle = float(np.radians(degrees))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag(
            [-1.0 if mirror else 1.0, 1.0]
        )
        m = turn * scale
        t = np.array([width, height]) / 2 - m @ middle
        affine = np.c_[m, t]
        faces = carry(targets, affine, mirror, width, height, self.options.ignore_below)
        if not 0.7 <= scale <= 2.5:  # shrunk, a crop loses what its quality was measured on
            faces.quality = np.full_like(faces.quality, np.nan)
        return self._render(image, affine, scale, width, height, rng), faces

    def _around_hard(self, rng: np.random.Generator, width: int, height: int) -> tuple[int, float, NDArray[np.float64]]:
        """Photo, scale and middle of a window that shows a mined place about as the network was deceived by it."""
        number, *box, scale = self.hard[int(rng.integers(len(self.hard)))].astype(float)
        scale = min(scale * float(np.exp(rng.uniform(-0.4, 0.4))), self.options.most_upscale)
        corner, end, room = np.array(box[:2]), np.array(box[2:]), np.array([width, height]) / scale
        margin = np.minimum(0.45, (end - corner) / 2 / room)
        start = (corner + end) / 2 - rng.uniform(margin, 1 - margin) * room
        return int(number), scale, start + room / 2

    def _around_face(
        self, rng: np.random.Generator, width: int, height: int, most_side: float
    ) -> tuple[int, float, NDArray[np.float64]]:
        """Photo, scale and middle of a window around one of a photo's faces, or anywhere where it has none."""
        c = self.options
        i = self.draw(rng)
        (ph, pw), targets = self.photos[i].shape[:2], self.targets[i]
        usable = np.flatnonzero(~targets.ignore)
        if len(usable):
            box = targets.box[int(rng.choice(usable))]
            side = float(np.sqrt(np.prod(box[2:] - box[:2])))
            low, high = c.smallest_side, most_side
            wanted = float(np.exp(rng.uniform(np.log(low), np.log(high))))
            # the photo should fill the window: what lies outside of it teaches nothing
            cover = max(width / pw, height / ph) * float(rng.uniform(0.6, 1.0))
            scale = min(max(wanted / side, cover), c.most_upscale)
            centre = (box[:2] + box[2:]) / 2
            room = np.array([width, height]) / scale
            margin = np.minimum(0.45, side / 2 / room)
            start = centre - (rng.uniform(margin, 1 - margin)) * room  # the face lies anywhere in the view
            middle = start + room / 2
        else:
            # from the whole photo to single objects: a large input sees them at their full size
            cover = max(width / pw, height / ph)
            low, high = 0.35 * cover, max(1.5 * cover, c.most_upscale)
            scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
            middle = np.array([rng.uniform(0, pw), rng.uniform(0, ph)])
        return i, scale, middle

    def _render(
        self,
        image: NDArray[Any],
        affine: NDArray[np.float64],
        scale: float,
        width: int,
        height: int,
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        m, t = affine[:, :2], affine[:, 2]
        # only what the view sees of the photo; half of the time by area averaging: devices shrink both ways
        inverse = np.linalg.inv(m)
        corners = (np.array([[0, 0], [width, 0], [0, height], [width, height]]) - t) @ inverse.T
        lo = np.floor(corners.min(0) - 2).astype(int).clip(0)
        hi = np.minimum(np.ceil(corners.max(0) + 2).astype(int), [image.shape[1], image.shape[0]])
        if (hi - lo < 2).any():
            return np.full((height, width, 3), 128, np.uint8)
        part = image[lo[1] : hi[1], lo[0] : hi[0]]
        t = t + m @ lo
        if scale < 0.6 and rng.random() < 0.5:
            f = min(1.0, scale * float(rng.uniform(1.0, 1.5)))
            size = (max(2, round(part.shape[1] * f)), max(2, round(part.shape[0] * f)))
            while part.shape[1] >= 2 * size[0] and part.shape[0] >= 2 * size[1]:  # by 2 OpenCV shrinks fastest by far
                part = part[: part.shape[0] // 2 * 2, : part.shape[1] // 2 * 2]
                part = cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                m = m @ np.diag([2.0, 2.0])
            m = m @ np.diag([part.shape[1] / size[0], part.shape[0] / size[1]])
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        shift = t + m @ np.array([0.5, 0.5]) - 0.5  # OpenCV counts from pixel centres
        fill = (128, 128, 128) if rng.random() < 0.7 else tuple(int(v) for v in rng.integers(0, 256, 3))
        return np.asarray(
            cv2.warpAffine(part, np.c_[m, shift], (width, height), flags=cv2.INTER_LINEAR, borderValue=fill), np.uint8
        )

    def _piece(self, rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) pixels of any photo, repeated where it is smaller."""
        image = self.photos[int(rng.integers(len(self.photos)))]
        y = int(rng.integers(max(1, image.shape[0] - height)))
        x = int(rng.integers(max(1, image.shape[1] - width)))
        part = image[y : y + height, x : x + width]
        return np.pad(part, ((0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0)), mode="wrap")

    def view(
        self, seed: int, number: int, size: int, grids: list[float] | None = None
    ) -> tuple[NDArray[np.uint8], Targets]:
        """View ``number`` of the run with ``seed``: RGB (size, size, 3) uint8 and its faces."""
        rng = np.random.default_rng([seed, number])
        if grids is None and rng.random() < self.options.whole_share:
            image, targets = self.whole_photo(rng, size)
        else:
            image, targets = self._stitched(rng, size, grids)
        return self._finished(image, targets, rng)

    def _stitched(
        self, rng: np.random.Generator, size: int, grids: list[float] | None
    ) -> tuple[NDArray[np.uint8], Targets]:
        """Windows beside one another."""
        shares = self.options.grids if grids is None else grids
        k = int(rng.choice(len(shares), p=shares)) + 1
        edges = [round(i * size / k) for i in range(k + 1)]
        canvas = np.empty((size, size, 3), np.uint8)
        parts = []
        for y, y2 in itertools.pairwise(edges):
            for x, x2 in itertools.pairwise(edges):
                tile, faces = self.window(rng, x2 - x, y2 - y, (x2 - x) * 0.9)
                canvas[y:y2, x:x2] = tile
                offset = np.array([x, y], np.float32)
                parts.append(replace(faces, box=faces.box + np.r_[offset, offset], points=faces.points + offset))
        return canvas, Targets.joined(parts)

    def _finished(
        self, image: NDArray[np.uint8], targets: Targets, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Targets]:
        """Patches, light and camera."""
        c = self.options
        if c.cutout:
            faces = np.isinf(targets.limit)
            hidden = np.zeros(len(faces), bool)
            hidden[faces] = hide(image, targets.box[faces], c.cutout, rng, lambda h, w: self._piece(rng, h, w))
            targets.quality = np.where(hidden, np.float32(np.nan), targets.quality)  # measured without the patch
        if np.isfinite(targets.quality).any():  # further damage would belie the measured quality; light alone does not
            image = relight(image, rng, 0.5) if rng.random() < 0.3 else image
        elif rng.random() < c.camera:
            image = camera(image, rng, c.photometric)
        return image, targets


def _smooth_points(targets: list[Targets], variance: float) -> None:
    """Replaces all points by what a shape model can say of them: the labels of KD-Loss's tolerant teacher."""
    everything = Targets.joined(targets)
    known = ~np.isnan(everything.points).any((1, 2))
    model = ShapeModel.fit(everything.points[known], everything.box[known], variance)
    for t in targets:
        k = ~np.isnan(t.points).any((1, 2))
        t.points[k] = model.smooth(t.points[k], t.box[k])
