"""The schema of a recipe: one TOML file that says how a network is made, checked as a whole before any work.

A recipe may name another one as its ``base`` and give the differences. Unknown keys and values out of range are errors
that say what is allowed. ``python -m quantize show RECIPE`` prints every value and where it comes from.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
Size = tuple[
    Annotated[int, Field(ge=32, le=8192, multiple_of=16)], Annotated[int, Field(ge=32, le=8192, multiple_of=16)]
]


LIMITS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")
"""Faults of numbers, as pydantic calls them."""


class RecipeError(ValueError):
    """The recipe is missing, not TOML, or has a value that no step can use."""


class Table(BaseModel):
    """A table of a recipe: its keys are fixed and its values do not change once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class SetOptions(Table):
    """A set of photos, and what its source says of it."""

    name: str
    reader: Literal["jsonl", "wider", "wider-mat", "pts", "mat", "voc", "coco", "yolo", "folder"]
    path: Path
    use: Literal["detection", "landmarks", "pose", "unlabelled", "negatives"] = "detection"
    """What the labels hold. Faces without a label in photos of ``detection`` sets that are complete are background."""
    weight: Weight = 1.0
    """How often its photos are drawn, beside those of other sets."""
    without: str | None = None
    """Another set of the recipe: photos that it has under the same file name are left out."""
    optional: bool = False
    """Whether the recipe may run where this set is absent; it is said then."""
    origin: str = "not stated"
    terms: str = "not stated"


class DataOptions(Table):
    sets: list[SetOptions] = Field(min_length=1)
    dev_share: Share = 0.1
    """Photos of each set and event that are kept for decisions and never trained on."""
    most_of_event: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The largest share that one event may have of the views drawn from detection sets."""
    events_together: list[list[str]] = []
    """Events that count as one, by a part of their names."""
    left_out: list[str] = []
    """Sets of the recipe's base that it does without; empty once they are gone."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, values: Any) -> Any:
        names, sets = (values.get(k) for k in ("left_out", "sets")) if isinstance(values, dict) else (None, None)
        if not (isinstance(names, list) and isinstance(sets, list) and all(isinstance(s, dict) for s in sets)):
            return values  # what is wrong with them is said by the fields
        if unknown := [n for n in names if n not in [s.get("name") for s in sets]]:
            raise ValueError(f"left_out must name sets of data.sets, but got {', '.join(map(str, unknown))}")
        return {**values, "sets": [s for s in sets if s.get("name") not in names], "left_out": []}


class LabelOptions(Table):
    teachers: Path | None = None
    """Folder of the teachers' weights. Without one only labels count."""
    cache: Path = Path("runs/label-cache")
    quality_sets: list[str] = []
    """Sets whose faces are degraded and given a quality target."""
    quality_variants: Amount = 3
    pose_quantile: dict[str, Share] = {}
    """Of each set named: the share of the teachers' rotations that is learned from, lowest entropy first (SemiUHPE).
    Labels keep all of them: what is left out is decided where photos are read for training."""


class ModelOptions(Table):
    architecture: str
    init: Path | None = None
    """A checkpoint to begin with, for fine-tuning. Recipes of shipped networks have none."""


class OptimizerOptions(Table):
    muon: bool = True
    lr: Positive = 3e-3
    weight_decay: Weight = 0.02
    warmup: Amount = 200
    decay: Share = 1.0
    """The share of the views, the last ones, over which the learning rate falls; before, it stays (Hu et al. 2024,
    arXiv 2404.06395)."""
    final: Share = 0.01
    """The last learning rate, as a share of ``lr``."""
    clip: Positive = 5.0


class LossOptions(Table):
    score: Weight = 3.5
    box: Weight = 6.0
    points: Weight = 60.0
    rotation: Weight = 6.0
    quality: Weight = 4.0


class CameraOptions(Table):
    """Probabilities of what a camera does to a picture."""

    light: Share = 0.8
    grey: Share = 0.1
    dark: Share = 0.1
    backlight: Share = 0.05
    blur: Share = 0.12
    low_resolution: Share = 0.05
    noise: Share = 0.12
    jpeg: Share = 0.15


