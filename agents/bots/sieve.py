"""A referential sieve: a hint to a card means the card beside it, and the newest card goes first.

What hints mean is in ``sieve_marks.py``; here a turn is chosen: of all hints the one that brings
most if its receiver takes it so, or a card that is known to fit, or one that can be spared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.bots.core import DONE, STAMP, Bot, Rows, choose, look
from agents.bots.sieve_marks import (
    MARKS,
    MEANT,
    MEMORY,
    NONE,
    SEATS,
    SLOTS,
    SPARE,
    TOLD,
    TOUCHED,
    Cards,
    chop,
    follow,
    heed,
    recall,
    remember,
    revise,
    soon,
)
from games.hanabi.cards import (
    COLOURS,
    OF_HINT,
    RANKS,
    chance,
    hidden_pile,
    playable,
    present,
    useless,
    valuable,
)
from games.hanabi.view import TABLE, VIEW, discard_choice, hint_choice, play_choice, rewind

Int = Any  # int64 to numba

# What moves are worth, in tenths of a point or so.
_LAST, _FITTING, _NEEDED = 12.0, 6.0, 3.0  # keeping the last copy; a card that fits; another
_PLAYED, _PLAYED_LATER = 10.0, 6.0  # getting a card played now; after others
_CLEARED, _DIRT = 3.0, 1.0  # showing what is useless; touching it
_FAR = 0.3  # share of what another than the next partner would lose
_MISLEADS = -100.0
_URGENT, _WORTHWHILE, _IDLE = 20.0, 8.0, 2.0  # hints before a play; before a discard; with plenty
_PLENTY = 4  # hints left


@njit(nogil=True)
def _danger(table: Any, seat: Int, slot: Int) -> float:
    """What is lost if a partner discards a card."""
    if slot < 0:
        return 0.0
    card = table.cards[seat, slot]
    if useless(table) >> card & 1:
        return 0.0
    if valuable(table) >> card & 1:
        return _LAST
    for other in range(1, table.players):
        for at in range(table.sizes[other]):
            if (other != seat or at != slot) and table.cards[other, at] == card:
                return 0.0
    return _NEEDED if not playable(table) >> card & 1 else _FITTING


@njit(nogil=True)
def _promised(table: Any, cards: Cards) -> Int:
    """The cards that partners are known to hold and to play."""
    found = 0
    near = soon(table, cards)
    for seat in range(1, table.players):
        for slot in range(table.sizes[seat]):
            if not cards[seat, slot, MEANT] & ~near:
                found |= 1 << table.cards[seat, slot]
    return found


@njit(nogil=True)
def _gain(table: Any, seat: Int, hint: Int, touched: Int, cards: Cards, trial: Cards) -> float:
    """What a hint to a partner brings; below 0 if it misleads."""
    fits, dead = playable(table), useless(table)
    near, promised = soon(table, cards), _promised(table, cards)
    trial[:] = cards
    heed(table, seat, hint, touched, trial)
    worth = 0.0
    for slot in range(table.sizes[seat]):
        card, before, after = table.cards[seat, slot], cards[seat, slot], trial[seat, slot]
        true = 1 << card
        if not after[MEANT] & true and not after[MARKS] & SPARE:
            return 2 * _MISLEADS
        known = not after[MEANT] & ~near
        if known and before[MEANT] & ~near:
            if true & promised:
                return _MISLEADS
            promised |= true
            worth += _PLAYED if true & fits else _PLAYED_LATER
        if after[MARKS] & ~before[MARKS] & SPARE:
            worth += _CLEARED if true & dead else -_danger(table, seat, slot)
        elif not after[MEANT] & ~dead and before[MEANT] & ~dead:
            worth += _CLEARED
        if after[MARKS] & ~before[MARKS] & TOUCHED and true & dead:
            worth -= _DIRT
    at_risk = chop(table, seat, cards)
    if table.tokens < table.max_tokens or seat > 1:
        saved = _danger(table, seat, at_risk) - _danger(table, seat, chop(table, seat, trial))
        worth += saved if seat == 1 else saved * _FAR
    return worth


@njit(nogil=True)
def _best_hint(view: Any, cards: Cards, trial: Cards) -> tuple[Int, float]:
    """The choice of the hint that brings most, and what it does; -1 if there is none."""
    best, most = NONE, -np.inf
    if view.tokens > 0:
        for seat in range(1, view.players):
            for hint in range(COLOURS + RANKS):
                touched = 0
                for slot in range(view.sizes[seat]):
                    touched |= (OF_HINT[hint] >> view.cards[seat, slot] & 1) << slot
                if touched:
                    gain = _gain(view, seat, hint, touched, cards, trial)
                    if gain > most:
                        best, most = hint_choice(seat, hint), gain
    return best, most


@njit(nogil=True)
def _own(view: Any, cards: Cards) -> tuple[Int, Int, Int, Int]:
    """What is best done with the own hand.

    Returns:
        the slot to play, the one to discard (-1 for none), the one that fits most likely (-1 if
        none may), and the one that is missed least.
    """
    fits, dead, precious = playable(view), useless(view), valuable(view)
    pile = hidden_pile(view, True)
    play, spare, likeliest, least_missed = NONE, NONE, NONE, 0
    lowest, highest, least = RANKS, 0.0, np.inf
    for slot in range(view.sizes[0]):
        mine = cards[0, slot, MEANT] & present(pile)
        if not mine:
            mine = cards[0, slot, TOLD] & present(pile)
        rank = 0
        while rank < RANKS - 1 and not mine & OF_HINT[COLOURS + rank]:
            rank += 1
        if not mine & ~fits and rank < lowest:
            play, lowest = slot, rank
        if not mine & ~dead or (cards[0, slot, MARKS] & SPARE and spare < 0):
            spare = slot
        if chance(fits, mine, pile) > highest:
            likeliest, highest = slot, chance(fits, mine, pile)
        missed = chance(precious, mine, pile) + 0.1 * (1 - chance(dead, mine, pile))
        if missed < least:
            least_missed, least = slot, missed
    return play, spare, likeliest, least_missed


@njit(nogil=True)
def _decide(view: Any, cards: Cards, trial: Cards) -> Int:
    """The id of the choice to make."""
    hint, gain = _best_hint(view, cards, trial)
    play, spare, likeliest, least_missed = _own(view, cards)
    if hint >= 0 and gain >= _URGENT:
        return hint
    if play >= 0:
        return play_choice(play)
    if hint >= 0 and gain >= _WORTHWHILE:
        return hint
    if view.deck == 0 and likeliest >= 0 and view.lives > 1:
        return play_choice(likeliest)
    if hint >= 0 and (view.tokens == view.max_tokens or (gain >= _IDLE and view.tokens >= _PLENTY)):
        return hint
    if spare < 0:
        spare = chop(view, 0, cards)
    if spare < 0 and hint >= 0 and gain > _MISLEADS:
        return hint
    return discard_choice(spare if spare >= 0 else least_missed)


@njit(cache=True, nogil=True)
def _act(rows: Rows, views: NDArray[np.void], tables: NDArray[np.void], stamp: Any) -> int:
    view, tables = views.copy()[0], tables.copy()  # calls may run at the same time
    cards = np.zeros((SEATS, SLOTS, 3), np.int64)
    trial = cards.copy()
    for i in range(len(rows.facts)):
        status = look(rows, i, view, SLOTS)
        if status != DONE:
            return status
        tokens = recall(view, rows.memory[i], cards)
        for seat in range(rewind(view, tokens, tables), view.players):
            follow(view, tables[seat], seat, tables[seat + 1], cards)
        for seat in range(view.players):
            revise(view, seat, cards)
        remember(view, cards, rows.next_memory[i])
        move = _decide(view, cards, trial)
        choose(rows, i, move)
    return DONE


def make() -> Bot:
    """The player "referential-sieve"."""
    records = np.zeros(1, VIEW), np.zeros(SEATS + 1, TABLE)
    return Bot("referential-sieve", _act, *records, STAMP, memory_size=MEMORY)
