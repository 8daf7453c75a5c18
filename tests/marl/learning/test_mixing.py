"""Mixing against moves and rewards written down one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import games
from agents.core import Observations
from games.core import Step
from marl.acting.actor import Actor
from marl.episodes import Episodes, concatenate
from marl.learning.mixing import IQL, VDN
from tests.marl.players import PLAY


class Anybody:
    """Takes the first choice; the actor explores."""

    memory_size, version, phrasebook = 0, 0, None

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        values = np.zeros(observations.choices.shape, np.float32)
        return np.zeros(len(observations), np.int64), values, memory


def play(players: int, turn_limit: int | None, count: int = 60) -> tuple[Episodes, list[Any]]:
    """Episodes of random play; and of each (rewards of its moves in order, whether it ended)."""
    game = games.batched("hanabi", 16, 3, players=players, bomb="keep", turn_limit=turn_limit)
    batches: list[Episodes] = []
    actor = Actor(game, Anybody(), batches.append, np.ones(16), 1)
    moves: list[list[float]] = [[] for _ in range(16)]
    done: list[Any] = []
    original = game.step

    def step(choice: NDArray[Any]) -> Step:
        outcome = original(choice)
        for rewards, reward in zip(moves, outcome.rewards[:, 0].tolist(), strict=True):
            rewards.append(reward)
        for ended, terminal in ((outcome.terminated, True), (outcome.truncated, False)):
            for g in np.flatnonzero(ended[:, 0]):
                done.append((moves[g], terminal))
                moves[g] = []
        return outcome

    game.step = step  # type: ignore[method-assign]
    while len(done) < count:
        actor.step()
    return concatenate(batches), done


@pytest.mark.parametrize("turn_limit", [None, 3, 17])
@pytest.mark.parametrize("players", [2, 3, 5])
def test_rounds_hold_the_moves_of_all_seats_and_every_reward_once(
    players: int, turn_limit: int | None
) -> None:
    episodes, done = play(players, turn_limit)
    mixed = VDN(episodes)
    edges = VDN.edges(episodes)
    assert len(mixed.lengths) == len(done) == len(edges) - 1
    values = np.random.default_rng(0).normal(size=episodes.steps).astype(np.float32)
    totals = mixed.total(torch.from_numpy(values)).tolist()
    first_round, step, partial, counted_twice = 0, 0, 0, 0
    for unit, (rewards, terminal) in enumerate(done):
        rounds = [rewards[k : k + players] for k in range(0, len(rewards), players)]
        if not terminal and len(rounds[-1]) < players:
            rounds.pop()  # only complete ones can be bootstrapped from
            partial += 1
        rounds = rounds or [[]]  # cut before everybody has moved: a place-holder
        last = first_round + len(rounds)
        assert mixed.lengths[unit] == len(rounds)
        assert mixed.terminal[unit] == terminal
        # Which steps each round is made of, seat by seat.
        turns = [episodes.lengths[e] for e in range(edges[unit], edges[unit + 1])]
        assert mixed.steps[unit] == sum(turns)
        starts = step + np.cumsum([0, *turns[:-1]])
        for k, moves in enumerate(rounds):
            of_round = [start + k for start, n in zip(starts, turns, strict=True) if k < n]
            if moves:
                assert len(of_round) == len(moves)
                assert totals[first_round + k] == pytest.approx(values[of_round].sum(), abs=1e-5)
                # The rewards of a round that was cut off in the middle belong to none.
                if terminal or k + 1 < len(rounds):
                    assert mixed.rewards[first_round + k] == sum(moves)
        if terminal:
            assert mixed.rewards[first_round:last].sum() == sum(rewards)
            counted_twice += sum(
                episodes.rewards[start : start + n].sum() > sum(rewards) / players + 0.5
                for start, n in zip(starts[1:], turns[1:], strict=True)
            )
        step += sum(turns)
        first_round = last
    assert first_round == len(totals) == len(mixed.rewards)
    assert step == episodes.steps
    if turn_limit is None:
        assert counted_twice, "the rewards of the other seats hold the same points again"
        assert any(len(rewards) % players for rewards, _ in done)
    elif turn_limit == 17:
        assert partial


def test_a_game_lost_before_everybody_has_moved() -> None:
    """Its other seats have no sequence."""
    game = games.batched("hanabi", 8, 1, players=5)
    batches: list[Episodes] = []

    class Reckless(Anybody):
        """Plays a card whenever it may."""

        def act(self, observations: Observations, memory: NDArray[np.float32]) -> Any:
            plays = (observations.choices >= PLAY.base) & (
                observations.choices < PLAY.base + PLAY.size
            )
            return plays.argmax(1), np.zeros(plays.shape, np.float32), memory

    actor = Actor(game, Reckless(), batches.append, np.zeros(8), 1)
    for _ in range(60):
        actor.step()
    episodes = concatenate(batches)
    mixed = VDN(episodes)
    sizes = np.diff(VDN.edges(episodes))
    assert sizes.min() < 5
    assert (mixed.lengths[sizes < 5] == 1).all()


def test_every_sequence_is_a_unit_of_its_own_in_iql() -> None:
    episodes, _ = play(3, None, 10)
    mixed = IQL(episodes)
    assert mixed.lengths is episodes.lengths
    assert mixed.rewards is episodes.rewards
    assert IQL.edges(episodes).tolist() == list(range(len(episodes) + 1))
    values = torch.arange(episodes.steps, dtype=torch.float32)
    assert torch.equal(mixed.total(values), values)


def test_seats_that_do_not_take_turns_in_order_are_refused() -> None:
    episodes, _ = play(2, None, 4)
    with pytest.raises(ValueError, match="begin with seat 0"):
        VDN(episodes.part(1, 4))
    longer = replace(episodes, lengths=episodes.lengths[::-1].copy())
    uneven = replace(
        longer, lengths=longer.lengths + np.arange(len(longer), dtype=np.int32) % 2 * 2
    )
    with pytest.raises(ValueError, match="in a fixed order"):
        VDN(uneven)
