"""What agents are worth: with themselves, and with each other."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from games.settings import parse_all
from marl.acting import evaluate as evaluation
from marl.acting.evaluate import Evaluation
from marl.crossplay import matrix, report
from marl.crossplay.cells import Crossplay, CrossplayConfig, enter
from marl.crossplay.matrix import Matrix
from marl.runs import roster
from marl.runs.own_settings import common_settings
from troupe.agent import Agent, load


def evaluate(
    agent: str | Agent, *settings: str, games: int = 1000, seed: int = 1
) -> list[Evaluation]:
    """Plays games in which one agent holds every seat, greedily.

    Args:
        agent: the agent, or its name.
        *settings: what is played, such as "hanabi:2-5"; without any, what the agent was made for.
        games: to play in every setting.
        seed: of the first game; the others count up from it.

    Returns:
        what came of it, a setting each: ``mean()``, ``standard_error()``, ``outcome(name)``.

    Raises:
        ValueError: if there is no such agent, it cannot play a setting, or a number is out of
            range.
    """
    player = load(agent) if isinstance(agent, str) else agent
    chosen = parse_all(settings or player.settings)
    for setting in chosen:
        player.member.check(setting)
    return [evaluation.evaluate(player.member.policy, one, games, seed) for one in chosen]


def crossplay(
    agents: Sequence[str],
    *settings: str,
    games: int = 1000,
    seed: int = 1,
    folder: str | Path | None = None,
) -> list[Matrix]:
    """Lets agents play with each other, every pairing of them.

    Args:
        agents: their names.
        *settings: what is played; without any, what all of them were made for.
        games: of every pairing and mix.
        seed: of the first game; the others count up from it.
        folder: for tables, pictures and a page; in one that holds an interrupted cross-play, it
            goes on. Without one, nothing is kept.

    Returns:
        a matrix for each setting: self-play, cross-play, gap, and every cell with its interval.

    Raises:
        ValueError: if there is no such agent, they were made for nothing in common, a number is
            out of range, or the folder holds another cross-play.
    """
    members = [roster.load(name) for name in agents]
    chosen = settings or tuple(setting.name for setting in common_settings(members))
    config = CrossplayConfig(tuple(agents), chosen, games, seed)
    entrants = [enter(member) for member in members]
    with tempfile.TemporaryDirectory() as nowhere:
        table = Crossplay.open(config, entrants, Path(folder or nowhere))
        for cell in table.pending():
            table.play(cell)
        if folder is not None:
            return report.write(table)
        return [matrix.matrix(table, setting) for setting in config.parsed()]
