"""The actor against a journal in plain Python: every step, reward and memory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import games
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from agents.r3d2.cores import Layout
from games.core import BatchedGame, Step
from marl.acting.actor import Actor, exploration_spectrum, temperature_spectrum
from marl.episodes import Episodes, concatenate
from marl.runs.state import flatten, unflatten
from tests.marl.recorder import Journal, SpyGame, SpyPolicy, assert_recorded, sequences


class Market:
    """A game of nonsense for three seats that leaves nothing out.

    Seats act in no order, several at once or nobody, some never; each earns rewards of its own at
    any time, of either sign; some observations are empty; seats end, are cut off, or go on for
    long, each by itself, and a game is over when all three are gone. Time runs unevenly.

    Args:
        num_games: N.
        seed: of everything.
        alone: whether one seat of each game is due, and all of them end together.
    """

    num_players, max_facts, max_choices, max_turns, interchangeable = 3, 5, 4, None, ()
    roles = ("trader",) * 3

    def __init__(self, num_games: int, seed: int, alone: bool = False) -> None:
        self.num_games, self.alone = num_games, alone
        self.rng = np.random.default_rng(seed)
        self.gone = np.zeros((num_games, 3), bool)
        self.phrasebook = games.Phrasebook(f"word {i}" for i in range(9))
        self._show()

    def _show(self) -> None:
        rng = self.rng
        due = (rng.random(self.gone.shape) < [0.6, 0.3, 0.1]) & ~self.gone
        if self.alone:
            due = rng.choice(3, self.num_games, p=[0.6, 0.3, 0.1])[:, None] == np.arange(3)
        game, seat = np.nonzero(due)
        self.due_game, self.due_seat = game.astype(np.int32), seat.astype(np.int8)
        n = len(game)
        self.fact_counts = rng.integers(0, 6, n).astype(np.int16)
        self.choice_counts = rng.integers(1, 5, n).astype(np.int16)
        self.facts = rng.integers(0, 9, (n, 5)).astype(np.int16)
        self.choices = rng.integers(0, 9, (n, 4)).astype(np.int16)
        for ids, counts in ((self.facts, self.fact_counts), (self.choices, self.choice_counts)):
            ids[np.arange(ids.shape[1]) >= counts[:, None]] = games.PAD
        self.labels = rng.integers(-1, 7, (n, 2)).astype(np.int8)

    def step(self, move_index: NDArray[Any]) -> Step:
        assert ((move_index >= 0) & (move_index < self.choice_counts)).all()
        rng, shape = self.rng, self.gone.shape
        end = rng.random(shape)
        if self.alone:
            end = np.broadcast_to(end[:, :1], shape)
        terminated = (end < 0.03) & ~self.gone
        truncated = (end >= 0.03) & (end < 0.05) & ~self.gone
        self.gone |= terminated | truncated
        over = self.gone.all(1)
        self.gone[over] = False
        rewards = rng.integers(-2, 3, shape).astype(np.float32) / 4
        elapsed = rng.integers(0, 4, self.num_games).astype(np.int32)
        self._show()
        return Step(rewards, terminated, truncated, over, elapsed, {})


@dataclass
class Counter:
    """Takes the choice that its memory says; remembers how often each seat has acted."""

    memory_size: int = 2
    phrasebook: None = None
    version: int = 0

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        after = np.stack([memory[:, 0] + 1, observations.facts.sum(1)], 1).astype(np.float32)
        choices = (memory[:, 0] + memory[:, 1]).astype(np.int64) % observations.choice_counts
        return choices, np.zeros(observations.choices.shape, np.float32), after


def spied(
    game: BatchedGame,
    policy: Any,
    epsilon: float = 0.3,
    max_length: int = 128,
    overlap: int = 0,
    label_size: int = 0,
    seed: int = 7,
    teaching: bool = False,
) -> tuple[Actor, Journal, SpyPolicy, list[Episodes]]:
    room = min(game.max_turns or max_length, max_length)
    journal, spy = Journal(overlap, room, label_size, teaching), SpyPolicy(policy)
    batches: list[Episodes] = []
    actor = Actor(
        SpyGame(game, spy, journal),  # type: ignore[arg-type]
        spy,
        batches.append,
        np.full(game.num_games, epsilon),
        seed,
        setting=3,
        max_length=max_length,
        overlap=overlap,
        label_size=label_size,
        teaching=teaching,
    )
    return actor, journal, spy, batches


GAMES: list[tuple[str, dict[str, object]]] = [
    ("market", {}),
    ("hanabi", {"players": 2, "preset": "small"}),
    ("hanabi", {"players": 5}),
    ("hanabi", {"players": 3, "preset": "very-small", "turn_limit": 7}),
]


def make(name: str, options: dict[str, object], num_games: int = 16) -> BatchedGame:
    if name == "market":
        return Market(num_games, 5)  # type: ignore[return-value]
    return games.batched(name, num_games, 5, **options)


@pytest.mark.parametrize(("name", "options"), GAMES)
@pytest.mark.parametrize(("max_length", "overlap"), [(128, 0), (5, 0), (6, 2), (7, 1)])
@pytest.mark.parametrize("label_size", [0, 6])
def test_every_step_is_recorded(
    name: str, options: dict[str, object], max_length: int, overlap: int, label_size: int
) -> None:
    game = make(name, options)
    actor, journal, spy, batches = spied(
        game, Counter(), max_length=max_length, overlap=overlap, label_size=label_size
    )
    for step in range(150):
        spy.version = step // 3
        actor.step()
    assert_recorded(journal, batches, setting=3)
    assert len(journal.done) > 50
    moved = sum(len(choices) for _, _, choices in spy.seen)
    assert actor.env_steps == moved
    assert name == "market" or moved == 150 * game.num_games
    ends = [sequence.terminal for sequence in journal.done]
    if "turn_limit" in options or name == "market":
        assert not all(ends)
    if name == "market" and max_length < 10:
        assert sum(len(s.turns) == max_length and not s.terminal for s in journal.done) > 20


@pytest.mark.parametrize(("max_length", "overlap"), [(128, 0), (6, 2)])
def test_what_a_teacher_chose_is_recorded_beside_what_was_done(
    max_length: int, overlap: int
) -> None:
    """Its memory is not: it would mean nothing to who learns from it."""
    actor, journal, _, batches = spied(
        make("hanabi", {"players": 3}), Counter(), 0.3, max_length, overlap, teaching=True
    )
    for _ in range(150):
        actor.step()
    assert_recorded(journal, batches, setting=3)
    turns = [turn for sequence in journal.done for turn in sequence.turns]
    other = sum(turn.taught != turn.action for turn in turns)
    assert 0.2 < other / len(turns) < 0.3  # explored, and by chance not the same
    assert all(batch.memory.shape == (len(batch), 0) for batch in batches)


@pytest.mark.parametrize(("name", "options"), GAMES)
def test_rewards_received_add_up_to_rewards_given(name: str, options: dict[str, object]) -> None:
    """Episode by episode and seat by seat: all that the team earned since the seat's first turn."""
    game = make(name, options)
    batches: list[Episodes] = []
    actor = Actor(game, Counter(), batches.append, np.ones(game.num_games), 1)
    shape = game.num_games, game.num_players
    turns, earned, expected = np.zeros(shape, int), np.zeros(shape), []
    original = game.step

    def step(moves: NDArray[Any]) -> Step:
        turns[game.due_game, game.due_seat] += 1
        outcome = original(moves)
        earned[:] += outcome.rewards * (turns > 0)
        for ended in (outcome.terminated, outcome.truncated):
            for g, seat in zip(*np.nonzero(ended), strict=True):
                expected.extend(earned[g, seat][turns[g, seat] > 0].tolist())
                turns[g, seat], earned[g, seat] = 0, 0
        return outcome

    game.step = step  # type: ignore[method-assign]
    for _ in range(200):
        actor.step()
    assert [sum(turn.reward for turn in s.turns) for s, _ in sequences(batches)] == expected
    assert any(expected)


