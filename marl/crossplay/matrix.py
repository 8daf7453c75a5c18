"""From the games of cross-play to its figures: cells, self-play, cross-play, and their gap.

Every mean has a bootstrap confidence interval (Efron 1979; percentiles). What is drawn again is
the *deal*: game i of every cell was dealt the same cards, so the same deals are drawn for all cells
of a matrix, and the interval of a gap knows that its two sides played the same cards. Intervals are
about other deals to the same agents; about other agents they say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.settings import Setting
from marl.acting.table import Played
from marl.crossplay.cells import Cell, Crossplay

LOST = "lost"
"""The outcome that says whether a game was lost; it is reported as a share."""
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, the ends of its confidence interval, and its standard error, by one bootstrap."""

    mean: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class CellFigures:
    """What the games of one guest among hosts came to.

    Attributes:
        guest, hosts: places in the list of agents.
        games: how many were played.
        scores: by outcome.
        lost_share: share of the games that were lost (in Hanabi: bombed), None where a game cannot
            be.
        turns: mean number of choices.
        by_turn: by outcome, the mean where the guest was the first to act, the second, and
            so on. NaN where no game was.
    """

    guest: int
    hosts: int
    games: int
    scores: Mapping[str, Estimate]
    lost_share: float | None
    turns: float
    by_turn: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class AgentFigures:
    """An agent's averages over partners, by outcome; None where there was nobody to play.

    Attributes:
        name: of the agent.
        unable: why it did not take part, None where it did.
        self_play: with itself.
        cross_play: with every other agent, each pairing weighing the same.
        as_guest: alone among others.
        as_hosts: with one other among its likes. With two players the three are the same.
    """

    name: str
    unable: str | None
    self_play: Mapping[str, Estimate] | None
    cross_play: Mapping[str, Estimate] | None
    as_guest: Mapping[str, Estimate] | None
    as_hosts: Mapping[str, Estimate] | None


@dataclass(frozen=True)
class Matrix:
    """Cross-play of one setting.

    Attributes:
        setting: what was played.
        rules: the outcomes that are averaged, the headline first: all but whether a game was lost,
            which is a share.
        names: of the agents.
        cells: by (guest, hosts). With two players both orders are there, each with the guest of
            its own; cells that nobody could play are not.
        self_play: by outcome, the mean of the diagonal.
        cross_play: by outcome, the mean of all pairings of different agents, where there are
            any; a pairing is the mean of its two mixes.
        gap: by outcome, self-play minus cross-play.
        agents: everybody's averages.
    """

    setting: Setting
    rules: tuple[str, ...]
    names: tuple[str, ...]
    cells: Mapping[tuple[int, int], CellFigures]
    self_play: Mapping[str, Estimate]
    cross_play: Mapping[str, Estimate] | None
    gap: Mapping[str, Estimate] | None
    agents: tuple[AgentFigures, ...]


@dataclass(frozen=True)
class Sample:
    """A mean and its bootstrap replicates, which add up and average like the mean itself."""

    mean: float
    replicates: NDArray[np.float64]

    def estimate(self) -> Estimate:
        """The mean and its interval."""
        tails = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]
        low, high = np.percentile(self.replicates, tails)
        return Estimate(self.mean, float(low), float(high), float(self.replicates.std()))

    @staticmethod
    def average(samples: Sequence[Sample]) -> Sample:
        """The mean of several, each weighing the same."""
        return Sample(
            float(np.mean([sample.mean for sample in samples])),
            np.mean([sample.replicates for sample in samples], axis=0),
        )


