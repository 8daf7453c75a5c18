"""``troupe adhoc``: points with partners that an agent has never met."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from games.settings import Setting, complete, parse_all
from scripts.arguments import parse
from scripts.outputs import PICTURES, check_file
from scripts.progress import GamesBar
from transport.signals import StopFlag

if TYPE_CHECKING:
    from marl.crossplay.adhoc import Adhoc, Meeting
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
    ] = ()
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
    page: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """HTML file that needs nothing else, for everything as tables to look at."""
    picture: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """PNG, PDF or SVG of all scores."""
    best_responses: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Instead of all this, find who does best beside each partner: itself, a rule-based player, or
    one of the agents named (say, runs dedicated to one partner). Shares are of these, as kept in
    marl/crossplay/best_responses.json; this takes minutes."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks run."""


def main(args: Sequence[str]) -> None:
    """Plays and reports as the options say.

    Raises:
        ValueError: if there is no such agent, it cannot play, or an option is out of range.
    """
    options = parse(Options, COMMAND, args)
    agents = tuple(dict.fromkeys(name.rstrip("/") or name for name in options.agents))
    if not agents and options.best_responses is None:
        raise ValueError("give agents to measure, or --best-responses FILE")
    check_file(options.json, "--json")
    check_file(options.csv, "--csv")
    check_file(options.page, "--page", (".html",))
    check_file(options.picture, "--picture", PICTURES)
    check_file(options.best_responses, "--best-responses", (".json",))
    # They import torch: not for --help.
    from marl.lanes import prepare_process

    prepare_process()
    settings = _settings(agents, options.players)
    if options.best_responses is not None:
        _find_best(options, agents, settings)
    else:
        _measure(options, agents, settings)


def _measure(options: Options, agents: Sequence[str], settings: Sequence[Setting]) -> None:
    """Plays, prints, and writes what was asked for."""
    from rich.console import Console

    from marl.crossplay import adhoc, adhoc_page

    total = adhoc.count(agents, settings, options.part, options.games)
    with StopFlag() as stop, GamesBar(Console(stderr=True), total) as bar:
        found = adhoc.measure(
            agents,
            settings,
            part=options.part,
            games=options.games,
            seed=options.seed,
            device=options.device,
            on_end=partial(_tell, bar),
            stop=stop,
        )
    if found.meetings:
        _show(found)
    if options.json is not None and found.meetings:
        adhoc.save(options.json, json.dumps(adhoc.report(found), indent=2) + "\n")
    if options.csv is not None and found.meetings:
        adhoc.save(options.csv, adhoc.table(found))
    if not found.whole:
        raise KeyboardInterrupt(f"interrupted after {len(found.meetings)} meetings")
    if options.page is not None:
        adhoc.save(options.page, adhoc_page.render(found))
    if options.picture is not None:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        adhoc_page.draw(options.picture, found)


def _find_best(options: Options, agents: Sequence[str], settings: Sequence[Setting]) -> None:
    """Finds the best responses and writes them, all or none."""
    from rich.console import Console

    from marl.acting.table import StoppedError
    from marl.crossplay import best_response

    assert options.best_responses is not None
    total = best_response.count(agents, settings, options.part, options.games)
    try:
        with StopFlag() as stop, GamesBar(Console(stderr=True), total) as bar:
            found = best_response.find(
                agents,
                settings,
                part=options.part,
                games=options.games,
                seed=options.seed,
                device=options.device,
                on_end=partial(_tell, bar),
                stop=stop,
            )
    except StoppedError:
        raise KeyboardInterrupt("interrupted: nothing was written") from None
    best_response.write(options.best_responses, found)
    for one in found:
        print(
            f"{one.setting} as {one.role} with {one.partner}: {one.best} {one.score:.2f} "
            f"(itself {one.itself:.2f})"
        )


def _tell(bar: GamesBar, what: str, games: int) -> None:
    bar.say(what)
    bar.advance(games)


def _settings(agents: Sequence[str], players: str | None) -> tuple[Setting, ...]:
    """What is played: Hanabi by so many players, or else what all agents were made for of it."""
    if players is not None or not agents:
        return parse_all(complete(("hanabi",), players or "2-5", None))
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
        shown.add_column("partner", no_wrap=True)
        for label in labels([agent.removeprefix("bot:") for agent in agents]):
            shown.add_column(escape(label), justify="right")
        shown.add_column("best response", justify="right")
        for kind in dict.fromkeys(meeting.kind for meeting in meetings):
            of_kind = [m for m in meetings if m.kind == kind]
            for partner in dict.fromkeys(m.partner for m in of_kind):
                row = {m.agent: m for m in of_kind if m.partner == partner}
                shown.add_row(
                    escape(partner.removeprefix("bot:")),
                    *(_cell(m.scores, m.lost_share) + "*" * m.met for m in row.values()),
                    *[""] * (len(agents) - len(row)),
                    _best(next(iter(row.values()))),
                )
            means = [a for a in averages if a.kind == kind]
            cells = (_cell(a.scores, a.lost_share) for a in means)
            shown.add_row(f"mean, {kind}", *cells, style="bold")
            shares = ("-" if a.share is None else f"{a.share:.0%}" for a in means)
            shown.add_row("of the best", *shares, style="bold", end_section=True)
        Console().print(shown)
    print("score, a lost game counts 0; ± half of the 95 % interval; share of games lost")
    print("* met in training, or itself: not in the mean")


def _best(meeting: Meeting) -> str:
    """Who does best beside a partner, as far as is known."""
    if meeting.best is None:
        return "-"
    return f"{meeting.best_score:.1f} {meeting.best.removeprefix('bot:')}"


def _cell(scores: Mapping[str, Estimate] | None, lost_share: float | None) -> str:
    """The headline, and how many games were lost."""
    if not scores:
        return "-"
    mean = next(iter(scores.values()))
    lost = "" if lost_share is None else f" {100 * lost_share:.0f}%"
    return f"{mean.mean:.1f} ± {(mean.high - mean.low) / 2:.1f}{lost}"