class ViewOptions(Table):
    """How views are drawn from photos; see `quantize.train.views`."""

    grids: list[Share] = [0.5, 0.28, 0.14, 0.08]
    """Shares of views of 1×1, 2×2, 3×3 … windows."""
    smallest_side: Positive = 5
    ignore_below: Positive = 4.5
    most_upscale: Positive = 1.8
    tilt: Weight = 40
    """Largest in-plane rotation, degrees, of a ``tilt_share`` of the windows."""
    tilt_share: Share = 0.3
    circle_share: Share = 0.0
    """Share of views turned by any angle of the full circle."""
    turned_boost: Weight = 0.0
    """How much more often photos with a head in profile are drawn."""
    whole_share: Share = 0.0
    """Share of views that show a whole photo."""
    whole_zoom: Weight = 0.2
    hard: Share = 0.0
    """Share of windows around mined false positives."""
    cutout: Share = 0.0
    """Share of faces with a patch over them (SemiUHPE's strong view)."""
    camera: Share = 0.65
    """Share of views that go through the camera model."""
    photometric: CameraOptions = CameraOptions()

    @model_validator(mode="after")
    def _sum(self) -> ViewOptions:
        if not self.grids or abs(sum(self.grids) - 1) > 1e-6:
            raise ValueError(f"grids must add up to 1, but got {sum(self.grids):g}")
        return self


class HardNegativeOptions(Table):
    """Before each phase the network looks for its own false positives (`quantize.train.hard_negatives`)."""

    sets: list[str] = []
    photos: Amount = 0
    sizes: list[Side] = [320]
    least: Share = 0.2
    """The lowest score that counts."""


class PhaseOptions(Table):
    """A part of the schedule. Steps of the kinds named by ``size`` and ``batch`` take turns; the processes of a run
    share each.
    """

    views: Count
    """Views that the phase sees, of all processes together."""
    size: list[Side] = Field(min_length=1)
    batch: list[Count] = Field(min_length=1)
    over: dict[str, Any] = {}
    """Values of ``[train.augment]`` that differ in this phase."""

    @model_validator(mode="after")
    def _pairs(self) -> PhaseOptions:
        if len(self.size) != len(self.batch):
            raise ValueError(
                f"size and batch must be lists of one length, but got {len(self.size)} and {len(self.batch)}"
            )
        return self

    @property
    def batches(self) -> list[tuple[int, int]]:
        """(side, views) of the batches that take turns."""
        return list(zip(self.size, self.batch, strict=True))


class MethodOptions(Table):
    """Methods of papers that are switched on; one file each in `quantize.train.methods`."""

    mos_slots: Amount = 0
    """Places of a batch for views that gave a confident false positive (MOS, online feedback sampling)."""
    mos_score: Share = 0.5
    mos_small: Share = 0.0
    """A stitched batch follows where small faces had less than this share of the box loss (MOS)."""
    mos_pose: Weight = 0.0
    """Weight of MOS's pose loss, 66 bins an angle, beside those of the tasks; 0 leaves it out."""
    uncertainty: bool = False
    """Task weights are learned (Kendall et al. 2018)."""
    tough_teacher: Path | None = None
    tolerant_teacher: Path | None = None
    """KD-Loss: two checkpoints of our own; the tolerant one learned points smoothed by ``points_variance``."""
    points_variance: Share = 0.0


class MimicOptions(Table):
    """A detector that the student mimics at every cell (`quantize.train.methods.mimic`)."""

    detector: Path | None = None
    """YuNet n; none leaves it out."""
    hints: Weight = 16.0
    features: Weight = 24.0
    answers: Weight = 10.0
    """Weights beside those of the tasks. They fall with the learning rate: at the end labels alone speak."""


