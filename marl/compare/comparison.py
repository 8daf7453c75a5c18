"""From the curves of runs to what is shown of methods: a panel for each setting, and one for all.

Runs are evaluated at moments of their own. Between two evaluations a curve is a straight line, and
the runs of a method are averaged from where the last of them begins to where the first one ends.
Final scores are compared at one place of the axis, the last that every run of every method has
reached, so that nobody is compared by having been trained for longer.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.settings import parse
from marl.compare.methods import Method, Run
from marl.compare.statistics import Estimate, estimate

ALL = "all settings"
"""The panel of all settings together, in shares of the best score of each."""

LEVEL = 0.95
_MOST_POINTS = 200

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A method in one panel.

    Attributes:
        method: its name.
        seeds: how many runs it has.
        x: float64 [T], where its curve has points.
        curve: what it has come to there.
        final: where all are compared, one point.
        scores: of each of its runs there, by folder; a mean over settings, where there are several.
    """

    method: str
    seeds: int
    x: Array
    curve: Estimate
    final: Estimate
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Panel:
    """A setting, or all of them.

    Attributes:
        setting: its slug, or ``ALL``.
        outcome: what is compared.
        at: where on the axis final scores are; None where each method has its own, where it ends.
        lines: one for each method.
    """

    setting: str
    outcome: str
    at: float | None
    lines: tuple[Line, ...]

    @property
    def measure(self) -> str:
        """What its figures are, in words."""
        return f"{self.outcome}, share of the best" if self.setting == ALL else self.outcome


@dataclass(frozen=True)
class Question:
    """What is to be compared, and how.

    Attributes:
        settings: names or slugs; () for all that the methods have in common.
        outcome: None for the headline of each setting.
        axis: a name out of ``marl.compare.methods.AXES``.
        at: where on the axis final scores are; None for the last place that all have reached.
        resamples: of the bootstrap.
        own_end: whether each method is compared where its own runs end.
    """

    settings: tuple[str, ...] = ()
    outcome: str | None = None
    axis: str = "updates"
    at: float | None = None
    resamples: int = 2000
    own_end: bool = False


def compare(methods: Sequence[Method], question: Question) -> list[Panel]:
    """What methods have come to, setting by setting, and in all settings where they are several.

    Raises:
        ValueError: if the methods have no evaluation in common, or not the one that is asked for.
    """
    slugs = _settings(methods, question.settings)
    panels = [_panel(methods, [slug], question, {slug: 1.0}, slug) for slug in slugs]
    if len(slugs) > 1 and len({panel.outcome for panel in panels}) == 1 and not question.outcome:
        best: dict[str, float] = {}
        for slug in slugs:
            best |= methods[0].playing(slug)[0].best_scores()
        if set(slugs) <= set(best):
            panels.append(_panel(methods, slugs, question, best, ALL))
    return panels


def _settings(methods: Sequence[Method], asked: Sequence[str]) -> list[str]:
    """The slugs that are compared."""
    common = [slug for slug in methods[0].slugs if all(slug in m.slugs for m in methods)]
    if not asked:
        if not common:
            theirs = "; ".join(f"{m.name}: {', '.join(m.slugs)}" for m in methods)
            raise ValueError(f"the methods have no evaluation in common ({theirs})")
        return common
    found: dict[str, None] = {}
    for name in asked:
        slugs = [name] if name in common else [setting.slug for setting in parse(name)]
        for slug in slugs:
            for method in methods:
                if slug not in method.slugs:
                    raise ValueError(
                        f"{method.name} was not evaluated in {name}: choose from "
                        f"{', '.join(method.slugs)}"
                    )
        found |= dict.fromkeys(slugs)
    return list(found)


def _panel(
    methods: Sequence[Method],
    slugs: Sequence[str],
    question: Question,
    best: Mapping[str, float],
    title: str,
) -> Panel:
    outcome = _outcome(methods, slugs[0], question.outcome)
    members = [_Member(method, slugs, outcome, question.axis, best) for method in methods]
    at = min(member.end for member in members)
    if question.at is not None:
        for member in members:
            if not member.start <= question.at <= member.end:
                raise ValueError(
                    f"--at {question.at:g}: the runs of {member.name} were evaluated in {title} "
                    f"from {member.start:g} to {member.end:g} {question.axis}"
                )
        at = question.at
    if question.own_end and question.at is None:
        lines = tuple(m.line(m.end, question.resamples) for m in members)
        return Panel(title, outcome, None, lines)
    return Panel(title, outcome, at, tuple(m.line(at, question.resamples) for m in members))


