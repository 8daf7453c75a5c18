"""Random moves that are a function of what is observed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import games
from games.mpe.batched import MpeBatched
from games.text import PAD
from marl.acting.actor import Actor
from marl.acting.exploration import state_dependent, telling_salt
from marl.episodes import Episodes
from marl.runs.config import ActorConfig
from marl.runs.state import flatten, unflatten
from tests.marl.acting.test_actor import Counter


def rows(count: int, seed: int) -> tuple[NDArray[Any], ...]:
    """Facts and choices of many rows, ragged."""
    rng = np.random.default_rng(seed)
    found: list[NDArray[Any]] = []
    for width, ids in ((6, 500), (4, 40)):
        table = np.stack([rng.choice(ids, width, replace=False) for _ in range(count)])
        counts = rng.integers(1, width + 1, count).astype(np.int16)
        table[np.arange(width) >= counts[:, None]] = PAD
        found += [table.astype(np.int16), counts]
    return tuple(found)


def test_the_same_is_answered_alike() -> None:
    facts, fact_counts, choices, counts = rows(4000, 1)
    one = state_dependent(facts, fact_counts, choices, counts, np.uint64(7))
    assert ((one >= 0) & (one < counts)).all()
    order = np.random.default_rng(2).permutation(4000)
    turned = np.where(facts == PAD, PAD, np.take_along_axis(
        facts, (fact_counts[:, None] - 1 - np.arange(6)) % 6, 1))  # fmt: skip
    again = state_dependent(
        turned[order], fact_counts[order], choices[order], counts[order], np.uint64(7)
    )
    assert again.tolist() == one[order].tolist()  # places in the batch, and in a row, say nothing
    other = state_dependent(facts, fact_counts, choices, counts, np.uint64(8))
    several = counts > 1
    assert 0.2 < (one == other)[several].mean() < 0.6  # a third of them, by chance
    shares = np.bincount(one[counts == 4], minlength=4) / (counts == 4).sum()
    assert np.allclose(shares, 0.25, atol=0.06)


def test_what_everybody_is_told_decides_nothing() -> None:
    """Two facts of which one is told to all: there is no choice that all make."""
    facts = np.array([[9, goal] for goal in range(3)], np.int16)
    choices, two, three = np.array([[20, 21, 22]] * 3, np.int16), *np.array([[2] * 3, [3] * 3])
    answers = {
        tuple(state_dependent(facts, two, choices, three, np.uint64(salt))) for salt in range(60)
    }
    assert min(len(set(answer)) for answer in answers) == 2
    assert len(answers) > 12


def test_the_function_is_one_that_tells_goals_apart() -> None:
    """Half of all functions have one word for two of three goals; none of those is taken."""
    same = 0
    for seed in range(20):
        salts = []
        for games_seed in (seed, 100 + seed):
            game = games.batched("simple-speaker-listener", 256, games_seed)
            shown = game.facts, game.fact_counts, game.choices, game.choice_counts
            salts.append(telling_salt(*shown, seed))
            said = state_dependent(*shown, salts[-1])[game.due_seat == 0]
            assert len(set(said)) == 3
        same += salts[0] == salts[1]
    assert same > 10  # who looks at other games finds the same one, most of the time


def words(version: int, until: int) -> NDArray[Any]:
    """What a speaker says at random of each goal, in 25 rounds: shares [3, 3]."""
    game = games.batched("simple-speaker-listener", 64, 3)
    assert isinstance(game, MpeBatched)
    inserted: list[Episodes] = []
    policy = Counter(version=version)
    actor = Actor(
        game, policy, inserted.append, np.ones(64), seed=5, state_dependent=until, function=1
    )
    goals = game._games["goal"][:, 0].copy()
    for _ in range(25):
        actor.step()
    (played,) = inserted
    table = np.zeros((3, 3))
    starts = np.cumsum(played.lengths) - played.lengths
    for i, k in enumerate(np.flatnonzero(played.seat == 0)):
        said = played.actions[starts[k] : starts[k] + played.lengths[k]]
        np.add.at(table[goals[i]], said, 1)
    return table / table.sum(1, keepdims=True)


def test_most_random_words_mean_something_for_a_while() -> None:
    shares = words(version=9, until=10)
    # Three quarters, and a third of the rest.
    assert ((shares.max(1) > 0.75) & (shares.max(1) < 0.91)).all()
    assert sorted(shares.argmax(1)) == [0, 1, 2]
    assert words(version=10, until=10).max() < 0.42


def test_goes_on_with_the_same_function() -> None:
    def actor() -> Actor:
        game = games.batched("simple-speaker-listener", 8, 3)
        return Actor(
            game, Counter(), lambda _: None, np.ones(8), seed=5, state_dependent=1, function=2
        )

    first, second = actor(), actor()
    for _ in range(7):
        first.step()
    second.load_state(unflatten(*flatten(first.state())))
    for one in (first, second):
        one.step()
    assert first.state()["salt"] == second.state()["salt"]
    ours, theirs = (one.game.state() for one in (first, second))
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_updates_are_no_fewer_than_none() -> None:
    with pytest.raises(ValueError, match=r"actor\.state_dependent cannot be negative, got -1"):
        ActorConfig(state_dependent=-1)
