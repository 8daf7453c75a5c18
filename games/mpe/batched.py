"""Thousands of particle games in one call: the ``BatchedGame`` over the engine's kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.core import Step, as_moves, no_choice
from games.mpe import engine, phrases, shown
from games.mpe.records import GAME, make_tables
from games.mpe.rules import MpeConfig
from games.text import PAD


class MpeBatched:
    """N games of one setting; see :class:`games.core.BatchedGame` for the attributes.

    All seats are due at each step. What each is shown are its facts of the moment; a chain of
    choices (``MpeConfig.chained``) takes two calls of ``step``, the first of which takes no time.

    Args:
        config: the setting.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.

    Raises:
        ValueError: if ``num_games`` or ``seed`` is out of range.
    """

    phrasebook = phrases.PHRASEBOOK
    scoring = ("return",)
    max_score = None

    def __init__(
        self, config: MpeConfig, num_games: int, seed: int = 0, restart: bool = True
    ) -> None:
        if num_games < 1:
            raise ValueError(f"num_games must be at least 1, got {num_games}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed}")
        self.config = config
        self.num_games = num_games
        self.num_players = config.players
        self.seed = seed
        self.roles = config.roles
        self.max_facts = phrases.max_facts(config)
        self.max_turns = config.max_cycles * (1 + config.chained)
        self.interchangeable = phrases.COLOURS[: config.landmarks]
        self.fact_phrases = phrases.fact_phrases(config)
        self.label_phrases = phrases.labels(config)
        self._choices, self._choice_counts = shown.make_choices(config)
        self.choice_phrases = np.unique(self._choices[self._choices != PAD])
        self.max_choices = self._choices.shape[2]
        self._restart = restart
        self._tables = make_tables(config)
        self._games = np.zeros(num_games, GAME)
        rows = num_games * config.players
        self._rows = shown.Rows(
            game=np.zeros(rows, np.int32),
            seat=np.zeros(rows, np.int8),
            facts=np.full((rows, self.max_facts), PAD, np.int16),
            fact_counts=np.zeros(rows, np.int16),
            choices=np.full((rows, self.max_choices), PAD, np.int16),
            choice_counts=np.zeros(rows, np.int16),
            labels=np.full((rows, len(self.label_phrases)), -1, np.int8),
        )
        self.reset()

    def step(self, move_index: ArrayLike) -> Step:
        """Makes the choices of all due seats; see :class:`games.core.BatchedGame`.

        Args:
            move_index: integers [R]; without chained choices an index is the number that the
                action has in ``mpe2``.

        Raises:
            ValueError: if the shape or type is wrong, or an index names no choice; nothing has
                moved then.
        """
        moves = as_moves(self, move_index)
        n, seats = self.num_games, (self.num_games, self.num_players)
        result = engine.Result(
            rewards=np.zeros(seats, np.float32),
            terminated=np.zeros(seats, np.bool_),
            truncated=np.zeros(seats, np.bool_),
            over=np.zeros(n, np.bool_),
            elapsed=np.zeros(n, np.int32),
            returned=np.zeros(n, np.float32),
        )
        wrong = engine.advance(
            self._games, self._tables, moves, self._rows.choice_counts, self._restart, result
        )
        if wrong >= 0:
            raise no_choice(self, moves, wrong)
        self._show()
        return Step(*result[:-1], outcome={"return": result.returned})

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh.

        Args:
            seeds: uint64 [N], seeds of the episodes; None for ``seed + i``.

        Raises:
            ValueError: if there are not N seeds.
        """
        if seeds is None:
            first = np.arange(self.num_games, dtype=np.uint64) + np.uint64(self.seed)
        else:
            first = np.ascontiguousarray(seeds, np.uint64)
            if first.shape != (self.num_games,):
                raise ValueError(f"seeds must have shape ({self.num_games},), got {first.shape}")
        engine.start(self._games, self._tables, first)
        self._show()

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now, whether or not it is due.

        Returns:
            facts int16 [N, max_facts], padded, and how many there are, int16 [N]; copies.

        Raises:
            ValueError: if there is no such seat.
        """
        if not 0 <= seat < self.num_players:
            raise ValueError(f"seat must be from 0 to {self.num_players - 1}, got {seat}")
        facts = np.full((self.num_games, self.max_facts), PAD, np.int16)
        counts = np.zeros(self.num_games, np.int16)
        shown.observe(self._games, self._tables, seat, facts, counts)
        return facts, counts

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit: one array of GAME a field, copied."""
        names = self._games.dtype.names or ()
        return {name: self._games[name].copy() for name in names}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned.

        Raises:
            ValueError: if the arrays are not those of as many games of this engine.
        """
        names = self._games.dtype.names or ()
        if set(arrays) != set(names):
            raise ValueError(f"state must hold {', '.join(names)}; got {', '.join(arrays)}")
        for name in names:
            mine, other = self._games[name], arrays[name]
            if mine.shape != other.shape or mine.dtype != other.dtype:
                raise ValueError(
                    f"state {name!r} must be {mine.dtype} {mine.shape}, "
                    f"got {other.dtype} {other.shape}"
                )
        for name in names:
            self._games[name] = arrays[name]
        self._show()

    def _show(self) -> None:
        due = shown.show(self._games, self._tables, self._choices, self._choice_counts, self._rows)
        rows = shown.Rows._make(array[:due] for array in self._rows)
        self.due_game, self.due_seat = rows.game, rows.seat
        self.facts, self.fact_counts = rows.facts, rows.fact_counts
        self.choices, self.choice_counts = rows.choices, rows.choice_counts
        self.labels = rows.labels
