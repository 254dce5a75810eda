"""Open a model bundle (``NAME.efm``: a zip or a folder) and check all of it before a runtime sees any of it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edgeface.errors import BundleCorruptError, BundleError, must_be
from edgeface.files import written_whole
from edgeface.frame import checked_size
from edgeface.manifest import FORMATS, DecodeSpec, InputSpec, Manifest, ModelSpec, OutputSpec, needed_sdk
from edgeface.reading import open_regular, read_bounded
from edgeface.selfcontained import check_selfcontained

__all__ = ["Bundle", "DecodeSpec", "InputSpec", "Manifest", "ModelSpec", "OutputSpec", "bundled_models", "write_bundle"]

#: Limits on foreign files. The shipped bundles are under 2 MB; a zip that unpacks to more than this is not a model.
MAX_MANIFEST_BYTES: Final = 4 << 20
MAX_FILE_BYTES: Final = 128 << 20
MAX_TOTAL_BYTES: Final = 256 << 20
MAX_ENTRIES: Final = 256
MAX_DIRECTORY_BYTES: Final = 128 << 10  # of the zip's list of files, which zipfile reads at once

_MANIFEST = "manifest.json"
_SUFFIX = ".efm"


def bundled_models(rule: str | None = None) -> dict[str, Path]:
    """The bundles that came with the package: name -> path, sorted by name.

    Args:
        rule: only those of this decode rule, such as `edgeface.manifest.DECODE_RULE`; all if None.
    """
    found = {path.stem: path for path in sorted((Path(__file__).parent / "models").glob(f"*{_SUFFIX}"))}
    if rule is None:
        return found
    return {name: path for name, path in found.items() if Bundle.open(path).manifest.decode.rule == rule}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose hashes have been checked.

    Attributes:
        path: where it came from.
        manifest: everything that ``manifest.json`` says.

    Examples:
        >>> bundle = Bundle.find("edgeface-s")                              # doctest: +SKIP
        >>> model = bundle.select(("onnx",), (320, 240))                    # doctest: +SKIP
        >>> network = bundle.read(model)                                    # doctest: +SKIP
    """

    path: Path
    manifest: Manifest
    _files: Mapping[str, bytes]

    @classmethod
    def find(cls, model: str | os.PathLike[str]) -> Bundle:
        """Open a bundle by its path, or by the name of one that came with the package. Never downloads.

        Raises:
            BundleError: there is no such bundle, or it is one that `open` refuses.
        """
        bundled = bundled_models()
        if isinstance(model, str) and model in bundled:
            return cls.open(bundled[model])
        path = Path(model)
        if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a name is too long
            names = ", ".join(bundled) or "none"
            raise BundleError(
                f"model must be the path of a bundle or a bundled name ({names}), but got {os.fspath(model)}"
            )
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read a zip or folder, and check its manifest and the sha256 of every network.

        Raises:
            BundleCorruptError: not a zip, damaged, or a file whose sha256 is not the manifest's.
            BundleTooNewError: it needs a newer edgeface.
            BundleError: it does not exist, is too large, or its manifest is wrong.
        """
        path = Path(path)
        if os.path.isdir(path):  # noqa: PTH112 - these two answer, where Path raises
            return cls._load(path, lambda name, limit: _read_from_folder(path, name, limit))
        if not os.path.exists(path):  # noqa: PTH110
            raise BundleError(f"bundle must be a file or folder, but got {path}, which does not exist")
        try:
            opened = open_regular(path)
        except OSError as error:
            raise BundleError(f"bundle must be readable, but got {path}: {error.strerror}") from None
        try:
            with _ZipFile(opened.detach()) as file, zipfile.ZipFile(file) as archive:
                file.listed = True
                entries = _checked_entries(archive, path)
                return cls._load(path, lambda name, limit: _read_from_zip(archive, entries, path, name, limit))
        # what zipfile raises on damaged bytes, depending on which byte it is
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
            raise BundleCorruptError(f"bundle must be an intact zip, but got {path}: {error}") from error
        except (ValueError, OverflowError, LookupError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleCorruptError(f"bundle must be an intact zip, but got {path}: {error}") from error

    @classmethod
    def _load(cls, path: Path, read: Callable[[str, int], bytes]) -> Bundle:
        manifest = Manifest.from_json(read(_MANIFEST, MAX_MANIFEST_BYTES))
        files: dict[str, bytes] = {}
        left = MAX_TOTAL_BYTES
        for model in manifest.models:
            for file, wanted in model.files.items():
                data = files[file] = read(file, min(left, MAX_FILE_BYTES))
                left -= len(data)
                digest = hashlib.sha256(data).hexdigest()
                if digest != wanted:
                    raise BundleCorruptError(f"sha256 of {file} in {path} must be {wanted}, but got {digest}")
            check_selfcontained(model.file, model.format, files[model.file])
        return cls(path, manifest, files)

    def read(self, model: ModelSpec) -> bytes:
        """The bytes of one of the manifest's networks."""
        return self._files[model.file]

    def read_weights(self, model: ModelSpec) -> bytes | None:
        """The bytes of a network's second file; None where it has none."""
        return None if model.weights is None else self._files[model.weights.file]

    def files(self) -> dict[str, bytes]:
        """The bytes of every file but the manifest, by name."""
        return dict(self._files)

    def select(
        self, formats: Iterable[str], size: tuple[int, int] | None = None, precision: str | None = None
    ) -> ModelSpec | None:
        """The network to run, or None if the bundle has none.

        Args:
            formats: of `edgeface.manifest.FORMATS`: the ones the runtime takes.
            size: (width, height) that it must serve; any if None.
            precision: "int8" or "float32"; if None, int8 before float32. A network of exactly this size comes before
                one that takes any size.

        Raises:
            InvalidInputError: none of these formats, or not a size.
        """
        formats = _checked_formats(formats)
        size = None if size is None else checked_size(size)
        wanted = ("int8", "float32") if precision is None else (precision,)
        fitting = [
            model
            for model in self.manifest.models
            if model.format in formats and model.precision in wanted and (size is None or model.serves(size))
        ]
        return min(fitting, key=lambda model: (wanted.index(model.precision), model.size is None), default=None)

    def sizes(self, formats: Iterable[str] = FORMATS) -> tuple[tuple[int, int], ...]:
        """The (width, height) of the manifest's list that a network of these formats serves."""
        formats = _checked_formats(formats)
        return tuple(size for size in self.manifest.sizes if self.select(formats, size) is not None)


