"""The batched Hanabi engine: numba kernels over one record per game.

A game is one record of ``GAME``; thousands of them lie in one array, so saving and restoring is a
copy. :func:`deal` starts games, :func:`advance` makes one move in each and writes what the next
seat observes, :func:`observe` writes what any seat observes, :func:`show` writes rows again.

Speed comes from writing ids without branches. ``out[n] = id; n += condition`` writes always and
keeps the id only if the condition holds; a list that depends on a small mask comes from a table of
fixed width, written whole and kept up to its count. So a row needs ``SLACK`` spare columns, and
whatever was written beyond its end is overwritten or padded.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.chance import GOLDEN, mix
from games.hanabi import phrases
from games.hanabi.phrases import BLOCKS, DISCARDED, FITTED, MISFIRED
from games.hanabi.rules import (
    MAX_CARDS,
    MAX_COLOURS,
    MAX_PLAYERS,
    MAX_RANKS,
    HanabiConfig,
)
from games.text import PAD

GAME = np.dtype(
    [
        ("seed", np.uint64),  # of the episode being played
        ("turn", np.int32),  # moves made so far
        ("touched", np.int32, MAX_PLAYERS),  # slots touched by each seat's latest hint, as bits
        ("deck", np.int8, MAX_CARDS),  # identities, in the order they are drawn
        ("drawn", np.int8),  # cards drawn so far
        ("turns_left", np.int8),  # moves left once the deck is empty
        ("tokens", np.int8),
        ("lives", np.int8),
        ("seat", np.int8),  # to act
        ("score", np.int8),  # points on the table
        ("fireworks", np.int8, MAX_COLOURS),
        ("discards", np.int8, phrases.IDENTITIES),
        # Sets of identities, as bits.
        ("fits", np.int32),  # could be played now
        ("useless", np.int32),  # can never be played any more
        ("gone", np.int32),  # all played or discarded
        ("last", np.int32),  # may be played one day, and no second copy is left
        ("sizes", np.int8, MAX_PLAYERS),  # cards in each hand
        # One entry a card, hand after hand, config.hand entries to a hand, the oldest card first.
        ("cards", np.int8, MAX_CARDS),  # identities
        ("colours", np.int8, MAX_CARDS),  # colours that hints leave possible, as bits
        ("ranks", np.int8, MAX_CARDS),  # ranks that hints leave possible, as bits
        # Each seat's latest move.
        ("kind", np.int8, MAX_PLAYERS),  # NO_MOVE, DISCARD, PLAY, or HINT
        ("slot", np.int8, MAX_PLAYERS),  # of the card that was played or discarded
        ("card", np.int8, MAX_PLAYERS),  # its identity
        ("outcome", np.int8, MAX_PLAYERS),  # FITTED, MISFIRED or DISCARDED
        ("target", np.int8, MAX_PLAYERS),  # seat that was told
        ("hint", np.int8, MAX_PLAYERS),  # colour, or MAX_COLOURS + rank
    ],
    align=True,
)
Games = NDArray[np.void]  # of GAME
Ids = NDArray[np.int16]
Labels = NDArray[np.int8]
Int = Any  # int64 to numba
NO_MOVE, DISCARD, PLAY, HINT = range(4)
SLACK = 4  # columns that a table may write beyond a row's end

# Ids that kernels compute with: globals are constants to numba.
_SETTING = 7  # facts at the head of a row, written when a game is made
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
_SEEN = BLOCKS["SEEN"].base
_SURE = BLOCKS["SURE"].base
_DISCARD = BLOCKS["DISCARD"].base
_PLAY = BLOCKS["PLAY"].base
_TELL_COLOUR = BLOCKS["TELL_COLOUR"].base
_TELL_RANK = BLOCKS["TELL_RANK"].base
_SLOTS = BLOCKS["PLAY"].size
_IDENTITIES = phrases.IDENTITIES
_ATTRIBUTES = BLOCKS["KNOWS"].shape[2]
_HINTS = phrases.HINTS
_PARTNERS = phrases.PARTNERS
_COLOUR = np.arange(_IDENTITIES, dtype=np.int64) // MAX_RANKS
_RANK = np.arange(_IDENTITIES, dtype=np.int64) % MAX_RANKS
_COLOUR_BIT = 1 << _COLOUR
_RANK_BIT = 1 << _RANK
# Sets of identities as bits: all of the colours in a mask, and rank one of every colour.
_OF_COLOURS = np.array(
    [sum(31 << MAX_RANKS * c for c in range(MAX_COLOURS) if m >> c & 1) for m in range(32)]
)
_OF_RANK_ONE = sum(1 << MAX_RANKS * c for c in range(MAX_COLOURS))
# Which of the SURE sentences is true of a card that can be one that fits (1), one that is useless
# (2), one that may fit later (4), or several of these: -1 for none.
_SURE_OF = np.array([-1, 0, 1, -1, 2, -1, 2, -1])

# Compiled kernels are kept on disk with the constants above inside, and numba looks for changes in
# this file only. As part of a type's name the phrasebook's layout is part of what it looks for.
_LAYOUT = zlib.crc32(repr([(b.name, b.base, b.shape) for b in BLOCKS.values()]).encode())

TABLES = np.dtype(
    [
        ("players", np.int64),
        ("colours", np.int64),
        ("ranks", np.int64),
        ("hand", np.int64),
        ("tokens", np.int64),
        ("lives", np.int64),
        ("deck_size", np.int64),
        ("turn_limit", np.int64),  # 0: none
        ("bomb_zero", np.bool_),
        ("random_first_player", np.bool_),
        ("glance", np.bool_),
        ("answer_uses", np.bool_),
        ("deck", np.int8, MAX_CARDS),  # identities in order, before shuffling
        ("copies", np.int8, MAX_RANKS),  # of a card of each rank
        # What a mask of possible colours says: attributes, and how many of the row are facts.
        ("known_colour", np.int16, (1 << MAX_COLOURS, SLACK)),
        ("known_colour_count", np.int64, 1 << MAX_COLOURS),
        ("known_rank", np.int16, (1 << MAX_RANKS, SLACK)),
        ("known_rank_count", np.int64, 1 << MAX_RANKS),
        (f"layout_{_LAYOUT:08x}", np.int8),  # never read
    ],
    align=True,
)
"""A setting in the form that kernels read: one record, so that a call passes one pointer."""


class Rows(NamedTuple):
    """What the seats to act are shown, one row a game, as ``BatchedGame`` describes it."""

    facts: Ids  # the setting at the head of each row is never written
    fact_counts: Ids
    choices: Ids
    choice_counts: Ids
    seat: NDArray[np.int8]
    labels: NDArray[np.int8]


class Result(NamedTuple):
    """What moves brought, as ``Step`` describes it: by game and seat, or by game."""

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    over: NDArray[np.bool_]
    elapsed: NDArray[np.int32]
    outcome: NDArray[np.float32]  # score, points and lost, a row each


def _known(options: int, known: int, excluded: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """What a mask of possibilities says: the one that is left, or else those that are excluded."""
    table = np.zeros((32, SLACK), np.int16)
    count = np.zeros(32, np.int64)
    for mask in range(1, 1 << options):
        possible = [bit for bit in range(options) if mask >> bit & 1]
        if len(possible) == 1:
            said = [known + possible[0]]
        else:
            said = [excluded + bit for bit in range(options) if not mask >> bit & 1]
        table[mask, : len(said)] = said
        count[mask] = len(said)
    return table, count


def make_tables(config: HanabiConfig) -> np.void:
    """Prepares a setting for the kernels: one record of ``TABLES``."""
    tables = np.zeros(1, TABLES)
    t = tables[0]
    t["players"], t["hand"] = config.players, config.hand
    t["colours"], t["ranks"] = config.colours, config.ranks
    t["tokens"], t["lives"] = config.information_tokens, config.life_tokens
    t["deck_size"], t["turn_limit"] = config.deck_size, config.turn_limit or 0
    t["bomb_zero"], t["random_first_player"] = config.bomb == "zero", config.random_first_player
    t["glance"], t["answer_uses"] = config.glance, config.answers == "uses"
    t["deck"][: config.deck_size] = [
        MAX_RANKS * colour + rank
        for colour in range(config.colours)
        for rank in range(config.ranks)
        for _ in range(config.copies(rank))
    ]
    t["copies"][: config.ranks] = [config.copies(rank) for rank in range(config.ranks)]
    t["known_colour"], t["known_colour_count"] = _known(
        config.colours, phrases.KNOWN_COLOUR, phrases.EXCLUDED_COLOUR
    )
    t["known_rank"], t["known_rank_count"] = _known(
        config.ranks, phrases.KNOWN_RANK, phrases.EXCLUDED_RANK
    )
    return t


def max_facts(config: HanabiConfig) -> int:
    """Columns a row of facts needs, spare ones included."""
    players, hand = config.players, config.hand
    setting_and_table = _SETTING + 4 + config.colours
    # One sort of discard a fact; no more sorts than cards that can leave a hand.
    discards = min(config.colours * config.ranks, config.deck_size)
    held = (players - 1) * hand
    known = players * hand * (max(1, config.colours - 1) + max(1, config.ranks - 1))
    glance = config.glance * (2 * held + players * hand)
    moves = players * (1 + max(1, hand))
    return setting_and_table + discards + held + known + moves + glance + SLACK


_32 = np.uint64(32)


@njit(cache=True, nogil=True)
def _at(array: Any, i: Int) -> Any:
    """``array[i]`` for an i of at least 0.

    Unsigned, because numba asks of every signed index whether it is negative: a quarter of the time
    of writing a row went there.
    """
    return array[np.uintp(i)]


@njit(cache=True, nogil=True)
def _put(out: Ids, n: Int, id: Int) -> None:
    """``out[n] = id`` for an n of at least 0."""
    out[np.uintp(n)] = id


@njit(cache=True, nogil=True)
def _below(random: Any, n: Int) -> Int:
    """Maps 64 random bits to 0 .. n - 1, for small n (Lemire's multiply-shift)."""
    return np.int64(((random >> _32) * np.uint64(n)) >> _32)


@njit(cache=True, nogil=True)
def _draw(game: Any, t: Any, seat: Int) -> None:
    """Moves the deck's next card to the end of a hand, if there is one."""
    if game.drawn < t.deck_size:
        at = seat * t.hand + game.sizes[seat]
        game.cards[at] = game.deck[game.drawn]
        game.colours[at] = (1 << t.colours) - 1
        game.ranks[at] = (1 << t.ranks) - 1
        game.sizes[seat] += 1
        game.drawn += 1


@njit(cache=True, nogil=True)
def _assess(game: Any, t: Any, colour: Int) -> None:
    """Finds the prospects of a colour's cards, after one of them was played or discarded."""
    height = np.int64(game.fireworks[colour])
    fits, useless, gone, last = 0, 0, 0, 0
    dead = False  # a firework cannot rise past a card that is gone
    for rank in range(t.ranks):
        played = rank < height
        left = t.copies[rank] - game.discards[MAX_RANKS * colour + rank] - played
        dead |= left == 0 and not played
        fits |= int(rank == height and not dead) << rank
        useless |= int(played or dead) << rank
        gone |= int(left == 0) << rank
        last |= int(left == 1 and not played and not dead) << rank
    shift = MAX_RANKS * colour
    others = ~(31 << shift)
    game.fits = game.fits & others | fits << shift
    game.useless = game.useless & others | useless << shift
    game.gone = game.gone & others | gone << shift
    game.last = game.last & others | last << shift


@njit(cache=True, nogil=True)
def _start(game: Any, t: Any, seed: Any, shuffled: bool) -> None:
    """Starts a game: shuffles the deck by the seed (unless it lies ready) and deals."""
    # Hashing the seed first keeps the streams of neighbouring seeds from overlapping.
    random = mix(seed + GOLDEN)
    # The first seat is drawn first, so a deck does not depend on whether it is asked for.
    first = _below(mix(random), t.players)
    game.seat = first if t.random_first_player else 0
    game.seed = seed
    size = t.deck_size
    if not shuffled:
        for i in range(size):
            game.deck[i] = t.deck[i]
        for i in range(size - 1, 0, -1):  # Fisher-Yates
            random += GOLDEN
            j = _below(mix(random), i + 1)
            card = game.deck[i]
            game.deck[i] = game.deck[j]
            game.deck[j] = card
    game.turn = 0
    game.drawn = 0
    game.turns_left = t.players
    game.tokens = t.tokens
    game.lives = t.lives
    game.score = 0
    for colour in range(MAX_COLOURS):
        game.fireworks[colour] = 0
    for card in range(_IDENTITIES):
        game.discards[card] = 0
    for colour in range(t.colours):
        _assess(game, t, np.int64(colour))
    for seat in range(t.players):
        game.sizes[seat] = 0
        game.kind[seat] = NO_MOVE
        for _ in range(t.hand):
            _draw(game, t, seat)


@njit(cache=True, nogil=True)
def _remove(game: Any, t: Any, seat: Int, slot: Int) -> None:
    """Takes a card out of a hand; the younger ones move up."""
    first = seat * t.hand
    for at in range(first + slot, first + game.sizes[seat] - 1):
        game.cards[at] = game.cards[at + 1]
        game.colours[at] = game.colours[at + 1]
        game.ranks[at] = game.ranks[at + 1]
    game.sizes[seat] -= 1


@njit(cache=True, nogil=True)
def _tell(game: Any, t: Any, seat: Int, target: Int, hint: Int) -> Int:
    """Marks what a hint shows about each card of a hand; returns the touched slots as bits."""
    touched = 0
    first = target * t.hand
    for slot in range(game.sizes[target]):
        at = first + slot
        card = game.cards[at]
        if hint < MAX_COLOURS:
            match = _COLOUR[card] == hint
            mask = game.colours[at]
            bit = 1 << hint
            game.colours[at] = bit if match else mask & ~bit
        else:
            match = _RANK[card] == hint - MAX_COLOURS
            mask = game.ranks[at]
            bit = 1 << (hint - MAX_COLOURS)
            game.ranks[at] = bit if match else mask & ~bit
        touched |= match << slot
    return touched


@njit(cache=True, nogil=True)
def _move(game: Any, t: Any, choice: Int) -> tuple[Int, bool, bool]:
    """Makes the seat's move, a phrase id that is legal, and passes the turn on.

    Returns:
        points won (1 or 0); whether the game was lost; whether it is over by the rules.
    """
    seat = np.int64(game.seat)
    if game.drawn == t.deck_size:
        game.turns_left -= 1
    points = 0
    if choice < _TELL_COLOUR:
        slot = choice - (_DISCARD if choice < _PLAY else _PLAY)
        card = np.int64(game.cards[seat * t.hand + slot])
        colour, rank = _COLOUR[card], _RANK[card]
        game.slot[seat] = slot
        game.card[seat] = card
        if choice < _PLAY:
            game.kind[seat] = DISCARD
            game.outcome[seat] = DISCARDED
            game.discards[card] += 1
            game.tokens += 1
        else:
            game.kind[seat] = PLAY
            if game.fireworks[colour] == rank:
                game.outcome[seat] = FITTED
                game.fireworks[colour] += 1
                game.score += 1
                points = 1
                if rank == t.ranks - 1 and game.tokens < t.tokens:
                    game.tokens += 1
            else:
                game.outcome[seat] = MISFIRED
                game.discards[card] += 1
                game.lives -= 1
        _assess(game, t, colour)
        _remove(game, t, seat, slot)
        _draw(game, t, seat)
    else:
        if choice < _TELL_RANK:
            offset = (choice - _TELL_COLOUR) // MAX_COLOURS
            hint = (choice - _TELL_COLOUR) % MAX_COLOURS
        else:
            offset = (choice - _TELL_RANK) // MAX_RANKS
            hint = MAX_COLOURS + (choice - _TELL_RANK) % MAX_RANKS
        target = seat + 1 + offset
        target -= t.players * (target >= t.players)
        game.kind[seat] = HINT
        game.target[seat] = target
        game.hint[seat] = hint
        game.touched[seat] = _tell(game, t, seat, target, hint)
        game.tokens -= 1
    game.turn += 1
    game.seat = seat + 1 if seat + 1 < t.players else 0
    lost = game.lives == 0
    over = lost or game.score == t.colours * t.ranks or game.turns_left == 0
    return points, lost, over


@njit(cache=True, nogil=True)
def _write_facts(game: Any, t: Any, viewer: Int, out: Ids) -> Int:
    """Writes what a seat observes behind the head of a row; returns the row's count.

    The viewer's own cards are never read: of its hand only the masks that hints left.
    """
    n = _SETTING
    left = t.deck_size - game.drawn
    _put(out, n, _TOKENS + game.tokens)
    _put(out, n + 1, _LIVES + game.lives)
    _put(out, n + 2, _DECK + left)
    _put(out, n + 3, _TURNS + game.turns_left)
    n += 3 + (left == 0)
    for colour in range(t.colours):
        _put(out, n, _FIREWORK + (MAX_RANKS + 1) * colour + game.fireworks[colour])
        n += 1
    for card in range(MAX_RANKS * t.colours):
        count = _at(game.discards, card)
        _put(out, n, _DISCARDS + 3 * card + count - 1)
        n += count > 0
    for offset in range(t.players):
        seat = viewer + offset
        seat -= t.players * (seat >= t.players)
        first = seat * t.hand
        if offset > 0:
            said = _HOLDS + (offset - 1) * _SLOTS * _IDENTITIES
            for slot in range(_at(game.sizes, seat)):
                _put(out, n, said + slot * _IDENTITIES + _at(game.cards, first + slot))
                n += 1
        said = _KNOWS + offset * _SLOTS * _ATTRIBUTES
        for slot in range(_at(game.sizes, seat)):
            mask = np.uintp(_at(game.colours, first + slot))
            for i in range(SLACK):
                _put(out, n + i, said + t.known_colour[mask, i])
            n += t.known_colour_count[mask]
            mask = np.uintp(_at(game.ranks, first + slot))
            for i in range(SLACK):
                _put(out, n + i, said + t.known_rank[mask, i])
            n += t.known_rank_count[mask]
            said += _ATTRIBUTES
    for offset in range(t.players):
        seat = viewer + offset
        seat -= t.players * (seat >= t.players)
        kind = _at(game.kind, seat)
        if kind == HINT:
            target = _at(game.target, seat) - viewer
            target += t.players * (target < 0)
            pair = offset * _PARTNERS + target - (target > offset)
            _put(out, n, _TOLD + pair * _HINTS + _at(game.hint, seat))
            n += 1
            touched = _at(game.touched, seat)
            for slot in range(t.hand):
                _put(out, n, _TOUCHED + offset * _SLOTS + slot)
                n += (touched >> slot) & 1
        elif kind != NO_MOVE:
            chose = _CHOSE_PLAY if kind == PLAY else _CHOSE_DISCARD
            _put(out, n, chose + offset * _SLOTS + _at(game.slot, seat))
            revealed = _REVEALED + (offset * 3 + _at(game.outcome, seat)) * _IDENTITIES
            _put(out, n + 1, revealed + _at(game.card, seat))
            n += 2
    return _write_glance(game, t, viewer, out, n) if t.glance else n


@njit(cache=True, nogil=True)
def _write_glance(game: Any, t: Any, viewer: Int, out: Ids, n: Int) -> Int:
    """Writes what the facts say of each card's prospects, from a row's n-th; returns its count."""
    fits, useless = np.int64(game.fits), np.int64(game.useless)
    left, last = ~np.int64(game.gone), np.int64(game.last)
    later = ~(fits | useless)
    for offset in range(t.players):
        seat = viewer + offset
        seat -= t.players * (seat >= t.players)
        first = seat * t.hand
        if offset > 0:
            said = _SEEN + (offset - 1) * _SLOTS * 3
            for slot in range(_at(game.sizes, seat)):
                card = np.int64(_at(game.cards, first + slot))
                _put(out, n, said + ((useless >> card) & 1))
                n += ((fits | useless) >> card) & 1
                _put(out, n, said + 2)
                n += (last >> card) & 1
                said += 3
        said = _SURE + offset * _SLOTS * 3
        for slot in range(_at(game.sizes, seat)):
            at = first + slot
            # What hints leave possible, without what everybody sees is gone.
            possible = (
                _at(_OF_COLOURS, _at(game.colours, at))
                & (_OF_RANK_ONE * _at(game.ranks, at))
                & left
            )
            kinds = (
                (possible & fits != 0) + 2 * (possible & useless != 0) + 4 * (possible & later != 0)
            )
            sure = _at(_SURE_OF, kinds)
            _put(out, n, said + sure)
            n += sure >= 0
            said += 3
    return n


@njit(cache=True, nogil=True)
def _pad(out: Ids, start: Int, end: Int) -> None:
    """Fills a row behind its new end, as far as anything was written."""
    for i in range(start, min(max(end, start + SLACK), len(out))):
        _put(out, i, PAD)


@njit(cache=True, nogil=True)
def _write_choices(game: Any, t: Any, out: Ids) -> Int:
    """Writes the legal moves of the seat to act in the reference's order; returns their count."""
    n = 0
    seat = np.int64(game.seat)
    size = np.int64(_at(game.sizes, seat))
    if game.tokens < t.tokens:
        for slot in range(size):
            _put(out, n, _DISCARD + slot)
            n += 1
    for slot in range(size):
        _put(out, n, _PLAY + slot)
        n += 1
    if game.tokens > 0:
        ranks = 0  # MAX_RANKS bits a partner
        for offset in range(t.players - 1):
            partner = seat + 1 + offset
            partner -= t.players * (partner >= t.players)
            colours = 0
            theirs = 0
            for at in range(partner * t.hand, partner * t.hand + _at(game.sizes, partner)):
                colours |= _at(_COLOUR_BIT, _at(game.cards, at))
                theirs |= _at(_RANK_BIT, _at(game.cards, at))
            ranks |= theirs << (MAX_RANKS * offset)
            for colour in range(t.colours):
                _put(out, n, _TELL_COLOUR + offset * MAX_COLOURS + colour)
                n += (colours >> colour) & 1
        for offset in range(t.players - 1):
            for rank in range(t.ranks):
                _put(out, n, _TELL_RANK + offset * MAX_RANKS + rank)
                n += (ranks >> (MAX_RANKS * offset + rank)) & 1
    return n


@njit(cache=True, nogil=True, inline="always")
def _show(
    game: Any, t: Any, facts: Ids, fact_count: Int, choices: Ids, choice_count: Int, labels: Labels
) -> tuple[Int, Int]:
    """Writes the rows of one game, given the counts they had; returns their counts."""
    seat = np.int64(game.seat)
    n = _write_facts(game, t, seat, facts)
    _pad(facts, n, fact_count)
    m = _write_choices(game, t, choices)
    _pad(choices, m, choice_count)
    for slot in range(t.hand):
        card = game.cards[seat * t.hand + slot]
        if t.answer_uses:
            fits, useless = game.fits >> card & 1, game.useless >> card & 1
            answer = np.int64(2 - 2 * fits - useless)
        else:
            answer = np.int64(_COLOUR[card] * t.ranks + _RANK[card])
        labels[slot] = answer if slot < game.sizes[seat] else -1
    return n, m


@njit(cache=True, nogil=True)
def deal(games: Games, t: Any, seeds: NDArray[np.uint64], shuffled: bool, rows: Rows) -> None:
    """Starts every game.

    Args:
        games: GAME [N].
        t: TABLES, a record.
        seeds: uint64 [N], of the episodes to play.
        shuffled: whether each game's deck already lies in its record.
        rows: what to write.
    """
    facts, fact_counts, choices, choice_counts, seats, labels = rows
    for i in range(len(games)):
        game = games[i]
        _start(game, t, seeds[i], shuffled)
        fact_counts[i], choice_counts[i] = _show(
            game, t, facts[i], fact_counts[i], choices[i], choice_counts[i], labels[i]
        )
        seats[i] = game.seat


@njit(cache=True, nogil=True)
def show(games: Games, t: Any, rows: Rows) -> None:
    """Writes the rows of every game as it stands; arguments as in :func:`deal`."""
    facts, fact_counts, choices, choice_counts, seats, labels = rows
    for i in range(len(games)):
        game = games[i]
        fact_counts[i], choice_counts[i] = _show(
            game, t, facts[i], fact_counts[i], choices[i], choice_counts[i], labels[i]
        )
        seats[i] = game.seat


@njit(cache=True, nogil=True)
def observe(games: Games, t: Any, viewers: NDArray[np.int64], facts: Ids, fact_counts: Ids) -> None:
    """Writes what one seat of every game observes, whether or not it is to act.

    Args:
        games: GAME [N].
        t: TABLES, a record.
        viewers: int64 [N], absolute seats.
        facts: int16 [N, max_facts], the setting at the head of each row.
        fact_counts: int16 [N], counts of what the rows hold, overwritten.
    """
    for i in range(len(games)):
        n = _write_facts(games[i], t, viewers[i], facts[i])
        _pad(facts[i], n, fact_counts[i])
        fact_counts[i] = n


@njit(cache=True, nogil=True)
def advance(
    games: Games, t: Any, moves: NDArray[np.int64], restart: bool, rows: Rows, result: Result
) -> Int:
    """Makes one move in every game and writes what the next seat observes.

    Args:
        games: GAME [N].
        t: TABLES, a record.
        moves: int64 [N], indices into the rows of choices.
        restart: whether finished games start again, with seed + N; if not, they have no choices.
        rows: what to write for the next seats.
        result: what to write about the moves.

    Returns:
        -1, or the first game whose move is no index into its choices: then no game has moved.
    """
    count = len(games)
    # Unpacked here: reading a tuple's arrays inside the loop costs 50 ns a game.
    facts, fact_counts, choices, choice_counts, seats, labels = rows
    rewards, terminated, truncated, overs, elapsed, outcome = result
    for i in range(count):
        if moves[i] < 0 or moves[i] >= choice_counts[i]:
            return i
    for i in range(count):
        game = games[i]
        points, lost, over = _move(game, t, np.int64(choices[i, moves[i]]))
        cut = not over and game.turn == t.turn_limit
        for seat in range(rewards.shape[1]):
            rewards[i, seat] = -game.score if lost and t.bomb_zero else points
            terminated[i, seat] = over
            truncated[i, seat] = cut
        overs[i] = over or cut
        outcome[0, i] = 0 if lost else game.score
        outcome[1, i] = game.score
        outcome[2, i] = lost
        if restart and (over or cut):
            _start(game, t, game.seed + np.uint64(count), False)
        fact_counts[i], choice_counts[i] = _show(
            game, t, facts[i], fact_counts[i], choices[i], choice_counts[i], labels[i]
        )
        seats[i] = game.seat
        # A round has gone by when the turn comes back to the first seat.
        elapsed[i] = game.seat == 0
        if not restart and (over or cut):
            _pad(choices[i], 0, choice_counts[i])
            choice_counts[i] = 0
    return -1
