"""From facts to numbers, fast: what a seat observes, as a record that kernels can read.

:func:`read` turns one row of ids into a record of ``VIEW``; :func:`rewind` undoes the latest move
of every seat, so that whoever keeps beliefs from turn to turn can go through the moves that it
missed, each with the table as it was. ``games.hanabi.decode`` says the same in Python objects.

Seats are relative to the observer, who is seat 0. Slots, colours and ranks count from zero, slot 0
is the oldest card, and a card's identity is ``5 * colour + rank``. Nothing depends on the order of
a row's ids.

The kernels here are not cached by themselves: whoever calls them caches its own, this code inside,
under a key that knows about changes here (``SOURCE``).
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.hanabi.phrases import BLOCKS, DISCARDED, FITTED, HINTS, IDENTITIES, MISFIRED, PARTNERS
from games.hanabi.rules import MAX_COLOURS, MAX_HAND, MAX_PLAYERS, MAX_RANKS

Int = Any  # int64 to numba

SOURCE = zlib.crc32(
    Path(__file__).read_bytes()
    + repr([(b.name, b.base, b.shape) for b in BLOCKS.values()]).encode()
)
"""Changes whenever this file or the phrasebook's layout does."""

NO_MOVE, DISCARD, PLAY, HINT = range(4)
"""What a seat's latest move was."""

HIDDEN = -1
"""A card that the observer cannot see."""

_TABLE: list[tuple[Any, ...]] = [
    ("players", np.int8),
    ("hand", np.int8),  # cards in a full hand
    ("colours", np.int8),
    ("ranks", np.int8),
    ("max_tokens", np.int8),
    ("max_lives", np.int8),
    ("tokens", np.int8),
    ("lives", np.int8),
    ("deck", np.int8),
    ("turns_left", np.int8),  # moves left; as many as players while the deck holds cards
    ("fireworks", np.int8, MAX_COLOURS),
    ("discards", np.int8, IDENTITIES),
    ("sizes", np.int8, MAX_PLAYERS),  # cards in each hand
    ("cards", np.int8, (MAX_PLAYERS, MAX_HAND)),  # identities, or HIDDEN
]

TABLE = np.dtype(_TABLE, align=True)
"""The table at some moment, as far as the observer knows it by now."""

VIEW = np.dtype(
    [
        (f"source_{SOURCE:08x}", np.int64),  # never read: kernels compiled from older code differ
        *_TABLE,
        ("colour_bits", np.int8, (MAX_PLAYERS, MAX_HAND)),  # colours that hints leave possible
        ("rank_bits", np.int8, (MAX_PLAYERS, MAX_HAND)),  # ranks that hints leave possible
        # Each seat's latest move.
        ("kind", np.int8, MAX_PLAYERS),  # NO_MOVE, DISCARD, PLAY or HINT
        ("slot", np.int8, MAX_PLAYERS),  # of the card that was played or discarded
        ("card", np.int8, MAX_PLAYERS),  # its identity
        ("outcome", np.int8, MAX_PLAYERS),  # FITTED, MISFIRED or DISCARDED
        ("target", np.int8, MAX_PLAYERS),  # seat that was told
        ("hint", np.int8, MAX_PLAYERS),  # colour, or MAX_COLOURS + rank
        ("touched", np.int32, MAX_PLAYERS),  # slots that the hint touched, as bits
    ],
    align=True,
)
"""What a seat observes on its turn: the table, what is known from hints, and the latest moves."""

