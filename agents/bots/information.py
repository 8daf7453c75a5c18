"""The information strategy: one hint tells every other player something, as in a hat-guessing game.

After Cox, De Silva, DeOrsey, Kenter, Retter and Tobin, "How to make the perfect fireworks display"
(2015), and the extension to any number of players by Jeff Wu (``hanabi.rs``), as ``docs/bots.md``
tells it; the code and the questions are our own.

What hints have told each player about its hand is known to all. From it follow *questions* about
the hand, the same for everybody, and every player but the one who asks can see the answer. The hint
that is given has a number; the numbers of all receivers' answers add up to it, modulo the number
of different hints. A receiver takes off what it sees the others' answers to be, and is left with
its own. To discard one of several cards that all know to be useless is another way to say a number.
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
    CARDS,
    COLOURS,
    OF_HINT,
    OF_RANKS,
    RANKS,
    all_cards,
    chance,
    copies,
    hidden_pile,
    one_colour,
    one_rank,
    playable,
    single,
    size,
    useless,
    valuable,
    weigh,
)
from games.hanabi.view import (
    DISCARD,
    HINT,
    TABLE,
    VIEW,
    discard_choice,
    hint_choice,
    play_choice,
    rewind,
)

Int = Any  # int64 to numba
Hand = NDArray[np.int64]  # [slots], sets of cards
Sets = tuple[Int, Int, Int]  # cards that fit, useless cards, the pile of hidden cards

_NONE = -1
_MOST = 32  # statements of one question, at most


@njit(nogil=True)
def _survey(table: Any) -> Sets:
    return playable(table), useless(table), hidden_pile(table, False)


# Questions. A question is a list of statements "the card in this slot is one of these"; its answer
# is the number of the first that is true, or the number of statements if none is.


@njit(nogil=True)
def _spread(cards: Int, classes: Int, slot: Int, slots: Hand, sets: Hand, n: Int) -> Int:
    """Adds statements that deal a set of cards out to so many classes; returns their count."""
    first = n
    for _ in range(classes):
        slots[n], sets[n] = slot, 0
        n += 1
    turn = 0
    for rank in range(RANKS):
        for colour in range(COLOURS):
            card = 1 << RANKS * colour + rank
            if cards & card:
                sets[first + turn % classes] |= card
                turn += 1
    return n


@njit(nogil=True)
def _ask_to_play(s: Sets, hand: Hand, cards: Int, budget: Int, slots: Hand, sets: Hand) -> Int:
    """Asks which is the first card that fits, the likeliest first, and if there is room which."""
    fits, _, pile = s
    left = 0  # slots to ask about, as bits
    count = 0
    for slot in range(cards):
        if hand[slot] & fits and hand[slot] & ~fits:
            left |= 1 << slot
            count += 1
    count = min(count, budget - 1)
    spare = budget - 1 - count
    n = 0
    for _ in range(count):
        best, most = 0, -1.0
        for slot in range(cards):
            p = chance(fits, hand[slot], pile)
            if left >> slot & 1 and p > most:
                best, most = slot, p
        left &= ~(1 << best)
        extra = min(size(hand[best] & fits) - 1, spare)
        spare -= extra
        n = _spread(hand[best] & fits, 1 + extra, best, slots, sets, n)
    return n


@njit(nogil=True)
def _ask_which(s: Sets, hand: Hand, cards: Int, budget: Int, slots: Hand, sets: Hand) -> Int:
    """Asks which card one of them is, the likeliest to fit first."""
    fits, dead, pile = s
    best, most = _NONE, -1.0
    for slot in range(cards):
        if single(hand[slot]) or not hand[slot] & ~dead:
            continue
        p = chance(fits, hand[slot], pile) + 0.1 * chance(dead, hand[slot], pile)
        if p > most:
            best, most = slot, p
    if best < 0:
        return 0
    # Useless cards need not be told apart: they are the last answer, or share it.
    alive = hand[best] & ~dead
    classes = min(size(alive), budget - (hand[best] != alive))
    if classes < 1:
        return 0
    n = _spread(alive, classes, best, slots, sets, 0)
    return n if hand[best] != alive else n - 1


@njit(nogil=True)
def _answer(
    s: Sets, hand: Hand, cards: Int, numbers: Int, held: NDArray[np.int8], seen: bool, said: Int
) -> Int:
    """Goes through the questions about a hand, and takes in the answers.

    Args:
        s: of the table.
        hand: what its owner knows, overwritten by what it then knows.
        cards: in the hand.
        numbers: how many different answers there may be to all questions together.
        held: the cards, read if ``seen``.
        seen: whether the answers come from the cards, or from ``said``.
        said: the answers as one number.

    Returns:
        the answers as one number, below ``numbers``.
    """
    slots, sets = np.empty(_MOST, np.int64), np.empty(_MOST, np.int64)
    number, unit = 0, 1
    busy = False
    for slot in range(cards):
        busy = busy or not hand[slot] & ~s[0]
    while numbers >= 2:
        n = 0
        if not busy:
            n = _ask_to_play(s, hand, cards, numbers, slots, sets)
        if n == 0:
            n = _ask_which(s, hand, cards, numbers, slots, sets)
        if n == 0:
            break
        if seen:
            true = 0
            while true < n and not sets[true] >> held[slots[true]] & 1:
                true += 1
        else:
            true = said // unit % (n + 1)
        for i in range(true):
            hand[slots[i]] &= ~sets[i]
        if true < n:
            hand[slots[true]] &= sets[true]
            busy = busy or not hand[slots[true]] & ~s[0]
        number += unit * true
        unit *= n + 1
        numbers //= n + 1
    return number


# Numbers of hints


@njit(nogil=True)
def _kinds(hand: Hand, cards: Int) -> Int:
    """How many kinds of hints a hand can be given for certain, whatever it holds: 2 to 4."""
    shared = -1
    for slot in range(cards):
        shared &= hand[slot]
    if shared and cards <= 3:
        return 2  # its cards may all be the same
    for hint in range(COLOURS + RANKS):
        uniform = True
        for slot in range(cards):
            uniform = uniform and hand[slot] & OF_HINT[hint] != 0
        if uniform:
            return 3
    return 4


@njit(nogil=True)
def _kind(kinds: Int, hint: Int, touches: Int) -> Int:
    """Which kind a hint is, by whether it touches the marked card."""
    by_colour = 1 if hint < COLOURS else 0
    if kinds == 2 or touches:
        return by_colour
    return 2 + by_colour * (kinds == 4)


@njit(nogil=True)
def _mark(dead: Int, hand: Hand, cards: Int) -> Int:
    """The slot of the marked card: the first of those about which most is unknown."""
    best, most = 0, -1
    for slot in range(cards):
        score = 0
        if hand[slot] & ~dead:
            score = 1 + (not one_colour(hand[slot])) + (not one_rank(hand[slot]))
        if score > most:
            best, most = slot, score
    return best


@njit(nogil=True)
def _numbers(table: Any, giver: Int, beliefs: Hands) -> Int:
    """How many different hints a seat can give for certain."""
    found = 0
    for offset in range(1, table.players):
        seat = (giver + offset) % table.players
        found += _kinds(beliefs[seat], table.sizes[seat])
    return found


@njit(nogil=True)
def _number(
    table: Any, dead: Int, giver: Int, target: Int, hint: Int, touched: Int, beliefs: Hands
) -> Int:
    """The number of a hint."""
    found = 0
    seat = (giver + 1) % table.players
    while seat != target:
        found += _kinds(beliefs[seat], table.sizes[seat])
        seat = (seat + 1) % table.players
    cards = table.sizes[target]
    mark = _mark(dead, beliefs[target], cards)
    return found + _kind(_kinds(beliefs[target], cards), hint, touched >> mark & 1)


# What others did


@njit(nogil=True)
def _heed(table: Any, s: Sets, giver: Int, number: Int, numbers: Int, beliefs: Hands) -> None:
    """Takes in a number that a seat said, one of ``numbers``."""
    rest = number
    for offset in range(1, table.players):
        seat = (giver + offset) % table.players
        if seat != 0:
            cards = table.sizes[seat]
            rest -= _answer(s, beliefs[seat], cards, numbers, table.cards[seat], True, 0)
    if giver != 0:
        _answer(s, beliefs[0], table.sizes[0], numbers, table.cards[0], False, rest % numbers)


@njit(nogil=True)
def _useless_slots(dead: Int, hand: Hand, cards: Int) -> Int:
    """The slots whose cards are certainly useless, as bits."""
    found = 0
    for slot in range(cards):
        found |= (hand[slot] != 0 and not hand[slot] & ~dead) << slot
    return found


@njit(nogil=True)
def _learn(view: Any, table: Any, seat: Int, after: Any, told: Hands, beliefs: Hands) -> None:
    """Takes in the latest move of a seat, given the tables before and after it."""
    tidy(table, told, beliefs)
    s = _survey(table)
    slot = np.int64(view.slot[seat])
    if view.kind[seat] == HINT:
        target, hint = np.int64(view.target[seat]), np.int64(view.hint[seat])
        touched = np.int64(view.touched[seat])
        number = _number(table, s[1], seat, target, hint, touched, beliefs)
        _heed(table, s, seat, number, _numbers(table, seat, beliefs), beliefs)
        tell_hand(table, target, hint, touched, told)
        tell_hand(table, target, hint, touched, beliefs)
        return
    slots = _useless_slots(s[1], beliefs[seat], table.sizes[seat])
    if view.kind[seat] == DISCARD and slots >> slot & 1 and not single(slots):
        _heed(table, s, seat, size(slots & (1 << slot) - 1), size(slots), beliefs)
    drew = after.deck < table.deck
    draw_hand(table, seat, slot, drew, told, all_cards(table))
    draw_hand(table, seat, slot, drew, beliefs, all_cards(table))


# What to do


@njit(nogil=True)
def _sum(table: Any, s: Sets, numbers: Int, beliefs: Hands, heeded: Hands) -> Int:
    """The number to say, the sum of all answers; ``heeded`` becomes what all know then."""
    heeded[:] = beliefs
    found = 0
    for seat in range(1, table.players):
        found += _answer(s, heeded[seat], table.sizes[seat], numbers, table.cards[seat], True, 0)
    return found % numbers


@njit(nogil=True)
def _hint(table: Any, s: Sets, beliefs: Hands, heeded: Hands) -> Int:
    """The hint whose number is the sum, the one of several that tells most by itself."""
    number = _sum(table, s, _numbers(table, 0, beliefs), beliefs, heeded)
    best, most = _NONE, -1
    for seat in range(1, table.players):
        for hint in range(COLOURS + RANKS):
            touched, gain = 0, 0
            for slot in range(table.sizes[seat]):
                touches = OF_HINT[hint] >> table.cards[seat, slot] & 1
                touched |= touches << slot
                cards = heeded[seat, slot]
                gain += size(cards & (~OF_HINT[hint] if touches else OF_HINT[hint]))
            if not touched:
                continue
            if _number(table, s[1], 0, seat, hint, touched, beliefs) != number:
                gain = -1  # only if there is no other
            if best == _NONE or gain > most:
                best, most = hint_choice(seat, hint), gain
    return best


@njit(nogil=True)
def _play(table: Any, s: Sets, mine: Hand) -> Int:
    """The card to play of those that certainly fit: low, and in nobody else's hand."""
    best, most = _NONE, 0.0
    for slot in range(table.sizes[0]):
        cards = mine[slot]
        if not cards or cards & ~s[0]:
            continue
        worth = 0.0
        for card in range(CARDS):
            if cards >> card & 1:
                holders = 1
                for seat in range(1, table.players):
                    for other in range(table.sizes[seat]):
                        if table.cards[seat, other] == card:
                            holders += 1
                            break
                worth += (10 - card % RANKS) / holders
        worth /= size(cards)
        if worth > most:
            best, most = slot, worth
    return best


