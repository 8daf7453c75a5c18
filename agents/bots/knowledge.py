"""What follows from a view of the table: sets of cards, chances, and beliefs kept between turns.

A *set* of cards is an integer with one bit for each identity. What hints, and conventions about
hints, leave possible for a card is such a set; so is everything that can be played now. Questions
about a card ("is it certainly playable?") are then a few operations on integers.

Helpers take a ``VIEW`` or a ``TABLE`` of ``games.hanabi.view``, whichever is at hand.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.chance import GOLDEN, mix
from games.hanabi.view import SOURCE

Int = Any  # int64 to numba
Counts = NDArray[np.int64]  # [CARDS], copies of each card
Hands = NDArray[np.int64]  # [seats, slots], sets of cards, of any value behind a hand's end

COLOURS = RANKS = 5
CARDS = COLOURS * RANKS
EVERYTHING = (1 << CARDS) - 1

_RANK_ROW = (1 << RANKS) - 1
_BITS = np.arange(1 << 5)[:, None] >> np.arange(5) & 1  # [set of five, element]

# The cards of a set of colours, and those of a set of ranks.
OF_COLOURS = (_BITS * (_RANK_ROW << RANKS * np.arange(COLOURS))).sum(1).astype(np.int64)
OF_RANKS = (_BITS << np.arange(RANKS)).sum(1).astype(np.int64) * sum(
    1 << RANKS * colour for colour in range(COLOURS)
)
# The cards that a hint (colour, or COLOURS + rank) touches.
OF_HINT = np.concatenate([OF_COLOURS[1 << np.arange(5)], OF_RANKS[1 << np.arange(5)]])

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

_FILES = sorted(Path(__file__).parent.glob("*.py"))
STAMP = np.zeros(
    0, [(f"source_{zlib.crc32(b''.join(map(Path.read_bytes, _FILES)), SOURCE):08x}", np.int8)]
)
"""An argument of every cached kernel. It holds nothing, but its type's name changes whenever the
code of the bots does: numba by itself looks for changes in the kernel's own file only."""


@njit(nogil=True)
def digest(ids: NDArray[np.int16], count: Int) -> Any:
    """A uint64 that depends on a row of ids only: what a player draws its lots with."""
    found = GOLDEN
    for n in range(count):
        found = mix(found + np.uint64(ids[n]) + np.uint64(1))
    return found


@njit(nogil=True)
def draw(lot: Any, salt: Int, n: Int) -> Int:
    """One of 0 .. n - 1 by a lot, another for another salt; 0 where there is nothing to draw."""
    return np.int64(mix(lot + np.uint64(salt)) % np.uint64(max(n, 1)))


@njit(nogil=True)
def find(choices: NDArray[np.int16], count: Int, id: Int) -> Int:
    """The index of a choice in a row of legal ones.

    It is 0 where the choice is not legal: a seat without cards, or a game without hints, may leave
    nothing of what a player would do.
    """
    for n in range(count):
        if choices[n] == id:
            return n
    return 0


# Sets of cards


@njit(nogil=True)
def copies(table: Any, rank: Int) -> Int:
    """How often a card of a rank is in the deck, for each colour."""
    if rank == 0:
        return 3
    return 1 if rank == table.ranks - 1 else 2


@njit(nogil=True)
def size(cards: Int) -> Int:
    """Cards in a set (bits counted side by side: Warren, Hacker's Delight, section 5-1)."""
    cards -= cards >> 1 & 0x5555555
    cards = (cards & 0x3333333) + (cards >> 2 & 0x3333333)
    cards = cards + (cards >> 4) & 0xF0F0F0F
    return cards * 0x1010101 >> 24 & 0xFF


@njit(nogil=True)
def single(cards: Int) -> bool:
    """Whether a set holds exactly one card."""
    return cards != 0 and cards & (cards - 1) == 0


@njit(nogil=True)
def one_colour(cards: Int) -> bool:
    """Whether a set holds cards of one colour only."""
    n = 0
    for colour in range(COLOURS):
        n += cards >> RANKS * colour & _RANK_ROW != 0
    return n == 1


@njit(nogil=True)
def one_rank(cards: Int) -> bool:
    """Whether a set holds cards of one rank only."""
    n = 0
    for rank in range(RANKS):
        n += cards & OF_RANKS[1 << rank] != 0
    return n == 1


@njit(nogil=True)
def playable(table: Any) -> Int:
    """The cards that fit now."""
    found = 0
    for colour in range(table.colours):
        rank = table.fireworks[colour]
        if rank < table.ranks:
            found |= 1 << RANKS * colour + rank
    return found


@njit(nogil=True)
def useless(table: Any) -> Int:
    """The cards that will never fit: played already, or above a card that is gone."""
    found = 0
    for colour in range(table.colours):
        reachable = True
        for rank in range(table.ranks):
            card = RANKS * colour + rank
            if rank < table.fireworks[colour]:
                found |= 1 << card
            else:
                if not reachable:
                    found |= 1 << card
                reachable = reachable and table.discards[card] < copies(table, rank)
    return found


@njit(nogil=True)
def valuable(table: Any) -> Int:
    """The last copies of cards that are still needed."""
    found = 0
    for colour in range(table.colours):
        for rank in range(table.fireworks[colour], table.ranks):
            card = RANKS * colour + rank
            if table.discards[card] == copies(table, rank) - 1:
                found |= 1 << card
    return found & ~useless(table)


@njit(nogil=True)
def all_cards(table: Any) -> Int:
    """The cards of the setting."""
    return OF_COLOURS[(1 << table.colours) - 1] & OF_RANKS[(1 << table.ranks) - 1]


@njit(nogil=True)
def hinted(view: Any, seat: Int, slot: Int) -> Int:
    """What hints leave possible for a card, by themselves."""
    return OF_COLOURS[view.colour_bits[seat, slot]] & OF_RANKS[view.rank_bits[seat, slot]]


# Chances: how many copies of each card there are, 0 to 3, is a *pile*: the set of cards of which
# there are one or three, and above it in the same integer the set of those of which there are two
# or three. So copies are counted by counting bits.


@njit(nogil=True)
def pile_of(counts: Counts) -> Int:
    """The pile of int64 [CARDS] copies."""
    pile = 0
    for card in range(CARDS):
        pile |= (counts[card] & 1) << card | counts[card] >> 1 << CARDS + card
    return pile


@njit(nogil=True)
def hidden_pile(table: Any, seen: bool) -> Int:
    """The cards that are neither played nor discarded, nor (if asked) seen in the other hands."""
    counts = np.zeros(CARDS, np.int64)
    for colour in range(table.colours):
        for rank in range(table.ranks):
            card = RANKS * colour + rank
            gone = table.discards[card] + (rank < table.fireworks[colour])
            counts[card] = copies(table, rank) - gone
    if seen:
        for seat in range(1, table.players):
            for slot in range(table.sizes[seat]):
                counts[table.cards[seat, slot]] -= 1
    return pile_of(counts)


@njit(nogil=True)
def weigh(cards: Int, pile: Int) -> Int:
    """How many copies of the cards of a set there are in a pile."""
    return size(cards & pile) + 2 * size(cards & pile >> CARDS)


@njit(nogil=True)
def chance(cards: Int, among: Int, pile: Int) -> float:
    """How likely a card of the set ``among`` belongs to ``cards``, by the copies there are."""
    total = weigh(among, pile)
    return weigh(among & cards, pile) / total if total > 0 else 0.0


@njit(nogil=True)
def present(pile: Int) -> Int:
    """The cards of which a pile holds copies."""
    return (pile | pile >> CARDS) & EVERYTHING


# Beliefs


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
