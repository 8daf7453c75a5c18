"""Small runs in which everything that has a state takes part, for the tests of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from agents.r3d2.config import R3D2Config
from marl.learning.config import LearnerConfig
from marl.learning.imitation import ImitationConfig
from marl.replay.prioritised import ReplayConfig
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.serial import SerialRun

# Everything that has a state takes part: two settings, renamed colours, answer sheets of two sizes,
# cut sequences, evictions, and intervals that do not divide each other.
CONFIG = TrainConfig(
    games=("hanabi:3-4",),
    warm_up=12,
    samples_per_insert=6.0,
    evaluate_interval=7,
    evaluate_games=3,
    agent=R3D2Config(hidden=32, memory=32, text_hidden=32, own_hand=True),
    actor=ActorConfig(num_games=8, epsilon=0.5, other_play=True),
    replay=ReplayConfig(capacity=40, capacity_bytes=1 << 19, max_length=8, balanced=True),
    learner=LearnerConfig(
        batch=8, burn_in=2, refresh_interval=3, target_interval=5, publish_interval=4
    ),
)

# A teacher, then both, then self-play alone; and whole episodes, of both settings, that are played
# with weights held back.
IMITATION = replace(
    CONFIG,
    imitate="bot:iggi",
    imitation=ImitationConfig(updates=4, anneal=6, epsilon=0.1),
)
VDN = replace(
    CONFIG,
    games=("hanabi:3-4@small",),
    actor=replace(CONFIG.actor, lag=5),
    replay=replace(CONFIG.replay, max_length=32),
    learner=replace(CONFIG.learner, mixing="vdn"),
)


def assert_same(one: tuple[Any, Any], two: tuple[Any, Any]) -> None:
    """Two flat states, bit for bit."""
    assert one[1] == two[1]
    assert one[0].keys() == two[0].keys()
    for path, tensor in one[0].items():
        ours, theirs = np.asarray(tensor), np.asarray(two[0][path])
        assert ours.dtype == theirs.dtype, path
        assert ours.shape == theirs.shape, path
        assert ours.tobytes() == theirs.tobytes(), path


def run(config: TrainConfig, updates: int) -> tuple[SerialRun, list[dict[str, float]]]:
    """A run in this process, without files."""
    serial, metrics = SerialRun(config), []
    original = serial.learner.update

    def update(meanwhile: object = None) -> dict[str, float]:
        metrics.append(original(meanwhile))
        return metrics[-1]

    serial.learner.update = update  # type: ignore[method-assign]
    while serial.learner.updates < updates:
        serial.step()
    return serial, metrics
