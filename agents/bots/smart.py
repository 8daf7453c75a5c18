"""SmartBot: hints mean more than they say, and what is not said means something too.

The conventions are those of Arthur O'Dwyer's SmartBot as ``docs/bots.md`` tells them; the code is
our own. Everything that a convention depends on is seen or known by all seats, so that all of them
come to the same beliefs: they are worked out move by move, for every hand, and kept in the memory.
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
from games.hanabi.cards import (
    COLOURS,
    OF_HINT,
    RANKS,
    all_cards,
    chance,
    hidden_pile,
    playable,
    size,
    useless,
    valuable,
)
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

_NONE = -1
# Cards in the deck up to which it is worth to play the likeliest card, by the lives left.
_MYSTERY_DECK = np.array([-1, 1, 1, 3])


@njit(nogil=True)
def chop(table: Any, seat: Int, beliefs: Hands) -> Int:
    """The slot that a seat would discard as far as everybody knows, -1 if it has better to do."""
    fits, dead, precious = playable(table), useless(table), valuable(table)
    pile = hidden_pile(table, False)
    best, most = _NONE, -1.0
    for slot in range(table.sizes[seat]):
        cards = beliefs[seat, slot]
        if not cards & ~fits or not cards & ~dead:
            return _NONE
        p = chance(dead, cards, pile)
        if cards & ~precious and p > most:
            best, most = slot, p
    return best


@njit(nogil=True)
def _heed_hint(table: Any, giver: Int, seat: Int, hint: Int, touched: Int, beliefs: Hands) -> None:
    """Takes in what a hint says, and what it means by convention."""
    fits, precious = playable(table), valuable(table)
    left, right = (giver + 1) % table.players, (giver - 1) % table.players
    warned = chop(table, seat, beliefs) if seat == left and hint >= COLOURS else _NONE
    known = 0  # slots that were known to fit before
    for slot in range(table.sizes[seat]):
        known |= (not beliefs[seat, slot] & ~fits) << slot
    tell_hand(table, seat, hint, touched, beliefs)
    if warned >= 0 and touched >> warned & 1 and beliefs[seat, warned] & precious:
        beliefs[seat, warned] &= precious
        return
    if hint >= COLOURS and table.tokens == table.max_tokens and seat == right and touched & 1:
        return  # somebody had to say something
    newest = _NONE
    for slot in range(table.sizes[seat]):
        if not touched >> slot & 1:
            continue
        cards = beliefs[seat, slot]
        if not cards & ~fits:
            if not known >> slot & 1:
                return  # it was said outright
        elif cards & fits:
            newest = slot
    if newest >= 0:
        beliefs[seat, newest] &= fits


@njit(nogil=True)
def _learn(view: Any, table: Any, seat: Int, after: Any, told: Hands, beliefs: Hands) -> None:
    """Takes in the latest move of a seat, given the tables before and after it."""
    tidy(table, told, beliefs)
    left = (seat + 1) % table.players
    hinted = view.kind[seat] == HINT
    if table.tokens > 0 and table.deck > 0 and not (hinted and view.target[seat] == left):
        # Had the card that the left neighbour would discard been valuable, it would have been told.
        safe = chop(table, left, beliefs)
        if safe >= 0:
            beliefs[left, safe] &= ~valuable(table)
    if hinted:
        target, hint = np.int64(view.target[seat]), np.int64(view.hint[seat])
        touched = np.int64(view.touched[seat])
        tell_hand(table, target, hint, touched, told)
        _heed_hint(table, seat, target, hint, touched, beliefs)
    else:
        slot, drew = np.int64(view.slot[seat]), after.deck < table.deck
        draw_hand(table, seat, slot, drew, told, all_cards(table))
        draw_hand(table, seat, slot, drew, beliefs, all_cards(table))


@njit(nogil=True)
def touches(table: Any, seat: Int, hint: Int) -> Int:
    """The slots of a partner's hand that a hint would touch, as bits."""
    touched = 0
    for slot in range(table.sizes[seat]):
        touched |= (OF_HINT[hint] >> table.cards[seat, slot] & 1) << slot
    return touched


@njit(nogil=True)
def _best_hint(
    table: Any, seat: Int, to_play: bool, beliefs: Hands, heeded: Hands
) -> tuple[Int, Int]:
    """The hint that tells a partner most, but nothing false, and if asked tells it to play.

    Returns:
        id of a choice, -1 if there is none; and how many possibilities it takes away.
    """
    fits = playable(table)
    best, most = _NONE, -1
    for hint in range(COLOURS + RANKS):
        touched = touches(table, seat, hint)
        if not touched:
            continue
        heeded[:] = beliefs
        _heed_hint(table, 0, seat, hint, touched, heeded)
        gain, plays, honest = 0, 0, True
        for slot in range(table.sizes[seat]):
            before, after = beliefs[seat, slot], heeded[seat, slot]
            honest = honest and after >> table.cards[seat, slot] & 1
            gain += size(before) - size(after)
            plays += not after & ~fits and before & ~fits != 0
        if honest and (plays or not to_play) and gain > most:
            best, most = hint_choice(seat, hint), gain
    return best, most


