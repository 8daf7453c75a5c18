"""Delay: what an inference of 0 to 70 frames costs, by how a pool is asked, in virtual time.

Delays are counted in frames of 1/59.73 s (lognormal, sigma 0.05); a choice acts at the next turn
after its answer, a turn being two frames where choices are keys. The schedules, leases and playouts
are those of real pools. ``sequential`` is asked again when its answer is played and has one worker;
the others have one more than N*. ``frame_clock`` is told nothing of its choices on their way
(*unknown*), or those that have come back (*answered*), or all of them (*known*: foreseen by a copy
of the agent, the bound of what a draft agent can foresee).

What is lost against lockstep is split as in the paper: *delay* is lost by a perfect pool of the
same age too (every turn has its choice, everything on its way is known), *inaction* is the rest.
Where choices on their way are not known, and matter, not knowing them is part of that rest.

First the time is taken that text agents of 55 K to 10 M parameters really need on one core; larger
ones stand there as the delay that the paper gives them. Agents that remember also play with the
memory of the newest answer, which has not seen the turns since. Plots go to ``runs/bench-delay``.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from games.gameboy.console import FRAME_RATE
from games.settings import Setting
from marl.acting.table import play_many
from marl.core import Policy
from marl.remote.pilot import Memory, Told
from marl.remote.policy import infer, question
from marl.remote.realtime import play_in_virtual_time
from marl.runs import roster
from scripts.bench import Row
from scripts.bench.realtime import SIZES, make_agent
from scripts.realtime import find_setting
from transport.schemes import find_scheme
from transport.simulate import Latency

PLOTS = Path("runs/bench-delay")
DELAYS = (1, 2, 4, 5, 8, 16, 32, 70)
SEEDS = (1, 2, 3)
SIGMA = 0.05
GAMES = (
    "tracking@noise=0.02=bot:tracker",
    "parcels@pace=4@every=2=bot:sorter",
    "blocks@choose=buttons@level=8@pieces=40=bot:stacker",
    "parcels@pace=4@every=2=parcels-delayed",
    "parcels@pace=4@every=2=parcels",
)
"""SETTING=AGENT of what is played unless others are named."""
PAPER = {"100 M": 70, "1 B": 596}
"""Frames that larger networks take, by the paper (arXiv 2412.14355)."""
SPLIT_AT = 8  # frames, for the bars of the regret


@dataclass(frozen=True)
class Way:
    """One curve: a scheme, and what is told of choices on their way."""

    scheme: str
    told: Told
    colour: str
    dash: str = "-"
    memory: Memory = "replayed"


WAYS = {
    "sequential": Way("sequential", "answered", "#222222"),
    "not staggered": Way("immediate", "answered", "#8f8f8f"),
    "max_time": Way("max_time", "answered", "#d9a441"),
    "expected_time": Way("expected_time", "answered", "#b04a3f"),
    "frame_clock, unknown": Way("frame_clock", "nothing", "#2a6f97", ":"),
    "frame_clock, answered": Way("frame_clock", "answered", "#2a6f97", "--"),
    "frame_clock, known": Way("frame_clock", "foreseen", "#2a6f97"),
}
OLD_MEMORY = {
    "frame_clock, known, memory of the newest answer": Way(
        "frame_clock", "foreseen", "#6a3d9a", "-.", "newest"
    )
}
"""Of agents that remember: what a memory costs that has not seen the turns since."""


def run(seconds: float, agents: Sequence[str] = ()) -> Iterator[Row]:
    """Plays every game in every way at every delay.

    Args:
        seconds: a game for each of three seeds takes minutes; from 600 s on there are more.
        agents: who plays what, SETTING=AGENT; without, the players by rules of three games, and the
            agents that learned parcels with and without delay.

    Yields:
        rows of rewards, standard errors and regrets, and of the times that networks take.
    """
    import torch

    games = max(1, int(seconds // 300))
    players = [_player(text) for text in agents or GAMES]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # A row or two at a time is no work for several.
    try:
        sizes = yield from _sizes()
        for setting, name, policy in players:
            yield from _Curves(setting, name, policy, games, sizes).rows()
    finally:
        torch.set_num_threads(threads)


def _player(text: str) -> tuple[Setting, str, Policy]:
    """A setting and who plays it.

    Raises:
        ValueError: if that is no SETTING=AGENT, or the agent cannot play it.
    """
    name, equals, agent = text.rpartition("=")
    if not equals or not name or not agent:
        raise ValueError(f"write SETTING=AGENT, such as {GAMES[1]}, got {text!r}")
    setting = find_setting(name)
    member = roster.load(agent)
    member.check(setting)
    return setting, agent, member.policy


class _Curves:
    """Rewards of one agent in one game."""

    def __init__(
        self, setting: Setting, agent: str, policy: Policy, games: int, sizes: Mapping[str, float]
    ) -> None:
        self.setting, self.agent, self.policy, self.games = setting, agent, policy, games
        self.sizes = sizes  # what networks take, in frames
        shown = {name: v for name, v in setting.options.items() if name != "told"}
        self.title = f"{Setting(setting.game, setting.players, shown).name}, {agent}"
        self.interval = getattr(setting.batched(1), "interval", 1)
        self.ways = WAYS | (OLD_MEMORY if policy.memory_size else {})
        self._perfect: dict[int, list[float]] = {}
        self.means: dict[tuple[str, int], float] = {}
        self.errors: dict[tuple[str, int], float] = {}
        self.lost: dict[tuple[str, int], tuple[float, float]] = {}  # inaction, delay

    def rows(self) -> Iterator[Row]:
        """Measures, yields and plots."""
        lockstep = self.perfect(0)
        yield Row(f"{self.title}: lockstep", round(fmean(lockstep), 3), "a game")
        yield Row(f"{self.title}: lockstep, standard error", round(_error(lockstep), 3), "a game")
        for delay in DELAYS:
            for name in self.ways:
                yield from self._row(name, delay, fmean(lockstep))
        for name in ("sequential", "frame_clock, known"):
            share = self.means[name, SPLIT_AT] / max(fmean(lockstep), 1e-9)
            what = f"{self.title}: kept at {SPLIT_AT} frames, {name}"
            yield Row(what, round(share, 3), "of lockstep")
        self._plot(fmean(lockstep))

    def _row(self, name: str, delay: int, lockstep: float) -> Iterator[Row]:
        way = self.ways[name]
        scores, ages = [], []
        for seed in SEEDS:
            played = play_in_virtual_time(
                self.setting,
                self.policy,
                find_scheme(way.scheme),
                Latency(delay / FRAME_RATE, SIGMA),
                games=self.games,
                seed=1000 * seed,
                told=way.told,
                draft=self.policy if way.told == "foreseen" else None,
                memory=way.memory,
            )
            scores.append(fmean(played.scores))
            ages.append(played.freshness.summary()["age"] * self.interval)
        mean = fmean(scores)
        age = round(float(np.nanmean(ages))) if not np.isnan(ages).all() else delay
        perfect = fmean(self.perfect(age))
        self.means[name, delay], self.errors[name, delay] = mean, _error(scores)
        self.lost[name, delay] = (perfect - mean, lockstep - perfect)
        what = f"{self.title}: {delay} frames"
        yield Row(what, round(mean, 3), "a game", name)
        yield Row(f"{what}, standard error of 3 seeds", round(_error(scores), 3), "a game", name)
        for part, value in zip(("inaction", "delay"), self.lost[name, delay], strict=True):
            yield Row(f"{what}, regret of {part}", round(value, 3), "a game", name)

    def perfect(self, age: int) -> list[float]:
        """Scores of three seeds where every choice acts ``age`` frames later and is known."""
        age = min(age - age % self.interval, 128 if self.setting.game == "tracking" else 600)
        if age not in self._perfect:
            options = {name: v for name, v in self.setting.options.items() if name != "told"}
            setting = Setting(self.setting.game, self.setting.players, {**options, "delay": age})
            self._perfect[age] = [
                float(next(iter(played.outcome.values())).mean())
                for played in (
                    play_many(setting, [self.policy], self.games, 1000 * seed) for seed in SEEDS
                )
            ]
        return self._perfect[age]

    def _plot(self, lockstep: float) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4.2), layout="constrained")
        curves, bars = figure.subplots(1, 2, width_ratios=(3, 2))
        figure.suptitle(
            f"{self.title} (virtual time, 3 seeds, bands of one standard error)", fontsize=10
        )
        at = np.arange(len(DELAYS) + 1)
        for name, way in self.ways.items():
            mean = np.array([lockstep, *(self.means[name, delay] for delay in DELAYS)])
            error = np.array([0.0, *(self.errors[name, delay] for delay in DELAYS)])
            curves.plot(at, mean, way.dash, color=way.colour, label=name, marker="o", markersize=3)
            curves.fill_between(at, mean - error, mean + error, color=way.colour, alpha=0.12, lw=0)
        curves.set_xticks(at, ["0", *map(str, DELAYS)])
        curves.set_xlabel("frames that an inference takes")
        curves.set_ylabel("reward a game")
        first, *_, last = self.sizes
        measured = f"{first} to {last}:\n{max(self.sizes.values()):.1g} frames at most"
        marks = [0.3, *(1 + DELAYS.index(f) for f in PAPER.values() if f in DELAYS)]
        larger = [f"{size}\n(delay only)" for size, f in PAPER.items() if f in DELAYS]
        above = curves.secondary_xaxis("top")
        above.set_xticks(marks, [measured, *larger], fontsize=7)
        curves.legend(frameon=False, fontsize=7)
        for index, name in enumerate(self.ways):
            inaction, delay = (max(0.0, part) for part in self.lost[name, SPLIT_AT])
            bars.barh(index, delay, color="#d9a441", label=None if index else "delay")
            label = None if index else "inaction (and not knowing)"
            bars.barh(index, inaction, left=delay, color="#b04a3f", label=label)
        bars.set_yticks(range(len(self.ways)), list(self.ways), fontsize=7)
        bars.invert_yaxis()
        bars.set_xlabel(f"regret a game at {SPLIT_AT} frames")
        bars.legend(frameon=False, fontsize=7)
        for axes in (curves, bars):
            axes.spines[["top", "right"]].set_visible(False)
        PLOTS.mkdir(parents=True, exist_ok=True)
        learned = not self.agent.startswith("bot:")
        slug = f"{self.setting.game}-by-{Path(self.agent).name}" if learned else self.setting.game
        figure.savefig(PLOTS / f"{slug}.png", dpi=110)


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return stdev(values) / len(values) ** 0.5


def _sizes() -> Generator[Row, None, dict[str, float]]:
    """What text agents take for both seats of parcels, untrained; returns frames."""
    frames = {}
    game = find_setting("parcels").batched(1)
    for size in SIZES:
        agent = make_agent(game, size)
        asked: dict[str, Any] = question(agent, game)
        taken = []
        for _ in range(60):
            began = time.perf_counter()
            infer(agent, len(game.phrasebook), asked)
            taken.append(time.perf_counter() - began)
        median = float(np.median(taken[10:]))
        what = f"an inference of a text agent of {size} parameters, one core"
        yield Row(what, round(1000 * median, 2), "ms")
        frames[size] = median * FRAME_RATE
        yield Row(f"{what}, in frames", round(frames[size], 3), "frames")
    for size, given in PAPER.items():
        yield Row(f"a network of {size} parameters (as the paper has it)", given, "frames")
    return frames
