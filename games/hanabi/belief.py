"""What a seat may believe: its own hand and the deck, drawn from all that agree with what it knows.

A *world* is a game in which the hidden cards of a seat (its hand, and the deck) are exchanged for
others that agree with every hint and with the cards in sight. The belief under a random policy
holds each order of these cards for as likely as any other: moves are taken to say nothing of the
cards of who does not see them, beyond what hints say by the rules (off-belief learning: Hu et al.
2021, https://arxiv.org/abs/2103.04000, where it is B_0).

One draw is enough, and it is exact. All hidden cards make a pool; slot after slot draws one of its
candidates, the cards that hints allow, by the copies left. A hand should have a chance in
proportion to the product, over its slots, of the copies left; it has that, divided by the product
of the *masses*: how many cards of the pool the slot could draw. So nothing is wrong where the
masses are the same for every hand, and in Hanabi they are, with the fewest candidates first: of two
cards in a hand, the younger has had only hints that the older has had too. Either one of these told
them apart, and they share no candidate; or none did, and the candidates of the older are among
those of the younger. A slot's mass is then the full pool's, less one for each earlier slot with
candidates among its own, whatever these drew. (For sets that overlap in part a hand would have to
be accepted by its masses, or drawn again.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.chance import begin, below
from games.hanabi.cards import CARDS, OF_COLOURS, OF_RANKS
from games.hanabi.engine import Games

Int = Any  # int64 to numba
Numbers = NDArray[np.int64]

# Somebody may number worlds as games are numbered. A world must not come of the very numbers that
# shuffled its deck.
_SALT = np.uint64(0xB5297A4D3F84D5B5)


@njit(cache=True, nogil=True)
def _mass(pool: Numbers, candidates: Int) -> Int:
    """How many cards of a pool belong to a set."""
    mass = 0
    for card in range(CARDS):
        mass += pool[card] * (candidates >> card & 1)
    return mass


@njit(cache=True, nogil=True)
def _order(pool: Numbers, candidates: Numbers, masses: Numbers, order: Numbers, size: Int) -> bool:
    """Sorts slots by their masses; returns whether no two sets of candidates overlap in part."""
    apart = True
    for slot in range(size):
        mine = candidates[slot]
        masses[slot] = _mass(pool, mine)
        n = slot
        while n > 0 and masses[order[n - 1]] > masses[slot]:
            order[n] = order[n - 1]
            n -= 1
        order[n] = slot
        for other in candidates[:slot]:
            both = mine & other
            apart &= both == 0 or both in (mine, other)
    return apart


@njit(cache=True, nogil=True)
def _draw_hand(
    pool: Numbers,
    candidates: Numbers,
    masses: Numbers,
    order: Numbers,
    hand: Numbers,
    size: Int,
    state: Any,
) -> tuple[bool, Any]:
    """Draws a hand out of the pool; returns whether there is any, and the next random state."""
    for n in range(size):
        slot = order[n]
        mine, mass = candidates[slot], masses[slot]
        for earlier in order[:n]:
            mass -= candidates[earlier] & ~mine == 0
        if mass <= 0:
            return False, state
        left, state = below(state, mass)
        card = -1
        while left >= 0:
            card += 1
            left -= pool[card] * (mine >> card & 1)
        hand[slot] = card
        pool[card] -= 1
    return True, state


@njit(cache=True, nogil=True)
def _shuffle(game: Any, pool: Numbers, state: Any) -> None:
    """Makes the pool the deck that is left, in a random order."""
    first = n = np.int64(game.drawn)
    for card in range(CARDS):
        for _ in range(pool[card]):
            # Fisher-Yates from the inside out: the new card takes the place of any so far.
            at, state = below(state, n - first + 1)
            game.deck[np.uintp(n)] = game.deck[np.uintp(first + at)]
            game.deck[np.uintp(first + at)] = card
            n += 1


@njit(cache=True, nogil=True)
def sample(games: Games, t: Any, seats: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Int:
    """Exchanges a seat's hand and the deck, in every game, for others that the seat may believe in.

    Of the true hand and deck it only matters which cards they hold together, so that a world of a
    world is a world of the game. ``deck`` changes from ``drawn`` on; the cards before are those
    that were really drawn, and the engine reads them no more.

    Args:
        games: GAME [N], changed in place.
        t: TABLES, a record.
        seats: int64 [N], absolute seats: whose beliefs.
        seeds: uint64 [N]; a world depends on its game, its seat and its seed alone.

    Returns:
        -1, or the first game whose hints no play can have given, or no cards agree with: it is
        unchanged, as are those behind it.
    """
    pool = np.empty(CARDS, np.int64)  # copies of each card
    candidates = np.empty(t.hand, np.int64)  # sets of cards, a slot each
    masses = np.empty(t.hand, np.int64)
    order = np.empty(t.hand, np.int64)
    hand = np.empty(t.hand, np.int64)
    for i in range(len(games)):
        game, seat = games[i], seats[i]
        size, first = np.int64(game.sizes[seat]), seat * t.hand
        pool[:] = 0
        for at in range(first, first + size):
            pool[np.uintp(game.cards[np.uintp(at)])] += 1
        for at in range(game.drawn, t.deck_size):
            pool[np.uintp(game.deck[np.uintp(at)])] += 1
        held = 0  # the sorts of cards in the pool; sets that agree on these are the same
        for card in range(CARDS):
            held |= int(pool[card] > 0) << card
        for slot in range(size):
            colours, ranks = game.colours[first + slot], game.ranks[first + slot]
            candidates[slot] = OF_COLOURS[colours] & OF_RANKS[ranks] & held
        if not _order(pool, candidates, masses, order, size):
            return i
        found, state = _draw_hand(
            pool, candidates, masses, order, hand, size, begin(seeds[i] ^ _SALT)
        )
        if not found:
            return i
        for slot in range(size):
            game.cards[np.uintp(first + slot)] = hand[slot]
        _shuffle(game, pool, state)
    return -1