@njit(nogil=True)
def _gamble(table: Any, s: Sets, mine: Hand, pile: Int) -> Int:
    """The card to play of those that fit or are useless, if it fits most likely."""
    best, most = _NONE, 0.75
    if table.lives > 1:
        for slot in range(table.sizes[0]):
            p = chance(s[0], mine[slot], pile)
            if not mine[slot] & ~(s[0] | s[1]) and p > most:
                best, most = slot, p
    return best


@njit(nogil=True)
def _somebody_can_play(table: Any, fits: Int) -> bool:
    for seat in range(1, table.players):
        for slot in range(table.sizes[seat]):
            if fits >> table.cards[seat, slot] & 1:
                return True
    return False


@njit(nogil=True)
def _discard_useless(table: Any, s: Sets, mine: Hand, beliefs: Hands, heeded: Hands) -> Int:
    """Discards a useless card; which one, where all know of several, says a number."""
    slots = _useless_slots(s[1], beliefs[0], table.sizes[0])
    if size(slots) > 1:
        number = _sum(table, s, size(slots), beliefs, heeded)
        for slot in range(table.sizes[0]):
            if slots >> slot & 1:
                if number == 0:
                    return discard_choice(slot)
                number -= 1
    for slot in range(table.sizes[0]):
        if mine[slot] and not mine[slot] & ~s[1]:
            return discard_choice(slot)
    return _NONE


