"""Games that do not wait, played through a pool: in real time, and in virtual time.

In real time the pool is one of processes, and frames come by the clock. In virtual time inference
is emulated: the same schedules, playouts and pilot, delays counted in frames, as fast as the game
runs, and the same figures every time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from games.gameboy.console import FRAME_RATE
from games.gameboy.pace import Pacer
from games.settings import Setting
from games.world import World
from marl.acting.recorder import Recorder
from marl.core import Policy
from marl.remote.pilot import Memory, Pilot, Reader, Told
from marl.remote.policy import infer, phrases
from transport.realtime import Asking, Freshness, Player
from transport.schemes import Scheme
from transport.simulate import Latency, VirtualPool

WARM_UP = 1.0
"""Seconds at the start that the figures of real time leave out."""


@dataclass(frozen=True)
class Played:
    """What games that do not wait came to.

    Attributes:
        scores: the headline outcome of each game that ended.
        outcomes: all its outcomes, of each.
        rewards: what the first seat earned in all, unfinished games included.
        guessed: turns at which a draft's choice stood in for an answer that was late.
        turns: that went by.
        freshness: of the turns.
        counts: choices of seats that were played, that were not there, that were stale.
        frames: that went by in the time that counts (in real time).
        missed: frames of these that began more than a frame late, or were left out.
        interval: frames of a turn.
    """

    scores: list[float]
    outcomes: list[dict[str, float]]
    rewards: float
    guessed: int
    turns: int
    freshness: Freshness
    counts: dict[str, int]
    frames: int
    missed: int
    interval: int

    def summary(self) -> dict[str, Any]:
        """Figures for JSON: ages in frames, coverage as a share of all frames, missed ones too."""
        figures = self.freshness.summary()
        fresh = self.freshness.counts["fresh"] * self.interval
        return {
            "frames": self.frames,
            "frames_missed": self.missed,
            "frame_coverage": fresh / max(1, self.frames),
            "turn_coverage": figures["coverage"],
            "interval_cv": figures["interval_cv"],
            "age_frames": figures["age"] * self.interval,
            "age_frames_std": figures["age_std"] * self.interval,
            "frames_of_a_turn": self.interval,
            "late": figures["late"],
            "dropped": figures["dropped"],
            "choices": self.counts,
            "guessed": self.guessed / max(1, self.turns),
            "games": len(self.scores),
            "scores": self.scores,
            "reward": self.rewards,
        }


def play_in_real_time(
    world: World,
    client: Asking,
    reader: Reader,
    scheme: Scheme,
    *,
    seconds: float | None = None,
    games: int | None = None,
    told: Told = "answered",
    draft: Policy | None = None,
    memory: Memory = "replayed",
    show: Callable[[], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_turn: Callable[[int], None] = lambda turn: None,
    recorder: Recorder | None = None,
) -> Played:
    """Plays by the clock, until the time, the games, or ``stop`` say so.

    Args:
        world: what is played.
        client: of the pool.
        reader: who answers there.
        scheme: how the pool was made.
        seconds: to play, besides the first one, which no figure counts.
        games: to play.
        told: see ``Pilot``.
        draft: see ``Pilot``.
        memory: see ``Pilot``.
        show: called before each frame.
        stop: asked at every turn.
        on_turn: called at every turn; what it takes is taken from the frame.
        recorder: of this world; see ``Pilot``. What it does with a game that has ended is taken
            from the frame, too.
    """
    forget = round(WARM_UP * world.rate)
    last = None if seconds is None else forget + round(seconds * world.rate)
    player, pacer = Player(client, scheme.playout(), forget), Pacer("skip")
    pilot = _pilot(world, player, reader, scheme, told, draft, memory, recorder)
    scoring, outcomes = world.game.scoring, []
    turn = frames = missed = 0
    began = time.monotonic()
    while not (world.over or stop() or turn == last):
        if turn == forget:
            began, missed, frames = time.monotonic(), pacer.missed, pacer.frames
            world.counts = dict.fromkeys(world.counts, 0)
        if last is not None and (time.monotonic() - began) * world.rate > last - forget:
            break  # Frames were left out: the time is over, though not the turns.
        step = pilot.turn(turn, pacer, show)
        on_turn(turn)
        if step.over[0]:
            outcomes.append({name: float(step.outcome[name][0]) for name in scoring})
            if len(outcomes) == games:
                break
        turn += 1
    due = round((time.monotonic() - began) * FRAME_RATE)  # With those that were left out.
    return Played(
        [outcome[scoring[0]] for outcome in outcomes],
        outcomes,
        pilot.rewards,
        pilot.guessed,
        turn,
        player.freshness,
        dict(world.counts),
        max(pacer.frames - frames, due),
        pacer.missed - missed,
        world.game.interval,
    )


def play_in_virtual_time(
    setting: Setting,
    policy: Policy,
    scheme: Scheme,
    latency: Latency,
    *,
    games: int = 1,
    seed: int = 0,
    workers: int | None = None,
    told: Told = "answered",
    draft: Policy | None = None,
    memory: Memory = "replayed",
) -> Played:
    """Plays games one after the other, as a pool would that takes ``latency`` for an inference.

    Args:
        setting: what is played.
        policy: who, in all seats.
        scheme: how.
        latency: emulated; what the policy computes takes no time.
        games: how many.
        seed: of the first game, and of the latencies.
        workers: how many; as many as give every turn an inference of its own, and one, if None.
        told: see ``Pilot``.
        draft: see ``Pilot``.
        memory: see ``Pilot``.

    Raises:
        ValueError: if the game waits for whoever chooses.
    """
    world = World(setting.batched(1, seed))
    if scheme.sequential:
        workers = 1
    elif workers is None:
        workers = latency.workers_needed(world.rate) + 1
    known = phrases(policy)
    pool = VirtualPool(
        scheme.make(workers, latency.median),
        latency,
        workers=workers,
        rate=world.rate,
        seed=seed,
        infer=lambda tensors: infer(policy, known, tensors),
    )
    # Before the first answer the age can only be guessed, as by a person who knows the network.
    player = Player(pool, scheme.playout(1 + math.ceil(latency.mean * world.rate)))
    pilot = _pilot(world, player, policy, scheme, told, draft, memory)
    scoring, outcomes, turn = world.game.scoring, [], 0
    for turn in pool.frames(1 << 40):
        step = pilot.turn(turn)
        if step.over[0]:
            outcomes.append({name: float(step.outcome[name][0]) for name in scoring})
            if len(outcomes) == games:
                break
    turns = turn + 1
    return Played(
        [outcome[scoring[0]] for outcome in outcomes],
        outcomes,
        pilot.rewards,
        pilot.guessed,
        turns,
        player.freshness,
        dict(world.counts),
        turns * world.game.interval,
        0,
        world.game.interval,
    )


def _pilot(
    world: World,
    player: Player,
    reader: Reader,
    scheme: Scheme,
    told: Told,
    draft: Policy | None,
    memory: Memory,
    recorder: Recorder | None = None,
) -> Pilot:
    return Pilot(
        world,
        player,
        reader,
        told=told,
        draft=draft,
        memory=memory,
        sequential=scheme.sequential,
        recorder=recorder,
    )
