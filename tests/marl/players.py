"""Small players of any game that speaks text, for tests of what brings players together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games import Phrasebook, Setting
from games.hanabi.phrases import BLOCKS
from games.text import joined
from marl.crossplay.cells import Cell, Crossplay, CrossplayConfig, Entrant
from marl.runs.config import TrainConfig
from marl.runs.roster import Member, export

PLAY = BLOCKS["PLAY"]
Acted = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


class Hashing:
    """Moves by a fixed function of what it observes and of how its seat's game went so far.

    It plays a card once in nine turns at most, or when there is nothing else to do: so some games
    are lost and some are not.
    """

    memory_size, version = 2, 0
    phrasebook: Phrasebook | None = None

    def __init__(self, salt: int) -> None:
        self.salt = salt
        self.calls = 0

    def act(self, observations: Observations, memory: NDArray[np.float32]) -> Acted:
        self.calls += 1
        facts = observations.facts.astype(np.int64)
        known = np.arange(facts.shape[1]) < observations.fact_counts[:, None]
        mixed = (facts * (2654435761 + self.salt) % 1009 * known).sum(1)
        mixed += self.salt * memory[:, 0].astype(np.int64)
        first, past = PLAY.base, PLAY.base + PLAY.size
        found = np.zeros(len(mixed), np.int64)
        for row, (choices, count) in enumerate(
            zip(observations.choices, observations.choice_counts, strict=True)
        ):
            plays = (choices[:count] >= first) & (choices[:count] < past)
            wanted = np.flatnonzero(plays if mixed[row] % 9 == 0 or plays.all() else ~plays)
            if not len(wanted):  # in other games than Hanabi
                wanted = np.arange(count)
            found[row] = wanted[mixed[row] // 9 % len(wanted)]
        after = np.stack([memory[:, 0] * 3 % 97 + self.salt, memory[:, 1] + 1], 1)
        values = np.zeros(observations.choices.shape, np.float32)
        return found, values, after.astype(np.float32)


def entrant(
    name: str, salt: int, restriction: Callable[[Setting], str | None] = lambda setting: None
) -> Entrant:
    return Entrant(name, Hashing(salt), f"weights of {salt}", restriction)


def play_all(
    folder: Path,
    names: str = "abc",
    settings: tuple[str, ...] = ("hanabi:2-3@small",),
    games: int = 12,
) -> Crossplay:
    """A finished cross-play of hashing players."""
    entrants = [entrant(name, salt) for salt, name in enumerate(names)]
    config = CrossplayConfig(tuple(names), settings, games, seed=3)
    crossplay = Crossplay.open(config, entrants, folder)
    for cell in crossplay.pending():
        crossplay.play(cell)
    return crossplay


def made_up(
    folder: Path,
    names: tuple[str, ...],
    settings: tuple[str, ...],
    games: int,
    outcome: Callable[[Cell], tuple[list[float], list[int]]],
    cannot: tuple[tuple[str, str], ...] = (),
) -> Crossplay:
    """A cross-play whose games nobody played.

    Args:
        folder: where.
        names: of the agents.
        settings: names of settings of Hanabi.
        games: in every cell.
        outcome: the points of a cell's games, and which of them were lost.
        cannot: (setting, name) of who does not take part.
    """

    def restriction(name: str) -> Callable[[Setting], str | None]:
        return lambda setting: (
            f"{name} counts to {setting.players - 1} <only>"
            if (setting.name, name) in cannot
            else None
        )

    entrants = [entrant(name, i, restriction(name)) for i, name in enumerate(names)]
    crossplay = Crossplay.open(CrossplayConfig(names, settings, games), entrants, folder)
    (folder / "cells").mkdir()
    for cell in crossplay.cells():
        points, lost = outcome(cell)
        score = [0.0 if game in lost else value for game, value in enumerate(points)]
        values = {
            "outcome": {
                "score": score,
                "points": points,
                "lost": [float(game in lost) for game in range(games)],
            },
            "returns": [[value] * cell.setting.players for value in score],
            "truncated": [],
            "turns": [60] * games,
        }
        (folder / cell.path).write_text(json.dumps(values))
    return crossplay


def exported(folder: Path, shape: Mapping[str, Any] | None = None, **config: Any) -> str:
    """A tiny agent that has learned nothing, as an exported folder; its name in the roster.

    Args:
        folder: to be made.
        shape: fields of ``R3D2Config``.
        **config: fields of ``TrainConfig``.
    """
    agent = R3D2Config(text_hidden=32, hidden=16, **(shape or {}))
    trained = TrainConfig(agent=agent, **config)
    book = joined([setting.batched(1).phrasebook for setting in trained.settings()])
    policy = R3D2Agent(agent, book, trained.seed)
    export(Member(folder.name, folder, policy, trained, 0), folder)
    return str(folder)