def test_whole_episodes_earn_what_the_team_earned() -> None:
    """Hanabi from the first move on: the rewards of the seat that began add up to the score."""
    game = games.batched("hanabi", 32, 9, players=3, bomb="keep")
    batches: list[Episodes] = []
    actor = Actor(game, Counter(), batches.append, np.ones(32), 1)
    scores: list[float] = []
    original = game.step

    def step(moves: NDArray[Any]) -> Step:
        outcome = original(moves)
        scores.extend(outcome.outcome["points"][outcome.over].tolist())
        return outcome

    game.step = step  # type: ignore[method-assign]
    while len(scores) < 200:
        actor.step()
    earned = [sum(turn.reward for turn in s.turns) for s, _ in sequences(batches)]
    assert earned[::3] == scores  # seat 0 acts first; later seats miss what came before them
    assert all(a >= b for a, b in zip(earned[::3], earned[1::3], strict=True))
    assert sum(scores) > 0


class Exact(R3D2Agent):
    """An agent that computes in float32 throughout."""

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()


@pytest.mark.parametrize("overlap", [0, 2])
def test_stored_memory_reproduces_the_values(overlap: int) -> None:
    """A network that runs over a stored sequence sees what it saw when it acted."""
    game = games.batched("hanabi", 6, 2, players=2)
    agent = Exact(R3D2Config(hidden=32, memory=32, text_hidden=32, layers=2), game.phrasebook)
    agent.admit(game.fact_phrases, game.choice_phrases)
    actor, journal, _, batches = spied(game, agent, max_length=6, overlap=overlap)
    for _ in range(300):
        actor.step()
    assert_recorded(journal, batches, setting=3)
    middle = 0
    with torch.no_grad():
        tables = agent.tables(agent.embed())
        for (sequence, _), wanted in zip(sequences(batches), journal.done, strict=True):
            facts = np.concatenate([turn.facts for turn in sequence.turns]).astype(np.int16)
            counts = np.array([len(turn.facts) for turn in sequence.turns], np.int16)
            inputs = agent.inputs(facts, np.cumsum(counts, dtype=np.int64) - counts, counts)
            x = agent.network.perceive(agent.pool(inputs, tables))
            memory = torch.from_numpy(sequence.turns[0].memory)[None]
            states, _ = agent.network.recur(x, Layout(np.array([len(x)])), memory)
            middle += bool(memory.any())
            for state, turn, other in zip(states, sequence.turns, wanted.turns, strict=True):
                choices = np.array([turn.choices], np.int16)
                rows, legal = agent.legal(choices, np.array([choices.size], np.int16))
                q = agent.network.relevance(state[None], tables, rows, legal)[0].numpy()
                np.testing.assert_allclose(q, other.values[: len(q)], atol=1e-4)
    assert middle > 20


