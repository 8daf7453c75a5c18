"""Games with a manager beside its controls: what the whole earned, what it cost, and the gain.

Methods that are compared here play one game under different managers, so that their settings differ
in nothing but that. Everything is compared at the end of each run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.settings import Setting, parse
from marl.compare.methods import Method, Run
from marl.compare.statistics import Estimate, estimate
from marl.runs.config import load_config

SUMS = ("raw", "agents", "manager")
"""What may be gained: by the whole, by the players, by the manager."""
OPTIONAL = ("payments", "gap")


@dataclass(frozen=True)
class Row:
    """A method.

    Attributes:
        method: its name.
        seeds: how many runs it has.
        scores: by outcome, the interquartile mean over the runs and its interval.
        gains: of ``SUMS``, in percent of what the first method has.
        cost: payments for each point that the raw rewards gained; None where nothing was.
    """

    method: str
    seeds: int
    scores: dict[str, Estimate]
    gains: dict[str, Estimate]
    cost: float | None


def unmanaged(methods: Sequence[Method]) -> list[Method]:
    """The same methods, their settings named without what manages them.

    Raises:
        ValueError: if the settings of a run then bear one name.
    """
    return [replace(m, runs=tuple(_unmanaged(run) for run in m.runs)) for m in methods]


def _unmanaged(run: Run) -> Run:
    names = {slug: _plain_slug(run.folder, slug) for slug in run.outcomes}
    if len(set(names.values())) < len(names):
        raise ValueError(f"the run in {run.folder} played one game under several managers")

    def renamed(entry: dict[str, Any]) -> dict[str, Any]:
        out = {}
        for key, value in entry.items():
            head, slash, outcome = key.rpartition("/")
            slug = head.removeprefix("evaluate/")
            out[f"evaluate/{names[slug]}/{outcome}" if slash and slug in names else key] = value
        return out

    return Run(run.folder, [renamed(entry) for entry in run.entries])


def _plain_slug(folder: Path, slug: str) -> str:
    """The slug of a setting without its manager; as it is where nobody knows the setting."""
    for setting in _settings(folder):
        if setting.slug == slug:
            kept = {k: v for k, v in setting.options.items() if not k.startswith("manager")}
            return Setting(setting.game, setting.players, kept).slug
    return slug


def _settings(folder: Path) -> tuple[Setting, ...]:
    """What a run plays, as its configuration says, or that of its study."""
    study = folder.parent / "study.json"
    if study.is_file():
        return parse(json.loads(study.read_text(encoding="utf-8"))["setting"])
    try:
        return load_config(folder).settings()
    except ValueError:
        return ()


def tabulate(methods: Sequence[Method], slug: str, resamples: int, level: float) -> list[Row]:
    """What every method came to at the end, and what it gained over the first.

    Args:
        methods: the first is what the others are measured against.
        slug: of the setting.
        resamples: of the bootstrap.
        level: of the intervals. Those of gains take the first method's mean as it is.
    """
    found = []
    before: dict[str, float] = {}
    for method in methods:
        finals = _finals(method, slug)
        scores = {name: _estimate(values, resamples, level) for name, values in finals.items()}
        before = before or {name: float(scores[name].iqm[0]) for name in SUMS if name in scores}
        gains = {
            name: _estimate(100 * (finals[name] / mean - 1), resamples, level)
            for name, mean in before.items()
            if name in finals and mean > 0
        }
        cost = None
        if "payments" in finals and "raw" in finals:
            gained = float(finals["raw"].mean()) - before["raw"]
            cost = float(finals["payments"].mean()) / gained if gained > 0 else None
        found.append(Row(method.name, len(method.runs), scores, gains, cost))
    return found


def write(path: Path, rows: Sequence[Row]) -> None:
    """Writes the table as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["method", "seeds", "what", "iqm", "low", "high"])
        for row in rows:
            named = {**row.scores, **{f"gain of {k}, %": v for k, v in row.gains.items()}}
            for what, found in named.items():
                figures = (found.iqm[0], found.low[0], found.high[0])
                shown = [f"{x:.6g}" if np.isfinite(x) else "" for x in figures]
                table.writerow([row.method, row.seeds, what, *shown])
            if row.cost is not None:
                shown = [f"{row.cost:.6g}", "", ""]
                table.writerow([row.method, row.seeds, "payments per point gained", *shown])


def _finals(method: Method, slug: str) -> dict[str, NDArray[np.float64]]:
    """Of every outcome, what each run came to last: float64 [R]."""
    runs = method.playing(slug)
    names = [name for name in (*SUMS, *OPTIONAL) if all(name in r.outcomes[slug] for r in runs)]
    found = {}
    for name in names:
        last = [run.curve(slug, name, "updates")[1][-1] for run in runs]
        found[name] = np.array(last, np.float64)
    return found


def _estimate(values: NDArray[np.float64], resamples: int, level: float) -> Estimate:
    strata = [np.arange(len(values))]
    return estimate(values[:, None, None], strata, resamples=resamples, level=level)
