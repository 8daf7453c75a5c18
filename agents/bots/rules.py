"""The rules that rule-list players are made of.

A player is a list of :class:`Rule`; the first that has a move makes it. Rules look at hands from
the next partner on, and at cards from the oldest on; P counts unseen copies over the cards that
hints leave possible for a slot.

The rules are those of Walton-Rivers et al., "Evaluating and modelling Hanabi-playing agents"
(2017), Osawa, "Solving Hanabi" (2015), and van den Bergh et al., "Aspects of the cooperative card
game Hanabi" (2016), as ``docs/bots.md`` pins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.bots.core import draw
from games.hanabi.cards import (
    COLOURS,
    OF_HINT,
    RANKS,
    chance,
    hidden_pile,
    hinted,
    playable,
    single,
    useless,
)
from games.hanabi.view import discard_choice, hint_choice, play_choice

Int = Any  # int64 to numba


class Kind(IntEnum):
    """What a rule does."""

    PLAY_CERTAIN = 0
    """Play the first card whose colour and rank hints have told, if it fits."""
    PLAY_SAFE = 1
    """Play the first card that fits, whichever it is of those that hints leave possible."""
    PLAY_LIKELY = 2
    """Play the card that most likely fits, if P reaches ``chance``."""
    DISCARD_USELESS = 3
    """Discard the first card that is useless, whichever it is of those (Osawa's rule)."""
    DISCARD_LIKELY = 4
    """Discard the card that is most likely useless, if P reaches ``chance``."""
    DISCARD_OLDEST = 5
    """Discard the oldest card."""
    DISCARD_RANDOM = 6
    """Discard any card."""
    TELL_USEFUL = 7
    """Tell of the first card that fits the rank, or the colour if its owner knows the rank."""
    TELL_PLAYABLE = 8
    """Tell of the first card that fits the colour or the rank, whatever its owner knows."""
    TELL_DISPENSABLE = 9
    """Tell of the first useless card what proves it useless."""
    TELL_UNKNOWN = 10
    """Tell the next partner of the first card that it does not know the colour, else the rank."""
    TELL_MOST = 11
    """Tell what most cards of a hand did not know yet."""
    TELL_RANDOM = 12
    """Tell any partner the colour or the rank of any card."""


@dataclass(frozen=True)
class Rule:
    """A rule and when it applies.

    Attributes:
        kind: what it does.
        chance: the least P, where the rule has one.
        lives_above: lives that must be exceeded.
        hints_below: hints left that must not be reached.
        deck_empty: whether the deck must be empty.
    """

    kind: Kind
    chance: float = 0.0
    lives_above: int = 0
    hints_below: int = 127
    deck_empty: bool = False


RULE = np.dtype(
    [
        ("kind", np.int64),
        ("chance", np.float64),
        ("lives_above", np.int64),
        ("hints_below", np.int64),
        ("deck_empty", np.bool_),
    ],
    align=True,
)


def rule_list(rules: Sequence[Rule]) -> NDArray[np.void]:
    """Rules in the form that kernels read: RULE [n]."""
    return np.array(
        [(r.kind, r.chance, r.lives_above, r.hints_below, r.deck_empty) for r in rules], RULE
    )


_PLAY_CERTAIN = int(Kind.PLAY_CERTAIN)
_PLAY_SAFE = int(Kind.PLAY_SAFE)
_PLAY_LIKELY = int(Kind.PLAY_LIKELY)
_DISCARD_USELESS = int(Kind.DISCARD_USELESS)
_DISCARD_LIKELY = int(Kind.DISCARD_LIKELY)
_DISCARD_OLDEST = int(Kind.DISCARD_OLDEST)
_DISCARD_RANDOM = int(Kind.DISCARD_RANDOM)
_TELL_PLAYABLE = int(Kind.TELL_PLAYABLE)
_TELL_DISPENSABLE = int(Kind.TELL_DISPENSABLE)
_TELL_UNKNOWN = int(Kind.TELL_UNKNOWN)
_TELL_MOST = int(Kind.TELL_MOST)
_NO_MOVE = -1


@njit(nogil=True)
def _knows_colour(view: Any, seat: Int, slot: Int) -> bool:
    return single(view.colour_bits[seat, slot])


@njit(nogil=True)
def _knows_rank(view: Any, seat: Int, slot: Int) -> bool:
    return single(view.rank_bits[seat, slot])


@njit(nogil=True)
def _colour_hint(view: Any, seat: Int, slot: Int) -> Int:
    return hint_choice(seat, view.cards[seat, slot] // RANKS)


@njit(nogil=True)
def _rank_hint(view: Any, seat: Int, slot: Int) -> Int:
    return hint_choice(seat, COLOURS + view.cards[seat, slot] % RANKS)


@njit(nogil=True)
def _most_likely(view: Any, cards: Int) -> tuple[Int, float]:
    """The own slot that most likely holds one of a set of cards (the oldest of equals), and P."""
    pile = hidden_pile(view, True)
    best, most = 0, -1.0
    for slot in range(view.sizes[0]):
        p = chance(cards, hinted(view, 0, slot), pile)
        if p > most:
            best, most = slot, p
    return best, most


@njit(nogil=True)
def _certain(view: Any, cards: Int) -> Int:
    """The first own slot that, as hints tell, holds one of a set of cards; -1 if none does."""
    for slot in range(view.sizes[0]):
        if not hinted(view, 0, slot) & ~cards:
            return slot
    return -1


@njit(nogil=True)
def _play(view: Any, kind: Int, least: float) -> Int:
    if kind == _PLAY_CERTAIN:
        for slot in range(view.sizes[0]):
            cards = hinted(view, 0, slot)
            if single(cards) and cards & playable(view):
                return play_choice(slot)
        return _NO_MOVE
    if kind == _PLAY_SAFE:
        slot = _certain(view, playable(view))
        return play_choice(slot) if slot >= 0 else _NO_MOVE
    slot, p = _most_likely(view, playable(view))
    return play_choice(slot) if p >= least else _NO_MOVE


@njit(nogil=True)
def _discard(view: Any, kind: Int, least: float, lot: Any) -> Int:
    if kind == _DISCARD_OLDEST:
        return discard_choice(0)
    if kind == _DISCARD_RANDOM:
        return discard_choice(draw(lot, 1, view.sizes[0]))
    if kind == _DISCARD_USELESS:
        slot = _certain(view, useless(view))
        return discard_choice(slot) if slot >= 0 else _NO_MOVE
    slot, p = _most_likely(view, useless(view))
    return discard_choice(slot) if p >= least else _NO_MOVE


@njit(nogil=True)
def _tell_playable(view: Any, kind: Int, lot: Any) -> Int:
    """Tells of a card that fits."""
    fits = playable(view)
    for seat in range(1, view.players):
        for slot in range(view.sizes[seat]):
            if not fits >> view.cards[seat, slot] & 1:
                continue
            knows_colour = _knows_colour(view, seat, slot)
            knows_rank = _knows_rank(view, seat, slot)
            if kind == _TELL_PLAYABLE:
                by_rank = draw(lot, 2, 2) == 1
            elif knows_colour and knows_rank:
                continue
            else:
                by_rank = not knows_rank
            return _rank_hint(view, seat, slot) if by_rank else _colour_hint(view, seat, slot)
    return _NO_MOVE


@njit(nogil=True)
def _tell_dispensable(view: Any) -> Int:
    """Tells of a useless card what proves it."""
    dead = useless(view)
    for seat in range(1, view.players):
        for slot in range(view.sizes[seat]):
            card, known = view.cards[seat, slot], hinted(view, seat, slot)
            if not dead >> card & 1 or not known & ~dead:
                continue
            if not known & OF_HINT[card // RANKS] & ~dead:
                return _colour_hint(view, seat, slot)
            if not known & OF_HINT[COLOURS + card % RANKS] & ~dead:
                return _rank_hint(view, seat, slot)
    return _NO_MOVE


@njit(nogil=True)
def _tell_unknown(view: Any) -> Int:
    """Tells the next partner of a card that it does not know."""
    for slot in range(view.sizes[1]):
        if not _knows_colour(view, 1, slot):
            return _colour_hint(view, 1, slot)
        if not _knows_rank(view, 1, slot):
            return _rank_hint(view, 1, slot)
    return _NO_MOVE


@njit(nogil=True)
def _tell_most(view: Any) -> Int:
    """Tells what is new to most cards."""
    best, most = _NO_MOVE, 0
    for seat in range(1, view.players):
        for hint in range(COLOURS + RANKS):
            new = 0
            for slot in range(view.sizes[seat]):
                if OF_HINT[hint] >> view.cards[seat, slot] & 1:
                    if hint < COLOURS:
                        new += not _knows_colour(view, seat, slot)
                    else:
                        new += not _knows_rank(view, seat, slot)
            if new > most:
                best, most = hint_choice(seat, hint), new
    return best


@njit(nogil=True)
def _tell_random(view: Any, lot: Any) -> Int:
    """Tells anything; every hand but the own holds a card."""
    seat = 1 + draw(lot, 3, view.players - 1)
    slot = draw(lot, 4, view.sizes[seat])
    if draw(lot, 5, 2):
        return _rank_hint(view, seat, slot)
    return _colour_hint(view, seat, slot)


@njit(nogil=True)
def first_move(view: Any, rules: NDArray[np.void], lot: Any) -> Int:
    """The move of the first rule that has one.

    Args:
        view: record of ``VIEW``.
        rules: RULE [n].
        lot: uint64, what chance is drawn with.

    Returns:
        id of a choice, -1 if no rule has a move. Whatever it is, it is legal.
    """
    for n in range(len(rules)):
        rule = rules[n]
        if view.lives <= rule.lives_above or view.tokens >= rule.hints_below:
            continue
        if rule.deck_empty and view.deck > 0:
            continue
        move = _NO_MOVE
        kind = rule.kind
        if kind <= _PLAY_LIKELY:
            move = _play(view, kind, rule.chance if kind == _PLAY_LIKELY else 1.0)
        elif kind <= _DISCARD_RANDOM:
            if view.tokens < view.max_tokens:
                move = _discard(view, kind, rule.chance if kind == _DISCARD_LIKELY else 1.0, lot)
        elif view.tokens == 0:
            continue
        elif kind <= _TELL_PLAYABLE:
            move = _tell_playable(view, kind, lot)
        elif kind == _TELL_DISPENSABLE:
            move = _tell_dispensable(view)
        elif kind == _TELL_UNKNOWN:
            move = _tell_unknown(view)
        elif kind == _TELL_MOST:
            move = _tell_most(view)
        else:
            move = _tell_random(view, lot)
        if move != _NO_MOVE:
            return move
    return _NO_MOVE