# Ids that kernels compute with: globals are constants to numba.
_PLAYERS = BLOCKS["PLAYERS"].base
_HAND = BLOCKS["HAND"].base
_COLOURS = BLOCKS["COLOURS"].base
_RANKS = BLOCKS["RANKS"].base
_MAX_TOKENS = BLOCKS["MAX_TOKENS"].base
_MAX_LIVES = BLOCKS["MAX_LIVES"].base
_BOMB = BLOCKS["BOMB"].base
_TOKENS = BLOCKS["TOKENS"].base
_LIVES = BLOCKS["LIVES"].base
_DECK = BLOCKS["DECK"].base
_TURNS = BLOCKS["TURNS"].base
_FIREWORK = BLOCKS["FIREWORK"].base
_DISCARDS = BLOCKS["DISCARDS"].base
_HOLDS = BLOCKS["HOLDS"].base
_KNOWS = BLOCKS["KNOWS"].base
_CHOSE_DISCARD = BLOCKS["CHOSE_DISCARD"].base
_CHOSE_PLAY = BLOCKS["CHOSE_PLAY"].base
_REVEALED = BLOCKS["REVEALED"].base
_TOLD = BLOCKS["TOLD"].base
_TOUCHED = BLOCKS["TOUCHED"].base
_GLANCE = BLOCKS["SEEN"].base
_FIRST_CHOICE = BLOCKS["DISCARD"].base
_DISCARD = BLOCKS["DISCARD"].base
_PLAY = BLOCKS["PLAY"].base
_TELL_COLOUR = BLOCKS["TELL_COLOUR"].base
_TELL_RANK = BLOCKS["TELL_RANK"].base
_ATTRIBUTES = BLOCKS["KNOWS"].shape[2]
_FITTED, _MISFIRED, _DISCARDED = FITTED, MISFIRED, DISCARDED


@njit(nogil=True)
def discard_choice(slot: Int) -> Int:
    """Id of the choice to discard a card."""
    return _DISCARD + slot


@njit(nogil=True)
def play_choice(slot: Int) -> Int:
    """Id of the choice to play a card."""
    return _PLAY + slot


@njit(nogil=True)
def hint_choice(target: Int, hint: Int) -> Int:
    """Id of the choice to tell a seat (from 1) a colour, or ``MAX_COLOURS`` + rank."""
    if hint < MAX_COLOURS:
        return _TELL_COLOUR + (target - 1) * MAX_COLOURS + hint
    return _TELL_RANK + (target - 1) * MAX_RANKS + hint - MAX_COLOURS


@njit(nogil=True)
def _clear(view: Any) -> None:
    """Makes a view say nothing."""
    view.players, view.hand, view.colours, view.ranks = 0, 0, 0, 0
    view.max_tokens, view.max_lives = 0, 0
    view.tokens, view.lives, view.deck, view.turns_left = 0, 0, 0, -1
    for colour in range(MAX_COLOURS):
        view.fireworks[colour] = 0
    for card in range(IDENTITIES):
        view.discards[card] = 0
    for seat in range(MAX_PLAYERS):
        view.sizes[seat] = 0
        view.kind[seat] = NO_MOVE
        view.touched[seat] = 0
        for slot in range(MAX_HAND):
            view.cards[seat, slot] = HIDDEN
            view.colour_bits[seat, slot] = (1 << MAX_COLOURS) - 1
            view.rank_bits[seat, slot] = (1 << MAX_RANKS) - 1


