"""Encoder: observations acted on and sequences learned from, beside whole paragraphs.

Both sides are the same agent, of the same width, on the same two-player games of Hanabi. One reads
every phrase once per parameter version; the other reads every observation whole, with the mean over
its tokens, as in the R3D2 paper (arXiv 2503.14555). Our observations say more than that paper's, so
paragraphs are also measured cut to the length that they have there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

import games
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from marl.actor import Actor, observe
from marl.episodes import Episodes, concatenate
from marl.learner import Learner, LearnerConfig
from marl.replay import PrioritisedReplay, ReplayConfig
from marl.weights import LocalWeights
from scripts.bench import Row, rate

GAMES = 512
ACTS_A_VERSION = 8  # in training, roughly so many moves are made with one version of the weights
PARAGRAPHS = 64  # acted on at once; more take longer, and no less each
PARAGRAPH_SEQUENCES = 4  # learned from at once; 64 would take some 20 GB
PAPER_TOKENS = 81  # of an observation for two players in the paper


def run(seconds: float) -> Iterator[Row]:
    """Measures acting, then learning: phrases, paragraphs, and short paragraphs.

    Yields:
        rows with the threads used and the mean number of tokens.
    """
    threads = torch.get_num_threads()
    game = games.batched("hanabi", num_games=GAMES, players=2)
    episodes = _play(game)
    seen = observe(game)
    config = R3D2Config()
    sides = [Side(config, game), Side(replace(config, encoder="paragraph", text_pool="mean"), game)]
    phrases, paragraph = sides
    tokens = paragraph.tokens(seen)
    short = int(seen.fact_counts.mean() * PAPER_TOKENS / tokens)
    lengths = ((tokens, 10_000), (paragraph.tokens(_first(seen, short)), short))
    share = seconds / 6

    what, unit = f"acting, 2 players, {threads} threads", "observations/s"
    ours = GAMES * rate(lambda: phrases.act(seen), share)
    yield Row(what, ours, unit)
    for length, facts in lengths:
        some = _first(seen, facts)[slice(0, PARAGRAPHS)]
        value = PARAGRAPHS * rate(lambda some=some: paragraph.act(some), share)  # type: ignore[misc]
        yield Row(what, value, unit, f"paragraphs of {length:.0f} tokens", ours / value)

    what, unit = f"learning, 2 players, {threads} threads", "sequences/s"
    batch = LearnerConfig().batch
    ours = batch * rate(phrases.learner(episodes, batch).update, share)
    yield Row(what, ours, unit)
    for length, facts in lengths:
        learner = paragraph.learner(_shorten(episodes, facts), PARAGRAPH_SEQUENCES)
        value = PARAGRAPH_SEQUENCES * rate(learner.update, share)
        yield Row(what, value, unit, f"paragraphs of {length:.0f} tokens", ours / value)


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

    memory_size, version = 0, 0

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
    for _ in range(game.max_turns // 2):
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
