"""Games in which all seats move at once until the game is over for everybody, in batches.

A game of this kind is a record of numpy, its rules are another one, and three compiled kernels do
the rest (:class:`Kernels`). The class here gives them the form of
:class:`games.core.BatchedGame`: due rows, checks, episodes, seeds, what is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.core import Step, check_moves
from games.deeds import Deed
from games.text import PAD, Phrasebook

SHARED_FIELDS = [("seed", np.uint64), ("rng", np.uint64)]
"""What every record begins with: the seed of the episode, and the state of its randomness."""


@dataclass(frozen=True)
class Kernels:
    """The rules, compiled. ``games`` is an array of records [N], ``rules`` one record.

    Attributes:
        begin: ``(games, rules, which)`` starts the games that bool [N] ``which`` marks, each from
            its ``seed``.
        play: ``(games, rules, moves, running, rewards, over)`` makes the moves, int64 [N, P]
            phrase ids, in the games that bool [N] ``running`` marks; adds to float32 [N, P]
            ``rewards``, sets bool [N] ``over``, and keeps ``outcome`` in the records up to date.
        view: ``(games, rules, first, facts, counts)`` writes what seats ``first``, ``first + 1``
            ... know: int16 [N, V, F] and int16 [N, V]; behind the end of a row stands PAD. The seat
            behind the last is an onlooker, who sees everything and is nobody.
        offer: ``(games, rules, choices, counts)`` writes the legal choices of every seat: int16
            [N, P, C] and int16 [N, P], padded.
    """

    begin: Callable[..., None]
    play: Callable[..., None]
    view: Callable[..., None]
    offer: Callable[..., None]


@dataclass(frozen=True)
class Sheet:
    """What is fixed about a setting.

    Attributes:
        phrasebook: the sentences.
        players: P.
        role: the role of every seat.
        scoring: names of the outcomes, in the order in which the records hold them.
        max_score: the most that the first of them can come to, None where nobody knows.
        max_facts: columns of facts that any seat or the onlooker can need.
        max_choices: columns of choices.
        rounds: the most rounds of an episode.
        fact_phrases: ids that the seats can read.
        onlooker_phrases: ids that an onlooker can read.
        choice_phrases: ids that can be chosen.
        deeds: what a manager can ask for.
    """

    phrasebook: Phrasebook
    players: int
    role: str
    scoring: tuple[str, ...]
    max_score: float | None
    max_facts: int
    max_choices: int
    rounds: int
    fact_phrases: NDArray[np.int16]
    onlooker_phrases: NDArray[np.int16]
    choice_phrases: NDArray[np.int16]
    deeds: tuple[Deed, ...]


class Simultaneous:
    """N games whose seats all move at once; attributes as in :class:`games.core.BatchedGame`.

    Args:
        sheet: what is fixed.
        kernels: the rules, compiled.
        rules: the setting as the kernels read it, a record.
        record: the type of a game's record. It begins with ``SHARED_FIELDS`` and has a field
            ``outcome``, float32 or float64, one entry for each name of the scoring.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.

    Raises:
        ValueError: if ``num_games`` or ``seed`` is out of range.
    """

    def __init__(
        self,
        sheet: Sheet,
        kernels: Kernels,
        rules: np.void,
        record: np.dtype[Any],
        num_games: int,
        seed: int = 0,
        restart: bool = True,
    ) -> None:
        if num_games < 1:
            raise ValueError(f"num_games must be at least 1, got {num_games}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed}")
        self.num_games, self.num_players, self.seed = num_games, sheet.players, seed
        self.phrasebook, self.deeds = sheet.phrasebook, sheet.deeds
        self.roles = (sheet.role,) * sheet.players
        self.scoring, self.max_score = sheet.scoring, sheet.max_score
        self.max_facts, self.max_choices = sheet.max_facts, sheet.max_choices
        self.max_turns: int | None = sheet.rounds
        self.fact_phrases = np.unique(sheet.fact_phrases).astype(np.int16)
        self.choice_phrases = np.unique(sheet.choice_phrases).astype(np.int16)
        self.onlooker_phrases = np.unique(sheet.onlooker_phrases).astype(np.int16)
        self.label_phrases = np.zeros((0, 0), np.int16)
        self.interchangeable: tuple[str, ...] = ()
        self._kernels, self._rules, self._restart = kernels, rules, restart
        self._games = np.zeros(num_games, record)
        n, p = num_games, sheet.players
        self._facts = np.full((n, p, self.max_facts), PAD, np.int16)
        self._fact_counts = np.zeros((n, p), np.int16)
        self._choices = np.full((n, p, self.max_choices), PAD, np.int16)
        self._choice_counts = np.zeros((n, p), np.int16)
        self._all_games = np.repeat(np.arange(n, dtype=np.int32), p)
        self._all_seats = np.tile(np.arange(p, dtype=np.int8), n)
        self._running = np.ones(n, np.bool_)
        self.reset()

    def step(self, move_index: ArrayLike) -> Step:
        """Makes the choices of all due seats; see ``BatchedGame.step``."""
        moves = check_moves(self, move_index)
        n, p = self.num_games, self.num_players
        chosen = np.full((n, p), PAD, np.int64)
        chosen[self.due_game, self.due_seat] = self.choices[np.arange(len(moves)), moves]
        rewards, over = np.zeros((n, p), np.float32), np.zeros(n, np.bool_)
        elapsed = self._running.astype(np.int32)
        self._kernels.play(self._games, self._rules, chosen, self._running, rewards, over)
        outcome = self.outcome()
        if self._restart:
            if over.any():
                self._games["seed"][over] += np.uint64(n)
                self._kernels.begin(self._games, self._rules, over)
        else:
            self._running &= ~over
        self._show()
        ended = np.repeat(over[:, None], p, axis=1)
        return Step(rewards, ended, np.zeros((n, p), np.bool_), over, elapsed, outcome)

    def outcome(self) -> dict[str, NDArray[np.float32]]:
        """Each outcome as it stands in every game, float32 [N]: a copy."""
        table = self._games["outcome"]
        return {name: table[:, k].astype(np.float32) for k, name in enumerate(self.scoring)}

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now; see ``BatchedGame.observe``.

        Raises:
            ValueError: if there is no such seat.
        """
        if not 0 <= seat < self.num_players:
            raise ValueError(f"seat must be from 0 to {self.num_players - 1}, got {seat}")
        return self._facts[:, seat].copy(), self._fact_counts[:, seat].copy()

    def overview(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """All there is to know of every game, as an onlooker says it: seat 0 is A, 1 is B ...

        Returns:
            facts int16 [N, max_facts], padded, out of ``onlooker_phrases``; counts int16 [N].
        """
        facts = np.full((self.num_games, 1, self.max_facts), PAD, np.int16)
        counts = np.zeros((self.num_games, 1), np.int16)
        self._kernels.view(self._games, self._rules, self.num_players, facts, counts)
        return facts[:, 0], counts[:, 0]

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh; see ``BatchedGame.reset``.

        Raises:
            ValueError: if the number of seeds is not N.
        """
        if seeds is None:
            first = np.uint64(self.seed) + np.arange(self.num_games, dtype=np.uint64)
        else:
            first = np.asarray(seeds, np.uint64)
            if first.shape != (self.num_games,):
                raise ValueError(f"seeds must have shape ({self.num_games},), got {first.shape}")
        self._games["seed"] = first
        self._running[:] = True
        self._kernels.begin(self._games, self._rules, self._running)
        self._show()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit: one array a field, copied."""
        names = self._games.dtype.names or ()
        return {"running": self._running.copy()} | {n: self._games[n].copy() for n in names}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned.

        Raises:
            ValueError: if the arrays are not those of as many games of this kind.
        """
        mine = self.state()
        if set(arrays) != set(mine):
            raise ValueError(f"state must hold {', '.join(mine)}; got {', '.join(arrays)}")
        for name, array in mine.items():
            other = arrays[name]
            if array.shape != other.shape or array.dtype != other.dtype:
                raise ValueError(
                    f"state {name!r} must be {array.dtype} {array.shape}, "
                    f"got {other.dtype} {other.shape}"
                )
        for name in self._games.dtype.names or ():
            self._games[name] = arrays[name]
        self._running[:] = arrays["running"]
        self._show()

    def _show(self) -> None:
        """Writes every row, and who is due."""
        self._kernels.view(self._games, self._rules, 0, self._facts, self._fact_counts)
        self._kernels.offer(self._games, self._rules, self._choices, self._choice_counts)
        rows = self.num_games * self.num_players
        due: NDArray[np.bool_] | slice = slice(None)
        if not self._running.all():
            due = np.repeat(self._running, self.num_players)
        self.due_game, self.due_seat = self._all_games[due], self._all_seats[due]
        self.facts = self._facts.reshape(rows, -1)[due]
        self.fact_counts = self._fact_counts.reshape(rows)[due]
        self.choices = self._choices.reshape(rows, -1)[due]
        self.choice_counts = self._choice_counts.reshape(rows)[due]
        self.labels = np.zeros((len(self.due_game), 0), np.int8)