@njit(nogil=True)
def _read_table(view: Any, id: Int) -> None:
    """Takes in a fact about the setting or the table."""
    if id < _HAND:
        view.players = id - _PLAYERS
    elif id < _COLOURS:
        view.hand = id - _HAND
    elif id < _RANKS:
        view.colours = id - _COLOURS
    elif id < _MAX_TOKENS:
        view.ranks = id - _RANKS
    elif id < _MAX_LIVES:
        view.max_tokens = id - _MAX_TOKENS
    elif id < _BOMB:
        view.max_lives = id - _MAX_LIVES
    elif id < _TOKENS:
        pass  # how a lost game is scored changes nobody's play
    elif id < _LIVES:
        view.tokens = id - _TOKENS
    elif id < _DECK:
        view.lives = id - _LIVES
    elif id < _TURNS:
        view.deck = id - _DECK
    elif id < _FIREWORK:
        view.turns_left = id - _TURNS
    elif id < _DISCARDS:
        at = id - _FIREWORK
        view.fireworks[at // (MAX_RANKS + 1)] = at % (MAX_RANKS + 1)
    else:
        at = id - _DISCARDS
        view.discards[at // 3] = at % 3 + 1


@njit(nogil=True)
def _read_event(view: Any, id: Int) -> None:
    """Takes in a fact about a seat's latest move."""
    if id < _CHOSE_PLAY:
        at = id - _CHOSE_DISCARD
        view.kind[at // MAX_HAND] = DISCARD
        view.slot[at // MAX_HAND] = at % MAX_HAND
    elif id < _REVEALED:
        at = id - _CHOSE_PLAY
        view.kind[at // MAX_HAND] = PLAY
        view.slot[at // MAX_HAND] = at % MAX_HAND
    elif id < _TOLD:
        at = id - _REVEALED
        seat = at // (3 * IDENTITIES)
        view.outcome[seat] = at // IDENTITIES % 3
        view.card[seat] = at % IDENTITIES
    elif id < _TOUCHED:
        at = (id - _TOLD) // HINTS
        seat, target = at // PARTNERS, at % PARTNERS
        view.kind[seat] = HINT
        view.target[seat] = target + (target >= seat)
        view.hint[seat] = (id - _TOLD) % HINTS
    else:
        at = id - _TOUCHED
        view.touched[at // MAX_HAND] |= 1 << at % MAX_HAND


@njit(nogil=True)
def _complete(view: Any) -> None:
    """Fills in what follows from the facts, once all are read."""
    if view.turns_left < 0:
        view.turns_left = view.players
    for seat in range(view.players):
        for slot in range(view.sizes[seat]):
            view.colour_bits[seat, slot] &= (1 << view.colours) - 1
            view.rank_bits[seat, slot] &= (1 << view.ranks) - 1


@njit(nogil=True)
def read(
    facts: NDArray[np.int16],
    fact_count: Int,
    choices: NDArray[np.int16],
    choice_count: Int,
    view: Any,
) -> bool:
    """Reads one seat's observation.

    Args:
        facts: int16 [F], ids of the facts.
        fact_count: how many of them there are.
        choices: int16 [C], ids of the legal choices; they tell the size of the own hand.
        choice_count: how many of them there are.
        view: record of ``VIEW``, overwritten.

    Returns:
        whether these were facts of a game of Hanabi.
    """
    _clear(view)
    for n in range(fact_count):
        id = np.int64(facts[n])
        if id < 0 or id >= _FIRST_CHOICE:
            return False
        if id < _HOLDS:
            _read_table(view, id)
        elif id < _KNOWS:
            at = id - _HOLDS
            seat, slot = at // (MAX_HAND * IDENTITIES) + 1, at // IDENTITIES % MAX_HAND
            view.cards[seat, slot] = at % IDENTITIES
            view.sizes[seat] = max(view.sizes[seat], slot + 1)
        elif id < _CHOSE_DISCARD:
            at = id - _KNOWS
            seat, slot = at // (MAX_HAND * _ATTRIBUTES), at // _ATTRIBUTES % MAX_HAND
            kind, value = at % _ATTRIBUTES // 5, at % 5  # is, is not a colour; is, is not a rank
            bits = ~(1 << value) if kind % 2 else 1 << value
            if kind < 2:
                view.colour_bits[seat, slot] &= bits
            else:
                view.rank_bits[seat, slot] &= bits
        elif id < _GLANCE:  # what follows from the rest is left out
            _read_event(view, id)
    for n in range(choice_count):
        played = np.int64(choices[n]) - _PLAY
        if 0 <= played < MAX_HAND:
            view.sizes[0] = max(view.sizes[0], played + 1)
    _complete(view)
    return view.players > 0


@njit(nogil=True)
def _copy(source: Any, table: Any) -> None:
    """Copies a view or a table to a table."""
    table.players, table.hand = source.players, source.hand
    table.colours, table.ranks = source.colours, source.ranks
    table.max_tokens, table.max_lives = source.max_tokens, source.max_lives
    table.tokens, table.lives = source.tokens, source.lives
    table.deck, table.turns_left = source.deck, source.turns_left
    for colour in range(MAX_COLOURS):
        table.fireworks[colour] = source.fireworks[colour]
    for card in range(IDENTITIES):
        table.discards[card] = source.discards[card]
    for seat in range(source.players):
        table.sizes[seat] = source.sizes[seat]
        for slot in range(source.hand):
            table.cards[seat, slot] = source.cards[seat, slot]


@njit(nogil=True)
def _undo(view: Any, seat: Int, table: Any) -> None:
    """Takes a seat's latest move back; tokens are left as they are."""
    # With an empty deck turns_left counts down at every move; it is full after the move that drew
    # the last card.
    moved_on_empty = table.deck == 0 and table.turns_left < table.players
    if moved_on_empty:
        table.turns_left += 1
    if view.kind[seat] == HINT:
        return
    if not moved_on_empty:
        table.deck += 1
        table.sizes[seat] -= 1
    card, slot = np.int64(view.card[seat]), np.int64(view.slot[seat])
    for at in range(table.sizes[seat], slot, -1):
        table.cards[seat, at] = table.cards[seat, at - 1]
    table.cards[seat, slot] = card
    table.sizes[seat] += 1
    if view.outcome[seat] == _FITTED:
        table.fireworks[card // MAX_RANKS] -= 1
    else:
        table.discards[card] -= 1
        table.lives += view.outcome[seat] == _MISFIRED


@njit(nogil=True)
def rewind(view: Any, tokens: Int, tables: NDArray[np.void]) -> Int:
    """Finds the table as it was before the latest move of every seat.

    Args:
        view: record of ``VIEW``.
        tokens: hints that were left before the first of these moves: at the observer's last turn,
            or at the start of the game. (Finishing a firework with all hints left brings none, so
            they cannot be counted backwards.)
        tables: TABLE [MAX_PLAYERS + 1], overwritten: entry s is the table before the latest move of
            seat s, and entry P the table now, for s from the returned seat on.

    Returns:
        the seat that moved first of those that have moved, P if none has. 0 is the observer.
    """
    players = np.int64(view.players)
    _copy(view, tables[players])
    first = players
    while first > 0 and view.kind[first - 1] != NO_MOVE:
        first -= 1
        _copy(tables[first + 1], tables[first])
        _undo(view, first, tables[first])
    for seat in range(first, players):
        tables[seat].tokens = tokens
        if view.kind[seat] == HINT:
            tokens -= 1
        elif view.outcome[seat] == _DISCARDED:
            tokens += 1
        elif view.outcome[seat] == _FITTED and view.card[seat] % MAX_RANKS == view.ranks - 1:
            tokens = min(tokens + 1, np.int64(view.max_tokens))
    return first


@njit(cache=True, nogil=True)
def _read_all(
    facts: NDArray[np.int16],
    fact_counts: NDArray[np.int16],
    choices: NDArray[np.int16],
    choice_counts: NDArray[np.int16],
    views: NDArray[np.void],
) -> Int:
    for i in range(len(facts)):
        if not read(facts[i], fact_counts[i], choices[i], choice_counts[i], views[i]):
            return i
    return -1


def views(
    facts: NDArray[np.int16],
    fact_counts: NDArray[np.int16],
    choices: NDArray[np.int16],
    choice_counts: NDArray[np.int16],
) -> NDArray[np.void]:
    """Reads a batch of observations.

    Args:
        facts: int16 [B, F], padded rows of ids.
        fact_counts: int16 [B].
        choices: int16 [B, C], padded rows of ids.
        choice_counts: int16 [B].

    Returns:
        VIEW [B].

    Raises:
        ValueError: if a row does not hold facts of a game of Hanabi.
    """
    found = np.zeros(len(facts), VIEW)
    wrong = _read_all(facts, fact_counts, choices, choice_counts, found)
    if wrong >= 0:
        raise ValueError(f"row {wrong} holds no facts of a game of Hanabi")
    return found