def test_memory_starts_from_zero_and_is_the_seats_own() -> None:
    """Counter's memory counts own turns: each seat's counts up from 0 in every episode."""
    actor, journal, _, _ = spied(Market(12, 3), Counter())  # type: ignore[arg-type]
    for _ in range(100):
        actor.step()
    for sequence in journal.done:
        assert [turn.memory[0] for turn in sequence.turns] == list(range(len(sequence.turns)))


def test_exploration_draws_from_all_choices_at_its_rate() -> None:
    game = Market(4000, 1, alone=True)
    epsilons = np.repeat([0.0, 0.25, 1.0], [1000, 2000, 1000])
    actor = Actor(game, Counter(), lambda _: None, epsilons, 1)  # type: ignore[arg-type]
    counts = game.choice_counts.copy()
    moves: list[NDArray[Any]] = []
    original = game.step
    game.step = lambda m: (moves.append(m.copy()), original(m))[1]  # type: ignore[method-assign]
    actor.step()
    assert (moves[0][:1000] == 0).all()  # what Counter takes first
    random = moves[0][3000:]
    for count in range(1, 5):
        taken = np.bincount(random[counts[3000:] == count], minlength=count)
        assert len(taken) == count
        assert taken.min() > 0.7 * taken.sum() / count
    share = (moves[0][1000:3000] > 0).mean()
    expected = 0.25 * (1 - 1 / counts[1000:3000]).mean()
    assert share == pytest.approx(expected, abs=0.03)


@dataclass
class Valued:
    """Says of every choice that it is worth its index."""

    memory_size: int = 0
    phrasebook: None = None
    version: int = 0

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        index = np.arange(observations.choices.shape[1], dtype=np.float32)
        legal = index < observations.choice_counts[:, None]
        values = np.where(legal, index, -np.inf).astype(np.float32)
        return values.argmax(1), values, memory


