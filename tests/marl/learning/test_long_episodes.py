"""Episodes longer than a sequence: cuts, burn-in, stored memory, and a phrasebook that grows.

Hanabi's episodes are whole sequences, and its phrasebook is closed. In ``Recall`` neither is so,
and what has to be remembered was said many sequences ago.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games.text import Phrasebook
from marl.acting.actor import Actor
from marl.episodes import Episodes, concatenate
from marl.learning.batch import Batch
from marl.learning.config import LearnerConfig
from marl.learning.learner import Learner
from marl.learning.losses import forward
from marl.learning.mixing import IQL
from marl.learning.returns import Returns, n_step
from marl.learning.weights import LocalWeights
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig
from marl.runs.checkpoint import CheckpointStore
from marl.runs.state import flatten, unflatten
from tests.marl.recall import Recall

AGENT = R3D2Config(hidden=32, memory=32, text_hidden=32)
GAMES, TURNS = 4, 30


class Exact(R3D2Agent):
    """An agent that computes in float32 throughout."""

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()


def play(
    agent: R3D2Agent, max_length: int, overlap: int, steps: int = TURNS
) -> tuple[Episodes, list[NDArray[np.float32]]]:
    """All sequences of one episode of every game, one game's after the other's, and the values."""
    batches: list[Episodes] = []
    seen: list[NDArray[np.float32]] = []
    game = Recall(GAMES, TURNS, phrasebook=agent.phrasebook)

    class Spy:
        memory_size, version, phrasebook = agent.memory_size, 0, agent.phrasebook

        def act(self, observations: Observations, memory: NDArray[np.float32]) -> Any:
            chosen, values, after = agent.act(observations, memory)
            seen.append(values.copy())
            return chosen, values, after

    actor = Actor(
        game,
        Spy(),
        batches.append,
        np.full(GAMES, 0.3),
        seed=2,
        max_length=max_length,
        overlap=overlap,
    )
    for _ in range(steps):
        actor.step()
    # All games are in step: the k-th sequences of all of them come in one batch.
    parts = [batch.part(g, g + 1) for g in range(GAMES) for batch in batches]
    return concatenate(parts), seen


def returns_of(episodes: Episodes, n: int, burn_in: int) -> Returns:
    mixed = IQL(episodes)
    return n_step(
        mixed.lengths,
        mixed.terminal,
        mixed.rewards,
        mixed.elapsed,
        mixed.fresh,
        n=n,
        gamma=0.9,
        burn_in=burn_in,
    )


@pytest.mark.parametrize(("max_length", "overlap"), [(8, 0), (8, 2), (7, 2), (10, 4), (30, 3)])
def test_every_turn_of_a_long_episode_is_learned_once(max_length: int, overlap: int) -> None:
    agent = Exact(AGENT, Phrasebook(closed=False))
    episodes, _ = play(agent, max_length, overlap)
    assert (max_length < TURNS) == (len(episodes) > GAMES)
    returns = returns_of(episodes, 1, overlap)
    ends = np.cumsum(episodes.lengths)
    firsts = ends - episodes.lengths
    assert episodes.fresh.sum() == GAMES
    assert episodes.terminal.sum() == GAMES
    turn = 0
    learned: list[int] = []
    for e, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        # The turn is told by a fact: where a sequence begins in its episode is known from there.
        facts = episodes.facts[episodes.fact_counts[:first].sum() :]
        turn = int(agent.phrasebook[int(facts[0])].rsplit(" ", 1)[1]) - 1
        assert episodes.fresh[e] == (turn == 0)
        learned += (turn + np.flatnonzero(returns.learned[first:end])).tolist()
    assert learned == list(range(TURNS)) * GAMES
    # And every point counts once.
    whole, _ = play(Exact(AGENT, Phrasebook(closed=False)), TURNS, 0)
    assert whole.rewards.sum() > 0
    assert returns.rewards[returns.learned].sum() == whole.rewards.sum()


@pytest.mark.parametrize(("max_length", "overlap"), [(8, 0), (8, 2), (10, 4)])
def test_stored_memory_stands_for_what_was_cut_off(max_length: int, overlap: int) -> None:
    """Values and one-step errors are those of whole episodes, at every turn that is learned."""
    agent = Exact(AGENT, Phrasebook(closed=False), seed=1)
    episodes, seen = play(agent, max_length, overlap)
    whole, _ = play(agent, TURNS, 0)
    assert not episodes.memory[episodes.fresh].any()
    assert episodes.memory[~episodes.fresh].any(1).all()

    def values(of: Episodes) -> torch.Tensor:
        agent.meet(of.facts, of.choices)
        with torch.no_grad():
            return forward(agent, agent.current(), Batch(of, agent))[0]

    def errors(of: Episodes, burn_in: int) -> torch.Tensor:
        returns, q = returns_of(of, 1, burn_in), values(of)
        future = q.max(1).values[torch.from_numpy(returns.successor)]
        goal = torch.from_numpy(returns.rewards) + torch.from_numpy(returns.discount) * future
        taken = q[torch.arange(len(q)), torch.from_numpy(of.actions.astype(np.int64))]
        return (taken - goal)[torch.from_numpy(returns.learned)]

    torch.testing.assert_close(errors(episodes, overlap), errors(whole, 0), atol=1e-5, rtol=1e-4)
    acted = np.stack(seen[:TURNS], 1).reshape(GAMES * TURNS, -1)
    np.testing.assert_allclose(values(whole).numpy(), acted, atol=1e-5, rtol=1e-4)
    # Without it they are not: the test would notice if zeros were stored instead.
    lost = replace(episodes, memory=np.zeros_like(episodes.memory))
    assert (errors(lost, 0)[:, None] - errors(episodes, 0)[:, None]).abs().max() > 1e-3


class Run:
    """Acting and learning in turn, on Recall."""

    def __init__(self, seed: int = 1, burn_in: int = 2, kind: type[R3D2Agent] = R3D2Agent) -> None:
        self.book = Phrasebook(closed=False)
        self.game = Recall(16, TURNS, phrasebook=self.book)
        config = LearnerConfig(
            batch=16,
            n_step=1,
            gamma=0.5,
            burn_in=burn_in,
            learning_rate=3e-3,
            refresh_interval=4,
            target_interval=20,
            publish_interval=3,
            lanes=1,
        )
        self.player = kind(AGENT, self.book, seed)
        self.replay = PrioritisedReplay(
            ReplayConfig(capacity=400, max_length=8), memory_size=self.player.memory_size
        )
        self.weights = LocalWeights()
        self.learner = Learner(
            kind(AGENT, self.book, seed), self.replay, self.weights, config, eta=0.9
        )
        self.actor = Actor(
            self.game,
            self.player,
            self.replay.insert,
            np.full(16, 0.2),
            seed=3,
            max_length=8,
            overlap=burn_in,
        )
        self.rewards: list[float] = []

    def step(self) -> dict[str, float]:
        self.actor.step()
        if len(self.replay) < 20:
            return {}
        if self.weights.latest()[0] != self.player.version:
            self.player.load(*self.weights.latest())
        return self.learner.update()

    def state(self) -> dict[str, Any]:
        player = {"version": self.player.version, "weights": self.player.state_dict()}
        return {
            "learner": self.learner.state(),
            "player": player | {"phrases": self.player.phrases_state()},
            "replay": self.replay.state(),
            "actor": self.actor.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.learner.load_state(state["learner"])
        self.player.load_phrases(state["player"]["phrases"])
        self.player.load(state["player"]["version"], state["player"]["weights"])
        self.replay.load_state(state["replay"])
        self.actor.load_state(state["actor"])


def test_what_was_said_many_sequences_ago_is_remembered() -> None:
    """After 7 turns the word is in no sequence that is learned from, only in stored memory."""
    run = Run()
    for _ in range(450):
        run.step()
    late = right = 0
    memory = np.zeros((16, run.player.memory_size), np.float32)
    game = Recall(16, TURNS, seed=10_000, phrasebook=run.book)
    player = run.learner.averaged()
    for turn in range(TURNS):
        seen = Observations(game.facts, game.fact_counts, game.choices, game.choice_counts)
        chosen, _, memory = player.act(seen, memory)
        if turn >= 10:
            right += int((chosen == game.word).sum())
            late += 16
        game.step(chosen)
    assert right / late > 0.9, "a third is luck"


@pytest.mark.parametrize("updates", [3, 5, 6, 7, 8, 11])
def test_a_phrasebook_that_grows_is_resumed_bit_for_bit(tmp_path: Path, updates: int) -> None:
    """Saved while phrases are still being met; the other process knows none of them.

    At some of these moments phrases have been met since the language model last ran.
    """
    one, two = Run(), Run()
    while one.learner.updates < updates:
        one.step()
    known = len(one.book)
    assert known < TURNS + 2 * 3, "all phrases were met before the run was saved"
    store = CheckpointStore(tmp_path)
    store.save(updates, *flatten(one.state()))
    two.load_state(unflatten(*store.load()))
    assert list(two.book) == list(one.book)
    assert two.learner.agent.facts.ids.tolist() == one.learner.agent.facts.ids.tolist()
    for _ in range(40):
        assert one.step() == two.step()
    assert len(one.book) > known
    assert list(two.book) == list(one.book)
    (ours, plain), (theirs, same) = flatten(one.state()), flatten(two.state())
    assert plain == same
    for path, tensor in ours.items():
        assert np.asarray(tensor).tobytes() == np.asarray(theirs[path]).tobytes(), path


def test_a_book_of_another_life_cannot_be_mixed_in() -> None:
    one, two = Run(), Run()
    two.book.intern("it rains")
    one.book.intern("the sun shines")
    with pytest.raises(ValueError, match="adopt the saved phrases before"):
        two.learner.load_state(one.learner.state())


@pytest.mark.parametrize("at_once", [10, 1000])
def test_a_thousand_new_phrases_cost_less_than_a_second(at_once: int) -> None:
    """Of processor time, for player and learner each. All tables made anew take 93 ms a time."""
    run = Run()
    while run.learner.updates < 2:
        run.step()
    player = run.learner.agent, run.learner.target, run.player
    batch = run.replay.sample(16).episodes
    new = np.array([run.book.intern(f"day {i} was {i % 7} degrees") for i in range(1000)], np.int16)
    began = time.thread_time()
    for first in range(0, 1000, at_once):
        batch.facts = new[first : first + at_once]
        run.learner._meet(batch)
        run.learner.target.current()
    learning = time.thread_time() - began
    began = time.thread_time()
    for first in range(0, 1000, at_once):
        run.player.meet(new[first : first + at_once], batch.choices)
        run.player.current()
    acting = time.thread_time() - began
    assert all(len(agent.facts) >= 1000 for agent in player)
    assert learning < 1
    assert acting < 1
