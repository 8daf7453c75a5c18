"""Everything that can be said in a game of Hanabi: one phrasebook for all settings.

Sentences come in *blocks*. A block is a grid of sentences that differ in a few indices (seat,
slot, colour, rank ...), and the id of one of them is the block's base plus its place in the grid,
row-major. So the engine finds ids by arithmetic, with no table of strings.

Seats are relative to whoever reads: 0 is "I" or "me", then come "partner A", the next to act after
me, "partner B" and so on. Slots count from 1 in sentences and from 0 in indices; card 1 of a hand
is the oldest. Ranks are spelled out. So partners, slots and ranks never share a word: a language
model that averages over words would hardly tell "partner 1 card 2 is red 3" from "partner 3 card 1
is red 2". A card's *identity* is ``5 * colour + rank``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from games.blocks import Block, lay_out, sentences
from games.hanabi.rules import (
    COLOURS,
    MAX_CARDS,
    MAX_COLOURS,
    MAX_HAND,
    MAX_PLAYERS,
    MAX_RANKS,
    MAX_TOKENS,
    HanabiConfig,
)
from games.text import Phrasebook

IDENTITIES = MAX_COLOURS * MAX_RANKS
PARTNERS = MAX_PLAYERS - 1
FITTED, MISFIRED, DISCARDED = range(3)
"""What became of a card that left a hand."""


_RANKS = ("one", "two", "three", "four", "five")


def _partner(seat: int) -> str:
    return f"partner {'ABCD'[seat - 1]}"


def _subject(seat: int) -> str:
    return _partner(seat) if seat else "I"


def _object(seat: int) -> str:
    return _partner(seat) if seat else "me"


def _identity(card: int) -> str:
    return f"{COLOURS[card // MAX_RANKS]} {_RANKS[card % MAX_RANKS]}"


def _plural(count: int, noun: str) -> str:
    plural = "lives" if noun == "life" else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def _there_are(count: int, noun: str) -> str:
    return f"there {'is' if count == 1 else 'are'} {_plural(count, noun)}"


# What can be known of a card in common knowledge, in the order the KNOWS block lists it: each
# colour it is, each colour it is not, each rank it is, each rank it is not.
_ATTRIBUTES = (
    *(colour for colour in COLOURS),
    *(f"not {colour}" for colour in COLOURS),
    *(f"rank {rank}" for rank in _RANKS),
    *(f"not rank {rank}" for rank in _RANKS),
)
KNOWN_COLOUR, EXCLUDED_COLOUR, KNOWN_RANK, EXCLUDED_RANK = range(0, 20, 5)

# What a hint can name: colours, then ranks.
_HINTS = (*COLOURS, *(f"rank {rank}" for rank in _RANKS))
HINTS = len(_HINTS)

# Of a card in sight: it could be played now; it can never be played any more; it may be one day,
# and there is no other left. A card can be the first and the third at once.
_SEEN = ("fits now", "is useless", "is the last of its kind")
# Of a card whose owner has to go by hints and by what is out of the game, if true of every card
# that these leave possible. The third: none fits, but some may one day.
_SURE = ("fits now", "is useless", "does not fit yet")
_OUTCOMES = ("which fitted", "which misfired", "which was discarded")


def pair(teller: int, target: int) -> int:
    """Index of an ordered pair of two different relative seats, 0 to 19."""
    return teller * PARTNERS + target - (target > teller)


def unpair(index: int) -> tuple[int, int]:
    """The two relative seats of a pair: the inverse of :func:`pair`."""
    teller, other = divmod(index, PARTNERS)
    return teller, other + (other >= teller)


def _told(index: int, hint: int) -> str:
    teller, target = unpair(index)
    return f"{_subject(teller)} chose to tell {_object(target)} which cards are {_HINTS[hint]}"


_SPECIFICATION: tuple[tuple[str, tuple[int, ...], Callable[..., str]], ...] = (
    # The setting: said at the head of every observation, the same throughout a game.
    ("PLAYERS", (MAX_PLAYERS + 1,), lambda n: f"the game has {_plural(n, 'player')}"),
    ("HAND", (MAX_HAND + 1,), lambda n: f"a hand has {_plural(n, 'card')}"),
    ("COLOURS", (MAX_COLOURS + 1,), lambda n: f"the game has {_plural(n, 'colour')}"),
    ("RANKS", (MAX_RANKS + 1,), lambda n: f"the highest rank is {('none', *_RANKS)[n]}"),
    ("MAX_TOKENS", (MAX_TOKENS + 1,), lambda n: f"at most {_plural(n, 'hint')} can be left"),
    ("MAX_LIVES", (MAX_TOKENS + 1,), lambda n: f"at most {_plural(n, 'life')} can be left"),
    ("BOMB", (2,), lambda keep: f"a lost game {'keeps its' if keep else 'scores no'} points"),
    # The table.
    ("TOKENS", (MAX_TOKENS + 1,), lambda n: f"{_there_are(n, 'hint')} left"),
    ("LIVES", (MAX_TOKENS + 1,), lambda n: f"{_there_are(n, 'life')} left"),
    ("DECK", (MAX_CARDS + 1,), lambda n: f"{_there_are(n, 'card')} in the deck"),
    ("TURNS", (MAX_PLAYERS + 1,), lambda n: f"{_there_are(n, 'turn')} left"),
    (
        "FIREWORK",
        (MAX_COLOURS, MAX_RANKS + 1),
        lambda colour, height: f"the {COLOURS[colour]} firework is at {('none', *_RANKS)[height]}",
    ),
    (
        "DISCARDS",
        (IDENTITIES, 3),
        lambda card, n: f"the discards hold {n + 1} {_identity(card)}",
    ),
    # The hands: what I see in others', and what everybody's owner knows from hints.
    (
        "HOLDS",
        (PARTNERS, MAX_HAND, IDENTITIES),
        lambda seat, slot, card: f"{_partner(seat + 1)} card {slot + 1} is {_identity(card)}",
    ),
    (
        "KNOWS",
        (MAX_PLAYERS, MAX_HAND, len(_ATTRIBUTES)),
        lambda seat, slot, attribute: (
            f"{_subject(seat)} {'knows' if seat else 'know'} card {slot + 1} "
            f"is {_ATTRIBUTES[attribute]}"
        ),
    ),
    # The latest move of every seat, in the words of the choice it was.
    (
        "CHOSE_DISCARD",
        (MAX_PLAYERS, MAX_HAND),
        lambda seat, slot: f"{_subject(seat)} chose to discard card {slot + 1}",
    ),
    (
        "CHOSE_PLAY",
        (MAX_PLAYERS, MAX_HAND),
        lambda seat, slot: f"{_subject(seat)} chose to play card {slot + 1}",
    ),
    (
        "REVEALED",
        (MAX_PLAYERS, len(_OUTCOMES), IDENTITIES),
        lambda seat, outcome, card: (
            f"{_subject(seat)} revealed {_identity(card)} {_OUTCOMES[outcome]}"
        ),
    ),
    ("TOLD", (MAX_PLAYERS * PARTNERS, HINTS), _told),
    (
        "TOUCHED",
        (MAX_PLAYERS, MAX_HAND),
        lambda seat, slot: (
            f"the hint of {_partner(seat) if seat else 'mine'} touched card {slot + 1}"
        ),
    ),
    # What follows from the above at a glance, for players that do not want to work it out.
    (
        "SEEN",
        (PARTNERS, MAX_HAND, 3),
        lambda seat, slot, what: f"{_partner(seat + 1)} card {slot + 1} {_SEEN[what]}",
    ),
    (
        "SURE",
        (MAX_PLAYERS, MAX_HAND, 3),
        lambda seat, slot, what: (
            f"{_subject(seat)} {'knows' if seat else 'know'} card {slot + 1} {_SURE[what]}"
        ),
    ),
    # The choices, in the reference's move order.
    ("DISCARD", (MAX_HAND,), lambda slot: f"I discard card {slot + 1}"),
    ("PLAY", (MAX_HAND,), lambda slot: f"I play card {slot + 1}"),
    (
        "TELL_COLOUR",
        (PARTNERS, MAX_COLOURS),
        lambda seat, colour: f"I tell {_partner(seat + 1)} which cards are {COLOURS[colour]}",
    ),
    (
        "TELL_RANK",
        (PARTNERS, MAX_RANKS),
        lambda seat, rank: f"I tell {_partner(seat + 1)} which cards are rank {_RANKS[rank]}",
    ),
    # Never said in a game: the answers that an auxiliary head may give.
    (
        "MINE",
        (MAX_HAND, IDENTITIES),
        lambda slot, card: f"my card {slot + 1} is {_identity(card)}",
    ),
)


BLOCKS: Final = lay_out(_SPECIFICATION)
PHRASEBOOK: Final = Phrasebook(sentences(BLOCKS))
FIRST_CHOICE: Final = BLOCKS["DISCARD"].base
"""Ids before this one are facts."""


def locate(id: int) -> tuple[Block, tuple[int, ...]]:
    """The block of a phrase id, and its indices there."""
    for block in BLOCKS.values():
        if block.base <= id < block.base + block.size:
            index = np.unravel_index(id - block.base, block.shape)
            return block, tuple(int(i) for i in index)
    raise ValueError(f"{id} is no Hanabi phrase id; there are {len(PHRASEBOOK)}")


def setting_facts(config: HanabiConfig) -> NDArray[np.int16]:
    """The facts that describe a setting, int16 [7]: the head of every observation."""
    return np.array(
        [
            BLOCKS["PLAYERS"].at(config.players),
            BLOCKS["HAND"].at(config.hand),
            BLOCKS["COLOURS"].at(config.colours),
            BLOCKS["RANKS"].at(config.ranks),
            BLOCKS["MAX_TOKENS"].at(config.information_tokens),
            BLOCKS["MAX_LIVES"].at(config.life_tokens),
            BLOCKS["BOMB"].at(int(config.bomb == "keep")),
        ],
        dtype=np.int16,
    )


def fact_phrases(config: HanabiConfig) -> NDArray[np.int16]:
    """Sorted ids of every fact that can occur in a setting, int16 [n]."""
    seats, slots = range(config.players), range(config.hand)
    partners, colours, ranks = range(config.players - 1), range(config.colours), range(config.ranks)
    cards = [MAX_RANKS * colour + rank for colour in colours for rank in ranks]
    attributes = [
        *(offset + colour for offset in (KNOWN_COLOUR, EXCLUDED_COLOUR) for colour in colours),
        *(offset + rank for offset in (KNOWN_RANK, EXCLUDED_RANK) for rank in ranks),
    ]
    if config.colours == 1:
        attributes.remove(EXCLUDED_COLOUR)
    if config.ranks == 1:
        attributes.remove(EXCLUDED_RANK)
    hints = [*colours, *(MAX_COLOURS + rank for rank in ranks)]
    pairs = [pair(a, b) for a in seats for b in seats if a != b]
    left = config.deck_size - config.players * config.hand

    def ids(name: str, *axes: object) -> list[int]:
        return [BLOCKS[name].at(*index) for index in product(*axes)]  # type: ignore[call-overload]

    found = [
        *setting_facts(config).tolist(),
        *ids("TOKENS", range(config.information_tokens + 1)),
        *ids("LIVES", range(config.life_tokens + 1)),
        *ids("DECK", range(left + 1)),
        *ids("TURNS", range(config.players + 1)),
        *ids("FIREWORK", colours, range(config.ranks + 1)),
        *(
            BLOCKS["DISCARDS"].at(card, n)
            for card in cards
            for n in range(config.copies(card % MAX_RANKS))
        ),
        *ids("HOLDS", partners, slots, cards),
        *ids("KNOWS", seats, slots, attributes),
        *ids("CHOSE_DISCARD", seats, slots),
        *ids("CHOSE_PLAY", seats, slots),
        *ids("REVEALED", seats, range(len(_OUTCOMES)), cards),
        *ids("TOLD", pairs, hints),
        *ids("TOUCHED", seats, slots),
    ]
    if config.glance:
        found += ids("SEEN", partners, slots, range(len(_SEEN)))
        found += ids("SURE", seats, slots, range(len(_SURE)))
    return np.array(sorted(found), dtype=np.int16)


def moves(config: HanabiConfig) -> NDArray[np.int16]:
    """Ids of all choices of a setting in the reference's move order, int16 [config.num_moves]."""
    slots, partners = range(config.hand), range(config.players - 1)
    return np.array(
        [
            *(BLOCKS["DISCARD"].at(slot) for slot in slots),
            *(BLOCKS["PLAY"].at(slot) for slot in slots),
            *(BLOCKS["TELL_COLOUR"].at(k, c) for k in partners for c in range(config.colours)),
            *(BLOCKS["TELL_RANK"].at(k, r) for k in partners for r in range(config.ranks)),
        ],
        dtype=np.int16,
    )


def labels(config: HanabiConfig) -> NDArray[np.int16]:
    """The sentences behind the answer sheet, int16 [hand, answers].

    Either what each card is, "my card 1 is red one", or what can be done with it, "I know card 1
    fits now": it fits, is useless, or does not fit yet.
    """
    if config.answers == "cards":
        block = BLOCKS["MINE"]
        ids = [[block.at(slot, k) for k in range(IDENTITIES)] for slot in range(config.hand)]
    else:
        block = BLOCKS["SURE"]
        ids = [[block.at(0, slot, k) for k in range(len(_SURE))] for slot in range(config.hand)]
    return np.array(ids, dtype=np.int16)
