"""Escape room: somebody has to stay at the lever for the others to get out.

The testbed of LIO (Yang et al. 2020, "Learning to Incentivize Other Learning Agents"). N players
go to the lever, to the start or to the door. With at least M of them at the lever the door is open,
and whoever is at it leaves with 10. Everybody else pays 1 for going anywhere, and nothing for
staying. The room closes when somebody has left, or after some rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numba import njit

from games.deeds import Deed
from games.simultaneous import Kernels, Simultaneous
from games.social import latest
from games.social.latest import MAX_PLAYERS
from games.words import number, plural

PLACES = ("lever", "start", "door")
LEVER, START, DOOR = range(3)
SCORING = ("welfare", "escaped")
"""All that was earned; how many left."""

GAME = np.dtype([*latest.GAME_FIELDS, ("outcome", np.float64, len(SCORING))], align=True)
"""A room; the latest act of a seat is its place."""
RULES = np.dtype(
    [
        *latest.RULES_FIELDS,
        ("pullers", np.int64),
        *((name, np.float64) for name in ("prize", "cost")),
    ],
    align=True,
)


@dataclass(frozen=True)
class EscapeRoomConfig:
    """A setting.

    Attributes:
        players: N, 2 to 5.
        pullers: M, at the lever for the door to open; 0 for all but one.
        rounds: at most.
        prize: for leaving.
        cost: of going somewhere.

    Raises:
        ValueError: if a value is out of range.
    """

    players: int = 2
    pullers: int = 0
    rounds: int = 5
    prize: float = 10.0
    cost: float = 1.0

    def __post_init__(self) -> None:
        if not 2 <= self.players <= MAX_PLAYERS:
            raise ValueError(f"players must be from 2 to {MAX_PLAYERS}, got {self.players}")
        if not 0 <= self.pullers < self.players:
            raise ValueError(
                f"pullers must be from 1 to {self.players - 1}, or 0 for all but one, "
                f"got {self.pullers}"
            )
        if not 1 <= self.rounds <= 100:
            raise ValueError(f"rounds must be from 1 to 100, got {self.rounds}")
        for name in ("prize", "cost"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be from 0 to 1000, got {getattr(self, name)}")

    @property
    def needed(self) -> int:
        """M."""
        return self.pullers or self.players - 1


class EscapeRoomBatched(Simultaneous):
    """N escape rooms; see :class:`games.simultaneous.Simultaneous`."""

    def __init__(
        self, config: EscapeRoomConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self.config = config
        players, needed = config.players, config.needed
        words = latest.Words(
            role="player",
            head=(
                f"there are {players} players",
                f"the door opens while {plural(needed, 'player')} {'is' if needed == 1 else 'are'} "
                "at the lever",
                f"who leaves through the open door gets {number(config.prize)}",
                f"to go somewhere costs {number(config.cost)}",
            ),
            acts=tuple(f"go to the {place}" for place in PLACES),
            mine=tuple(f"I am at the {place}" for place in PLACES),
            theirs=tuple(f"is at the {place}" for place in PLACES),
        )
        rules = np.zeros(1, RULES)[0]
        rules["pullers"], rules["prize"], rules["cost"] = needed, config.prize, config.cost
        deeds = [
            Deed(place, f"go to the {place}", {f"I go to the {place}": 1.0}, offers=offers)
            for place, offers in (("lever", (0.0, 1.2)), ("door", (0.0,)))
        ]
        sheet = latest.sheet(words, players, config.rounds, rules, SCORING, optimum(config), deeds)
        super().__init__(sheet, KERNELS, rules, GAME, num_games, seed, restart)


@lru_cache(maxsize=64)
def optimum(config: EscapeRoomConfig) -> float:
    """The most that all players together can get, by exhaustive search."""
    states = list(product(range(len(PLACES)), repeat=config.players))
    value = dict.fromkeys(states, 0.0)
    for _ in range(config.rounds):
        value = {
            before: max(_reward(config, before, after, value[after]) for after in states)
            for before in states
        }
    return value[(START,) * config.players]


def _reward(
    config: EscapeRoomConfig, before: tuple[int, ...], after: tuple[int, ...], value: float
) -> float:
    """What all together get for going from one state to another, and afterwards."""
    leave = after.count(DOOR) if after.count(LEVER) >= config.needed else 0
    went = sum(
        old != new and not (leave and new == DOOR) for old, new in zip(before, after, strict=True)
    )
    return config.prize * leave - config.cost * went + (0.0 if leave else value)


@njit(cache=True, nogil=True)
def begin(games, rules, which):  # type: ignore[no-untyped-def]
    """Puts everybody at the start; see ``Kernels.begin``."""
    for i in range(len(games)):
        if which[i]:
            games[i].round = 0
            games[i].latest[:] = START
            games[i].outcome[:] = 0.0


@njit(cache=True, nogil=True)
def play(games, rules, moves, running, rewards, over):  # type: ignore[no-untyped-def]
    """Everybody goes somewhere; see ``Kernels.play``."""
    for i in range(len(games)):
        if not running[i]:
            continue
        game = games[i]
        pullers = 0
        for seat in range(rules.players):
            pullers += moves[i, seat] - rules.act == LEVER
        left = 0
        for seat in range(rules.players):
            place = moves[i, seat] - rules.act
            if place == DOOR and pullers >= rules.pullers:
                rewards[i, seat] = rules.prize
                left += 1
            elif place != game.latest[seat]:
                rewards[i, seat] = -rules.cost
            game.latest[seat] = place
            game.outcome[0] += rewards[i, seat]
        game.round += 1
        game.outcome[1] += left
        over[i] = left > 0 or game.round == rules.rounds


KERNELS = Kernels(begin, play, latest.view, latest.offer)