class TrainOptions(Table):
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """auto: bfloat16 where the processor or accelerator has it."""
    ema: Share = 0.999
    threads: Count = 1
    loader_workers: Amount = 0
    """Processes that make views beside each training process; 0 makes them in the training process."""
    checkpoint_minutes: Positive = 4
    optimizer: OptimizerOptions = OptimizerOptions()
    losses: LossOptions = LossOptions()
    augment: ViewOptions = ViewOptions()
    hard_negatives: HardNegativeOptions = HardNegativeOptions()
    mimic: MimicOptions = MimicOptions()
    methods: MethodOptions = MethodOptions()
    phases: list[PhaseOptions] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        for number in range(len(self.phases)):
            try:
                augment = self.augment_of(number)
            except ValidationError as error:
                raise ValueError(
                    "; ".join(_said(e, ViewOptions, f"phases.{number}.over.") for e in error.errors())
                ) from None
            if augment.hard and not self.hard_negatives.photos:
                raise ValueError("hard_negatives.photos must be above 0 where augment.hard is, but got 0")
        if bool(self.methods.tough_teacher) != bool(self.methods.tolerant_teacher):
            raise ValueError("methods must have both tough_teacher and tolerant_teacher (KD-Loss), but got one of them")
        return self

    def augment_of(self, phase: int) -> ViewOptions:
        """The options of views in a phase."""
        return ViewOptions.model_validate(merged(self.augment.model_dump(), self.phases[phase].over))


class PretrainOptions(Table):
    """Masked pre-training of the backbone (SparK); ``views`` 0 leaves it out."""

    views: Amount = 0
    size: Side = 224
    batch: Count = 32
    lr: Positive = 1e-3
    mask: Share = 0.6


class SearchOptions(Table):
    """Search for a shape within a budget of executed instructions (DASS); ``views`` 0 leaves it out."""

    views: Amount = 0
    size: Side = 256
    batch: Count = 24
    lr: Positive = 3e-3
    gate_lr: Positive = 0.02
    costs: Path = Path("boards/results/layer_costs.json")
    core: str = "cortex-a72"
    budget: Positive = 30e6
    """Executed instructions of the backbone and the branch at 320 × 320."""
    weight: Weight = 5.0
    """Of the cost beside the task's loss."""


class BudgetOptions(Table):
    """The most that int8 may lose against its own float network; a broken budget fails the step."""

    ap: Weight = 0.01
    degrees: Weight = 0.2
    nme: Weight = 0.03


class QatOptions(Table):
    steps: Count = 600
    batch: Count = 12
    size: Side = 320
    lr: Positive = 1e-4
    ema: Share = 0.998


class CompressOptions(Table):
    method: Literal["gptq", "ptq", "nncf", "qat"] = "gptq"
    grids: Count = 41
    score_shift: float = 0.0
    """Added to the logit of every score; "dev" thresholds are reported by `evaluate`."""
    equalise: Share = 0.5
    stem_percentile: Annotated[float, Field(gt=50, le=100)] = 99.97
    photos: Count = 96
    photo_size: Size = (320, 320)
    large_photo_size: Size = (640, 640)
    large_photos: Amount = 24
    control_photos: Count = 600
    most_float_layers: Amount = 8
    qat: QatOptions = QatOptions()
    budget: BudgetOptions = BudgetOptions()


class ExportOptions(Table):
    sizes: list[Size] = [(320, 240), (320, 320), (640, 480)]
    tflite: bool = True
    tflite_sizes: list[Size] = []
    """Those of `sizes` that get a TFLite file; all of them if empty. `edgeface resize` makes others from them."""
    ncnn: bool = True
    litert_python: Path | None = None
    covered: Share = 0.9
    filled_photos: Amount = 48
    evaluation_sizes: list[Size] = []
    float_bundle: bool = True

    @model_validator(mode="after")
    def _among(self) -> ExportOptions:
        if foreign := [s for s in self.tflite_sizes if s not in self.sizes]:
            raise ValueError(f"tflite_sizes must be among sizes, but got {foreign[0][0]}x{foreign[0][1]}")
        return self


class TrialOptions(Table):
    set: str
    size: Size
    turn: Literal[0, 90, 180, 270] = 0


