"""What is done in a world that does not wait, as sequences to learn from.

In virtual time a choice acts when it is due, and an actor records it as it is made. In real time it
may come too late, or be impossible by then, and something else is done in its stead: nothing. What
is learned from is what was *applied*::

    pilot = Pilot(world, player, policy, recorder=Recorder(world, replay.insert))

or without a pilot::

    seen = world.observe(...)                        # ask somebody
    recorder.see(turn, seen)
    step = world.advance(chosen)                     # what has come, from an earlier turn
    recorder.apply(turn, saw, chosen, world.applied, version)
    recorder.reward(step)

An observation is an own turn, and its choice what was applied in its name: ``idle`` where its
answer was dropped. Rewards count from the observation to the next, and so does time; with the
choices that are on their way among the facts, that is the game as an actor records it with a
constant delay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.core import Step
from games.world import World
from marl.episodes import Episodes, concatenate

NEVER = -1
"""The turn at which something was applied that never was."""

DECISION = np.dtype(
    [
        ("seat", np.int8),
        ("saw", np.int32),
        ("applied", np.int32),
        ("age", np.int32),
        ("version", np.int32),
        ("chosen", np.int16),
        ("done", np.int16),
    ]
)
"""A choice: whose; the frame that it saw, and the one that it was applied at (``NEVER`` if it was
not), frames since the game began; their difference; the weights that chose it (-1 for none); the
phrase that was chosen (-1 if nothing came), and the one that was applied."""


@dataclass
class _Own:
    """An own turn of a seat."""

    turn: int
    facts: NDArray[np.int16]
    choices: NDArray[np.int16]
    label: NDArray[np.int8]
    done: int  # phrase
    chosen: int = -1
    applied: int = NEVER
    version: int = -1
    reward: float = 0.0
    elapsed: int = 0


class Recorder:
    """Keeps one game of a world, and hands it over when it is over.

    Args:
        world: what is played.
        insert: takes the sequences of all seats of a game that has ended; ``decisions`` are that
            game's by then.
        setting: number that the sequences are tagged with.
        max_length: steps of a sequence at most. The successor of one that is cut begins with its
            last ``overlap + 1`` steps, and with a memory of zeros.
        overlap: see there.
        label_size: answers of a step to keep; -1 stands in for those that the game has not.

    Attributes:
        decisions: of the last game that ended, an array of ``DECISION``, seat by seat.

    Raises:
        ValueError: if cut sequences would overlap by half or more.
    """

    def __init__(
        self,
        world: World,
        insert: Callable[[Episodes], None],
        *,
        setting: int = 0,
        max_length: int = 128,
        overlap: int = 0,
        label_size: int = 0,
    ) -> None:
        if max_length < 2 * overlap + 2:
            raise ValueError(f"sequences of {max_length} steps cannot overlap by {overlap}")
        self._game, self._insert, self._setting = world.game, insert, setting
        self._max_length, self._overlap, self._labels = max_length, overlap, label_size
        self.decisions = np.zeros(0, DECISION)
        self._begin(0)

    def _begin(self, turn: int) -> None:
        self._first = turn
        self._seats: list[list[_Own]] = [[] for _ in range(self._game.num_players)]

    def see(self, turn: int, seen: Mapping[str, NDArray[np.int16]]) -> None:
        """Notes what all seats observe, about which somebody is asked.

        Args:
            turn: of the world.
            seen: what ``World.observe`` returned.
        """
        labels = np.full((len(self._seats), self._labels), -1, np.int8)
        known = min(self._labels, self._game.labels.shape[1])
        labels[:, :known] = self._game.labels[:, :known]
        for k, turns in enumerate(self._seats):
            facts = seen["facts"][k, : seen["fact_counts"][k]].copy()
            choices = seen["choices"][k, : seen["choice_counts"][k]].copy()
            turns.append(_Own(turn, facts, choices, labels[k], self._game.idle))

    def apply(
        self,
        turn: int,
        saw: int,
        chosen: Sequence[int | None],
        applied: Sequence[int],
        version: int = -1,
    ) -> None:
        """Notes what was done at a turn.

        Args:
            turn: at which.
            saw: the turn that was seen when it was chosen. One of an earlier game, or about which
                nothing was noted, is passed over.
            chosen: phrase of each seat, None where nothing had come.
            applied: phrase of each seat that was applied (``World.applied``).
            version: of the weights that chose.
        """
        for turns, choice, done in zip(self._seats, chosen, applied, strict=True):
            own = next((own for own in reversed(turns) if own.turn == saw), None)
            if choice is not None and own is not None:
                own.chosen, own.done = choice, done
                own.applied, own.version = turn, version

    def reward(self, step: Step) -> None:
        """Notes what a turn brought; where the game is over, hands it over.

        Args:
            step: what ``World.advance`` returned.
        """
        for k, turns in enumerate(self._seats):
            if turns:
                turns[-1].reward += float(step.rewards[0, k])
                turns[-1].elapsed += int(step.elapsed[0])
        if step.over[0]:
            self.decisions = self._decide()
            parts = [
                part
                for k, turns in enumerate(self._seats)
                for part in self._sequences(k, turns, bool(step.terminated[0, k]))
            ]
            last = max((own.turn for turns in self._seats for own in turns), default=0)
            self._begin(last + 1)
            if parts:
                self._insert(concatenate(parts))

    def _decide(self) -> NDArray[np.void]:
        def frame(turn: int) -> int:
            return (turn - self._first) * self._game.interval if turn != NEVER else NEVER

        rows = [
            (
                *(k, frame(own.turn), frame(own.applied)),
                0 if own.applied == NEVER else (own.applied - own.turn) * self._game.interval,
                *(own.version, own.chosen, own.done),
            )
            for k, turns in enumerate(self._seats)
            for own in turns
        ]
        return np.array(rows, DECISION)

    def _sequences(self, seat: int, turns: Sequence[_Own], terminal: bool) -> list[Episodes]:
        """A seat's own turns, in stretches of at most ``max_length``."""
        parts, begin = [], 0
        while begin < len(turns):
            end = min(begin + self._max_length, len(turns))
            ended = end == len(turns)
            parts.append(self._pack(seat, turns[begin:end], terminal and ended, not begin))
            begin = end if ended else end - 1 - self._overlap
        return parts

    def _pack(self, seat: int, turns: Sequence[_Own], terminal: bool, fresh: bool) -> Episodes:
        def of(name: str, kind: type[np.generic]) -> NDArray[np.generic]:
            return np.array([getattr(own, name) for own in turns], kind)

        actions = [own.choices.tolist().index(own.done) for own in turns]
        return Episodes(
            lengths=np.array([len(turns)], np.int32),
            fact_counts=np.array([len(own.facts) for own in turns], np.int16),
            facts=np.concatenate([own.facts for own in turns]),
            choice_counts=np.array([len(own.choices) for own in turns], np.int16),
            choices=np.concatenate([own.choices for own in turns]),
            actions=np.array(actions, np.int16),
            rewards=of("reward", np.float32),  # type: ignore[arg-type]
            elapsed=of("elapsed", np.int16),  # type: ignore[arg-type]
            terminal=np.array([terminal]),
            fresh=np.array([fresh]),
            memory=np.zeros((1, 0), np.float32),
            setting=np.array([self._setting], np.int16),
            version=np.array([turns[0].version], np.int32),
            seat=np.array([seat], np.int8),
            partner=np.zeros(1, np.int16),
            labels=np.stack([own.label for own in turns]),
            taught=np.full(len(turns), -1, np.int16),
        )
