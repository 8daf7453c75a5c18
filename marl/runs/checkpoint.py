"""Checkpoints that are whole or absent, whenever the process or the machine dies.

A checkpoint is a directory of three files: ``tensors.safetensors``, ``meta.json``, and
``manifest.json`` with the size and SHA-256 of the other two. It is written under a temporary name
in the same folder, flushed to the disk, and only then renamed, which is atomic::

    store = CheckpointStore("runs/first/checkpoints")
    store.save(step, {"weight": tensor, ...}, {"rng": generator.bit_generator.state})
    tensors, meta = store.load()
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

_TENSORS, _META, _MANIFEST = "tensors.safetensors", "meta.json", "manifest.json"
_FORMAT = "troupe checkpoint 1"
_NAME = re.compile(r"(\d{6,})-step-(\d+)")
_TEMPORARY = ".tmp-"


class CheckpointError(ValueError):
    """A checkpoint that is damaged or was not written by this version."""


@dataclass(frozen=True, order=True)
class _Entry:
    """A checkpoint's directory; one saved later is greater, whatever its step."""

    serial: int
    step: int
    path: Path


class CheckpointStore:
    """The checkpoints of one run, the newest ``keep`` of them.

    Any number of processes may read while one writes.

    Args:
        folder: where they lie; made by the first ``save``.
        keep: how many to keep, at least 1. With 1 there is nothing to fall back to.

    Raises:
        ValueError: if ``keep`` is below 1.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"at least 1 checkpoint must be kept, got {keep}")
        self.folder = Path(folder)
        self.keep = keep

    def save(self, step: int, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
        """Writes a checkpoint, which becomes the latest, and removes the oldest beyond ``keep``.

        Args:
            step: what to find it by, at least 0. Of two saved at one step the later one is found.
            tensors: arrays, or torch tensors on any device; up to 64 bits, bool included.
            meta: plain values for JSON: keys must be strings, tuples come back as lists, integers
                may be of any size.

        Returns:
            the checkpoint's directory.

        Raises:
            ValueError: if ``step`` is negative, or a tensor has a dtype that files cannot hold.
            TypeError: if ``meta`` is not plain.
            OSError: if there is no room; the checkpoints that there are stay.
        """
        if step < 0:
            raise ValueError(f"a checkpoint's step cannot be negative, got {step}")
        arrays = {name: _as_array(name, tensor) for name, tensor in tensors.items()}
        text = json.dumps(meta, indent=1)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sweep()
        entries = self._entries()
        serial = entries[-1].serial + 1 if entries else 1
        final = self.folder / f"{serial:06d}-step-{step}"
        temporary = self.folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
        temporary.mkdir()
        try:
            _save_tensors(arrays, temporary / _TENSORS)
            (temporary / _META).write_text(text, encoding="utf-8")
            # It is made for its owner's eyes only: a run's agent may be evaluated by others.
            shutil.copymode(temporary / _META, temporary / _TENSORS)
            manifest = {
                "format": _FORMAT,
                "step": step,
                "files": {name: _describe(temporary / name) for name in (_TENSORS, _META)},
            }
            (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            for name in (_TENSORS, _META, _MANIFEST):
                _flush(temporary / name)
            _flush(temporary)
            temporary.rename(final)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError):
                error.filename = str(final)
            raise
        _flush(self.folder)
        for entry in self._entries()[: -self.keep]:
            # Renamed first, so that what is half removed is never taken for a checkpoint.
            doomed = self.folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
            entry.path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        return final

    def load(self, step: int | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Reads a checkpoint, every byte of it checked.

        Args:
            step: which one; None for the latest that is whole, with a warning for each damaged one
                passed over.

        Returns:
            the tensors as arrays, and the meta data.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            CheckpointError: if the one of ``step``, or every one there is, is damaged.
        """
        entries = [entry for entry in self._entries() if step in (None, entry.step)]
        if not entries:
            which = "checkpoint" if step is None else f"checkpoint of step {step}"
            raise FileNotFoundError(f"there is no {which} in {self.folder}")
        for entry in reversed(entries):
            try:
                return _read(entry.path)
            except CheckpointError as error:
                if entry == entries[0] or step is not None:
                    raise
                warnings.warn(f"{error}; falling back to the one before it", stacklevel=2)
        raise AssertionError("unreachable: the last entry was returned or raised")

    def latest(self) -> int | None:
        """Step of the newest checkpoint whose manifest is in order, None if there is none."""
        for entry in reversed(self._entries()):
            with contextlib.suppress(CheckpointError):
                _manifest(entry.path)
                return entry.step
        return None

    def _entries(self) -> list[_Entry]:
        """All checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        matches = [(_NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted(_Entry(int(m[1]), int(m[2]), path) for m, path in matches if m)

    def sweep(self) -> None:
        """Removes what a killed writer left half written; only for who writes here."""
        for path in self.folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)


def _as_array(name: str, tensor: Any) -> NDArray[Any]:
    """A tensor as a contiguous array, without importing torch."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            raise ValueError(f"checkpoints hold no bfloat16, which {name} is: save it as float32")
        tensor = tensor.numpy()
    # As it is where it can be: an array of hundreds of megabytes should not be copied.
    array = np.asarray(tensor, order="C")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(f"checkpoints hold numbers and booleans, {name} is {array.dtype}")
    return array


def _save_tensors(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Writes arrays.

    Raises:
        OSError: if they cannot be written.
    """
    try:
        save_file(dict(arrays), path)
    except SafetensorError as error:
        # What the system said is in the text alone, as "code: 28" or "os error 28".
        code = re.search(r"(?:code:|os error) (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error


def _describe(path: Path) -> dict[str, Any]:
    """Size and hash of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _flush(path: Path) -> None:
    """Waits until a file, or a directory's list of names, has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(path: Path) -> dict[str, Any]:
    """A checkpoint's manifest, once it agrees with the sizes of the files."""
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        if manifest["format"] != _FORMAT:
            raise CheckpointError(f"{path} is of another format: {manifest['format']!r}")
        for name in (_TENSORS, _META):
            if (path / name).stat().st_size != manifest["files"][name]["bytes"]:
                raise CheckpointError(f"{path} is damaged: {name} has another size than it had")
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is damaged: its manifest or a file is missing") from error
    return dict(manifest)


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """A checkpoint, once its files agree with their hashes."""
    manifest = _manifest(path)
    try:
        for name in (_TENSORS, _META):
            if _describe(path / name) != manifest["files"][name]:
                raise CheckpointError(f"{path} is damaged: {name} has changed since it was saved")
        return load_file(path / _TENSORS), json.loads((path / _META).read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
