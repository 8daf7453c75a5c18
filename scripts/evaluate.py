"""``troupe evaluate``: let an agent play, and report its scores."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from games.settings import Setting, complete, parse_all
from scripts.arguments import parse
from scripts.bench import machine, versions
from scripts.outputs import PICTURES, check_file
from scripts.progress import GamesBar
from transport.signals import StopFlag

if TYPE_CHECKING:
    from marl.acting.evaluate import Evaluation
    from marl.core import Policy

COMMAND = "troupe evaluate"
WIDTH = 100
"""Most characters of a line of the table."""
SETTING = 24
"""Characters of a setting's name that are not broken."""
REST = 28
"""Characters of the two columns of speed, between the columns and around them."""


@dataclass(frozen=True)
class Options:
    """Plays games greedily, every seat by the same agent, and reports the scores.

    A lost game of Hanabi is scored in both ways that are in use: 0, and the points on the table.
    Interrupted, it reports the games of the batches that have been played to their end.
    """

    agent: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    """Folder of a run, an exported folder, the name of a shipped agent, or a rule-based player
    (bot:smart and its like)."""
    settings: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[SETTING ...]")
    ] = ()
    """What is played: hanabi:2-5, hanabi:3@small; without any, what it was made for."""
    players: Annotated[str | None, tyro.conf.arg(metavar="PLAYERS")] = None
    """Numbers of players: "2", "2-5" or "2,4"; without it, those that it was made for."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Preset of the game's rules. Without it, the one that it was trained for."""
    games: int = 1000
    """Games to play in every setting."""
    seed: int = 1
    """Of the first game; the others count up from it."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for everything that was found."""
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for a picture of the distribution of scores; of a run, scores.png in its folder without
    it."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network runs."""


def main(args: Sequence[str]) -> None:
    """Evaluates as the options say.

    Raises:
        ValueError: if there is no such agent, or an option is out of range.
    """
    options = parse(Options, COMMAND, args)
    if options.games < 1:
        raise ValueError(f"--games must be at least 1, got {options.games}")
    if options.seed < 0:
        raise ValueError(f"--seed cannot be negative, got {options.seed}")
    check_file(options.json, "--json")
    check_file(options.png, "--png", PICTURES)
    # They import torch: not for --help.
    from marl.acting.evaluate import save_histogram, save_json
    from marl.lanes import prepare_process
    from marl.runs.own_settings import own_settings
    from marl.runs.roster import load

    prepare_process()
    member = load(options.agent, options.device)
    if options.settings:
        settings = parse_all(complete(options.settings, options.players, options.variant))
    else:
        settings = own_settings(member, options.players, options.variant)
    for setting in settings:  # what is wrong is said before the first is played
        member.check(setting)
    found = _play(member.policy, settings, options)
    played, wanted = sum(map(len, found)), len(settings) * options.games
    interrupted = f"interrupted after {played:,} of {wanted:,} games"
    if not played:
        raise KeyboardInterrupt(interrupted)
    _show(options, found)
    if options.json is not None:
        about = {
            "agent": options.agent,
            "updates": member.updates,
            "command": shlex.join([*COMMAND.split(), *args]),
            "machine": machine(),
            "versions": versions(),
        }
        save_json(options.json, found, about)
        print(f"data: {options.json}")
    if picture := options.png or _in_run(options.agent):
        save_histogram(picture, found, options.agent)
        print(f"picture: {picture}")
    if played < wanted:
        raise KeyboardInterrupt(interrupted)


def _play(policy: Policy, settings: Sequence[Setting], options: Options) -> list[Evaluation]:
    """Plays every setting, showing how far it is; interrupted, only what has been played."""
    from rich.console import Console

    from marl.acting.evaluate import evaluate, evaluation_of
    from marl.acting.table import StoppedError

    found = []
    games, seed = options.games, options.seed
    with StopFlag() as stop, GamesBar(Console(stderr=True), len(settings) * games) as bar:
        for setting in settings:
            bar.say(setting.name)
            start = time.perf_counter()
            try:
                found.append(evaluate(policy, setting, games, seed, on_end=bar.advance, stop=stop))
            except StoppedError as stopped:
                if stopped.played is not None:
                    seconds = time.perf_counter() - start
                    found.append(evaluation_of(setting, seed, stopped.played, seconds))
                break
    return found


def _in_run(agent: str) -> Path | None:
    """A picture's place in the folder of a run; None for an agent that is none, or is not ours."""
    folder = Path(agent)
    if not (folder / "checkpoints").is_dir() or not os.access(folder, os.W_OK):
        return None
    return folder / "scores.png"


def _show(options: Options, found: Sequence[Evaluation]) -> None:
    """Prints a row for every setting: its headline, then what else its games came to."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from marl.crossplay.heatmap import outcome

    headlines = dict.fromkeys(one.scoring[0] for one in found)
    alike, several = len(headlines) == 1, any(len(one.scoring) > 1 for one in found)
    rows = []
    for one in found:
        first, *others = (f"{name} {_figure(one, name)}" for name in one.scoring)
        played = "" if len(one) == options.games else f", {len(one):,} games"
        rows.append(
            (
                one.setting.name + played,
                first.removeprefix(f"{one.scoring[0]} ") if alike else first,
                others,
                f"{one.played.turns.mean():.1f}",
                f"{one.games_per_second:,.0f}",
            )
        )
    console = Console()
    console.width = min(console.width, WIDTH)
    longest = [max(len(row[k]) for row in rows) for k in (0, 1)]
    room = console.width - min(longest[0], SETTING) - max(longest[1], len("outcome")) - REST
    table = Table(
        title=f"{escape(options.agent)}, {options.games:,} game{'s' * (options.games > 1)}, "
        f"seed {options.seed}",
        title_justify="left",
        show_lines=any(len(", ".join(row[2])) > room for row in rows),
    )
    table.add_column("setting", overflow="fold")
    table.add_column(next(iter(headlines)) if alike else "outcome", justify="right", no_wrap=True)
    if several:
        table.add_column("also", no_wrap=True)
    for heading in ("turns", "games/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for setting, headline, entries, *speed in rows:
        also = [_packed(entries, room)] * several
        table.add_row(escape(setting), headline, *also, *speed)
    console.print(table)
    names = dict.fromkeys(name for one in found for name in one.scoring)
    # Only where games are lost has a score two meanings.
    said = [outcome(name) for name in names if "lost" in names and outcome(name) != name]
    if options.games > 1:
        said.append("± one standard error")
    console.print("; ".join(said), highlight=False)


def _packed(entries: Sequence[str], width: int) -> str:
    """Entries on lines of so many characters, unless one of them is longer."""
    lines: list[str] = []
    for entry in entries:
        if lines and len(lines[-1]) + len(entry) + 2 < width:
            lines[-1] += f", {entry}"
        else:
            lines.append(entry)
    return ",\n".join(lines)


def _figure(one: Evaluation, name: str) -> str:
    """An outcome and its standard error; a share as per cent."""
    if name == "lost" and {"points", "lost"} <= set(one.scoring):
        return f"{one.mean(name):.1%}"
    error = one.standard_error(name)
    return f"{one.mean(name):.2f}" + ("" if error is None else f" ± {error:.2f}")
