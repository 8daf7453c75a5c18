"""Small games for the tests: one of turns, and one in which agents come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games import chance
from games.core import Step
from games.text import PAD, Phrasebook

NUMBERS = 6


def mix(seeds: NDArray[np.uint64], count: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A random number of each seed and count."""
    return chance.mix(seeds + count.astype(np.uint64) * chance.GOLDEN + np.uint64(1))


class Toy:
    """What both have in common: seeds, rows and the saving of a state.

    A subclass names its ``STATE``, says what is ``due`` and ``told``, and makes ``_play`` move.
    """

    STATE: tuple[str, ...] = ("seeds", "turn", "finished", "points")
    scoring: tuple[str, ...] = ("points",)
    interchangeable: tuple[str, ...] = ()
    max_facts, max_choices, max_turns = 3, 3, 12
    max_score: float | None = 40.0

    def __init__(self, num_games: int, seed: int, restart: bool) -> None:
        self.num_games, self.seed, self.restart = num_games, seed, restart
        self.phrasebook = Phrasebook(
            [
                *(f"my number is {number}" for number in range(NUMBERS)),
                *(f"{count} turns are gone" for count in range(13)),
                *(f"the answer was {number}" for number in range(NUMBERS)),
                *(f"I say {word}" for word in ("low", "middle", "high")),
            ]
        )
        says = self.phrasebook.id("I say low")
        self.fact_phrases = np.arange(says, dtype=np.int16)
        self.choice_phrases = np.arange(says, says + 3, dtype=np.int16)
        self.label_phrases = np.zeros((0, 0), np.int16)
        self.reset()

    @property
    def num_players(self) -> int:
        return len(self.roles)

    roles: tuple[str, ...] = ("player", "player")

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        first = np.arange(self.num_games, dtype=np.uint64) + np.uint64(self.seed)
        self.seeds = first if seeds is None else np.array(seeds, np.uint64)
        self.finished = np.zeros(self.num_games, bool)
        self.turn = np.zeros(self.num_games, np.int64)
        self.points = np.zeros(self.num_games, np.float32)
        self._begin(np.ones(self.num_games, bool))
        self._show()

    def _begin(self, games: NDArray[np.bool_]) -> None:
        self.turn[games] = 0
        self.points[games] = 0

    def _due(self) -> NDArray[np.bool_]:
        raise NotImplementedError

    def _told(self, game: int, seat: int) -> list[str]:
        raise NotImplementedError

    def _number(self, game: int, seat: int) -> int:
        salt = np.array([10 * self.turn[game] + seat])
        return int(mix(self.seeds[[game]], salt)[0] % np.uint64(NUMBERS))

    def _show(self) -> None:
        due = self._due() & ~self.finished[:, None]
        games, seats = np.nonzero(due)
        self.due_game, self.due_seat = games.astype(np.int32), seats.astype(np.int8)
        rows = len(games)
        self.facts = np.full((rows, self.max_facts), PAD, np.int16)
        self.fact_counts = np.zeros(rows, np.int16)
        for row, (game, seat) in enumerate(zip(games, seats, strict=True)):
            ids = self.phrasebook.parse(self._told(game, seat))
            self.facts[row, : len(ids)], self.fact_counts[row] = ids, len(ids)
        self.choices = np.tile(self.choice_phrases, (rows, 1))
        self.choice_counts = np.full(rows, 3, np.int16)
        self.labels = np.zeros((rows, 0), np.int8)

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        facts = np.full((self.num_games, self.max_facts), PAD, np.int16)
        counts = np.zeros(self.num_games, np.int16)
        for game in range(self.num_games):
            ids = self.phrasebook.parse(self._told(game, seat))
            facts[game, : len(ids)], counts[game] = ids, len(ids)
        return facts, counts

    def step(self, move_index: NDArray[np.integer]) -> Step:
        index = np.asarray(move_index)
        if index.shape != self.due_game.shape or index.dtype.kind not in "iu":
            raise ValueError(f"move_index must be {len(self.due_game)} integers, got {index!r}")
        if ((index < 0) | (index >= self.choice_counts)).any():
            raise ValueError(f"move_index names no choice: {index}")
        shape = self.num_games, self.num_players
        said = np.full(shape, -1)
        said[self.due_game, self.due_seat] = index
        moved = ~self.finished
        rewards, terminated, truncated, over = self._play(said)
        self.points += rewards.sum(axis=1)
        points = self.points.copy()
        if self.restart:
            self.seeds = np.where(over, self.seeds + np.uint64(self.num_games), self.seeds)
            self._begin(over)
        else:
            self.finished = self.finished | over
        self._show()
        return Step(
            rewards.astype(np.float32),
            terminated,
            truncated,
            over,
            moved.astype(np.int32),
            {"points": points},
        )

    def _play(self, said: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        raise NotImplementedError

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {name: getattr(self, name).copy() for name in self.STATE}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        for name in self.STATE:
            if name not in arrays or arrays[name].shape != getattr(self, name).shape:
                raise ValueError(f"state {name!r} does not fit {self.num_games} games")
        for name in self.STATE:
            setattr(self, name, arrays[name].copy())
        self._show()


class Turns(Toy):
    """Two players say by turns whether the other's number, which they do not see, is low or high.

    Six turns, both are paid for each right answer; cut off after ten turns in games of odd seeds,
    which have no other end.
    """

    STATE = (*Toy.STATE, "hidden")

    def _begin(self, games: NDArray[np.bool_]) -> None:
        super()._begin(games)
        drawn = np.stack([mix(self.seeds, np.full(self.num_games, k)) for k in (1, 2)], axis=1)
        drawn = (drawn % np.uint64(NUMBERS)).astype(np.int64)
        old = getattr(self, "hidden", drawn)
        self.hidden = np.where(games[:, None], drawn, old)

    def _due(self) -> NDArray[np.bool_]:
        return self.turn[:, None] % 2 == np.arange(2)

    def _told(self, game: int, seat: int) -> list[str]:
        return [f"my number is {self.hidden[game, seat]}", f"{self.turn[game]} turns are gone"]

    def _play(self, said: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        playing = ~self.finished
        answer = said.max(axis=1)
        asked = np.take_along_axis(self.hidden, (1 - self.turn % 2)[:, None], axis=1)[:, 0]
        right = playing & (answer == asked // 2)
        self.turn = self.turn + playing
        odd = self.seeds % np.uint64(2) == 1
        ended = playing & ~odd & (self.turn >= 6)
        cut = playing & odd & (self.turn >= 10)
        both = (1, 2)
        return (
            np.tile(right[:, None], both).astype(np.float32),
            np.tile(ended[:, None], both),
            np.tile(cut[:, None], both),
            ended | cut,
        )


class Crowd(Toy):
    """Three at once: each says how high its own number is, and is paid for itself.

    A wrong answer after the third turn is a player's end. The guest joins at the fourth turn. What
    is left after six turns is cut off.
    """

    STATE = (*Toy.STATE, "gone")
    roles = ("host", "host", "guest")

    def _begin(self, games: NDArray[np.bool_]) -> None:
        super()._begin(games)
        old = getattr(self, "gone", np.zeros((self.num_games, 3), bool))
        self.gone = np.where(games[:, None], False, old)

    def _due(self) -> NDArray[np.bool_]:
        here = np.ones((self.num_games, 3), bool)
        here[:, 2] = self.turn >= 4
        return here & ~self.gone

    def _told(self, game: int, seat: int) -> list[str]:
        number = f"my number is {self._number(game, seat)}"
        return [number] if self.gone[game, seat] else [number, f"{self.turn[game]} turns are gone"]

    def _play(self, said: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        playing = ~self.finished
        acted = said >= 0
        numbers = np.array(
            [[self._number(game, seat) for seat in range(3)] for game in range(self.num_games)]
        )
        right = acted & (said == numbers // 2)
        wrong = acted & ~right & (self.turn >= 3)[:, None]
        self.turn = self.turn + playing
        self.gone = self.gone | wrong
        absent = np.zeros((self.num_games, 3), bool)
        absent[:, 2] = self.turn < 4
        cut = (playing & (self.turn >= 6))[:, None] & ~self.gone & ~absent
        over = playing & ((self.gone | cut) | (absent & self.gone[:, :2].all(1)[:, None])).all(1)
        return right.astype(np.float32), wrong, cut, over


class Sleepers(Crowd):
    """The same, but nobody is awake at every other turn."""

    def _due(self) -> NDArray[np.bool_]:
        return super()._due() & (self.turn % 2 == 0)[:, None]