class EvaluateOptions(Table):
    sets: Path | None = None
    """Folder of labelled sets that nothing was trained or chosen on. Without one the dev split is measured alone."""
    runtimes: list[Literal["onnxruntime", "litert", "ncnn"]] = ["onnxruntime"]
    peers: list[str] = []
    trials: list[TrialOptions] = []
    resamples: Amount = 1000
    ledger: Path | None = None
    """A file that gets a line each time the sets are opened."""
    budget: BudgetOptions = BudgetOptions()


class PackageOptions(Table):
    version: str = "0.1.0"
    licence: str = "not stated"
    min_score: Share = 0.5
    nms_iou: Share = 0.45


class Recipe(Table):
    """One network, from photos to bundle."""

    task: Literal["faces", "points"] = "faces"
    """What it learns: to find faces, or the points of a found one (`quantize.points.config`)."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")
    seed: Amount = 1
    run: Path
    data: DataOptions
    label: LabelOptions = LabelOptions()
    model: ModelOptions
    search: SearchOptions = SearchOptions()
    pretrain: PretrainOptions = PretrainOptions()
    train: TrainOptions
    compress: CompressOptions = CompressOptions()
    export: ExportOptions = ExportOptions()
    evaluate: EvaluateOptions = EvaluateOptions()
    package: PackageOptions = PackageOptions()

    @model_validator(mode="after")
    def _names(self) -> Recipe:
        """Sets are called by names that exist, each its own."""
        names = [s.name for s in self.data.sets]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"data.sets must have names of their own, but got {', '.join(twice)} more than once")
        for key, used in (
            ("label.quality_sets", self.label.quality_sets),
            ("label.pose_quantile", list(self.label.pose_quantile)),
            ("train.hard_negatives.sets", self.train.hard_negatives.sets),
        ):
            if unknown := [n for n in used if n not in names]:
                raise ValueError(
                    f"{key} must name sets of data.sets ({', '.join(names)}), but got {', '.join(unknown)}"
                )
        for number, options in enumerate(self.data.sets):
            if options.without is not None and options.without not in names[:number]:
                raise ValueError(
                    f"data.sets.{number}.without must name a set before it ({', '.join(names[:number])}), "
                    f"but got {options.without}"
                )
        if not any(s.weight for s in self.data.sets):
            raise ValueError("data.sets must have a set with a weight above 0, but all have 0")
        return self


def load_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: a TOML file. Its key ``base`` may name another one, from its own folder on, of which it gives the
            differences.
        settings: ``key=value`` with dots in the key and a TOML value, such as ``train.optimizer.lr=1e-3``; text needs
            no quotes.

    Raises:
        RecipeError: the file cannot be read, or a key or value is not allowed; says which and what is.

    Examples:
        >>> load_recipe(Path("quantize/recipes/edgeface-n.toml"), ["export.tflite=false"]).export.tflite
        False
    """
    values = _with_bases(path)[0]
    values.setdefault("name", path.stem)
    values.setdefault("run", f"runs/{values['name']}")
    apply_settings(values, settings)
    return checked(values)


def checked(values: dict[str, Any]) -> Recipe:
    """The recipe of parsed TOML. Raises RecipeError with every fault, each with its key."""
    model = _model_of(values)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(_said(e, model) for e in error.errors())) from None


def _model_of(values: dict[str, Any]) -> type[Recipe]:
    """The schema that a recipe's ``task`` names: detectors need none."""
    if values.get("task") != "points":
        return Recipe
    from quantize.points.config import PointsRecipe

    return PointsRecipe


def _said(error: Any, model: type[BaseModel] | None = None, prefix: str = "") -> str:
    """One fault of a recipe, or of its table ``model`` at ``prefix``, in words."""
    model = model or Recipe
    *parents, last = error["loc"] or [""]
    place = prefix + ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        keys = list(_table(model, parents).model_fields)
        near = difflib.get_close_matches(str(last), keys, 1, 0.4)
        allowed = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(keys)}"
        return f"{place} must be a known key, but is not: {allowed}"
    if error["type"] == "missing":
        return f"{place} must be given, but is missing"
    if error["type"] in LIMITS and (limits := _range(_field(model, error["loc"]))):
        return f"{place} must be {limits}, but got {error['input']!r:.80}"
    if error["type"] == "value_error":
        return ": ".join(part for part in (place, error["msg"].removeprefix("Value error, ")) if part)
    if error["type"] == "model_type":
        keys = list(_table(model, error["loc"]).model_fields)
        return f"{place} must be a table of {', '.join(keys)}, but got {error['input']!r:.80}"
    said = re.sub(
        r"^(Input|String|List|Tuple|Value) should (be )?", lambda m: "" if m[2] else "value that should ", error["msg"]
    )
    said = said.replace("value that should match pattern", "text that matches").replace(
        "value that should have", "a list of"
    )
    return f"{place} must be {said}, but got {error['input']!r:.80}"


