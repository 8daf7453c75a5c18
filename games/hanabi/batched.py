"""Thousands of games of Hanabi in one call: the ``BatchedGame`` over the engine's kernels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.core import Step, as_moves, no_choice
from games.hanabi import belief, engine, phrases
from games.hanabi.rules import COLOURS, MAX_RANKS, HanabiConfig
from games.text import PAD

Deck = Sequence[tuple[int, int]]
"""A whole deck as (colour, rank), zero-based, in the order the cards are drawn."""


class HanabiBatched:
    """N games of one setting of Hanabi; see :class:`games.core.BatchedGame` for the attributes.

    Args:
        config: the setting.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``. Where they do not, nobody in
            them is due until ``reset``; a batch in which some are over is slower.

    Raises:
        ValueError: if ``num_games`` or ``seed`` is out of range.
    """

    phrasebook = phrases.PHRASEBOOK
    scoring: tuple[str, ...] = ("score", "points", "lost")
    """What a lost game is worth differs in the literature: nothing (score), or the points on the
    table (points). lost is 1 where the game was lost."""

    def __init__(
        self, config: HanabiConfig, num_games: int, seed: int = 0, restart: bool = True
    ) -> None:
        if num_games < 1:
            raise ValueError(f"num_games must be at least 1, got {num_games}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed}")
        self.config = config
        self.num_games = num_games
        self.seed = seed
        self.num_players = config.players
        self.roles = ("player",) * config.players
        self.max_score: float | None = config.max_score
        self.max_facts = engine.max_facts(config)
        self.max_choices = config.num_moves
        self.max_turns: int | None = config.max_turns
        self.interchangeable = COLOURS[: config.colours]
        self.fact_phrases = phrases.fact_phrases(config)
        self.choice_phrases = np.sort(phrases.moves(config))
        self.label_phrases = phrases.labels(config)
        self._head = phrases.setting_facts(config)
        self._restart = restart
        self._tables = engine.make_tables(config)
        self._games = np.zeros(num_games, engine.GAME)
        self.reset()

    @property
    def seat(self) -> NDArray[np.int8]:
        """Whose turn it is in every game, or would be: int8 [N]."""
        seats: NDArray[np.int8] = self._games["seat"]
        return seats

    def _empty_facts(self) -> NDArray[np.int16]:
        rows = np.full((self.num_games, self.max_facts), PAD, np.int16)
        rows[:, : len(self._head)] = self._head
        return rows

    def _show(self, rows: engine.Rows, due: NDArray[np.int32]) -> None:
        """Makes some rows, of the games that are due, what this batch shows."""
        self._rows, self.due_game = rows, due
        self.facts, self.fact_counts, self.choices, self.choice_counts = rows[:4]
        self.due_seat, self.labels = rows[4:]

    def _show_all(self) -> engine.Rows:
        """Fresh rows for every game."""
        n = self.num_games
        rows = engine.Rows(
            facts=self._empty_facts(),
            fact_counts=np.zeros(n, np.int16),
            choices=np.full((n, self.max_choices), PAD, np.int16),
            choice_counts=np.zeros(n, np.int16),
            seat=np.zeros(n, np.int8),
            labels=np.full((n, self.config.hand), -1, np.int8),
        )
        self._show(rows, np.arange(n, dtype=np.int32))
        return rows

    def _show_due(self) -> None:
        """Leaves the games that are over out of the rows."""
        left = self.choice_counts > 0
        if not left.all():
            rows = engine.Rows._make(array[left] for array in self._rows)
            self._show(rows, self.due_game[left])

    def _show_games(self, over: NDArray[np.generic]) -> None:
        """Shows the games as they stand, but for those that are over: bool [N]."""
        engine.show(self._games, self._tables, self._show_all())
        self.choice_counts[over] = 0
        self._show_due()

    def step(self, move_index: ArrayLike) -> Step:
        """Makes one move in every game that is not over.

        Args:
            move_index: integers [R], each an index into the due row's ``choices``.

        Raises:
            ValueError: if the shape or type is wrong, or an index names no choice; no game has
                moved then.
        """
        moves, due = as_moves(self, move_index), len(self.due_game)
        seats = due, self.num_players
        result = engine.Result(
            rewards=np.empty(seats, np.float32),
            terminated=np.empty(seats, np.bool_),
            truncated=np.empty(seats, np.bool_),
            over=np.empty(due, np.bool_),
            elapsed=np.empty(due, np.int32),
            outcome=np.empty((3, due), np.float32),
        )
        everyone = due == self.num_games
        playing = self._games if everyone else self._games[self.due_game]
        wrong = engine.advance(playing, self._tables, moves, self._restart, self._rows, result)
        if wrong >= 0:
            raise no_choice(self, moves, wrong)
        if not everyone:
            self._games[self.due_game] = playing
            result = self._among_all(result)
        if not self._restart and True in result.over.tolist():
            self._show_due()
        score, points, lost = result.outcome
        return Step(*result[:5], outcome={"score": score, "points": points, "lost": lost})

    def _among_all(self, result: engine.Result) -> engine.Result:
        """What came of the due games, among those that nothing happened in."""
        every = engine.Result(
            *(np.zeros((self.num_games, *each.shape[1:]), each.dtype) for each in result)
        )
        for whole, part in zip(every[:5], result, strict=False):
            whole[self.due_game] = part
        points = self._games["score"].astype(np.float32)
        lost = (self._games["lives"] == 0).astype(np.float32)
        return every._replace(outcome=np.stack([points * (1 - lost), points, lost]))

    def reset(
        self, seeds: NDArray[np.uint64] | None = None, decks: Sequence[Deck] | None = None
    ) -> None:
        """Starts every game afresh.

        Args:
            seeds: uint64 [N], seeds of the episodes; None for ``seed + i``.
            decks: one whole deck a game, dealt from the front, seat 0's whole hand first, then
                seat 1's, and so on; None to shuffle by the seeds. Later episodes are shuffled.

        Raises:
            ValueError: if the number of seeds or decks is not N, or a deck is not made of exactly
                the cards of the setting.
        """
        if seeds is None:
            first = np.arange(self.num_games, dtype=np.uint64) + np.uint64(self.seed)
        else:
            first = np.ascontiguousarray(seeds, np.uint64)
            if first.shape != (self.num_games,):
                raise ValueError(f"seeds must have shape ({self.num_games},), got {first.shape}")
        if decks is not None:
            if len(decks) != self.num_games:
                raise ValueError(f"decks must be {self.num_games}, one a game, got {len(decks)}")
            for game, deck in enumerate(decks):
                self._games["deck"][game, : self.config.deck_size] = self._identities(deck)
        engine.deal(self._games, self._tables, first, decks is not None, self._show_all())

    def _identities(self, deck: Deck) -> NDArray[np.int8]:
        cards = np.asarray(deck, np.int64)
        if cards.shape != (self.config.deck_size, 2):
            raise ValueError(
                f"a deck of this setting is {self.config.deck_size} pairs (colour, rank), "
                f"got shape {cards.shape}"
            )
        identities = MAX_RANKS * cards[:, 0] + cards[:, 1]
        in_range = (cards >= 0).all() and (cards[:, 1] < self.config.ranks).all()
        if not in_range or (np.sort(identities) != self._tables["deck"][: len(cards)]).any():
            raise ValueError(
                f"a deck must hold exactly the cards of {self.config.colours} colours and "
                f"{self.config.ranks} ranks, as zero-based (colour, rank)"
            )
        return identities.astype(np.int8)

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now, whether or not it is due.

        Returns:
            facts int16 [N, max_facts] and their counts int16 [N], both the caller's own.

        Raises:
            ValueError: if the seat does not exist.
        """
        if not 0 <= seat < self.num_players:
            raise ValueError(f"seat must be from 0 to {self.num_players - 1}, got {seat}")
        viewers = np.full(self.num_games, seat, np.int64)
        facts, counts = self._empty_facts(), np.zeros(self.num_games, np.int16)
        engine.observe(self._games, self._tables, viewers, facts, counts)
        return facts, counts

    def worlds(
        self,
        seats: ArrayLike,
        seeds: NDArray[np.uint64],
        games: NDArray[np.int64] | None = None,
    ) -> HanabiBatched:
        """Copies of games in which a seat's hand and the deck are drawn from what it may believe.

        All orders of the hidden cards that agree with the hints are equally likely: the belief
        under a random policy (``games.hanabi.belief``). Everything else is as in the game.

        Args:
            seats: integers, one a world or one for all: whose beliefs, absolute seats.
            seeds: uint64 [M], one a world; a world depends on its game, seat and seed alone.
            games: int64 [M], the game of which each is a world; None for every game once.

        Returns:
            M games that this batch shares nothing with, ready to step; those that are over do not
            start again.

        Raises:
            ValueError: if a shape or index is wrong, or the hints of a game (from ``load_state``)
                contradict its cards or one another.
        """
        which = np.arange(self.num_games) if games is None else np.asarray(games)
        if which.ndim != 1 or which.dtype.kind not in "iu" or not len(which):
            raise ValueError(f"games must be integers [M], got {which.dtype} {which.shape}")
        wanted, count = np.asarray(seats), len(which)
        if wanted.shape not in ((), (count,)) or wanted.dtype.kind not in "iu":
            raise ValueError(
                f"seats must be an integer or integers [{count}], got {wanted.dtype} {wanted.shape}"
            )
        for name, index, end in (
            ("games", which, self.num_games),
            ("seats", wanted, self.num_players),
        ):
            if ((index < 0) | (index >= end)).any():
                wrong = index[(index < 0) | (index >= end)].flat[0]
                raise ValueError(f"{name} must be from 0 to {end - 1}, got {wrong}")
        streams = np.ascontiguousarray(seeds, np.uint64)
        if streams.shape != (count,):
            raise ValueError(f"seeds must have shape ({count},), got {streams.shape}")
        drawn = self._games[which]
        viewers = np.broadcast_to(wanted, count).astype(np.int64)
        failed = belief.sample(drawn, self._tables, viewers, streams)
        if failed >= 0:
            raise ValueError(
                f"the hints of game {which[failed]} contradict its cards or one another: "
                "was its state changed by hand?"
            )
        over = ~np.isin(which, self.due_game)
        other = copy.copy(self)
        other.num_games, other._games, other._restart = count, drawn, False
        other._show_games(over)
        return other

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit: one array of GAME a field, copied."""
        arrays = {name: self._games[name].copy() for name in self._games.dtype.names or ()}
        if not self._restart:
            arrays["over"] = ~np.isin(np.arange(self.num_games), self.due_game)
        return arrays

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned.

        Raises:
            ValueError: if the arrays are not those of as many games of this engine.
        """
        names = self._games.dtype.names or ()
        expected = set(names) if self._restart else {*names, "over"}
        if set(arrays) != expected:
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
        over = np.zeros(self.num_games, np.bool_) if self._restart else arrays["over"]
        self._show_games(over)
