"""``troupe compare``: draw curves and final scores of methods, each over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from scripts.arguments import parse
from scripts.outputs import check_folder

if TYPE_CHECKING:
    from marl.compare.comparison import Panel
    from marl.compare.managers import Row
    from marl.compare.statistics import Estimate

COMMAND = "troupe compare"


@dataclass(frozen=True)
class Options:
    """Compares methods by the evaluations that their runs have written, each over its seeds.

    Interquartile means with stratified bootstrap intervals (arXiv 2108.13264), as a picture, CSV
    and JSON. Nothing is played. To train several seeds: troupe train --seeds 1-5.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """A method each: a folder that holds seed-1 and so on, a single run, or NAME=FOLDER. Folders
    under one name are one method."""
    settings: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[SETTING ...]")] = ()
    """What was played: hanabi:2-5, or as it is called in the metrics, hanabi-2; without any, all
    that the methods have in common."""
    outcome: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What is compared, such as points; without it, the headline of each setting."""
    axis: Literal["updates", "env-steps", "minutes"] = "updates"
    """What curves are drawn over."""
    at: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Where on that axis final scores are taken; without it, the last place all have reached, or
    with --managers where each method ends."""
    managers: bool = False
    """Whether the methods differ in what manages the game: they are compared all the same, and what
    each gained over the first that is named is told."""
    resamples: int = 2000
    """How often runs are drawn again for an interval."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("comparison")
    """Folder for compare.png, curves.csv, scores.csv and compare.json; with --managers, also for
    SETTING-managers.csv."""


def main(args: Sequence[str]) -> None:
    """Compares as the options say.

    Raises:
        ValueError: if there is no such run, an option is out of range, or the methods have no
            evaluation in common.
    """
    options = parse(Options, COMMAND, args)
    if not options.runs:
        raise ValueError("name at least one run: a folder, or NAME=FOLDER")
    if options.resamples < 100:
        raise ValueError(f"--resamples must be at least 100, got {options.resamples}")
    check_folder(options.out, "--out")
    # They import torch: not for --help.
    from marl.compare import managers
    from marl.compare.comparison import LEVEL, Question, compare, write
    from marl.compare.figure import save
    from marl.compare.methods import read_methods

    question = Question(
        options.settings,
        options.outcome,
        options.axis,
        options.at,
        options.resamples,
        own_end=options.managers,
    )
    methods = read_methods(options.runs)
    if options.managers:
        methods = managers.unmanaged(methods)
    if not options.managers:
        panels = compare(methods, question)
    else:
        outcomes = [options.outcome] if options.outcome else ["raw", "manager"]
        panels = [p for o in outcomes for p in compare(methods, replace(question, outcome=o))]
    write(options.out, panels, question)
    picture = options.out / "compare.png"
    save(picture, panels, options.axis)
    _show(panels, options.axis)
    if options.managers:
        for slug in dict.fromkeys(panel.setting for panel in panels):
            rows = managers.tabulate(methods, slug, options.resamples, LEVEL)
            managers.write(options.out / f"{slug}-managers.csv", rows)
            _show_managers(slug, rows)
    print(f"picture: {picture}   data: {options.out}")


def _show(panels: Sequence[Panel], axis: str) -> None:
    """Prints the final scores."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for panel in panels:
        where = "the end of each" if panel.at is None else f"{panel.at:,.10g} {axis}"
        title = f"{panel.setting}: {panel.measure} at {where}"
        table = Table(title=title, title_justify="left")
        for heading in ("method", "seeds", "interquartile mean", "95 % interval"):
            table.add_column(heading, justify="left" if heading == "method" else "right")
        for line in panel.lines:
            row = (str(line.seeds), f"{line.final.iqm[0]:.3f}", _interval(line.final))
            table.add_row(escape(line.method), *row)
        Console().print(table)


def _show_managers(slug: str, rows: Sequence[Row]) -> None:
    """Prints what was gained over the first method."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    title = f"{slug}: gains over {rows[0].method} in %, with 95 % intervals; at the end of each run"
    table = Table(title=escape(title), title_justify="left")
    for heading in ("method", "seeds", "raw", "agents", "manager", "payments", "per gain", "gap"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in rows:
        gains = [_gain(row.gains.get(name)) for name in ("raw", "agents", "manager")]
        paid, gap = row.scores.get("payments"), row.scores.get("gap")
        table.add_row(
            escape(row.method),
            str(row.seeds),
            *gains,
            f"{paid.iqm[0]:.2f}" if paid else "-",
            f"{row.cost:.2f}" if row.cost is not None else "-",
            f"{gap.iqm[0]:.0%}" if gap else "-",
        )
    Console().print(table)


def _gain(found: Estimate | None) -> str:
    if found is None:
        return "-"
    low, high = found.low[0], found.high[0]
    spread = f" ({low:+.1f} to {high:+.1f})" if low == low else ""
    return f"{found.iqm[0]:+.1f}{spread}"


def _interval(final: Estimate) -> str:
    low, high = final.low[0], final.high[0]
    return f"{low:.3f} to {high:.3f}" if low == low else "- (one seed)"