def _table(model: type[BaseModel], parents: Sequence[Any]) -> type[BaseModel]:
    """The table at ``parents``."""
    for part in parents:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    return model


def _field(model: type[BaseModel], place: Sequence[Any]) -> Any:
    """The field that holds the value at ``place``."""
    field = None
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            field = model.model_fields[part]
            model = next(_models(field.annotation), model)
    return field


def _range(field: Any) -> str:
    """What a number of a field may be, in words; empty where nothing limits it."""
    limits = [*getattr(field, "metadata", ()), *_metadata(getattr(field, "annotation", None))]
    said = [
        f"{word} {value:g}"
        for word, name in (("at least", "ge"), ("above", "gt"), ("at most", "le"), ("below", "lt"))
        for value in {getattr(m, name) for m in limits if getattr(m, name, None) is not None}
    ]
    said += [f"a multiple of {m.multiple_of:g}" for m in limits if getattr(m, "multiple_of", None) is not None][:1]
    return " and ".join(said)


def _metadata(annotation: Any) -> Iterator[Any]:
    """Limits of the values within lists and tuples."""
    for said in getattr(annotation, "__metadata__", ()):
        yield from getattr(said, "metadata", [said])
    for part in getattr(annotation, "__args__", ()):
        yield from _metadata(part)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def sources_of(path: Path, settings: Sequence[str] = ()) -> dict[str, str]:
    """Where each value of a recipe comes from: its dotted key to a file's name, "command line" or "default"."""
    sources = dict.fromkeys(flat(load_recipe(path, settings).model_dump(mode="json")), "default")
    for file, values in reversed(_with_bases(path)[1]):
        sources |= dict.fromkeys(flat(values), file.name)
    said: dict[str, Any] = {}
    apply_settings(said, settings)
    return sources | dict.fromkeys(flat(said), "command line")


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys; lists stay whole.

    Examples:
        >>> flat({"a": {"b": 1}, "c": [2]})
        {'a.b': 1, 'c': [2]}
    """
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return out


def apply_settings(values: dict[str, Any], settings: Sequence[str]) -> None:
    """Sets single values in place; see `load_recipe`."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set must be KEY=VALUE, but got {setting}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *parents, last = key.split(".")
        place = values
        for part in parents:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise RecipeError(f"--set must name a key of a table, but got {key}")
        place[last] = value


def _with_bases(path: Path) -> tuple[dict[str, Any], list[tuple[Path, dict[str, Any]]]]:
    """What ``path`` says over what its bases say, and what each file says by itself, ``path`` first."""
    values = _read(path)
    files = [(path.resolve(), values)]
    merged_values = values
    while "base" in files[-1][1]:
        base = files[-1][1].pop("base")
        if not isinstance(base, str):
            raise RecipeError(f"base must name a file, but got {base!r}")
        file = (files[-1][0].parent / base).resolve()
        if any(file == seen for seen, _ in files):
            raise RecipeError(f"base must not lead back to {file.name}, but that of {files[-1][0].name} does")
        files.append((file, _read(file)))
        merged_values = merged({k: v for k, v in files[-1][1].items() if k != "base"}, merged_values)
    return merged_values, files


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"recipe must be a readable file, but got {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe must be TOML, but got {path}: {error}") from None


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with what ``over`` says; tables within are merged, everything else is replaced.

    Examples:
        >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    both = {k: (base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return base | over | {k: merged(*tables) for k, tables in both.items()}
