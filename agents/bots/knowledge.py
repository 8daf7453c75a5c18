"""What everybody believes about every hand, kept between turns.

What hints, and conventions about hints, leave possible for a card is a set of cards
(``games.hanabi.cards``), one for each card of each hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.hanabi.cards import (
    CARDS,
    EVERYTHING,
    OF_HINT,
    all_cards,
    hidden_pile,
    present,
    single,
)

Int = Any  # int64 to numba
Hands = NDArray[np.int64]  # [seats, slots], sets of cards, of any value behind a hand's end

MAX_SLOTS = 5
"""Longest hands of which beliefs are kept."""

# A set has more bits than a float has digits: it is kept in two numbers, both whole and exact.
_LOW_BITS = 15
_LOW = (1 << _LOW_BITS) - 1
SEATS = 5
_BELIEF_FLOATS = 2 * SEATS * MAX_SLOTS
MEMORY = 2 + 2 * _BELIEF_FLOATS
"""Floats of memory of a player with beliefs: whether the game has begun, the hints that were left,
what hints have told, and what is believed."""


@njit(nogil=True)
def _load(memory: NDArray[np.float32], hands: Hands) -> None:
    """Reads sets of cards, int64 [SEATS, MAX_SLOTS]."""
    n = 0
    for seat in range(SEATS):
        for slot in range(MAX_SLOTS):
            hands[seat, slot] = np.int64(memory[n]) | np.int64(memory[n + 1]) << _LOW_BITS
            n += 2


@njit(nogil=True)
def _save(hands: Hands, memory: NDArray[np.float32]) -> None:
    """Writes sets of cards; ``_load`` reads them."""
    n = 0
    for seat in range(SEATS):
        for slot in range(MAX_SLOTS):
            memory[n] = hands[seat, slot] & _LOW
            memory[n + 1] = hands[seat, slot] >> _LOW_BITS
            n += 2


@njit(nogil=True)
def recall(view: Any, memory: NDArray[np.float32], told: Hands, beliefs: Hands) -> Int:
    """Reads what a seat knew on its last turn.

    Args:
        view: record of ``VIEW``.
        memory: float32 [MEMORY], zeros at the start of a game.
        told: int64 [SEATS, MAX_SLOTS], overwritten by what hints had told.
        beliefs: int64 [SEATS, MAX_SLOTS], overwritten by what was believed.

    Returns:
        the hints that were left.
    """
    if memory[0]:
        _load(memory[2:], told)
        _load(memory[2 + _BELIEF_FLOATS :], beliefs)
        return np.int64(memory[1])
    told[:] = all_cards(view)
    beliefs[:] = all_cards(view)
    return np.int64(view.max_tokens)


@njit(nogil=True)
def remember(view: Any, told: Hands, beliefs: Hands, memory: NDArray[np.float32]) -> None:
    """Writes what a seat knows on its turn; ``recall`` reads it."""
    memory[0], memory[1] = 1, view.tokens
    _save(told, memory[2:])
    _save(beliefs, memory[2 + _BELIEF_FLOATS :])


@njit(nogil=True)
def draw_hand(table: Any, seat: Int, slot: Int, drew: bool, hands: Hands, new: Int) -> None:
    """Lets a card leave a hand of beliefs, and another, of which ``new`` is known, come in.

    Args:
        table: record of ``TABLE`` before the move.
        seat: whose hand.
        slot: of the card.
        drew: whether the deck had a card left.
        hands: int64 [seats, slots], sets of cards, overwritten.
        new: what is known of the card that is drawn.
    """
    last = table.sizes[seat] - 1
    for at in range(slot, last):
        hands[seat, at] = hands[seat, at + 1]
    hands[seat, last] = new if drew else 0


@njit(nogil=True)
def tell_hand(table: Any, seat: Int, hint: Int, touched: Int, hands: Hands) -> None:
    """Takes in what a hint says about each card of a hand of beliefs."""
    for slot in range(table.sizes[seat]):
        if touched >> slot & 1:
            hands[seat, slot] &= OF_HINT[hint]
        else:
            hands[seat, slot] &= ~OF_HINT[hint]


@njit(nogil=True)
def tidy(table: Any, told: Hands, beliefs: Hands) -> None:
    """Draws the conclusions that everybody draws, by counting what is in sight of all.

    A card is none of those whose copies have all been played or discarded, or lie elsewhere in the
    hands as cards that are known to be just that. Where nothing is left of a belief, a convention
    was broken, and only what hints say is kept.

    Args:
        table: record of ``TABLE`` or ``VIEW``.
        told: int64 [seats, slots], what hints leave possible.
        beliefs: int64 [seats, slots], what hints and conventions leave possible, overwritten.
    """
    pile = hidden_pile(table, False)
    here = present(pile)
    for seat in range(table.players):
        for slot in range(table.sizes[seat]):
            beliefs[seat, slot] &= here
            if not beliefs[seat, slot]:
                beliefs[seat, slot] = told[seat, slot] & here
    found = True
    while found:
        once, twice, thrice = 0, 0, 0  # the cards that are known to lie at so many places, or more
        for seat in range(table.players):
            for slot in range(table.sizes[seat]):
                cards = beliefs[seat, slot]
                if single(cards):
                    thrice |= twice & cards
                    twice |= once & cards
                    once |= cards
        one, two = pile & EVERYTHING, pile >> CARDS
        # All copies of these lie where they are known to lie, and nowhere else.
        known = once & one & ~two | twice & two & ~one | thrice & one & two
        found = False
        for seat in range(table.players):
            for slot in range(table.sizes[seat]):
                cards = beliefs[seat, slot]
                left = cards & ~known
                if not single(cards) and left and left != cards:
                    beliefs[seat, slot] = left
                    found = found or single(left)


@njit(nogil=True)
def private(table: Any, told: Hands, beliefs: Hands, hands: Hands) -> Hands:
    """What the observer's own cards can be, by all that it knows and sees; int64 [slots].

    Args:
        table: record of ``TABLE`` or ``VIEW``, as it is now.
        told: int64 [seats, slots], what hints leave possible.
        beliefs: int64 [seats, slots], what hints and conventions leave possible.
        hands: int64 [seats, slots], overwritten on the way.
    """
    hands[:] = beliefs
    for seat in range(1, table.players):
        for slot in range(table.sizes[seat]):
            hands[seat, slot] = 1 << table.cards[seat, slot]
    tidy(table, told, hands)
    return hands[0].copy()
