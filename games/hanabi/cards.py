"""Sets of cards, and chances by counting: what follows from a view of the table for anybody.

A *set* of cards is an integer with one bit for each identity. What hints leave possible for a card
is such a set; so is everything that can be played now. Questions about a card ("is it certainly
playable?") are then a few operations on integers.

Helpers take a ``VIEW`` or a ``TABLE`` of ``games.hanabi.view``, whichever is at hand.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.hanabi import view

Int = Any  # int64 to numba
Counts = NDArray[np.int64]  # [CARDS], copies of each card

SOURCE = zlib.crc32(Path(__file__).read_bytes(), view.SOURCE)
"""Changes whenever this file or the view does."""

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
def hinted(seen: Any, seat: Int, slot: Int) -> Int:
    """What hints leave possible for a card of a ``VIEW``, by themselves."""
    return OF_COLOURS[seen.colour_bits[seat, slot]] & OF_RANKS[seen.rank_bits[seat, slot]]


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
