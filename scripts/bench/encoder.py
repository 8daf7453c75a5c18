"""The R3D2 agent on text: phrases read once, beside paragraphs read whole.

Both agents have the same language model and the same width, play the same two-player Hanabi, and
learn from the same sequences. Acting is counted with phrase tables at hand, as between two
publications of the weights; learning with every run of the language model that falls due.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import games
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games.core import BatchedGame
from marl.actor import Actor, observe
from marl.learner import Learner, LearnerConfig
from marl.replay import PrioritisedReplay, ReplayConfig
from marl.weights import LocalWeights
from scripts.bench import Row, rate

GAMES = 256
# A batch of the default size would take the paragraph encoder minutes. Its time grows with the
# batch, so that it learns from as many sequences a second in a small one.
BATCH = {"phrases": 64, "paragraph": 4}
WIDTH = 128


def run(seconds: float) -> Iterator[Row]:
    """Observations a second when acting, sequences a second when learning."""
    threads = f"{torch.get_num_threads()} threads"
    figures: dict[str, dict[str, float]] = {}
    for encoder in ("phrases", "paragraph"):
        figures[encoder] = _measure(encoder, seconds / 4)
    for name, unit in (
        (f"acting, {GAMES} games, width {WIDTH}", "observations/s"),
        (f"learning, width {WIDTH}", "sequences/s"),
    ):
        ours, theirs = figures["phrases"][unit], figures["paragraph"][unit]
        yield Row(f"{name}, {threads}", ours, unit)
        yield Row(f"{name}, {threads}", theirs, unit, against="paragraph", ratio=ours / theirs)


def _measure(encoder: Any, seconds: float) -> dict[str, float]:
    config = R3D2Config(encoder=encoder, hidden=WIDTH, lstm_hidden=WIDTH, text_hidden=WIDTH)
    game: Any = games.batched("hanabi", GAMES, 1, players=2)
    agent = R3D2Agent(config, game.phrasebook)
    agent.admit(game.fact_phrases, game.choice_phrases)
    replay = _filled(game, agent)
    observations = observe(game)
    memory = np.zeros((GAMES, agent.memory_size), np.float32)
    acting = rate(lambda: agent.act(observations, memory), seconds)
    learner = Learner(agent, replay, LocalWeights(), LearnerConfig(batch=BATCH[encoder]))
    learning = rate(learner.update, seconds)
    return {"observations/s": acting * GAMES, "sequences/s": learning * BATCH[encoder]}


def _filled(game: BatchedGame, agent: R3D2Agent) -> PrioritisedReplay:
    """Replay with whole games of random play, and the batch of games in their midst."""
    replay = PrioritisedReplay(ReplayConfig(capacity=4096), memory_size=agent.memory_size)
    actor = Actor(game, _Idle(agent.memory_size), replay.insert, np.ones(GAMES), seed=1)
    while len(replay) < 512:
        actor.step()
    return replay


class _Idle:
    """Chooses nothing: exploration makes every move."""

    version = 0

    def __init__(self, memory_size: int) -> None:
        self.memory_size = memory_size

    def act(self, observations: Any, memory: Any) -> Any:
        n = len(observations)
        return np.zeros(n, np.int64), np.zeros((n, 1), np.float32), memory
