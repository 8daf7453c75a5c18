"""``troupe adhoc``: points with partners that an agent has never met."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from games.settings import Setting, complete, parse_all
from scripts.arguments import parse
from scripts.progress import GamesBar
from transport.signals import StopFlag

if TYPE_CHECKING:
    from marl.crossplay.adhoc import Adhoc
    from marl.crossplay.matrix import Estimate

COMMAND = "troupe adhoc"


@dataclass(frozen=True)
class Options:
    """Lets agents play Hanabi with held-out partners, beside Piers and IGGI.

    One agent sits among partners of one kind, and with more than two players also one partner among
    agents. A lost game counts 0. The same agents, games and seed give the same figures.
    """

    agents: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="AGENT [AGENT ...]")
    ]
    """Folders of runs, exported folders, shipped agents, or rule-based players (bot:NAME); +guard
    behind a name guards the last life."""
    players: Annotated[str | None, tyro.conf.arg(metavar="PLAYERS")] = None
    """Numbers of players: "2", "2-5" or "2,4"; without it, those that all agents were made for."""
    part: Literal["test", "validate", "train"] = "test"
    """Of the split of partners (marl.runs.split)."""
    games: int = 200
    """Games with every partner."""
    seed: int = 1
    """Of the first game; the others count up from it."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for everything that was found."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for a line of every agent, partner, setting and role."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks run."""


def main(args: Sequence[str]) -> None:
    """Plays and reports as the options say.

    Raises:
        ValueError: if there is no such agent, it cannot play, or an option is out of range.
    """
    options = parse(Options, COMMAND, args)
    # They import torch: not for --help.
    from rich.console import Console

    from marl.crossplay.adhoc import count, measure, report, save, table
    from marl.lanes import prepare_process

    prepare_process()
    agents = tuple(name.rstrip("/") or name for name in options.agents)
    settings = _settings(agents, options.players)
    total = count(agents, settings, options.part, options.games)
    with StopFlag() as stop, GamesBar(Console(stderr=True), total) as bar:

        def on_end(what: str, games: int) -> None:
            bar.say(what)
            bar.advance(games)

        found = measure(
            agents,
            settings,
            part=options.part,
            games=options.games,
            seed=options.seed,
            device=options.device,
            on_end=on_end,
            stop=stop,
        )
    if found.meetings:
        _show(found)
    if options.json is not None and found.meetings:
        save(options.json, json.dumps(report(found), indent=2) + "\n")
    if options.csv is not None and found.meetings:
        save(options.csv, table(found))
    if not found.whole:
        raise KeyboardInterrupt(f"interrupted after {len(found.meetings)} meetings")


def _settings(agents: Sequence[str], players: str | None) -> tuple[Setting, ...]:
    """What is played: Hanabi by so many players, or else what all agents were made for of it."""
    if players is not None:
        return parse_all(complete(("hanabi",), players, None))
    from marl.runs.own_settings import common_settings
    from marl.runs.roster import load

    members = [load(name) for name in agents]
    found = tuple(one for one in common_settings(members) if one.game == "hanabi")
    if not found:
        raise ValueError("no Hanabi is among what they were made for: give --players to play it")
    return found


def _show(found: Adhoc) -> None:
    """Prints a table for every setting and role: a column for each agent."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from marl.crossplay.heatmap import labels

    agents = list(dict.fromkeys(meeting.agent for meeting in found.meetings))
    for setting, role in dict.fromkeys((m.setting, m.role) for m in found.meetings):
        meetings = [m for m in found.meetings if (m.setting, m.role) == (setting, role)]
        averages = [a for a in found.averages if (a.setting, a.role) == (setting, role)]
        shown = Table(title=f"{setting}, as {role}", title_justify="left")
        shown.add_column("partner")
        for label in labels([agent.removeprefix("bot:") for agent in agents]):
            shown.add_column(escape(label), justify="right")
        for kind in dict.fromkeys(meeting.kind for meeting in meetings):
            of_kind = [m for m in meetings if m.kind == kind]
            for partner in dict.fromkeys(m.partner for m in of_kind):
                row = (m for m in of_kind if m.partner == partner)
                cells = (_cell(m.scores, m.lost_share) + "*" * m.met for m in row)
                shown.add_row(escape(partner.removeprefix("bot:")), *cells)
            cells = (_cell(a.scores, a.lost_share) for a in averages if a.kind == kind)
            shown.add_row(f"mean, {kind}", *cells, style="bold", end_section=True)
        Console().print(shown)
    print("score, a lost game counts 0; ± half of the 95 % interval; share of games lost")
    print("* met in training, or itself: not in the mean")


def _cell(scores: Mapping[str, Estimate] | None, lost_share: float | None) -> str:
    """The headline, and how many games were lost."""
    if not scores:
        return "-"
    mean = next(iter(scores.values()))
    lost = "" if lost_share is None else f" {100 * lost_share:.0f}%"
    return f"{mean.mean:.1f} ± {(mean.high - mean.low) / 2:.1f}{lost}"