@njit(nogil=True)
def lowest_rank(cards: Int) -> Int:
    """The lowest rank in a set of cards that is not empty."""
    rank = 0
    while not cards & OF_HINT[COLOURS + rank]:
        rank += 1
    return rank


@njit(nogil=True)
def _play(table: Any, mine: Hands, beliefs: Hands) -> Int:
    """Plays the lowest card that fits, first those of which others do not know that it does."""
    fits = playable(table)
    best, most = _NONE, 0
    for slot in range(table.sizes[0]):
        if mine[slot] and not mine[slot] & ~fits:
            worth = RANKS - lowest_rank(mine[slot]) + (100 if beliefs[0, slot] & ~fits else 0)
            if worth > most:
                best, most = slot, worth
    return play_choice(best) if best >= 0 else _NONE


@njit(nogil=True)
def play_mystery(table: Any, mine: Hands, pile: Int, deck: Int) -> Int:
    """Plays the likeliest card when there is little to lose: with ``deck`` cards left or less."""
    if table.deck > deck:
        return _NONE
    best, most = _NONE, 0.0
    for slot in range(table.sizes[0]):
        p = chance(playable(table), mine[slot], pile)
        if p > most:
            best, most = slot, p
    return play_choice(best) if best >= 0 else _NONE


@njit(nogil=True)
def _warn(table: Any, beliefs: Hands, heeded: Hands) -> Int:
    """Keeps the left neighbour from discarding a valuable card."""
    slot = chop(table, 1, beliefs)
    if table.tokens == 0 or slot < 0 or not valuable(table) >> table.cards[1, slot] & 1:
        return _NONE
    hint, _ = _best_hint(table, 1, True, beliefs, heeded)
    return hint if hint >= 0 else hint_choice(1, COLOURS + table.cards[1, slot] % RANKS)


@njit(nogil=True)
def _help(table: Any, to_play: bool, beliefs: Hands, heeded: Hands) -> Int:
    """Tells some partner what takes most doubts away, and if asked tells it to play."""
    best, most = _NONE, -1
    if table.tokens > 0:
        for seat in range(1, table.players):
            hint, gain = _best_hint(table, seat, to_play, beliefs, heeded)
            if gain > most:
                best, most = hint, gain
    return best


@njit(nogil=True)
def _stall(table: Any, beliefs: Hands, heeded: Hands) -> Int:
    """Says something when nothing may be discarded: something true, or what means nothing."""
    move = _help(table, False, beliefs, heeded)
    right = table.players - 1
    return move if move >= 0 else hint_choice(right, COLOURS + table.cards[right, 0] % RANKS)


@njit(nogil=True)
def discard(table: Any, mine: Hands, expected: Int) -> Int:
    """Discards a useless card, else the one in the slot that all expect, else the highest."""
    dead = useless(table)
    for slot in range(table.sizes[0]):
        if mine[slot] and not mine[slot] & ~dead:
            return discard_choice(slot)
    if expected >= 0:
        return discard_choice(expected)
    best, most = 0, -1
    for slot in range(table.sizes[0]):
        highest = RANKS - 1
        while highest > 0 and not mine[slot] & OF_HINT[COLOURS + highest]:
            highest -= 1
        if highest > most:
            best, most = slot, highest
    return discard_choice(best)


@njit(nogil=True)
def _decide(table: Any, told: Hands, beliefs: Hands, heeded: Hands) -> Int:
    """The id of the choice to make."""
    pile = hidden_pile(table, True)
    mystery = _MYSTERY_DECK[table.lives if table.lives < 3 else 3]
    mine = private(table, told, beliefs, heeded)
    if table.deck == 0:
        move = _play(table, mine, beliefs)
        if move < 0:
            move = play_mystery(table, mine, pile, mystery)
        if move >= 0:
            return move
    move = _warn(table, beliefs, heeded)
    if move < 0:
        move = _play(table, mine, beliefs)
    if move < 0:
        move = _help(table, True, beliefs, heeded)
    if move < 0:
        move = play_mystery(table, mine, pile, mystery)
    if move < 0 and table.tokens == table.max_tokens:
        move = _stall(table, beliefs, heeded)
    return move if move >= 0 else discard(table, mine, chop(table, 0, beliefs))


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
    """The player "smart"."""
    records = np.zeros(1, VIEW), np.zeros(SEATS + 1, TABLE)
    return Bot("smart", _act, *records, STAMP, memory_size=MEMORY)
