"""Other-Play: every seat sees interchangeable words, such as colours, under names of its own.

Hu et al. 2020 ("Other-Play" for Zero-Shot Coordination): partners that cannot agree on arbitrary
labels must find conventions that do not depend on them. In text a relabelling is a replacement of
words, so it works for facts and choices alike, in any game that names words
that are ``interchangeable``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

import numba
import numpy as np
from numpy.typing import NDArray

from games.chance import packed, unpack
from games.core import BatchedGame, Step
from games.text import Phrasebook
from games.wrapper import Wrapper


class OtherPlay(Wrapper):
    """A ``BatchedGame`` in which each seat's interchangeable words are permuted anew every episode.

    The attributes are those of :class:`games.core.BatchedGame`. Choices keep their order, so a
    move index means the same move inside and outside.

    Args:
        game: the game as it is.
        seed: of the permutations.

    Raises:
        ValueError: if the game has no two words that could be exchanged.
    """

    def __init__(self, game: BatchedGame, seed: int = 0) -> None:
        if len(game.interchangeable) < 2:
            raise ValueError(
                "Other-Play needs a game with at least two words to exchange, this one has "
                f"{list(game.interchangeable)}: train without it"
            )
        super().__init__(game)
        self._names = _renamings(game.phrasebook, game.interchangeable)
        self._answers = _answers(game.label_phrases, self._names)
        self._rng = np.random.default_rng(seed)
        self._order = self._draw(self.num_games)
        self._rename()

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Makes one move in every game; see ``BatchedGame.step``."""
        step = self.game.step(move_index)
        ended = np.flatnonzero(step.over)
        self._order[ended] = self._draw(len(ended))
        self._rename()
        return step

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now, in its own words."""
        facts, counts = self.game.observe(seat)
        _apply(self._names, self._order[:, seat], facts, facts)
        return facts, counts

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh, under new names."""
        self.game.reset(seeds)
        self._order[:] = self._draw(self.num_games)
        self._rename()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit."""
        return {
            **self.game.state(),
            "other_play_order": self._order.copy(),
            "other_play_random": packed(self._rng),
        }

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned."""
        inner = {k: v for k, v in arrays.items() if not k.startswith("other_play_")}
        self.game.load_state(inner)
        self._order[:] = arrays["other_play_order"]
        unpack(self._rng, arrays["other_play_random"])
        self._rename()

    def _draw(self, games: int) -> NDArray[np.int64]:
        """One permutation for every seat of some games: [games, players]."""
        return (self._rng.random((games, self.num_players)) * len(self._names)).astype(np.int64)

    def _rename(self) -> None:
        game = self.game
        order = self._order[game.due_game, game.due_seat]
        self.facts, self.choices = np.empty_like(game.facts), np.empty_like(game.choices)
        self.labels = np.empty_like(game.labels)
        _apply(self._names, order, game.facts, self.facts)
        _apply(self._names, order, game.choices, self.choices)
        _apply(self._answers, order, game.labels, self.labels)


def _renamings(phrasebook: Phrasebook, words: tuple[str, ...]) -> NDArray[np.int16]:
    """Where each phrase goes under each order of the words: int16 [orders, phrases].

    Orders are made of exchanges of two words: those are ten renamings of text for five words,
    where there are 120 orders.
    """
    swaps = {}
    for one, other in combinations(words, 2):
        swaps[one, other] = swaps[other, one] = phrasebook.renaming({one: other, other: one})
    renamings = []
    for order in permutations(words):
        ids, current = (
            np.arange(len(phrasebook), dtype=np.int16),
            dict(zip(words, words, strict=True)),
        )
        for word, new in zip(words, order, strict=True):
            old = current[word]
            if old != new:
                ids = swaps[old, new][ids]
                current = {w: {old: new, new: old}.get(c, c) for w, c in current.items()}
        renamings.append(ids)
    return np.stack(renamings)


def _answers(label_phrases: NDArray[np.int16], names: NDArray[np.int16]) -> NDArray[np.int8]:
    """Where each label goes under each renaming: int8 [orders, labels]."""
    if not label_phrases.size:
        return np.zeros((len(names), 0), np.int8)
    phrases = label_phrases[0]
    place = {int(phrase): i for i, phrase in enumerate(phrases)}
    return np.array([[place[int(p)] for p in row[phrases]] for row in names], np.int8)


@numba.njit(cache=True, nogil=True)
def _apply(names, order, ids, out):  # type: ignore[no-untyped-def]
    """out[g] = names[order[g]][ids[g]], leaving PAD (-1) as it is."""
    for g in range(len(ids)):
        row = names[order[g]]
        for k in range(ids.shape[1]):
            i = ids[g, k]
            out[g, k] = row[i] if i >= 0 else i
