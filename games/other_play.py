"""Other-Play: every seat sees the colours under names of its own.

Hu et al. 2020 ("Other-Play" for Zero-Shot Coordination): partners that cannot agree on arbitrary
labels must find conventions that do not depend on them. In text a relabelling is a replacement of
words, so it works for facts and choices alike, in any game that names its ``colours``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

import numba
import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame, Step
from games.text import Phrasebook


class OtherPlay:
    """A ``BatchedGame`` in which each seat's colour words are permuted anew every episode.

    The attributes are those of :class:`games.core.BatchedGame`. Choices keep their order, so a
    move index means the same move inside and outside.

    Args:
        game: the game as it is.
        seed: of the permutations.

    Raises:
        ValueError: if the game has no two colours that could be exchanged.
    """

    def __init__(self, game: BatchedGame, seed: int = 0) -> None:
        if len(game.colours) < 2:
            raise ValueError(
                f"Other-Play needs a game with at least two colours to exchange, this one has "
                f"{list(game.colours)}: train without it"
            )
        self.game = game
        self.phrasebook, self.colours = game.phrasebook, game.colours
        self.num_games, self.num_players = game.num_games, game.num_players
        self.max_facts, self.max_choices = game.max_facts, game.max_choices
        self.max_turns = game.max_turns
        self.fact_phrases, self.choice_phrases = game.fact_phrases, game.choice_phrases
        self.label_phrases = game.label_phrases
        self.facts, self.fact_counts = game.facts.copy(), game.fact_counts
        self.choices, self.choice_counts = game.choices.copy(), game.choice_counts
        self.labels, self.seat = game.labels.copy(), game.seat
        self._names = _renamings(game.phrasebook, game.colours)
        self._answers = _answers(game.label_phrases, self._names)
        self._rng = np.random.default_rng(seed)
        self._order = self._draw(self.num_games)
        self._rename()

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Makes one move in every game; see ``BatchedGame.step``."""
        step = self.game.step(move_index)
        ended = np.flatnonzero(step.terminated | step.truncated)
        self._order[ended] = self._draw(len(ended))
        self._rename()
        return step

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh, under new names."""
        self.game.reset(seeds)
        self._order[:] = self._draw(self.num_games)
        self._rename()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit."""
        words = self._rng.bit_generator.state["state"]
        numbers = [words[k] >> s & (2**64 - 1) for k in ("state", "inc") for s in (0, 64)]
        return {
            **self.game.state(),
            "other_play_order": self._order.copy(),
            "other_play_random": np.array(numbers, np.uint64),
        }

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned."""
        inner = {k: v for k, v in arrays.items() if not k.startswith("other_play_")}
        self.game.load_state(inner)
        self._order[:] = arrays["other_play_order"]
        low, high, inc_low, inc_high = (int(n) for n in arrays["other_play_random"])
        generator = dict(self._rng.bit_generator.state)
        generator["state"] = {"state": high << 64 | low, "inc": inc_high << 64 | inc_low}
        # The buffered half of a 32-bit draw is not used: permutations are drawn as 64-bit numbers.
        self._rng.bit_generator.state = generator
        self._rename()

    def _draw(self, games: int) -> NDArray[np.int64]:
        """One permutation for every seat of some games: [games, players]."""
        return (self._rng.random((games, self.num_players)) * len(self._names)).astype(np.int64)

    def _rename(self) -> None:
        order = self._order[np.arange(self.num_games), self.seat]
        _apply(self._names, order, self.game.facts, self.facts)
        _apply(self._names, order, self.game.choices, self.choices)
        _apply(self._answers, order, self.game.labels, self.labels)


def _renamings(phrasebook: Phrasebook, colours: tuple[str, ...]) -> NDArray[np.int16]:
    """Where each phrase goes under each order of the colours: int16 [orders, phrases].

    Orders are made of exchanges of two words: those are ten renamings of text for five colours,
    where there are 120 orders.
    """
    swaps = {}
    for one, other in combinations(colours, 2):
        swaps[one, other] = swaps[other, one] = phrasebook.renaming({one: other, other: one})
    renamings = []
    for order in permutations(colours):
        ids, current = (
            np.arange(len(phrasebook), dtype=np.int16),
            dict(zip(colours, colours, strict=True)),
        )
        for word, new in zip(colours, order, strict=True):
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
