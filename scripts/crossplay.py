"""``troupe crossplay``: let agents play with each other, every pairing, and report how they fit."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from scripts.arguments import parse

if TYPE_CHECKING:
    from rich.console import Console

    from marl.crossplay.cells import Crossplay
    from marl.crossplay.matrix import Estimate, Matrix

COMMAND = "troupe crossplay"


@dataclass(frozen=True)
class Options:
    """Lets agents play with each other, every pairing of them, at every number of players.

    Every cell is played in a file of its own: interrupted, the same command goes on where it was.
    The same agents, games and seed give the same files, byte for byte.
    """

    agents: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="AGENT [AGENT ...]")
    ]
    """Folders of runs, exported folders, shipped agents, or rule-based players (bot:NAME)."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for everything that comes of it."""
    players: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PLAYERS [PLAYERS ...]")] = (
        "2",
        "3",
        "4",
        "5",
    )
    """Numbers of players, a matrix each: 2 3 4 5, or 2-5."""
    games: int = 1000
    """Games of every cell: one agent among others, at one number of players."""
    seed: int = 1
    """Of the first game of every cell; the others count up from it."""
    variant: Annotated[str, tyro.conf.arg(metavar="NAME")] = "full"
    """Preset of the game's rules."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks run."""


def main(args: Sequence[str]) -> None:
    """Plays and reports as the options say.

    Raises:
        ValueError: if there is no such agent, an option is out of range, or the folder holds
            another cross-play.
    """
    from rich.console import Console

    options = parse(Options, COMMAND, args)
    players = _numbers(options.players)
    # They import torch: not for --help.
    from marl.crossplay.cells import Crossplay, CrossplayConfig, enter
    from marl.crossplay.report import PAGE_FILE, write

    names = tuple(name.rstrip("/") or name for name in options.agents)
    config = CrossplayConfig(names, players, options.games, options.seed, variant=options.variant)
    for number in players:  # what is wrong is said at once
        config.make_game(number, 1, 0)
    entrants = [enter(name, config, options.device) for name in names]
    crossplay = Crossplay.open(config, entrants, options.out)
    console = Console(stderr=True)
    try:
        _play(crossplay, console)
    except KeyboardInterrupt:
        again = shlex.join([*COMMAND.split(), *args])
        console.print(f"stopped; {again} goes on", markup=False, highlight=False, soft_wrap=True)
        raise
    for matrix in write(crossplay):
        _show(matrix)
    print(f"page: {options.out / PAGE_FILE}   data and pictures: {options.out}")


def _numbers(parts: Sequence[str]) -> tuple[int, ...]:
    """Numbers of players, as in "2", "2-5" or "2,4", several of them."""
    from marl.runs.config import TrainConfig

    return tuple(sorted({n for part in parts for n in TrainConfig(players=part).settings()}))


def _play(crossplay: Crossplay, console: Console) -> None:
    """Plays the cells that are missing, showing how far it is."""
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from marl.crossplay.heatmap import labels

    pending = crossplay.pending()
    games = crossplay.config.games
    done = sum(1 for _ in crossplay.cells()) - len(pending)
    if done:
        console.print(f"{done} cells have been played already, {len(pending)} are to be played")
    if not pending:
        return
    names = labels(crossplay.config.agents)
    start = line = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("games"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        disable=not console.is_terminal,
        # The speed of a cell is its agents': only a long memory tells the time that is left.
        speed_estimate_period=600,
    ) as progress:
        bar = progress.add_task("", total=len(pending) * games)
        for i, cell in enumerate(pending):
            guest, hosts = (names[k] for k in (cell.guest, cell.hosts))
            what = escape(f"{cell.players} players: {guest} with {hosts}")
            progress.update(bar, description=what)
            crossplay.play(cell, lambda ended: progress.advance(bar, ended))
            now = time.monotonic()
            if not console.is_terminal and (now - line >= 10 or i + 1 == len(pending)):
                line = now
                left = (now - start) / (i + 1) * (len(pending) - i - 1)
                console.print(f"{i + 1} of {len(pending)} cells, {left:.0f} s left")
    rate = len(pending) * games / (time.monotonic() - start)
    console.print(f"{len(pending) * games:,} games, {rate:,.0f} a second")


def _show(matrix: Matrix) -> None:
    """Prints the averages of one number of players."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from marl.acting.evaluate import RULES
    from marl.crossplay.heatmap import labels

    table = Table(title=f"{matrix.players} players", title_justify="left")
    table.add_column("agent")
    for heading in ("self-play", "with strangers"):
        for rule in ("zero", "kept"):
            table.add_column(f"{heading} ({rule})", justify="right")
    for label, agent in zip(labels(matrix.names), matrix.agents, strict=True):
        if agent.unable is not None:
            table.add_row(escape(label), "not able", "", "", "")
        else:
            averages = (agent.self_play, agent.strangers)
            figures = (_figure(mean[rule] if mean else None) for mean in averages for rule in RULES)
            table.add_row(escape(label), *figures)
    if matrix.cross_play is not None and matrix.gap is not None:
        table.add_section()
        means = (matrix.self_play, matrix.cross_play)
        table.add_row("mean", *(_figure(mean[rule]) for mean in means for rule in RULES))
        gaps = [_figure(matrix.gap[rule]) for rule in RULES]
        table.add_row("gap", "", "", *gaps)
    Console().print(table)
    for agent in matrix.agents:
        if agent.unable is not None:
            print(f"{agent.name} is not able: {agent.unable}")
    print("zero: a lost game counts 0; kept: it keeps its points; ± half of the 95 % interval")


def _figure(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.mean:.2f} ± {(estimate.high - estimate.low) / 2:.2f}"