def _outcome(methods: Sequence[Method], slug: str, asked: str | None) -> str:
    known = [run.outcomes[slug] for method in methods for run in method.playing(slug)]
    outcome = known[0][0] if asked is None else asked
    for names in known:
        if outcome not in names:
            raise ValueError(
                f"{slug} was not evaluated by {outcome!r} in every run: choose from "
                f"{', '.join(names)}"
            )
    return outcome


class _Member:
    """A method in some settings: the curves of its runs, and their strata."""

    def __init__(
        self,
        method: Method,
        slugs: Sequence[str],
        outcome: str,
        axis: str,
        best: Mapping[str, float],
    ) -> None:
        self.name = method.name
        self._runs: list[Run] = [run for run in method.runs if set(slugs) & set(run.outcomes)]
        self._curves: dict[tuple[int, int], tuple[Array, Array]] = {}
        strata: dict[tuple[int, ...], list[int]] = {}
        for i, run in enumerate(self._runs):
            played = tuple(m for m, slug in enumerate(slugs) if slug in run.outcomes)
            strata.setdefault(played, []).append(i)
            for m in played:
                x, y = run.curve(slugs[m], outcome, axis)
                if not len(x):
                    raise ValueError(f"the run in {run.folder} says nothing of {axis}")
                self._curves[i, m] = x, y / best[slugs[m]]
        self._settings = len(slugs)
        self._strata = [np.array(places) for places in strata.values()]
        self.start = max(float(x[0]) for x, _ in self._curves.values())
        self.end = min(float(x[-1]) for x, _ in self._curves.values())
        if self.start > self.end:
            raise ValueError(
                f"the runs of {self.name} have no stretch of {axis} in common: one ends at "
                f"{self.end:g}, another begins at {self.start:g}"
            )

    def line(self, at: float, resamples: int) -> Line:
        """The method in the panel."""
        points = np.unique(np.concatenate([x for x, _ in self._curves.values()]))
        x = points[(points >= self.start) & (points <= self.end)]
        if len(x) > _MOST_POINTS:
            x = np.linspace(self.start, self.end, _MOST_POINTS)
        curve = estimate(self._at(x), self._strata, resamples=resamples, level=LEVEL)
        last = self._at(np.array([at]))
        final = estimate(last, self._strata, resamples=resamples, level=LEVEL)
        scores = {str(run.folder): float(np.nanmean(last[i])) for i, run in enumerate(self._runs)}
        return Line(self.name, len(self._runs), x, curve, final, scores)

    def _at(self, x: Array) -> Array:
        """Scores float64 [R, M, T] at T places of the axis."""
        scores = np.full((len(self._runs), self._settings, len(x)), np.nan)
        for (i, m), (own, y) in self._curves.items():
            scores[i, m] = np.interp(x, own, y)
        return scores


def write(folder: Path, panels: Sequence[Panel], question: Question) -> None:
    """Writes ``curves.csv``, ``scores.csv`` and ``compare.json`` into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    interval = ("iqm", "low", "high")
    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["setting", "outcome", "method", "seeds", question.axis, *interval])
        for panel in panels:
            for line in panel.lines:
                columns = (line.x, line.curve.iqm, line.curve.low, line.curve.high)
                head = [panel.setting, panel.outcome, line.method, line.seeds]
                for row in zip(*columns, strict=True):
                    table.writerow([*head, *map(_written, row)])
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["setting", "outcome", "method", "seeds", question.axis, *interval, "mean"])
        for panel in panels:
            for line in panel.lines:
                f = line.final
                mean = float(np.mean(list(line.scores.values())))
                at = float(line.x[-1]) if panel.at is None else panel.at
                figures = (at, f.iqm[0], f.low[0], f.high[0], mean)
                head = [panel.setting, panel.outcome, line.method, line.seeds]
                table.writerow([*head, *map(_written, figures)])
    found = {**asdict(question), "level": LEVEL, "panels": [_plain(panel) for panel in panels]}
    (folder / "compare.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _plain(panel: Panel) -> dict[str, Any]:
    """A panel for JSON, without its curves."""
    methods = {
        line.method: {
            "seeds": line.seeds,
            "iqm": float(line.final.iqm[0]),
            "interval": [float(line.final.low[0]), float(line.final.high[0])]
            if np.isfinite(line.final.low[0])
            else None,
            "scores": dict(line.scores),
        }
        for line in panel.lines
    }
    about = {"setting": panel.setting, "outcome": panel.outcome, "at": panel.at}
    return {**about, "methods": methods}


def _written(value: float) -> str:
    """A number for CSV; empty where there is none."""
    return f"{value:.6g}" if np.isfinite(value) else ""
