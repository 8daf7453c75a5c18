"""What an actor must hand over, written down in plain Python while it plays.

``SpyGame`` and ``SpyPolicy`` stand between an actor and its game and policy and note everything
that passes, knowing nothing of tracks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.core import BatchedGame, Step
from marl.core import Policy
from marl.episodes import Episodes


@dataclass
class Turn:
    """One own turn of one seat."""

    facts: list[int]
    choices: list[int]
    action: int
    labels: list[int]
    memory: NDArray[np.float32]
    values: NDArray[np.float32]
    version: int
    taught: int
    reward: float = 0.0
    elapsed: int = 0


@dataclass
class Sequence:
    """One seat's turns, whole or cut."""

    turns: list[Turn]
    terminal: bool
    seat: int
    fresh: bool = True


@dataclass
class Journal:
    """What happened in all games, in the order in which an actor must hand it over."""

    overlap: int
    room: int
    label_size: int
    teaching: bool = False
    turns: dict[tuple[int, int], list[Turn]] = field(default_factory=dict)
    stale: set[tuple[int, int]] = field(default_factory=set)  # whose sequence goes on from a cut
    done: list[Sequence] = field(default_factory=list)


class SpyPolicy:
    """Acts as another policy does, and remembers its last call."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.memory_size, self.version = policy, policy.memory_size, policy.version
        self.phrasebook = policy.phrasebook
        self.seen: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        assert set(vars(observations)) == {"facts", "fact_counts", "choices", "choice_counts"}
        choices, values, after = self.policy.act(observations, memory)
        self.seen.append((memory.copy(), values.copy(), choices.copy()))
        return choices, values, after


class SpyGame:
    """A game that writes a journal of every step; otherwise the game itself."""

    def __init__(self, game: BatchedGame, policy: SpyPolicy, journal: Journal) -> None:
        self.game, self.policy, self.journal = game, policy, journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.game, name)

    def step(self, move_index: NDArray[Any]) -> Step:
        game, journal = self.game, self.journal
        memory, values, chosen = self.policy.seen[-1]
        cut = []
        for r, key in enumerate(zip(game.due_game.tolist(), game.due_seat.tolist(), strict=True)):
            turns = journal.turns.setdefault(key, [])
            if len(turns) == journal.room:
                cut.append(Sequence(list(turns), False, key[1], key not in journal.stale))
                journal.stale.add(key)
                del turns[: journal.room - 1 - journal.overlap]
            labels = [int(label) for label in game.labels[r][: journal.label_size]]
            labels += [-1] * (journal.label_size - len(labels))
            turns.append(
                Turn(
                    game.facts[r, : game.fact_counts[r]].tolist(),
                    game.choices[r, : game.choice_counts[r]].tolist(),
                    int(move_index[r]),
                    labels,
                    memory[r][:0] if journal.teaching else memory[r],
                    values[r],
                    self.policy.version,
                    int(chosen[r]) if journal.teaching else -1,
                )
            )
        step = game.step(move_index)
        journal.done += cut
        for g in range(game.num_games):
            for seat in range(game.num_players):
                if turns := journal.turns.get((g, seat)):
                    turns[-1].reward += float(step.rewards[g, seat])
                    turns[-1].elapsed += int(step.elapsed[g])
        for ended, terminal in ((step.terminated, True), (step.truncated, False)):
            for g, seat in np.argwhere(ended).tolist():
                if turns := journal.turns.pop((g, seat), []):
                    fresh = (g, seat) not in journal.stale
                    journal.done.append(Sequence(turns, terminal, seat, fresh))
                journal.stale.discard((g, seat))
        return step


def sequences(batches: list[Episodes]) -> Iterator[tuple[Sequence, int]]:
    """Takes inserted batches apart: each sequence and the setting it is tagged with."""
    for batch in batches:
        step = fact = choice = 0
        for e, length in enumerate(batch.lengths.tolist()):
            turns = []
            for t in range(step, step + length):
                facts, choices = int(batch.fact_counts[t]), int(batch.choice_counts[t])
                turns.append(
                    Turn(
                        batch.facts[fact : fact + facts].tolist(),
                        batch.choices[choice : choice + choices].tolist(),
                        int(batch.actions[t]),
                        batch.labels[t].tolist(),
                        batch.memory[e],
                        np.zeros(0, np.float32),
                        int(batch.version[e]),
                        int(batch.taught[t]),
                        float(batch.rewards[t]),
                        int(batch.elapsed[t]),
                    )
                )
                fact, choice = fact + facts, choice + choices
            step += length
            ends = bool(batch.terminal[e]), int(batch.seat[e]), bool(batch.fresh[e])
            yield Sequence(turns, *ends), int(batch.setting[e])
        assert step == batch.steps
        assert fact == len(batch.facts)
        assert choice == len(batch.choices)


def assert_recorded(journal: Journal, batches: list[Episodes], setting: int) -> None:
    """Everything that was handed over is in the journal, and the other way round, in order."""
    found = list(sequences(batches))
    assert len(found) == len(journal.done)
    for (sequence, tag), wanted in zip(found, journal.done, strict=True):
        assert tag == setting
        assert (sequence.terminal, sequence.seat) == (wanted.terminal, wanted.seat)
        assert sequence.fresh == wanted.fresh
        assert len(sequence.turns) == len(wanted.turns)
        for turn, other in zip(sequence.turns, wanted.turns, strict=True):
            for name in ("facts", "choices", "action", "labels", "reward", "elapsed", "taught"):
                assert getattr(turn, name) == getattr(other, name), name
        np.testing.assert_array_equal(sequence.turns[0].memory, wanted.turns[0].memory)
        assert sequence.turns[0].version == wanted.turns[0].version