def _checked_formats(formats: Iterable[str]) -> tuple[str, ...]:
    """One name, whose letters are no formats, would find nothing, as a bundle does that has none."""
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    if unknown := [name for name in formats if name not in FORMATS]:
        raise must_be("formats", f"of {', '.join(FORMATS)}", ", ".join(map(str, unknown)))
    return formats


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Zip a manifest and the networks that it names. The same contents give the same bytes; `path` appears whole or
    not at all.

    Args:
        path: ``NAME.efm``; its folder is made.
        manifest: with the sha256 of every network, which is not checked here. `min_sdk` is raised to what its networks
            need.
        files: the networks by name.

    Raises:
        BundleError: it cannot be written there.
    """
    manifest = replace(manifest, min_sdk=needed_sdk(manifest))
    text = json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        contents = [(_MANIFEST, text.encode()), *((file, files[file]) for m in manifest.models for file in m.files)]
        with written_whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in contents:
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, data)
    except OSError as error:
        raise BundleError(f"bundle must be written where files can be, but got {path}: {error.strerror}") from error


class _ZipFile(io.BufferedReader):
    """A file whose list of entries cannot fill the memory: zipfile reads it at once, however long it is."""

    listed = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.listed:
            return super().read(size)
        most = MAX_DIRECTORY_BYTES + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        if len(data) == most:
            raise BundleError(f"bundle must have a list of files of at most {MAX_DIRECTORY_BYTES} bytes, but got more")
        return data


def _read_from_folder(folder: Path, name: str, limit: int) -> bytes:
    try:
        return read_bounded(folder / name, limit)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise BundleError(f"{name} in {folder} must be at most {limit} bytes long, but got more") from None
        raise BundleError(f"bundle must hold {name}, but got {folder}: {error.strerror}") from None


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise BundleError(f"bundle must hold at most {MAX_ENTRIES} files, but got {len(infos)} in {path}")
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos):
        raise BundleError(f"bundle must hold each file once, but got one twice in {path}")
    return entries


def _read_from_zip(
    archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], path: Path, name: str, limit: int
) -> bytes:
    info = entries.get(name)
    if info is None:
        raise BundleError(f"bundle must hold {name}, but got {path} without it")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"{name} in {path} must be stored or deflated, but got method {info.compress_type}")
    # the size in the directory is only a claim: zipfile stops there, so what is read can never be more
    if info.file_size > limit:
        raise BundleError(f"{name} in {path} must be at most {limit} bytes long, but got {info.file_size}")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise BundleCorruptError(f"{name} in {path} must be {info.file_size} bytes long, but got {len(data)}")
    return data
