from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

import games
from agents.core import Observations
from games.world import World
from marl.acting.actor import Actor
from marl.acting.recorder import NEVER, Recorder
from marl.episodes import Episodes
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig

EVERY, AGE = 2, 3


class Mixed:
    """Chooses by a fixed function of what it sees."""

    memory_size, version, phrasebook = 0, 7, None

    def act(self, seen: Observations, memory: np.ndarray) -> tuple[np.ndarray, ...]:
        known = np.arange(seen.facts.shape[1]) < seen.fact_counts[:, None]
        mixed = (seen.facts.astype(np.int64) ** 2 * 40503 % 1009 * known).sum(1)
        return mixed % seen.choice_counts, np.zeros(seen.choices.shape, np.float32), memory


def parcels(**options: Any) -> Any:
    return games.batched("parcels", num_games=1, seed=5, parcels=6, emulated=False, **options)


class Loop:
    """A game in a world whose answers take ``AGE`` turns, and some of which are lost."""

    def __init__(self, lost: float = 0.0, max_length: int = 128) -> None:
        self.world = World(parcels(told=AGE))
        self.idle = int(self.world.game.choice_phrases[0])
        self.episodes: list[Episodes] = []
        self.recorder = Recorder(
            self.world,
            self.episodes.append,
            max_length=max_length,
            label_size=1,
        )
        rng = np.random.default_rng(1)
        way: deque[tuple[int, list[int | None]]] = deque()
        self.done: list[list[int]] = []
        self.earned, over = 0.0, False
        while not over:
            waiting = [[c[k] or self.idle for _, c in way] for k in (0, 1)]
            seen = self.world.observe([[self.idle] * (AGE - len(w)) + w for w in waiting])
            self.recorder.see(self.world.turn, seen)
            names = ("facts", "fact_counts", "choices", "choice_counts")
            picks, _, _ = Mixed().act(Observations(*(seen[n] for n in names)), np.zeros((2, 0)))
            chosen: list[int | None] = [int(seen["choices"][k, picks[k]]) for k in (0, 1)]
            way.append((self.world.turn, [None, None] if rng.random() < lost else chosen))
            saw, now = way.popleft() if len(way) > AGE else (NEVER, [None, None])
            turn = self.world.turn
            step = self.world.advance(now)
            self.recorder.apply(turn, saw, now, self.world.applied, version=turn // 10)
            self.recorder.reward(step)
            self.done.append(self.world.applied)
            self.earned += float(step.rewards[0].sum())
            over = bool(step.over[0])


def learned(episodes: Episodes) -> np.ndarray:
    """The phrase of each step's action."""
    starts = np.cumsum(episodes.choice_counts) - episodes.choice_counts
    return episodes.choices[starts + episodes.actions]


def test_every_choice_says_what_it_saw_when_it_acted_and_who_chose_it() -> None:
    loop = Loop(lost=0.2)
    decisions = loop.recorder.decisions
    acted = decisions[decisions["applied"] != NEVER]
    assert (acted["age"] == AGE * EVERY).all()
    assert (acted["applied"] - acted["saw"] == acted["age"]).all()
    assert (acted["version"] == acted["applied"] // EVERY // 10).all()
    never = decisions[decisions["applied"] == NEVER]
    assert 0.05 < len(never) / len(decisions) < 0.5
    assert (never["done"] == loop.idle).all()
    stale = acted["done"] != acted["chosen"]
    assert stale.any()
    assert not stale.all()
    for row in acted:
        assert loop.done[row["applied"] // EVERY][row["seat"]] == row["done"]


def test_what_is_learned_from_is_what_was_applied() -> None:
    loop = Loop(lost=0.2)
    (episodes,) = loop.episodes
    decisions = loop.recorder.decisions
    actions = learned(episodes)
    np.testing.assert_array_equal(actions, decisions["done"])
    assert (actions != decisions["chosen"]).any()
    assert episodes.rewards.sum() == pytest.approx(loop.earned)
    assert (episodes.elapsed == EVERY).all()
    assert episodes.terminal.all()
    replay = PrioritisedReplay(ReplayConfig(), label_size=1)
    replay.insert(episodes)
    assert len(replay) == 2


def test_a_constant_delay_is_recorded_as_an_actor_records_it() -> None:
    loop = Loop()
    (found,) = loop.episodes
    wanted: list[Episodes] = []
    game = parcels(delay=AGE * EVERY, every=EVERY)
    actor = Actor(game, Mixed(), wanted.append, np.zeros(1), 0, label_size=1)
    while not wanted:
        actor.step()
    for name in ("lengths", "facts", "fact_counts", "choices", "rewards", "elapsed", "terminal"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted[0], name), name)
    np.testing.assert_array_equal(found.labels, wanted[0].labels)
    # A key that does nothing any more, the actor takes for pressed. Neither knows of another.
    decisions = loop.recorder.decisions
    same = decisions["done"] == decisions["chosen"]
    assert same.mean() > 0.5
    np.testing.assert_array_equal(learned(found)[same], learned(wanted[0])[same])


def test_a_long_game_is_cut_and_nothing_is_lost() -> None:
    (whole,), (cut,) = Loop().episodes, Loop(max_length=20).episodes
    assert cut.lengths.max() == 20
    assert cut.terminal.sum() == cut.fresh.sum() == 2
    # The last step of a sequence that is cut is the first of its successor.
    ends = np.cumsum(cut.lengths) - 1
    kept = np.ones(cut.steps, bool)
    kept[ends[~cut.terminal]] = False
    np.testing.assert_array_equal(cut.rewards[kept], whole.rewards)
    np.testing.assert_array_equal(learned(cut)[kept], learned(whole))


def test_sequences_that_overlap_by_half_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        Recorder(World(parcels()), print, max_length=4, overlap=2)
