"""What all know of every card in a referential sieve: what hints say, what they mean, and marks.

The conventions are those of the system of this name by players of hanab.live, as ``docs/bots.md``
tells them; the code is our own, and shares nothing with the other players. What a hint means
depends on what all see: every seat comes to the same marks for every hand, and remembers them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.hanabi.cards import (
    COLOURS,
    OF_HINT,
    all_cards,
    hidden_pile,
    playable,
    present,
    single,
    useless,
)
from games.hanabi.view import HINT

Int = Any  # int64 to numba
Cards = NDArray[np.int64]  # [SEATS, SLOTS, 3]: told, meant, marks

SEATS = SLOTS = 5
TOLD, MEANT, MARKS = range(3)
"""Of a card: what hints leave possible, what conventions do (sets of cards), and these bits."""
TOUCHED, CALLED, SPARE, KEPT = 1, 2, 4, 8
"""By a hint; to be played; to be discarded; not to be."""

NONE = -1
_DIGITS = 15  # of a set in one float
MEMORY = 2 + 5 * SEATS * SLOTS
"""Floats of memory: whether the game has begun, the hints that were left, and the cards."""


@njit(nogil=True)
def recall(view: Any, memory: NDArray[np.float32], cards: Cards) -> Int:
    """Reads what was known of all cards on the last turn; returns the hints that were left."""
    if not memory[0]:
        cards[:, :, :MARKS], cards[:, :, MARKS] = all_cards(view), 0
        return np.int64(view.max_tokens)
    for seat in range(SEATS):
        for slot in range(SLOTS):
            at = 2 + 5 * (seat * SLOTS + slot)
            for kind in range(2):
                low, high = np.int64(memory[at + 2 * kind]), np.int64(memory[at + 2 * kind + 1])
                cards[seat, slot, kind] = low | high << _DIGITS
            cards[seat, slot, MARKS] = np.int64(memory[at + 4])
    return np.int64(memory[1])


@njit(nogil=True)
def remember(view: Any, cards: Cards, memory: NDArray[np.float32]) -> None:
    """Writes what ``recall`` reads."""
    memory[0], memory[1] = 1, view.tokens
    for seat in range(SEATS):
        for slot in range(SLOTS):
            at = 2 + 5 * (seat * SLOTS + slot)
            for kind in range(2):
                memory[at + 2 * kind] = cards[seat, slot, kind] & (1 << _DIGITS) - 1
                memory[at + 2 * kind + 1] = cards[seat, slot, kind] >> _DIGITS
            memory[at + 4] = cards[seat, slot, MARKS]


@njit(nogil=True)
def revise(table: Any, seat: Int, cards: Cards) -> None:
    """Takes off a hand what is in sight of all, and what others have played in the meantime."""
    here, dead = present(hidden_pile(table, False)), useless(table)
    for slot in range(table.sizes[seat]):
        card = cards[seat, slot]
        card[MEANT] &= here
        if card[MARKS] & CALLED:
            if card[MEANT] & ~dead:
                card[MEANT] &= ~dead
            else:  # another copy was faster
                card[MARKS] = card[MARKS] & ~CALLED | SPARE
        if not card[MEANT]:
            card[MEANT] = card[TOLD] & here


@njit(nogil=True)
def acts(table: Any, seat: Int, cards: Cards) -> Int:
    """The slots that a hand is known to play or discard, as bits."""
    fits, dead, found = playable(table), useless(table), 0
    for slot in range(table.sizes[seat]):
        meant = cards[seat, slot, MEANT]
        if not meant & ~fits or not meant & ~dead or cards[seat, slot, MARKS] & SPARE:
            found |= 1 << slot
    return found


@njit(nogil=True)
def chop(table: Any, seat: Int, cards: Cards) -> Int:
    """The newest card not touched by hints, -1 if there is none or the seat has better to do."""
    if acts(table, seat, cards):
        return NONE
    for slot in range(table.sizes[seat] - 1, -1, -1):
        if not cards[seat, slot, MARKS] & (TOUCHED | KEPT):
            return slot
    return NONE


@njit(nogil=True)
def soon(table: Any, cards: Cards) -> Int:
    """The cards that fit once those are played that all know."""
    fits = playable(table)
    found = fits
    for seat in range(table.players):
        for slot in range(table.sizes[seat]):
            meant = cards[seat, slot, MEANT]
            if single(meant) and meant & fits:
                found |= meant << 1 & ~OF_HINT[COLOURS]
    return found & all_cards(table)


@njit(nogil=True)
def _call(table: Any, seat: Int, new: Int, old: Int, left: bool, fits: Int, cards: Cards) -> None:
    """Calls a card to be played: the one beside a card that was touched for the first time.

    Args:
        table: record of ``TABLE`` or ``VIEW``.
        seat: whose hand.
        new: slots touched for the first time, as bits.
        old: slots touched before, as bits.
        left: whether the newer neighbour is meant, the newest such; else the older, the oldest.
        fits: what the card may be.
        cards: overwritten.
    """
    size = table.sizes[seat]
    step, target = (1 if left else size - 1), NONE
    for slot in range(size):
        if new >> slot & 1:
            beside = (slot + step) % size
            while old >> beside & 1:
                beside = (beside + step) % size
            if target == NONE or (beside > target) == left:
                target = beside
    card = cards[seat, target]
    if not card[MARKS] & (CALLED | SPARE) and card[MEANT] & fits:
        card[MEANT] &= fits
        card[MARKS] |= CALLED


@njit(nogil=True)
def heed(table: Any, seat: Int, hint: Int, touched: Int, cards: Cards) -> None:
    """Takes in what a hint says, and what it means by convention."""
    loaded, old, near = acts(table, seat, cards), 0, soon(table, cards)
    for slot in range(table.sizes[seat]):
        old |= (cards[seat, slot, MARKS] & TOUCHED) << slot
        cards[seat, slot, :MARKS] &= OF_HINT[hint] if touched >> slot & 1 else ~OF_HINT[hint]
        cards[seat, slot, MARKS] |= touched >> slot & TOUCHED
    revise(table, seat, cards)
    new = touched & ~old
    if not new:
        return
    dead, trash = useless(table), True
    for slot in range(table.sizes[seat]):
        if new >> slot & 1:
            trash = trash and not cards[seat, slot, MEANT] & ~dead
    if loaded:
        _call(table, seat, new, old, hint < COLOURS or trash, near, cards)
        return
    shown = acts(table, seat, cards)
    if trash:
        _call(table, seat, new, old, True, playable(table), cards)
    elif hint < COLOURS:
        if not shown & old:
            _call(table, seat, new, old, True, playable(table), cards)
    elif not shown:
        for slot in range(table.sizes[seat]):
            if new >> slot & 1:
                newest = slot
        for slot in range(newest - 1, -1, -1):
            if not (old | new) >> slot & 1:
                cards[seat, slot, MARKS] |= SPARE
                return
        cards[seat, : table.sizes[seat], MARKS] |= KEPT


@njit(nogil=True)
def follow(view: Any, table: Any, seat: Int, after: Any, cards: Cards) -> None:
    """Takes in the latest move of a seat, given the tables before and after it."""
    for owner in range(table.players):
        revise(table, owner, cards)
    if view.kind[seat] == HINT:
        target = np.int64(view.target[seat])
        heed(table, target, np.int64(view.hint[seat]), np.int64(view.touched[seat]), cards)
        return
    last = table.sizes[seat] - 1
    for slot in range(view.slot[seat], last):
        cards[seat, slot] = cards[seat, slot + 1]
    cards[seat, last, :MARKS], cards[seat, last, MARKS] = all_cards(table), 0
