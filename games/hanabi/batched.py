"""Thousands of games of Hanabi in one call: the ``BatchedGame`` over the engine's kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.core import Step
from games.hanabi import engine, phrases
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
        restart: whether finished games start again inside ``step``. Where they do not, they show
            the final table, and no further move may be made until ``reset``.

    Raises:
        ValueError: if ``num_games`` or ``seed`` is out of range.
    """

    phrasebook = phrases.PHRASEBOOK

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
        self.max_facts = engine.max_facts(config)
        self.max_choices = config.num_moves
        self.max_turns = config.max_turns
        self.colours = COLOURS[: config.colours]
        self.fact_phrases = phrases.fact_phrases(config)
        self.choice_phrases = np.sort(phrases.moves(config))
        self.label_phrases = phrases.labels(config)
        self._head = phrases.setting_facts(config)
        self.facts = self._empty_facts()
        self.fact_counts = np.zeros(num_games, np.int16)
        self.choices = np.full((num_games, self.max_choices), PAD, np.int16)
        self.choice_counts = np.zeros(num_games, np.int16)
        self.seat = np.zeros(num_games, np.int8)
        self.labels = np.full((num_games, config.hand), -1, np.int8)
        self._restart = restart
        self._tables = engine.make_tables(config)
        self._games = np.zeros(num_games, engine.GAME)
        self._rows = engine.Rows(
            self.facts,
            self.fact_counts,
            self.choices,
            self.choice_counts,
            self.seat,
            self.labels,
        )
        self.reset()

    def _empty_facts(self) -> NDArray[np.int16]:
        rows = np.full((self.num_games, self.max_facts), PAD, np.int16)
        rows[:, : len(self._head)] = self._head
        return rows

    def step(self, move_index: ArrayLike) -> Step:
        """Makes one move in every game.

        Args:
            move_index: integers [N], each an index into the game's row of ``choices``.

        Raises:
            ValueError: if the shape or type is wrong, or an index names no choice; no game has
                moved then.
        """
        moves = np.asarray(move_index)
        if moves.shape != (self.num_games,) or moves.dtype.kind not in "iu":
            raise ValueError(
                f"move_index must be {self.num_games} integers, got shape {moves.shape} of "
                f"{moves.dtype}"
            )
        n = self.num_games
        result = engine.Result(
            rewards=np.empty(n, np.float32),
            terminated=np.empty(n, np.bool_),
            truncated=np.empty(n, np.bool_),
            scores=np.empty(n, np.float32),
            lost=np.empty(n, np.bool_),
        )
        moves = np.ascontiguousarray(moves, np.int64)
        wrong = engine.advance(self._games, self._tables, moves, self._restart, self._rows, result)
        if wrong >= 0:
            raise ValueError(
                f"move_index[{wrong}] is {moves[wrong]}, but game {wrong} has "
                f"{self.choice_counts[wrong]} choices"
            )
        return Step(*result)

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
        engine.deal(self._games, self._tables, first, decks is not None, self._rows)

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

    def observe(self, viewers: ArrayLike) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game observes, whether or not it is to act.

        Args:
            viewers: integers [N], absolute seats.

        Returns:
            facts int16 [N, max_facts] and their counts int16 [N], both the caller's own.

        Raises:
            ValueError: if a seat does not exist.
        """
        seats = np.ascontiguousarray(np.broadcast_to(viewers, self.num_games), np.int64)
        if seats.min() < 0 or seats.max() >= self.num_players:
            raise ValueError(f"viewers must be seats from 0 to {self.num_players - 1}")
        facts, counts = self._empty_facts(), np.zeros(self.num_games, np.int16)
        engine.observe(self._games, self._tables, seats, facts, counts)
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
        engine.show(self._games, self._tables, self._rows)
