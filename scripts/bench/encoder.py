"""Encoder: observations acted on and sequences learned from, beside whole paragraphs.

All sides are the same agent, of the same width, on the same two-player games of Hanabi. Ours reads
every phrase once per parameter version; the others read every observation whole. Their text vector
is the mean over all tokens, as in the R3D2 paper (arXiv 2503.14555). Our observations say more than
that paper's, so paragraphs are also measured cut to the length that they have there; and with the
vector of the first token only, the shortcut that our phrases take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

import games
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from marl.acting.actor import Actor
from marl.acting.table import observe
from marl.episodes import Episodes, concatenate
from marl.learning.config import LearnerConfig
from marl.learning.learner import Learner
from marl.learning.weights import LocalWeights
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig
from scripts.bench import Row, rate

GAMES = 512
ACTS_A_VERSION = 8  # in training, roughly so many moves are made with one version of the weights
PAPER_TOKENS = 81  # of an observation for two players in the paper


@dataclass(frozen=True)
class Rival:
    """A way to read whole observations, and how many at once are fastest or fit into memory."""

    name: str
    pool: Literal["first", "mean"]
    facts: int
    acted: int
    learned: int


def run(seconds: float) -> Iterator[Row]:
    """Measures acting, then learning: phrases, then paragraphs of three kinds.

    Yields:
        rows with the threads used and the mean number of tokens.
    """
    threads = torch.get_num_threads()
    game = games.batched("hanabi", num_games=GAMES, players=2)
    episodes = _play(game)
    seen = observe(game)
    config = R3D2Config()
    phrases = Side(config, game)
    paragraphs = {
        pool: Side(replace(config, encoder="paragraph", text_pool=pool), game)
        for pool in ("mean", "first")
    }
    tokens = paragraphs["mean"].tokens
    every = seen.facts.shape[1]
    short = next(n for n in range(1, every) if tokens(_first(seen, n)) >= PAPER_TOKENS)
    rivals = (
        Rival("paragraph", "mean", every, 64, 4),
        Rival("paragraph cut to the paper's length", "mean", short, 64, 16),
        Rival("paragraph, first token", "first", every, 256, 32),
    )
    share = seconds / 8
    on = f"2 players, {threads} thread{'s' if threads > 1 else ''}"

    ours = GAMES * rate(lambda: phrases.act(seen), share)
    yield Row(f"acting, {on}", ours, "observations/s")
    for rival in rivals:
        some = _first(seen, rival.facts)[slice(0, rival.acted)]
        side = paragraphs[rival.pool]
        value = rival.acted * rate(partial(side.act, some), share)
        against = f"{rival.name}: {tokens(some):.0f} tokens"
        yield Row(f"acting, {on}", value, "observations/s", against, ours / value)

    batch = LearnerConfig().batch
    ours = batch * rate(phrases.learner(episodes, batch).update, share)
    yield Row(f"learning, {on}", ours, "sequences/s")
    for rival in rivals:
        learner = paragraphs[rival.pool].learner(_shorten(episodes, rival.facts), rival.learned)
        value = rival.learned * rate(learner.update, share)
        yield Row(f"learning, {on}", value, "sequences/s", rival.name, ours / value)


class Side:
    """One way to read, acting and learning."""

    def __init__(self, config: R3D2Config, game: games.BatchedGame) -> None:
        self.agent = R3D2Agent(config, game.phrasebook)
        self.agent.admit(game.fact_phrases, game.choice_phrases)
        self.acts = 0

    def act(self, seen: Observations) -> None:
        if self.acts % ACTS_A_VERSION == 0:
            self.agent.forget()
        self.acts += 1
        self.agent.act(seen, np.zeros((len(seen), self.agent.memory_size), np.float32))

    def tokens(self, seen: Observations) -> float:
        """Mean length of the observations as paragraphs, [CLS] and [SEP] included."""
        starts = np.arange(len(seen), dtype=np.int64) * seen.facts.shape[1]
        tokens = self.agent.inputs(seen.facts.ravel(), starts, seen.fact_counts)
        return float((tokens != 0).sum(1).float().mean())

    def learner(self, episodes: Episodes, batch: int) -> Learner:
        replay = PrioritisedReplay(
            ReplayConfig(capacity=len(episodes)), memory_size=self.agent.memory_size
        )
        replay.insert(episodes)
        return Learner(self.agent, replay, LocalWeights(), LearnerConfig(batch=batch))


class Cautious:
    """Moves at random but never plays a card, so that games last as long as good ones do."""

    memory_size, version, phrasebook = 0, 0, None

    def __init__(self, game: games.BatchedGame) -> None:
        self.plays = np.array([phrase.startswith("I play") for phrase in game.phrasebook] + [True])
        self.rng = np.random.default_rng(0)

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        values = self.rng.random(observations.choices.shape, np.float32)
        values[self.plays[observations.choices]] -= 2
        values[np.arange(values.shape[1]) >= observations.choice_counts[:, None]] = -np.inf
        return values.argmax(1), values, memory


def _play(game: games.BatchedGame) -> Episodes:
    """Every game at least once, from the beginning to the end."""
    found: list[Episodes] = []
    actor = Actor(game, Cautious(game), found.append, np.zeros(GAMES), seed=0)
    while actor.episodes < GAMES:
        actor.step()
    # On to the middle of the next games, for observations of average length.
    for _ in range((game.max_turns or 0) // 2):
        actor.step()
    return concatenate(found)


def _first(seen: Observations, facts: int) -> Observations:
    """The observations with their first facts only."""
    return replace(seen, fact_counts=np.minimum(seen.fact_counts, np.int16(facts)))


def _shorten(episodes: Episodes, facts: int) -> Episodes:
    """The sequences with the first facts of every step only."""
    counts = episodes.fact_counts.astype(np.int64)
    place = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    return replace(
        episodes,
        fact_counts=np.minimum(episodes.fact_counts, np.int16(facts)),
        facts=episodes.facts[place < facts],
    )
