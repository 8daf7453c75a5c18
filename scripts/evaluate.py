"""``troupe evaluate``: let an agent play, and report its scores."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

import games
from games.core import BatchedGame
from scripts.arguments import parse
from scripts.bench import machine, versions

if TYPE_CHECKING:
    from marl.acting.evaluate import Evaluation

COMMAND = "troupe evaluate"


@dataclass(frozen=True)
class Options:
    """Plays games greedily, every seat by the same agent, and reports the scores.

    A lost game is scored in both ways that are in use: 0, and the points on the table.
    """

    agent: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    """Folder of a run, an exported folder, the name of a shipped agent, or a rule-based player
    (bot:smart and its like)."""
    players: Annotated[str | None, tyro.conf.arg(metavar="PLAYERS")] = None
    """Numbers of players: "2", "2-5" or "2,4"; without it, those that it was made for."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Preset of the game's rules. Without it, the one that it was trained for."""
    games: int = 1000
    """Games to play, for every number of players."""
    seed: int = 1
    """Of the first game; the others count up from it."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for everything that was found."""
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for a picture of the distribution of scores. Beside --json by default, else
    scores.png in the folder of the run."""
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
    # They import torch: not for --help.
    from marl.acting.evaluate import evaluate, save_histogram, save_json
    from marl.runs.roster import load

    member = load(options.agent, options.device)
    config = replace(
        member.config,
        players=options.players or member.config.players,
        variant=options.variant or member.config.variant,
    )

    def make_game(players: int, n: int, seed: int) -> BatchedGame:
        return games.batched(config.game, n, seed, players=players, preset=config.variant)

    # All settings are opened before the first is played: what is wrong is said at once.
    for players in config.settings():
        make_game(players, 1, 0)
    found = []
    for players in config.settings():
        found.append(
            evaluate(
                member.policy,
                lambda n, seed, players=players: make_game(players, n, seed),  # type: ignore[misc]
                options.games,
                options.seed,
            )
        )
    _show(options, found)
    if options.json is not None:
        about = {
            "agent": options.agent,
            "updates": member.updates,
            "game": config.game,
            "variant": config.variant,
            "command": shlex.join([*COMMAND.split(), *args]),
            "machine": machine(),
            "versions": versions(),
        }
        save_json(options.json, found, about)
    picture = options.png or _beside(options, member.folder)
    title = f"{options.agent} on {config.game}" + (
        "" if config.variant == "full" else f" ({config.variant})"
    )
    save_histogram(picture, found, title)
    print(f"picture: {picture}" + (f"   data: {options.json}" if options.json else ""))


def _beside(options: Options, folder: Path | None) -> Path:
    """Where the picture goes when nobody says."""
    if options.json is not None:
        return options.json.with_suffix(".png")
    # A shipped agent lies among the installed files, which are not to be written to.
    if folder is None or not Path(options.agent).is_dir():
        return Path("scores.png")
    return folder / "scores.png"


def _show(options: Options, found: Sequence[Evaluation]) -> None:
    """Prints the scores as a table."""
    from rich.console import Console
    from rich.table import Table

    from marl.acting.evaluate import RULES

    table = Table(
        title=f"{options.agent}, {options.games} games, seed {options.seed}", title_justify="left"
    )
    headings = (
        "players",
        *(f"score ({m})" for m in ("lost = 0", "points kept")),
        "lost",
        "turns",
        "games/s",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for one in found:
        table.add_row(
            str(one.players),
            *(f"{one.mean(rule):.2f} ± {one.standard_error(rule):.2f}" for rule in RULES),
            f"{one.lost_share:.1%}",
            f"{one.turns.mean():.1f}",
            f"{one.games_per_second:,.0f}",
        )
    Console().print(table)
    print("± one standard error")
