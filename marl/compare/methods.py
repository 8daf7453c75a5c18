"""Methods, each with its runs over seeds, and the curves that the runs have written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl.runs.config import CONFIG_FILE, load_config
from marl.runs.monitor import METRICS_FILE, read_metrics

AXES = {"updates": ("step", 1.0), "env-steps": ("act/env_steps", 1.0), "minutes": ("seconds", 60.0)}
"""What scores can be drawn over: its name in an entry, and what that is divided by."""

_PREFIX = "evaluate/"


@dataclass(frozen=True)
class Run:
    """What one run has written of its evaluations.

    Attributes:
        folder: of the run.
        entries: those lines of its metrics that hold an evaluation, in order.
    """

    folder: Path
    entries: list[dict[str, Any]]

    @cached_property
    def outcomes(self) -> dict[str, tuple[str, ...]]:
        """The outcomes of every setting that was evaluated, by slug, the headline first."""
        found: dict[str, dict[str, None]] = {}
        for entry in self.entries:
            for name in entry:
                if name.startswith(_PREFIX):
                    slug, _, outcome = name.removeprefix(_PREFIX).rpartition("/")
                    found.setdefault(slug, {})[outcome] = None
        return {slug: tuple(names) for slug, names in found.items()}

    def curve(
        self, slug: str, outcome: str, axis: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """An outcome over an axis out of ``AXES``: float64 [T] each, ascending, T may be 0."""
        key, divisor = AXES[axis]
        name = f"{_PREFIX}{slug}/{outcome}"
        points = {
            entry[key] / divisor: entry[name]
            for entry in self.entries
            if entry.get(name) is not None and entry.get(key) is not None
        }
        ordered = np.array(sorted(points.items()), np.float64).reshape(-1, 2)
        return ordered[:, 0], ordered[:, 1]

    def best_scores(self) -> dict[str, float]:
        """The most that the headline of each setting can come to, as far as anybody knows."""
        if not (self.folder / CONFIG_FILE).is_file():
            return {}
        try:
            settings = load_config(self.folder).settings()
        except ValueError:  # Of another version: its curves can be compared all the same.
            return {}
        best = {setting.slug: setting.batched(1).max_score for setting in settings}
        return {slug: score for slug, score in best.items() if score}


@dataclass(frozen=True)
class Method:
    """What is compared: a name, and its runs over seeds."""

    name: str
    runs: tuple[Run, ...]

    def playing(self, slug: str) -> list[Run]:
        """The runs in which a setting was evaluated."""
        return [run for run in self.runs if slug in run.outcomes]

    @property
    def slugs(self) -> list[str]:
        """The settings that any of its runs was evaluated in."""
        return list(dict.fromkeys(slug for run in self.runs for slug in run.outcomes))


def read_methods(names: Sequence[str]) -> list[Method]:
    """Finds the runs of methods.

    Args:
        names: folders, or ``NAME=FOLDER``; folders under one name are one method. A folder holds
            ``seed-*`` with a run each, or is a run.

    Raises:
        ValueError: if there is no run, one has no evaluation, or a method is named twice.
    """
    folders: dict[str, list[Path]] = {}
    plain = [Path(name) for name in names if not _is_named(name)]
    short = _short(plain)
    for name in names:
        label, place = name.split("=", 1) if _is_named(name) else (short[Path(name)], name)
        folders.setdefault(label, []).append(Path(place))
    methods = []
    for label, places in folders.items():
        found = [folder for place in places for folder in _runs_in(place)]
        for folder in found:
            if found.count(folder) > 1:
                raise ValueError(f"{folder} is named twice for {label}")
        methods.append(Method(label, tuple(_read(folder) for folder in found)))
    return methods


def _is_named(name: str) -> bool:
    """Whether it is NAME=FOLDER, and no folder that has such a name itself."""
    return "=" in name and not name.startswith("=") and not Path(name).exists()


def _short(folders: Sequence[Path]) -> dict[Path, str]:
    """What folders are called: their last parts, where these tell them apart."""
    once = list(dict.fromkeys(folders))
    last = [folder.name or str(folder) for folder in once]
    return {f: n if last.count(n) == 1 else str(f) for f, n in zip(once, last, strict=True)}


def _runs_in(place: Path) -> list[Path]:
    if not place.is_dir():
        raise ValueError(f"there is no run {str(place)!r}: name a folder, or NAME=FOLDER")
    found = sorted(file.parent for file in place.glob(f"seed-*/{METRICS_FILE}"))
    if not found and (place / METRICS_FILE).is_file():
        found = [place]
    if not found:
        raise ValueError(
            f"{place} holds no run: there is neither seed-*/{METRICS_FILE} nor {METRICS_FILE} in it"
        )
    return found


def _read(folder: Path) -> Run:
    entries = [
        entry for entry in read_metrics(folder) if any(name.startswith(_PREFIX) for name in entry)
    ]
    if not entries:
        raise ValueError(
            f"the run in {folder} has no evaluation yet: train it for longer, with --resume"
        )
    return Run(folder, entries)