def matrix(crossplay: Crossplay, setting: Setting) -> Matrix:
    """Works out the figures of one setting; the same games give the same figures.

    Raises:
        ValueError: if a cell has not been played, or its file is damaged.
    """
    config = crossplay.config
    cells = [cell for cell in crossplay.cells() if cell.setting == setting]
    missing = sum(cell in crossplay.pending() for cell in cells)
    if missing:
        raise ValueError(f"{missing} cells of {setting.name} have not been played yet")
    players = setting.seats
    rules = tuple(name for name in setting.batched(1).scoring if name != LOST)
    rng = np.random.default_rng([config.seed, players])
    n = config.games
    # How often each deal is drawn. Sums of whole numbers are exact in any order of addition.
    draws = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
    figures: dict[tuple[int, int], CellFigures] = {}
    samples: dict[str, dict[tuple[int, int], Sample]] = {rule: {} for rule in rules}
    for cell in cells:
        played = crossplay.read(cell)
        for rule in rules:
            scores = played.outcome[rule].astype(np.float64)
            sample = Sample(float(scores.mean()), draws @ scores / n)
            samples[rule][cell.guest, cell.hosts] = sample
            if players == 2:
                samples[rule][cell.hosts, cell.guest] = sample
        for guest, hosts in {(cell.guest, cell.hosts), (cell.hosts, cell.guest)}:
            if players == 2 or (guest, hosts) == (cell.guest, cell.hosts):
                estimates = {rule: samples[rule][guest, hosts].estimate() for rule in rules}
                mirrored = (guest, hosts) != (cell.guest, cell.hosts)
                figures[guest, hosts] = _figures(played, cell, guest, hosts, estimates, mirrored)
    return _summarise(crossplay, setting, rules, figures, samples)


def _figures(
    played: Played,
    cell: Cell,
    guest: int,
    hosts: int,
    estimates: Mapping[str, Estimate],
    mirrored: bool,
) -> CellFigures:
    """A cell's figures, seen from its guest, or (of two players) from its host."""
    players = cell.setting.seats
    turn = np.arange(len(played.turns)) % players
    by_turn = {}
    for rule in estimates:
        scores = played.outcome[rule].astype(np.float64)
        means = [
            float(scores[turn == t].mean()) if (turn == t).any() else float("nan")
            for t in range(players)
        ]
        by_turn[rule] = tuple(means[::-1] if mirrored else means)
    return CellFigures(
        guest,
        hosts,
        len(played.turns),
        estimates,
        float(played.outcome[LOST].mean()) if LOST in played.outcome else None,
        float(played.turns.mean()),
        by_turn,
    )


def _summarise(
    crossplay: Crossplay,
    setting: Setting,
    rules: tuple[str, ...],
    figures: Mapping[tuple[int, int], CellFigures],
    samples: Mapping[str, Mapping[tuple[int, int], Sample]],
) -> Matrix:
    """The averages over cells."""
    names = crossplay.config.agents
    able = [i for i in range(len(names)) if (i, i) in figures]
    pairs = [(a, b) for a in able for b in able if a != b]

    def averages(keys: Sequence[tuple[int, int]]) -> dict[str, Estimate] | None:
        if not keys:
            return None
        return {
            rule: Sample.average([samples[rule][key] for key in keys]).estimate() for rule in rules
        }

    self_play = averages([(a, a) for a in able])
    assert self_play is not None  # a matrix of nobody is refused when it is opened
    gap = None
    if pairs:
        gap = {}
        for rule in rules:
            one = Sample.average([samples[rule][a, a] for a in able])
            other = Sample.average([samples[rule][pair] for pair in pairs])
            difference = Sample(one.mean - other.mean, one.replicates - other.replicates)
            gap[rule] = difference.estimate()
    agents = []
    for i, name in enumerate(names):
        others = [j for j in able if j != i] if i in able else []
        guest, hosts = [(i, j) for j in others], [(j, i) for j in others]
        agents.append(
            AgentFigures(
                name,
                crossplay.unable[setting].get(i),
                averages([(i, i)] if i in able else []),
                averages(guest + hosts),
                averages(guest),
                averages(hosts),
            )
        )
    return Matrix(setting, rules, names, figures, self_play, averages(pairs), gap, tuple(agents))
