"""Off-belief learning: what it costs, beside self-play by the same network.

Both are what ``troupe train hanabi --preset off-belief`` makes of two and of five players, the peer
without worlds: it learns from what was really earned, and asks a target network what comes after.
Agents have learned next to nothing, so that their games are short; a game that is longer has more
of the same. Measured in turns, in one process, with one lane.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from agents.r3d2.config import R3D2Config
from marl.learning.config import LearnerConfig
from marl.replay.prioritised import ReplayConfig
from marl.runs.config import TrainConfig
from marl.runs.serial import SerialRun
from scripts.bench import Row, rate

PEER = "self-play"
TURNS = 3
"""How often each side is measured; medians count."""


def run(seconds: float) -> Iterator[Row]:
    """Measures moves as they are made for training, and updates with the moves that they need."""
    for players in (2, 5):
        sides = {off_belief: _begun(players, off_belief) for off_belief in (True, False)}
        moves = {side: list[float]() for side in sides}
        updates = {side: list[float]() for side in sides}
        for _ in range(TURNS):
            for side, training in sides.items():
                share = seconds / (2 * 2 * 2 * TURNS)
                moves[side].append(_moves(training, share))
                updates[side].append(rate(partial(_update, training), share))
        for what, unit, found in (
            ("moves", "moves/s", moves),
            ("updates, and the moves they need", "updates/s", updates),
        ):
            ours, theirs = (statistics.median(found[side]) for side in (True, False))
            yield Row(f"hanabi:{players}, {what}", ours, unit)
            yield Row(f"hanabi:{players}, {what}", theirs, unit, PEER, ours / theirs)


def _begun(players: int, off_belief: bool) -> SerialRun:
    """A run that has made its first updates, so that all is compiled."""
    config = TrainConfig(
        games=(f"hanabi:{players}",),
        agent=R3D2Config(core="feedforward", own_hand=False),
        replay=ReplayConfig(capacity=4000, alpha=0.0),
        learner=LearnerConfig(n_step=1, lanes=1),
    )
    learner = replace(config.learner, off_belief=off_belief)
    training = SerialRun(replace(config, learner=learner))
    for _ in range(2):
        _update(training)
    return training


def _moves(training: SerialRun, seconds: float) -> float:
    """Moves per second; nothing of them is kept, or the run would be ahead of its updates."""
    (actor,) = training.actors
    insert, actor.insert = actor.insert, lambda episodes: None
    try:
        return rate(actor.step, seconds) * actor.game.num_games
    finally:
        actor.insert = insert


def _update(training: SerialRun) -> None:
    before = training.learner.updates
    while training.learner.updates == before:
        training.step()
