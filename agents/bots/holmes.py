"""HolmesBot: a colour says "this one is next", a rank says "these can be played", or warns.

The conventions are those of Arthur O'Dwyer's HolmesBot as ``docs/bots.md`` tells them; the code is
our own. As in ``smart.py``, everybody works out what everybody believes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.bots.core import DONE, STAMP, Bot, Rows, choose, look
from agents.bots.knowledge import (
    MAX_SLOTS,
    MEMORY,
    SEATS,
    Hands,
    draw_hand,
    private,
    recall,
    remember,
    tell_hand,
    tidy,
)
from agents.bots.smart import discard, lowest_rank, play_mystery, touches
from games.hanabi.cards import (
    COLOURS,
    RANKS,
    all_cards,
    hidden_pile,
    one_rank,
    playable,
    useless,
    valuable,
)
from games.hanabi.view import HINT, TABLE, VIEW, hint_choice, play_choice, rewind

Int = Any  # int64 to numba

_NONE = -1
_MYSTERY_DECK = 1  # cards in the deck up to which it is worth to play the likeliest card


@njit(nogil=True)
def _chop(table: Any, seat: Int, beliefs: Hands) -> Int:
    """The oldest card not known valuable, -1 if there is none or the seat has better to do."""
    fits, dead, precious = playable(table), useless(table), valuable(table)
    oldest = _NONE
    for slot in range(table.sizes[seat]):
        cards = beliefs[seat, slot]
        if not cards & ~fits or not cards & ~dead:
            return _NONE
        if oldest == _NONE and cards & ~precious:
            oldest = slot
    return oldest


@njit(nogil=True)
def _heed_hint(table: Any, giver: Int, seat: Int, hint: Int, touched: Int, beliefs: Hands) -> None:
    """Takes in what a hint says, and what it means by convention."""
    fits, precious = playable(table), valuable(table)
    warned = _chop(table, seat, beliefs) if hint >= COLOURS else _NONE
    unknown = 0  # slots whose rank was not known
    for slot in range(table.sizes[seat]):
        unknown |= (not one_rank(beliefs[seat, slot])) << slot
    tell_hand(table, seat, hint, touched, beliefs)
    right = (giver - 1) % table.players
    if hint >= COLOURS and table.tokens == table.max_tokens and seat == right and touched & 1:
        return  # somebody had to say something
    if warned >= 0 and touched >> warned & 1 and beliefs[seat, warned] & precious:
        beliefs[seat, warned] &= precious
        return
    for slot in range(table.sizes[seat]):
        meant = touched >> slot & 1 and (hint >= COLOURS or unknown >> slot & 1)
        if meant and beliefs[seat, slot] & fits:
            beliefs[seat, slot] &= fits


@njit(nogil=True)
def _learn(view: Any, table: Any, seat: Int, after: Any, told: Hands, beliefs: Hands) -> None:
    """Takes in the latest move of a seat, given the tables before and after it."""
    tidy(table, told, beliefs)
    if view.kind[seat] == HINT:
        target, hint = np.int64(view.target[seat]), np.int64(view.hint[seat])
        touched = np.int64(view.touched[seat])
        tell_hand(table, target, hint, touched, told)
        _heed_hint(table, seat, target, hint, touched, beliefs)
    else:
        slot, drew = np.int64(view.slot[seat]), after.deck < table.deck
        draw_hand(table, seat, slot, drew, told, all_cards(table))
        draw_hand(table, seat, slot, drew, beliefs, all_cards(table))


@njit(nogil=True)
def _best_hint(table: Any, seat: Int, beliefs: Hands, heeded: Hands) -> tuple[Int, Int]:
    """The hint that makes a partner know of most cards that fit, and tells it nothing false.

    Returns:
        id of a choice, -1 if there is none; and how many cards they are.
    """
    fits = playable(table)
    best, most = _NONE, 0
    for hint in range(COLOURS + RANKS):
        touched = touches(table, seat, hint)
        if not touched:
            continue
        heeded[:] = beliefs
        _heed_hint(table, 0, seat, hint, touched, heeded)
        gain, honest = 0, True
        for slot in range(table.sizes[seat]):
            honest = honest and heeded[seat, slot] >> table.cards[seat, slot] & 1
            gain += not heeded[seat, slot] & ~fits and beliefs[seat, slot] & ~fits != 0
        if honest and gain > most:
            best, most = hint_choice(seat, hint), gain
    return best, most


@njit(nogil=True)
def _warn(table: Any, beliefs: Hands, heeded: Hands) -> Int:
    """Keeps the left neighbour from discarding a valuable card."""
    slot = _chop(table, 1, beliefs)
    if table.tokens == 0 or slot < 0 or not valuable(table) >> table.cards[1, slot] & 1:
        return _NONE
    hint, _ = _best_hint(table, 1, beliefs, heeded)
    return hint if hint >= 0 else hint_choice(1, COLOURS + table.cards[1, slot] % RANKS)


@njit(nogil=True)
def _help(table: Any, beliefs: Hands, heeded: Hands) -> Int:
    """Tells some partner what makes most cards known to fit."""
    best, most = _NONE, 0
    if table.tokens > 0:
        for seat in range(1, table.players):
            hint, gain = _best_hint(table, seat, beliefs, heeded)
            if gain > most:
                best, most = hint, gain
    return best


@njit(nogil=True)
def _play(table: Any, mine: Hands) -> Int:
    """Plays the lowest card that fits."""
    fits = playable(table)
    best, lowest = _NONE, RANKS
    for slot in range(table.sizes[0]):
        if mine[slot] and not mine[slot] & ~fits and lowest_rank(mine[slot]) < lowest:
            best, lowest = slot, lowest_rank(mine[slot])
    return play_choice(best) if best >= 0 else _NONE


@njit(nogil=True)
def _decide(table: Any, told: Hands, beliefs: Hands, heeded: Hands) -> Int:
    """The id of the choice to make."""
    pile = hidden_pile(table, True)
    mine = private(table, told, beliefs, heeded)
    move = _warn(table, beliefs, heeded)
    if move < 0:
        move = _play(table, mine)
    if move < 0:
        move = _help(table, beliefs, heeded)
    if move < 0:
        move = play_mystery(table, mine, pile, _MYSTERY_DECK)
    if move < 0 and table.tokens == table.max_tokens:
        right = table.players - 1
        move = hint_choice(right, COLOURS + table.cards[right, 0] % RANKS)
    return move if move >= 0 else discard(table, mine, _chop(table, 0, beliefs))


@njit(cache=True, nogil=True)
def _act(rows: Rows, views: NDArray[np.void], tables: NDArray[np.void], stamp: Any) -> int:
    view, tables = views.copy()[0], tables.copy()  # calls may run at the same time
    told = np.zeros((SEATS, MAX_SLOTS), np.int64)
    beliefs, heeded = told.copy(), told.copy()
    for i in range(len(rows.facts)):
        status = look(rows, i, view, MAX_SLOTS)
        if status != DONE:
            return status
        tokens = recall(view, rows.memory[i], told, beliefs)
        for seat in range(rewind(view, tokens, tables), view.players):
            _learn(view, tables[seat], seat, tables[seat + 1], told, beliefs)
        table = tables[view.players]
        tidy(table, told, beliefs)
        remember(view, told, beliefs, rows.next_memory[i])
        choose(rows, i, _decide(table, told, beliefs, heeded))
    return DONE


def make() -> Bot:
    """The player "holmes"."""
    records = np.zeros(1, VIEW), np.zeros(SEATS + 1, TABLE)
    return Bot("holmes", _act, *records, STAMP, memory_size=MEMORY)