def test_moves_are_drawn_from_the_softmax_of_values_over_temperature() -> None:
    """Each game at its own temperature, and where that is 0 the best move only."""

    class Asking(Market):
        asked: NDArray[np.int64]

        def step(self, move_index: NDArray[Any]) -> Step:
            full = self.choice_counts == 4
            for half in (0, 1):
                rows = full & (self.due_game % 2 == half)
                np.add.at(self.asked[half], move_index[rows], 1)
            return super().step(move_index)

    game = Asking(200, 3)
    game.asked = np.zeros((2, 4), np.int64)
    temperatures = np.tile([0.0, 2.0], 100).astype(np.float32)
    actor = Actor(
        game,  # type: ignore[arg-type]
        Valued(),
        lambda episodes: None,
        np.zeros(200),
        1,
        temperatures=temperatures,
    )
    for _ in range(300):
        actor.step()
    cold, warm = game.asked
    assert (cold[:3] == 0).all()
    assert cold[3] > 1000
    expected = np.exp(np.arange(4) / 2)
    expected *= warm.sum() / expected.sum()
    assert ((warm - expected) ** 2 / expected).sum() < 16.3, "chi-squared, 3 degrees, p = 0.001"


def test_temperatures_fall_by_powers_of_ten() -> None:
    np.testing.assert_allclose(temperature_spectrum(3, 0.2, 2.0), [0.2, 0.02, 0.002], rtol=1e-6)
    np.testing.assert_allclose(temperature_spectrum(1, 0.2, 2.0), [0.2], rtol=1e-6)
    assert not temperature_spectrum(4, 0.0, 2.0).any()


def test_the_spectrum_is_that_of_the_paper() -> None:
    spectrum = exploration_spectrum(80)
    for i in (0, 1, 40, 79):
        assert spectrum[i] == pytest.approx(0.1 ** (1 + 7 * i / 79))
    assert exploration_spectrum(1).tolist() == [0.1]
    assert exploration_spectrum(3, base=0.5, spread=0).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("name", "options"), GAMES[1:])
def test_a_saved_actor_continues_bit_for_bit(name: str, options: dict[str, object]) -> None:
    """What it inserts, and what it would save next, down to the last byte."""

    def build(seed: int) -> tuple[Actor, list[Episodes]]:
        batches: list[Episodes] = []
        game = games.batched(name, 16, seed, **options)
        epsilons = exploration_spectrum(16, 0.5)
        actor = Actor(game, Counter(), batches.append, epsilons, seed, 0, 7, 2, label_size=5)
        return actor, batches

    actor, batches = build(1)
    for _ in range(45):
        actor.step()
    tensors, plain = flatten(actor.state())
    saved = {path: np.array(array, copy=True) for path, array in tensors.items()}, plain
    other, others = build(2)
    for _ in range(3):
        other.step()
    other.load_state(unflatten(*saved))
    batches.clear()
    others.clear()
    for _ in range(60):
        actor.step()
        other.step()
    ours, theirs = concatenate(batches), concatenate(others)
    assert len(ours) > 20
    for each in fields(Episodes):
        np.testing.assert_array_equal(getattr(ours, each.name), getattr(theirs, each.name))
    one, two = flatten(actor.state()), flatten(other.state())
    assert one[1] == two[1]
    for path in one[0]:
        assert one[0][path].tobytes() == two[0][path].tobytes(), path


def test_a_state_of_other_tracks_is_refused() -> None:
    def build(max_length: int) -> Actor:
        game = games.batched("hanabi", 4, 1, players=2)
        return Actor(game, Counter(), lambda _: None, np.ones(4), 1, max_length=max_length)

    with pytest.raises(ValueError, match="resume with the configuration"):
        build(9).load_state(build(8).state())


@pytest.mark.parametrize(("max_length", "overlap"), [(5, 2), (1, 0), (8, 4)])
def test_sequences_that_overlap_by_half_are_refused(max_length: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="cannot overlap"):
        Actor(
            Market(1, 1),  # type: ignore[arg-type]
            Counter(),
            lambda _: None,
            np.ones(1),
            1,
            max_length=max_length,
            overlap=overlap,
        )
