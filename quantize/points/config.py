"""What the recipe of edgeface-points may hold: ``task = "points"``, and tables in the manner of `quantize.config`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from quantize.config import (
    Amount,
    BudgetOptions,
    CameraOptions,
    Count,
    LabelOptions,
    OptimizerOptions,
    Positive,
    Recipe,
    Share,
    Table,
    Weight,
)
from quantize.run import Run


class PointsLabelOptions(LabelOptions):
    least_side: Positive = 40
    """Pixels: faces whose box is smaller are not packed."""


class PointsLossOptions(Table):
    likelihood: Weight = 1.0
    """Of the Laplace likelihood of points."""
    distance: Weight = 20.0
    """Of the points' plain distance (L1), in crop sides."""
    wing: Weight = 0.0
    """Of the Wing loss (Feng et al. 2018) in its place."""
    depth: Weight = 10.0
    visible: Weight = 0.3
    state: Weight = 0.6
    """Of covers."""
    openness: Weight = 0.5
    """Of eyes and mouth."""
    teachers: Weight = 0.0
    """Of KD-Loss, which then takes the place of ``distance`` for drawn points."""


class JitterOptions(Table):
    """The crop's errors in training: standard deviations of shift (crop sides), log scale and turn (degrees), as
    `quantize.points.crop_errors` measures them of the first network.
    """

    shift: Weight = 0.03
    scale: Weight = 0.08
    turn: Weight = 6.0
    wild: Share = 0.1
    """Share of views with errors that are ``wilder`` times as large."""
    wilder: Weight = 2.5
    profile: Weight = 1.5
    """Factor of the errors of heads that are turned by 60° and more; below 30° there is none."""
    profile_wild: Share = 0.3
    """What ``wild`` is for them."""


class LidOptions(Table):
    """Eyes that are shut in training (`quantize.points.lids`)."""

    share: Share = 0.3
    """Of the views of faces with drawn points and open eyes."""
    wink: Share = 0.15
    """Of those, with one eye only."""
    whole: Share = 0.7
    """Of those, shut; the others are half shut."""


class CoverOptions(Table):
    """Shares of views with a cover drawn over the face."""

    patch: Share = 0.08
    hand: Share = 0.08
    mask: Share = 0.08
    glasses: Share = 0.1
    sunglasses: Share = 0.06


class PointsViewOptions(Table):
    jitter: JitterOptions = JitterOptions()
    covers: CoverOptions = CoverOptions()
    lids: LidOptions = LidOptions()
    camera: Share = 0.6
    photometric: CameraOptions = CameraOptions()
    turned_boost: Weight = 3.0
    """How much more often a head in profile is drawn."""
    drawn_boost: Weight = 2.0
    """How much more often a face with drawn points is drawn."""
    balance: Share = 0.5
    """How far faces of rare openness of eyes and mouth are drawn as often as others: 0 not at all, 1 wholly."""


class PointsMethodOptions(Table):
    tough_teacher: Path | None = None
    tolerant_teacher: Path | None = None
    """KD-Loss: two checkpoints of this network; the tolerant one learned points smoothed by ``points_variance``."""
    points_variance: Share = 0.0


class PointsTrainOptions(Table):
    views: Count
    batch: Count = 64
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    ema: Share = 0.999
    threads: Count = 1
    checkpoint_minutes: Positive = 3
    optimizer: OptimizerOptions = OptimizerOptions()
    losses: PointsLossOptions = PointsLossOptions()
    augment: PointsViewOptions = PointsViewOptions()
    methods: PointsMethodOptions = PointsMethodOptions()

    @model_validator(mode="after")
    def _pair(self) -> PointsTrainOptions:
        if bool(self.methods.tough_teacher) != bool(self.methods.tolerant_teacher):
            raise ValueError("methods must have both tough_teacher and tolerant_teacher (KD-Loss), but got one of them")
        if bool(self.losses.teachers) != bool(self.methods.tough_teacher):
            raise ValueError("losses.teachers must be above 0 where methods names teachers, and 0 elsewhere")
        return self


class PointsCompressOptions(Table):
    method: Literal["ptq"] = "ptq"
    photos: Count = 256
    """Training faces that ranges are measured on."""
    covered: Share = 0.95
    """An activation's range holds the least and the greatest that it is in this share of them: a few faces before a
    white wall reach a hundred times what others do, which would leave one step of eight bits to all others."""
    control_faces: Count = 600
    most_float_layers: Amount = 4
    budget: BudgetOptions = BudgetOptions()


class PointsExportOptions(Table):
    ncnn: bool = True
    tflite: Literal[False] = False
    """Every install has ONNX Runtime or ncnn, which run this network: there is no TFLite file of it."""


class PointsEvaluateOptions(Table):
    sets: Path | None = None
    """Folder of labelled sets that nothing was trained or chosen on. Without one the dev split is measured alone."""
    detector: str = "edgeface-s"
    """Gives the crops "as found": a bundle's name or path."""
    peers: list[Literal["mesh", "tddfa", "peppa"]] = Field(default_factory=list)
    teachers: Path | None = None
    """Folder of the peers' weights."""
    ledger: Path | None = None
    runtimes: tuple[Literal["onnxruntime", "litert", "ncnn"], ...] = ("onnxruntime",)
    photos: Amount = 0
    """About so many of each held-out set, spread evenly; 0 for all of them."""


class PointsPackageOptions(Table):
    version: str = "0.1.0"
    licence: str = "not stated"


class PointsRecipe(Recipe):
    """A network of points, from photos to bundle."""

    task: Literal["points"]
    label: PointsLabelOptions = PointsLabelOptions()
    train: PointsTrainOptions  # type: ignore[assignment]
    compress: PointsCompressOptions = PointsCompressOptions()  # type: ignore[assignment]
    export: PointsExportOptions = PointsExportOptions()  # type: ignore[assignment]
    evaluate: PointsEvaluateOptions = PointsEvaluateOptions()  # type: ignore[assignment]
    package: PointsPackageOptions = PointsPackageOptions()  # type: ignore[assignment]

    @model_validator(mode="after")
    def _names(self) -> PointsRecipe:
        names = [s.name for s in self.data.sets]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"data.sets must have names of their own, but got {', '.join(twice)} more than once")
        for table in ("search", "pretrain"):
            if getattr(self, table).views:
                raise ValueError(f"{table}.views must be 0 in a recipe of points, but is not")
        return self


def recipe_of(run: Run) -> PointsRecipe:
    """The recipe of a run of points. Raises TypeError for another."""
    if not isinstance(run.recipe, PointsRecipe):
        raise TypeError(f"recipe must have task = 'points', but got {run.recipe.name}")
    return run.recipe
