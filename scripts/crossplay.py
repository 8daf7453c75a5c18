"""``troupe crossplay``: let agents play with each other, every pairing, and report how they fit."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from games.settings import complete
from scripts.arguments import parse
from scripts.outputs import check_folder
from scripts.progress import GamesBar
from transport.signals import StopFlag

if TYPE_CHECKING:
    from rich.console import Console

    from marl.crossplay.cells import Crossplay
    from marl.crossplay.matrix import Estimate, Matrix

COMMAND = "troupe crossplay"


@dataclass(frozen=True)
class Options:
    """Lets agents play with each other, every pairing of them, in every setting.

    Every cell is played in a file of its own: interrupted, the same command goes on where it was.
    The same agents, games and seed give the same files, byte for byte.
    """

    agents: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="AGENT [AGENT ...]")
    ]
    """Folders of runs, exported folders, shipped agents, or rule-based players (bot:NAME)."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for everything that comes of it."""
    settings: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SETTING [SETTING ...]")] = ()
    """What is played, a matrix each: hanabi:2-5, hanabi:3@small; without any, what all of the
    agents were made for."""
    players: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PLAYERS [PLAYERS ...]")] = ()
    """Numbers of players of the games that are named without, or not named: 2 3 4 5, or 2-5."""
    games: int = 1000
    """Games of every cell: one agent among others, in one setting."""
    seed: int = 1
    """Of the first game of every cell; the others count up from it."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Preset of the rules of the games that are named without options, or not named."""
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
    check_folder(options.out, "--out")
    # They import torch: not for --help.
    from marl.acting.table import StoppedError
    from marl.crossplay.cells import Crossplay, CrossplayConfig, enter
    from marl.crossplay.report import PAGE_FILE, write
    from marl.lanes import prepare_process
    from marl.runs.own_settings import common_settings
    from marl.runs.roster import load

    names = tuple(name.rstrip("/") or name for name in options.agents)
    players = ",".join(options.players) or None
    settings = complete(options.settings, players, options.variant)
    if settings:
        CrossplayConfig(names, settings, options.games, options.seed)
    prepare_process()
    members = [load(name, options.device) for name in names]
    if not settings:
        common = common_settings(members, players, options.variant)
        settings = tuple(setting.name for setting in common)
    config = CrossplayConfig(names, settings, options.games, options.seed)
    for setting in config.parsed():  # what is wrong is said at once
        setting.batched(1)
    entrants = [enter(member) for member in members]
    crossplay = Crossplay.open(config, entrants, options.out)
    console = Console(stderr=True)
    try:
        _play(crossplay, console)
    except (StoppedError, KeyboardInterrupt):
        again = shlex.join([*COMMAND.split(), *args])
        raise KeyboardInterrupt(f"stopped; {again} goes on") from None
    for matrix in write(crossplay):
        _show(matrix)
    print(f"page: {options.out / PAGE_FILE}   data and pictures: {options.out}")


def _play(crossplay: Crossplay, console: Console) -> None:
    """Plays the cells that are missing, showing how far it is.

    Raises:
        StoppedError: if somebody interrupts; the cells that have been played are kept.
    """
    from marl.crossplay.heatmap import labels

    pending = crossplay.pending()
    games = crossplay.config.games
    done = sum(1 for _ in crossplay.cells()) - len(pending)
    if done:
        console.print(f"{done} cells have been played already, {len(pending)} are to be played")
    if not pending:
        return
    names = labels(crossplay.config.agents)
    start = time.monotonic()
    with StopFlag() as stop, GamesBar(console, len(pending) * games) as bar:
        for cell in pending:
            guest, hosts = (names[k] for k in (cell.guest, cell.hosts))
            bar.say(f"{cell.setting.name}: {guest} with {hosts}")
            crossplay.play(cell, bar.advance, stop)
    rate = len(pending) * games / (time.monotonic() - start)
    console.print(f"{len(pending) * games:,} games, {rate:,.0f} a second")


def _show(matrix: Matrix) -> None:
    """Prints the averages of one setting."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from marl.crossplay.heatmap import labels, outcome

    rules = matrix.rules[:2]  # The page has the others: a screen has no room for them.
    table = Table(title=matrix.setting.name, title_justify="left")
    table.add_column("agent")
    for heading in ("self-play", "cross-play"):
        for rule in rules:
            table.add_column(f"{heading} ({rule})", justify="right")
    for label, agent in zip(labels(matrix.names), matrix.agents, strict=True):
        if agent.unable is not None:
            table.add_row(escape(label), "not able", *[""] * (2 * len(rules) - 1))
        else:
            averages = (agent.self_play, agent.cross_play)
            figures = (_figure(mean[rule] if mean else None) for mean in averages for rule in rules)
            table.add_row(escape(label), *figures)
    if matrix.cross_play is not None and matrix.gap is not None:
        table.add_section()
        means = (matrix.self_play, matrix.cross_play)
        table.add_row("mean", *(_figure(mean[rule]) for mean in means for rule in rules))
        gaps = [_figure(matrix.gap[rule]) for rule in rules]
        table.add_row("gap", *[""] * len(rules), *gaps)
    Console().print(table)
    for agent in matrix.agents:
        if agent.unable is not None:
            print(f"{agent.name} is not able: {agent.unable}")
    meanings = [outcome(rule) for rule in rules if outcome(rule) != rule]
    print("; ".join([*meanings, "± one standard error"]))


def _figure(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    # A single deal has no spread.
    return f"{estimate.mean:.2f}" + (f" ± {estimate.error:.2f}" if estimate.error else "")
