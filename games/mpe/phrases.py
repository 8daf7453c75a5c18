"""Everything that can be said in the particle games: one phrasebook for all of them.

A unit of ``mpe2`` is a metre here, and its time is in seconds (a step takes a tenth). Each position
and each speed is said twice along each axis: rounded, in centimetres, and in a rough word, which
is shared by amounts that are alike::

    the red landmark lies 35 cm east of me
    the red landmark is somewhat east of me

Numbers are rounded to steps that grow with the amount (``PLACES``, ``SPEEDS``); what is beyond the
last of them is said to be beyond. Seats are relative to whoever reads. Landmarks have colours for
names; where only the nearest are seen, they are named by that, and so are partners: then nobody can
tell who is who, as in ``mpe2``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from games.blocks import lay_out, sentences
from games.mpe.rules import (
    LANDMARKS,
    MAX_PLAYERS,
    MOVES,
    REFERENCE,
    SPEAKER_LISTENER,
    SPREAD,
    WORDS,
    MpeConfig,
)
from games.text import Phrasebook

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
_ORDINALS = ("", "second ", "third ", "fourth ", "fifth ", "sixth ")
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WAYS = (("west", "east"), ("south", "north"))
_MOVES = ("nowhere", "west", "east", "south", "north")

PARTNERS = MAX_PLAYERS - 1
NEAREST_LANDMARK, NEAREST_PARTNER = MAX_PLAYERS, PARTNERS
"""Where the names by nearness begin among those of landmarks and of partners."""


@dataclass(frozen=True)
class Scale:
    """Amounts that can be told apart along an axis, in centimetres (a second).

    Attributes:
        numbers: what amounts are rounded to, ascending from 0.
        edge: amounts from here on are said to be beyond.
        rough: where each rough word but the first begins.
    """

    numbers: tuple[int, ...]
    edge: float
    rough: tuple[int, ...]

    @property
    def fine_size(self) -> int:
        """How many are told apart along an axis in numbers, both ways."""
        return 2 * len(self.numbers) + 1

    @property
    def rough_size(self) -> int:
        """How many are told apart in rough words."""
        return 2 * len(self.rough) + 1

    @property
    def edges(self) -> tuple[float, ...]:
        """Where each number but the first begins, and what is beyond: half-way between two."""
        pairs = zip(self.numbers, self.numbers[1:], strict=False)
        return (*((a + b) / 2 for a, b in pairs), self.edge)

    def bins(self) -> NDArray[np.float64]:
        """Least and greatest amount, in metres, behind each number: float64 [fine_size, 2]."""
        edges = np.array([*self.edges, np.inf]) / 100
        right = np.stack([edges[:-1], edges[1:]], 1)
        return np.concatenate([-right[::-1, ::-1], [[-edges[0], edges[0]]], right])

    def tables(self) -> NDArray[np.int16]:
        """Which number and which word an amount is given, int16 [amounts, 2].

        Amounts are counted in half centimetres; the last row is for all beyond it.
        """
        halves = np.arange(2 * int(self.edge) + 1) / 2
        columns = [np.searchsorted(edges, halves, "right") for edges in (self.edges, self.rough)]
        return np.stack(columns, 1).astype(np.int16)


PLACES: Final = Scale(
    (*range(0, 20, 2), *range(20, 100, 5), *range(100, 200, 10), *range(200, 401, 50)),
    425,
    (5, 20, 50, 100),
)
SPEEDS: Final = Scale((*range(0, 100, 5), *range(100, 201, 10)), 205, (5, 30, 70, 120))


def _number(scale: Scale, index: int) -> str:
    steps = abs(index - len(scale.numbers))
    if steps == len(scale.numbers):
        return f"more than {scale.numbers[-1]} cm"
    return f"{scale.numbers[steps]} cm"


def _way(axis: int, index: int, size: int) -> str:
    """The direction along an axis; nothing to the one side is said as nothing to the other."""
    return _WAYS[axis][int(index >= size // 2)]


def _fine(subject: str, axis: int, index: int) -> str:
    way = _way(axis, index, PLACES.fine_size)
    return f"{subject} lies {_number(PLACES, index)} {way} of me"


def _rough(subject: str, axis: int, index: int) -> str:
    return f"{subject} is {_roughly(axis, index)} of me"


def _roughly(axis: int, index: int) -> str:
    steps = abs(index - len(PLACES.rough))
    if not steps:
        return "hardly " + " or ".join(_WAYS[axis][::-1])
    words = ("slightly", "somewhat", "well", "far")
    return f"{words[steps - 1]} {_way(axis, index, PLACES.rough_size)}"


def _roughly_moving(axis: int, index: int) -> str:
    steps = abs(index - len(SPEEDS.rough))
    if not steps:
        return "I hardly move " + " or ".join(_WAYS[axis][::-1])
    words = ("slowly", "steadily", "fast", "very fast")
    return f"I move {words[steps - 1]} {_way(axis, index, SPEEDS.rough_size)}"


def _landmark(name: int) -> str:
    if name < NEAREST_LANDMARK:
        return f"the {COLOURS[name]} landmark"
    return f"the {_ORDINALS[name - NEAREST_LANDMARK]}nearest landmark"


def _partner(name: int) -> str:
    if name < NEAREST_PARTNER:
        return f"partner {'ABCDE'[name]}"
    return f"the {_ORDINALS[name - NEAREST_PARTNER]}nearest partner"


def _word(word: int) -> str:
    return f"word {_NUMBERS[word]}"


_TASKS = (
    "each of us sees where the other has to go",
    "the speaker sees where the listener has to go",
    "together we have to cover every landmark",
)

_SPECIFICATION: tuple[tuple[str, tuple[int, ...], Callable[..., str]], ...] = (
    # Which game it is: the same throughout.
    ("TASK", (len(_TASKS),), lambda game: _TASKS[game]),
    # Amounts: in numbers, and in rough words.
    (
        "SPEED",
        (2, SPEEDS.fine_size),
        lambda axis, index: (
            f"I move {_way(axis, index, SPEEDS.fine_size)} at {_number(SPEEDS, index)} a second"
        ),
    ),
    ("SPEED_ROUGH", (2, SPEEDS.rough_size), _roughly_moving),
    (
        "PLACE",
        (2, PLACES.fine_size),
        lambda axis, index: (
            f"I am {_number(PLACES, index)} {_way(axis, index, PLACES.fine_size)} of the centre"
        ),
    ),
    (
        "PLACE_ROUGH",
        (2, PLACES.rough_size),
        lambda axis, index: f"I am {_roughly(axis, index)} of the centre",
    ),
    (
        "LANDMARK",
        (2 * MAX_PLAYERS, 2, PLACES.fine_size),
        lambda name, axis, index: _fine(_landmark(name), axis, index),
    ),
    (
        "LANDMARK_ROUGH",
        (2 * MAX_PLAYERS, 2, PLACES.rough_size),
        lambda name, axis, index: _rough(_landmark(name), axis, index),
    ),
    (
        "PARTNER",
        (2 * PARTNERS, 2, PLACES.fine_size),
        lambda name, axis, index: _fine(_partner(name), axis, index),
    ),
    (
        "PARTNER_ROUGH",
        (2 * PARTNERS, 2, PLACES.rough_size),
        lambda name, axis, index: _rough(_partner(name), axis, index),
    ),
    # Who has to go where, and what was said.
    ("GOAL", (LANDMARKS,), lambda name: f"partner A has to reach {_landmark(name)}"),
    (
        "HEARD",
        (max(WORDS) + 1,),
        lambda word: f"partner A said {_word(word - 1) if word else 'nothing'}",
    ),
    ("SAYING", (max(WORDS),), lambda word: f"I am about to say {_word(word)}"),
    # The choices.
    ("MOVE", (MOVES,), lambda move: f"I push {_MOVES[move]}"),
    ("SAY", (max(WORDS),), lambda word: f"I say {_word(word)}"),
    # In the order of mpe2's numbers of actions.
    (
        "SAY_MOVE",
        (max(WORDS), MOVES),
        lambda word, move: f"I say {_word(word)} and push {_MOVES[move]}",
    ),
    # Never said in a game: the answers that an auxiliary head may give.
    ("MINE", (LANDMARKS,), lambda name: f"I have to reach {_landmark(name)}"),
)

BLOCKS: Final = lay_out(_SPECIFICATION)
PHRASEBOOK: Final = Phrasebook(sentences(BLOCKS))


def _ids(name: str, *axes: range) -> list[int]:
    block = BLOCKS[name]
    axes += tuple(map(range, block.shape[len(axes) :]))
    return [block.at(*index) for index in product(*axes)]


def fact_phrases(config: MpeConfig) -> NDArray[np.int16]:
    """Sorted ids of every fact that can occur in a setting, int16 [n]."""
    landmarks, partners = landmark_names(config), partner_names(config)
    found = [BLOCKS["TASK"].at(config.game), *_ids("SPEED"), *_ids("SPEED_ROUGH")]
    found += [*_ids("LANDMARK", landmarks), *_ids("LANDMARK_ROUGH", landmarks)]
    if config.game == SPREAD:
        found += [*_ids("PLACE"), *_ids("PLACE_ROUGH")]
        found += [*_ids("PARTNER", partners), *_ids("PARTNER_ROUGH", partners)]
    else:
        found += [*_ids("GOAL"), *_ids("HEARD", range(config.words + 1))]
    if config.chained:
        found += _ids("SAYING")
    return np.array(sorted(found), np.int16)


def landmark_names(config: MpeConfig) -> range:
    """Names of the landmarks that can be seen."""
    first = 0 if config.num_landmark_neighbors is None else NEAREST_LANDMARK
    return range(first, first + config.seen_landmarks)


def partner_names(config: MpeConfig) -> range:
    """Names of the partners that can be seen."""
    first = 0 if config.num_agent_neighbors is None else NEAREST_PARTNER
    return range(first, first + config.seen_partners)


def choices(config: MpeConfig, seat: int, moving: bool = False) -> NDArray[np.int16]:
    """Ids of a seat's choices, int16 [n], in the order of ``mpe2``'s numbers of actions.

    Args:
        config: the setting.
        seat: whose they are.
        moving: whether, of a chain of choices, the second is due: how to move.
    """
    if config.game == SPREAD or (config.chained and moving):
        found = _ids("MOVE")
    elif config.game == SPEAKER_LISTENER:
        found = _ids("MOVE") if seat else _ids("SAY", range(config.words))
    else:
        found = _ids("SAY") if config.chained else _ids("SAY_MOVE")
    return np.array(found, np.int16)


def labels(config: MpeConfig) -> NDArray[np.int16]:
    """The sentences behind the answer sheet, int16 [label_size, answers]: "I have to reach ..."."""
    if config.game == SPREAD:
        return np.zeros((0, 0), np.int16)
    return np.array([_ids("MINE")], np.int16)


def max_facts(config: MpeConfig) -> int:
    """Most facts that a seat is shown."""
    if config.game == SPREAD:
        return 1 + 4 * (2 + config.seen_landmarks + config.seen_partners)
    spoken = {REFERENCE: 2, SPEAKER_LISTENER: 1}[config.game]
    return 1 + 4 * (1 + LANDMARKS) + spoken + config.chained