@njit(nogil=True)
def _discard(table: Any, mine: Hand, pile: Int) -> Int:
    """Discards what is least missed: held by others too, not the last of its kind, and high."""
    precious = valuable(table)
    seen = 0
    for seat in range(1, table.players):
        for slot in range(table.sizes[seat]):
            seen |= 1 << table.cards[seat, slot]
    best, most = 0, -1.0
    for slot in range(table.sizes[0]):
        cards = mine[slot]
        total = max(1, weigh(cards, pile))
        height = 0.0
        for rank in range(RANKS):
            height += (rank + 1) * weigh(cards & OF_RANKS[1 << rank], pile) / total
        worth = 20 * chance(seen, cards, pile) + 10 * chance(~precious, cards, pile) + height
        if worth > most:
            best, most = slot, worth
    return discard_choice(best)


@njit(nogil=True)
def _decide(table: Any, told: Hands, beliefs: Hands, heeded: Hands) -> Int:
    """The id of the choice to make."""
    s = _survey(table)
    pile = hidden_pile(table, True)
    mine = private(table, told, beliefs, heeded)
    slot = _play(table, s, mine)
    if slot >= 0:
        return play_choice(slot)
    discarded, deck, most_score = 0, 0, np.int64(table.colours) * table.ranks
    for card in range(CARDS):
        discarded += table.discards[card]
    for rank in range(table.ranks):
        deck += table.colours * copies(table, rank)
    # While this many cards have gone, every card that is needed can still be drawn in time.
    early = discarded <= deck - most_score - table.players * np.int64(table.hand)
    if early:
        slot = _gamble(table, s, mine, pile)
        if slot >= 0:
            return play_choice(slot)
    may_discard = table.tokens < table.max_tokens
    if early and may_discard:
        move = _discard_useless(table, s, mine, beliefs, heeded)
        if move >= 0:
            return move
    if table.tokens > 0 and (not may_discard or _somebody_can_play(table, s[0])):
        return _hint(table, s, beliefs, heeded)
    move = _discard_useless(table, s, mine, beliefs, heeded)
    return move if move >= 0 else _discard(table, mine, pile)


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
    """The player "information"."""
    records = np.zeros(1, VIEW), np.zeros(SEATS + 1, TABLE)
    return Bot("information", _act, *records, STAMP, memory_size=MEMORY)
