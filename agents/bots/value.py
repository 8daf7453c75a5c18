"""A cautious player that weighs every move in points: what it brings less what it risks.

Of each card its owner knows a distribution: the copies that it does not see of what hints leave
possible, those that fitted when a hint last touched the card being likelier. A play and a discard
are worth their mean over it; a hint, by how much more its receiver's own moves are then worth.
``docs/bots.md`` tells the sums. Nothing here is shared with the players that keep beliefs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.bots.core import DONE, STAMP, Bot, Rows, choose, look
from games.hanabi.cards import CARDS, COLOURS, OF_HINT, RANKS, copies, hinted, playable, useless
from games.hanabi.view import (
    HINT,
    TABLE,
    VIEW,
    discard_choice,
    hint_choice,
    play_choice,
    rewind,
)

Int = Any  # int64 to numba
Notes = NDArray[np.int64]  # [SEATS, MAX_SLOTS]: how high the fireworks were at a card's last hint
Counts = NDArray[np.int64]  # [CARDS], copies of each card
Points = NDArray[np.float64]  # [CARDS]

SEATS = MAX_SLOTS = 5
MEMORY = 2 + SEATS * MAX_SLOTS
"""Floats of memory: whether the game has begun, the hints that were left, and the notes."""

_TRUST = 20.0  # how much likelier a card is that fitted when it was told of
_LIFE = np.array([0.0, 100.0, 2.0, 0.6])  # points that a misfire costs, by the lives left
_COPY = np.array([0.0, 1.0, 0.1, 0.03])  # share of its points lost with a copy, by those left
_LATER = 0.7  # worth of a play after the next one
_HINT, _SCARCE = 0.1, 0.25  # worth of a hint if all are left, and what is added as they run out


@njit(nogil=True)
def _note(table: Any) -> Int:
    """The fireworks as one number above 0, small enough for a float."""
    code = 0
    for colour in range(COLOURS):
        code = code * (RANKS + 1) + table.fireworks[colour]
    return code + 1


@njit(nogil=True)
def _fitted(table: Any, note: Int) -> Int:
    """The cards that fitted when a note was taken; none without one."""
    found, code = 0, note - 1
    for colour in range(COLOURS - 1, -1, -1):
        height = code % (RANKS + 1)
        code //= RANKS + 1
        if note and colour < table.colours and height < table.ranks:
            found |= 1 << RANKS * colour + height
    return found


@njit(nogil=True)
def _follow(view: Any, table: Any, seat: Int, notes: Notes) -> None:
    """Takes in the latest move of a seat, given the table before it."""
    if view.kind[seat] == HINT:
        target = view.target[seat]
        for slot in range(table.sizes[target]):
            if view.touched[seat] >> slot & 1:
                notes[target, slot] = _note(table)
        return
    last = table.sizes[seat] - 1
    for slot in range(view.slot[seat], last):
        notes[seat, slot] = notes[seat, slot + 1]
    notes[seat, last] = 0


@njit(nogil=True)
def _losses(table: Any, losses: Points) -> None:
    """What is lost with a copy of each card: its own point and those above, if it is the last."""
    dead = useless(table)
    for colour in range(table.colours):
        top = table.fireworks[colour]
        while top < table.ranks and not dead >> RANKS * colour + top & 1:
            top += 1
        for rank in range(table.ranks):
            card = RANKS * colour + rank
            left = copies(table, rank) - table.discards[card]
            losses[card] = 0.0 if dead >> card & 1 else _COPY[left] * (top - rank)


@njit(nogil=True)
def _unseen(table: Any, owner: Int, counts: Counts) -> None:
    """Copies of each card that a seat does not see, as far as the observer can tell."""
    for colour in range(table.colours):
        for rank in range(table.ranks):
            card = RANKS * colour + rank
            gone = table.discards[card] + (rank < table.fireworks[colour])
            counts[card] = copies(table, rank) - gone
    for seat in range(1, table.players):
        if seat != owner:
            for slot in range(table.sizes[seat]):
                counts[table.cards[seat, slot]] -= 1


@njit(nogil=True)
def _misfire(table: Any) -> float:
    """What a misfire costs, in points."""
    return float(_LIFE[table.lives if table.lives < 3 else 3])


@njit(nogil=True)
def _hint_worth(table: Any, tokens: Int) -> float:
    """What one more hint is worth where so many are left, in points."""
    return _HINT + _SCARCE * (1 - tokens / (table.max_tokens + 1.0))


@njit(nogil=True)
def _weigh(
    table: Any, told: Int, note: Int, fits: Int, counts: Counts, losses: Points
) -> tuple[float, float]:
    """What a card is worth on average if it is played, and what is lost if it is discarded."""
    meant = _fitted(table, note)
    total, fit, discarded, misfired = 0.0, 0.0, 0.0, 0.0
    for card in range(CARDS):
        if told >> card & 1 and counts[card] > 0:
            weight = counts[card] * (_TRUST if meant >> card & 1 else 1.0)
            total += weight
            discarded += weight * losses[card]
            if fits >> card & 1:
                fit += weight
            else:
                misfired += weight * (losses[card] + _misfire(table))
    if total == 0:
        return -_misfire(table), 0.0
    return (fit - misfired) / total, discarded / total


@njit(nogil=True)
def _response(
    table: Any, seat: Int, told: Notes, notes: Notes, fits: Int, counts: Counts, losses: Points
) -> tuple[float, Int]:
    """What a partner would do of itself, and what that is truly worth.

    It plays the cards that are worth more than a discard, one after the other, or else discards
    the one with which it loses least.

    Returns:
        points; the slot that it plays first, -1 for none.
    """
    gain, worth = _hint_worth(table, table.tokens), 0.0
    first, most, chop, least = -1, 0.0, 0, np.inf
    for slot in range(table.sizes[seat]):
        play, loss = _weigh(table, told[seat, slot], notes[seat, slot], fits, counts, losses)
        if play > max(gain - loss, 0.0):
            card = table.cards[seat, slot]
            truth = 1.0 if fits >> card & 1 else -_misfire(table) - losses[card]
            worth += truth * (_LATER if first >= 0 else 1.0)
            if play > most:
                first, most = slot, play
        if loss <= least:
            chop, least = slot, loss
    if first < 0:
        worth = gain - losses[table.cards[seat, chop]]
    return worth, first


@njit(nogil=True)
def _best_hint(
    view: Any, seat: Int, told: Notes, notes: Notes, fits: Int, counts: Counts, losses: Points
) -> tuple[Int, float, Int]:
    """The hint after which a partner's moves gain most.

    Returns:
        the hint, its worth, and the slot that the partner plays without it (-1 for none).
    """
    hand = view.sizes[seat]
    _unseen(view, seat, counts)
    for slot in range(hand):
        told[seat, slot] = hinted(view, seat, slot)
    noted = notes[seat].copy()
    before, plays = _response(view, seat, told, notes, fits, counts, losses)
    best, most = 0, -np.inf
    for hint in range(COLOURS + RANKS):
        touched = False
        for slot in range(hand):
            told[seat, slot] = hinted(view, seat, slot)
            notes[seat, slot] = noted[slot]
            if OF_HINT[hint] >> view.cards[seat, slot] & 1:
                touched = True
                told[seat, slot] &= OF_HINT[hint]
                notes[seat, slot] = _note(view)
            else:
                told[seat, slot] &= ~OF_HINT[hint]
        if touched:
            after, _ = _response(view, seat, told, notes, fits, counts, losses)
            if after - before > most:
                best, most = hint, after - before
    notes[seat] = noted
    return best, most - _hint_worth(view, view.tokens - 1), plays


@njit(nogil=True)
def _decide(view: Any, told: Notes, notes: Notes, counts: Counts, losses: Points) -> Int:
    """The id of the choice that is worth most."""
    fits = playable(view)
    _losses(view, losses)
    _unseen(view, 0, counts)
    best, most = play_choice(0), -np.inf
    for slot in range(view.sizes[0]):
        told[0, slot] = hinted(view, 0, slot)
        play, loss = _weigh(view, told[0, slot], notes[0, slot], fits, counts, losses)
        if play > most:
            best, most = play_choice(slot), play
        discard = _hint_worth(view, view.tokens) - loss
        if view.tokens < view.max_tokens and discard > most:
            best, most = discard_choice(slot), discard
    if view.tokens > 0:
        for seat in range(1, view.players):
            hint, worth, plays = _best_hint(view, seat, told, notes, fits, counts, losses)
            if worth > most:
                best, most = hint_choice(seat, hint), worth
            card = view.cards[seat, max(plays, 0)]
            if plays >= 0 and fits >> card & 1:  # those behind it find the table so
                fits &= ~(1 << card)
                if card % RANKS + 1 < view.ranks:
                    fits |= 1 << card + 1
    return best


@njit(cache=True, nogil=True)
def _act(rows: Rows, views: NDArray[np.void], tables: NDArray[np.void], stamp: Any) -> int:
    view, tables = views.copy()[0], tables.copy()  # calls may run at the same time
    notes, told = np.zeros((SEATS, MAX_SLOTS), np.int64), np.zeros((SEATS, MAX_SLOTS), np.int64)
    counts, losses = np.zeros(CARDS, np.int64), np.zeros(CARDS)
    for i in range(len(rows.facts)):
        status = look(rows, i, view, MAX_SLOTS)
        if status != DONE:
            return status
        notes.ravel()[:] = rows.memory[i, 2:].astype(np.int64)
        tokens = np.int64(rows.memory[i, 1]) if rows.memory[i, 0] else np.int64(view.max_tokens)
        for seat in range(rewind(view, tokens, tables), view.players):
            _follow(view, tables[seat], seat, notes)
        rows.next_memory[i, 0], rows.next_memory[i, 1] = 1, view.tokens
        rows.next_memory[i, 2:] = notes.ravel()
        move = _decide(view, told, notes, counts, losses)
        choose(rows, i, move)
    return DONE


def make() -> Bot:
    """The player "value"."""
    records = np.zeros(1, VIEW), np.zeros(SEATS + 1, TABLE)
    return Bot("value", _act, *records, STAMP, memory_size=MEMORY)
