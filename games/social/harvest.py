"""Harvest: an orchard that grows back as long as enough is left of it.

After the Commons Harvest of Perolat et al. (2017, "A multi-agent reinforcement learning model of
common-pool resource appropriation"), in small. Every place of a field can bear an apple. Who stands
at one can pick it, for a reward of 1. An empty place bears a new one with a probability that grows
with the apples right beside it, and never without any. So who picks the last ones harms everybody,
and who leaves them serves whoever picks them first.

All choices of a round are made at once; of several that pick the same apple one gets it, drawn
evenly. Then apples grow. Several can stand in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games import chance
from games.blocks import Block, lay_out, sentences
from games.deeds import Deed
from games.simultaneous import SHARED_FIELDS, Kernels, Sheet, Simultaneous
from games.text import PAD, Phrasebook
from games.words import LETTERS, number, plural, there_are

MAX_PLAYERS = 4
MAX_PLACES = 64
WAYS = ("north", "south", "west", "east")
WAIT, PICK, GO = 0, 1, 2
"""Choices by number; from GO on they go one of the ways."""
SCORING = ("welfare", "left")
"""Apples picked; apples that hang there."""

GAME = np.dtype(
    [
        *SHARED_FIELDS,
        ("round", np.int16),
        ("apples", np.uint8, MAX_PLACES),  # 1 where one hangs, row by row
        ("place", np.int8, MAX_PLAYERS),
        ("outcome", np.float64, len(SCORING)),
    ],
    align=True,
)
RULES = np.dtype(
    [
        *((name, np.int64) for name in ("players", "width", "height", "rounds", "heads")),
        ("growth", np.float64),
        *((name, np.int64) for name in ("left", "me", "here", "apple", "other")),  # ids
        *((name, np.int64) for name in ("hangs", "stands", "act")),
    ],
    align=True,
)


@dataclass(frozen=True)
class HarvestConfig:
    """A setting.

    Attributes:
        players: 1 to 4.
        width: places from west to east.
        height: places from north to south.
        rounds: of an episode.
        growth: probability that an empty place bears an apple, for each apple right beside it.

    Raises:
        ValueError: if a value is out of range.
    """

    players: int = 2
    width: int = 4
    height: int = 3
    rounds: int = 50
    growth: float = 0.05

    def __post_init__(self) -> None:
        for name, low, high in (
            ("players", 1, MAX_PLAYERS),
            ("width", 2, 8),
            ("height", 1, 8),
            ("rounds", 1, 1000),
            ("growth", 0, 0.25),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {getattr(self, name)}")

    @property
    def places(self) -> int:
        """Places of the field."""
        return self.width * self.height

    @property
    def starts(self) -> tuple[int, ...]:
        """Where the players begin: the corners."""
        last = self.places - 1
        return (0, last, self.width - 1, last - self.width + 1)[: self.players]


def _offset(down: int, right: int) -> str:
    """A way from a place to another: "1 north and 2 east"."""
    parts = [
        f"{abs(step)} {WAYS[way + (step > 0)]}" for step, way in ((down, 0), (right, 2)) if step
    ]
    return " and ".join(parts)


def _blocks(config: HarvestConfig) -> dict[str, Block]:
    """All sentences. Players read places relative to their own, an onlooker by row and column."""
    width, height, players = config.width, config.height, config.players
    head = (
        f"there are {plural(players, 'harvester')}",
        f"the field has {plural(height, 'row')} and {plural(width, 'column')}",
        f"beside an apple another grows with probability {number(config.growth)}",
    )

    def there(place: int) -> str:
        return f"row {place // width + 1} column {place % width + 1}"

    def away(cell: int) -> str:
        down, right = divmod(cell, 2 * width - 1)
        return _offset(down - height + 1, right - width + 1)

    def other(seat: int, cell: int) -> str:
        return f"harvester {LETTERS[seat]} is {away(cell) + ' of' if away(cell) else 'beside'} me"

    cells = (2 * height - 1) * (2 * width - 1)
    acts = ("I wait", "I pick the apple", *(f"I go {way}" for way in WAYS))
    return lay_out(
        (
            ("HEAD", (len(head),), lambda i: head[i]),
            ("LEFT", (config.rounds + 1,), lambda n: f"{there_are(n, 'round')} left"),
            ("ME", (config.places,), lambda place: f"I am at {there(place)}"),
            ("HERE", (2,), lambda apple: f"there is {'an' if apple else 'no'} apple where I am"),
            (
                "APPLE",
                (cells,),
                lambda cell: f"there is an apple {away(cell) or '0 steps'} of me",
            ),
            ("OTHER", (max(players - 1, 1), cells), other),
            ("HANGS", (config.places,), lambda place: f"there is an apple at {there(place)}"),
            (
                "STANDS",
                (players, config.places),
                lambda seat, place: f"harvester {LETTERS[seat]} is at {there(place)}",
            ),
            ("ACT", (len(acts),), lambda act: acts[act]),
        )
    )


class HarvestBatched(Simultaneous):
    """N fields; see :class:`games.simultaneous.Simultaneous`.

    Attributes:
        records: the games as they stand, ``GAME`` [N], live and not to be written.
    """

    def __init__(
        self, config: HarvestConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self.config = config
        blocks = _blocks(config)
        rules = np.zeros(1, RULES)[0]
        for name in ("players", "width", "height", "rounds", "growth"):
            rules[name] = getattr(config, name)
        rules["heads"] = blocks["HEAD"].size
        for name in ("LEFT", "ME", "HERE", "APPLE", "OTHER", "HANGS", "STANDS", "ACT"):
            rules[name.lower()] = blocks[name].base

        def ids(*names: str) -> NDArray[np.int16]:
            return np.array([id for name in names for id in blocks[name].ids], np.int16)

        leave = dict.fromkeys(("I wait", *(f"I go {way}" for way in WAYS)), 1.0)
        others = ("OTHER",) * (config.players > 1)
        sheet = Sheet(
            phrasebook=Phrasebook(sentences(blocks)),
            players=config.players,
            role="harvester",
            scoring=SCORING,
            max_score=None,
            max_facts=blocks["HEAD"].size + 2 + config.places + config.players,
            max_choices=blocks["ACT"].size,
            rounds=config.rounds,
            fact_phrases=ids("HEAD", "LEFT", "ME", "HERE", "APPLE", *others),
            onlooker_phrases=ids("HEAD", "LEFT", "HANGS", "STANDS"),
            choice_phrases=ids("ACT"),
            deeds=(
                Deed("leave", "leave the apples", leave, offers=(0.0, 0.2)),
                Deed("pick", "pick an apple", {"I pick the apple": 1.0}, offers=(0.0, -0.5)),
            ),
        )
        super().__init__(sheet, KERNELS, rules, GAME, num_games, seed, restart)
        self.records = self._games


def neighbours(config: HarvestConfig) -> list[list[int]]:
    """The places right beside each place."""
    found = []
    for row, column in product(range(config.height), range(config.width)):
        beside = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        found.append(
            [
                r * config.width + c
                for r, c in beside
                if 0 <= r < config.height and 0 <= c < config.width
            ]
        )
    return found


@njit(cache=True, nogil=True)
def begin(games, rules, which):  # type: ignore[no-untyped-def]
    """An apple everywhere, and a player at each corner; see ``Kernels.begin``."""
    places = rules.width * rules.height
    for i in range(len(games)):
        if not which[i]:
            continue
        game = games[i]
        game.rng = chance.begin(game.seed)
        game.round = 0
        game.apples[:places] = 1
        corners = (0, places - 1, rules.width - 1, places - rules.width)
        for seat in range(rules.players):
            game.place[seat] = corners[seat]
        game.outcome[0] = 0.0
        game.outcome[1] = places


@njit(cache=True, nogil=True)
def _go(place, way, width):  # type: ignore[no-untyped-def]
    """Where a way leads."""
    if way < 2:
        return place + (2 * way - 1) * width
    return place + 2 * way - 5


@njit(cache=True, nogil=True)
def play(games, rules, moves, running, rewards, over):  # type: ignore[no-untyped-def]
    """Everybody moves or picks, and apples grow; see ``Kernels.play``."""
    width, places = rules.width, rules.width * rules.height
    for i in range(len(games)):
        if not running[i]:
            continue
        game = games[i]
        state = game.rng
        for seat in range(rules.players):
            act = moves[i, seat] - rules.act
            if act >= GO:
                game.place[seat] = _go(game.place[seat], act - GO, width)
        for seat in range(rules.players):
            if moves[i, seat] - rules.act != PICK or not game.apples[game.place[seat]]:
                continue
            rivals = 0  # who pick the same, this one the first of them
            for other in range(rules.players):
                picks = moves[i, other] - rules.act == PICK
                rivals += picks and game.place[other] == game.place[seat]
            pick, state = chance.below(state, rivals)
            for other in range(rules.players):
                if moves[i, other] - rules.act == PICK and game.place[other] == game.place[seat]:
                    if pick == 0:
                        rewards[i, other] = 1.0
                    pick -= 1
            game.apples[game.place[seat]] = 0
            game.outcome[0] += 1
        before = game.apples.copy()
        hanging = 0
        for place in range(places):
            if not before[place]:
                column = place % width
                beside = 0
                if place >= width:
                    beside += before[place - width]
                if place < places - width:
                    beside += before[place + width]
                if column > 0:
                    beside += before[place - 1]
                if column < width - 1:
                    beside += before[place + 1]
                if beside > 0:
                    draw, state = chance.uniform(state)
                    game.apples[place] = draw < rules.growth * beside
            hanging += game.apples[place]
        game.rng = state
        game.round += 1
        game.outcome[1] = hanging
        over[i] = game.round == rules.rounds


@njit(cache=True, nogil=True)
def view(games, rules, first, facts, counts):  # type: ignore[no-untyped-def]
    """The field, from where a player stands or from above; see ``Kernels.view``."""
    players, width, height = rules.players, rules.width, rules.height
    places, across = width * height, 2 * width - 1
    for i in range(len(games)):
        game = games[i]
        for k in range(facts.shape[1]):
            viewer = first + k
            out = facts[i, k]
            for head in range(rules.heads):
                out[head] = head
            n = rules.heads
            out[n] = rules.left + rules.rounds - game.round
            n += 1
            if viewer == players:
                for place in range(places):
                    out[n] = rules.hangs + place
                    n += game.apples[place]
                for seat in range(players):
                    out[n] = rules.stands + seat * places + game.place[seat]
                    n += 1
            else:
                here = np.int64(game.place[viewer])
                out[n] = rules.me + here
                out[n + 1] = rules.here + game.apples[here]
                n += 2
                # The cell that is "here" is the middle one.
                middle = np.int64((height - 1 - here // width) * across + width - 1 - here % width)
                for place in range(places):
                    out[n] = rules.apple + middle + place // width * across + place % width
                    n += game.apples[place] and place != here
                cells = (2 * height - 1) * across
                for offset in range(1, players):
                    there = np.int64(game.place[(viewer + offset) % players])
                    cell = middle + there // width * across + there % width
                    out[n] = rules.other + (offset - 1) * cells + cell
                    n += 1
            counts[i, k] = n
            out[n:] = PAD


@njit(cache=True, nogil=True)
def offer(games, rules, choices, counts):  # type: ignore[no-untyped-def]
    """To wait, to pick what is there, and the ways; see ``Kernels.offer``."""
    width, height = rules.width, rules.height
    for i in range(len(games)):
        for seat in range(rules.players):
            place = games[i].place[seat]
            row, column = place // width, place % width
            out = choices[i, seat]
            out[0] = rules.act + WAIT
            out[1] = rules.act + PICK
            n = 1 + games[i].apples[place]
            out[n] = rules.act + GO
            n += row > 0
            out[n] = rules.act + GO + 1
            n += row < height - 1
            out[n] = rules.act + GO + 2
            n += column > 0
            if column < width - 1:
                out[n] = rules.act + GO + 3
                n += 1
            counts[i, seat] = n
            out[n:] = PAD


KERNELS = Kernels(begin, play, view, offer)
