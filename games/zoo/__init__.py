"""Games of PettingZoo, said in sentences: any environment with discrete actions.

A name with a slash, such as ``classic/tictactoe-v3``, is an environment of PettingZoo's registry in
generic words; three have words of their own and short names (``STOCK``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import pettingzoo
from pettingzoo import aec_registry, parallel_registry

from games.zoo.batched import MAX_TURNS, ZooBatched
from games.zoo.describe import Describer, Description, generic
from games.zoo.pong import describe_pong
from games.zoo.pursuit import describe_pursuit
from games.zoo.worlds import World, make_world
from games.zoo.zombies import describe_zombies

__all__ = [
    "STOCK",
    "Describer",
    "Description",
    "World",
    "ZooBatched",
    "batched",
    "count_seats",
    "generic",
    "make_batched",
    "make_world",
]


@dataclass(frozen=True)
class Stock:
    """A stock game with words of its own.

    Attributes:
        id: in PettingZoo's registry.
        describer: its words.
        seats: number of players -> options that make so many.
        max_cycles: rounds of an episode at most, unless an option says otherwise.
    """

    id: str
    describer: Describer
    seats: Callable[[int], dict[str, int]]
    max_cycles: int


STOCK = {
    "pursuit": Stock("sisl/pursuit-v5", describe_pursuit, lambda n: {"n_pursuers": n}, 500),
    "knights-archers-zombies": Stock(
        "butterfly/knights_archers_zombies-v11",
        describe_zombies,
        lambda n: {"num_archers": (n + 1) // 2, "num_knights": n // 2},
        900,
    ),
    "cooperative-pong": Stock("butterfly/cooperative_pong-v6", describe_pong, lambda n: {}, 900),
}
"""Stock games by their short names."""


def batched(
    make: Callable[[], Any], describer: Describer = generic, num_games: int = 1, **options: Any
) -> ZooBatched:
    """A batched game over any PettingZoo environment.

    Args:
        make: makes the environment, AEC or Parallel.
        describer: puts it into words.
        num_games: N.
        **options: those of ``ZooBatched``.

    Raises:
        ValueError: if an option is out of range, or the environment cannot be put into words.
    """
    return ZooBatched(lambda: make_world(make()), describer, num_games, **options)


def make_batched(
    name: str, players: int, num_games: int, seed: int, restart: bool, options: Mapping[str, Any]
) -> ZooBatched:
    """A batch of a stock game, or of any registered environment; see ``games.settings.Room``.

    ``max_turns`` and ``frame_skip`` are options of every one of them (``ZooBatched``), and the
    others are the environment's own.
    """
    own = dict(options)
    frame_skip, max_turns = own.pop("frame_skip", 1), own.pop("max_turns", MAX_TURNS)
    if name in STOCK:
        stock = STOCK[name]
        id, describer = stock.id, stock.describer
        seats = stock.seats(players)
        for key in seats.keys() & own:
            raise ValueError(
                f"{key} of {name} follows from the number of players: {name}:{own[key]}"
            )
        own = {"max_cycles": stock.max_cycles, **own, **seats}
        max_turns = min(max_turns, math.ceil(own["max_cycles"] / frame_skip))
    else:
        id, describer = name, generic
    found = _make(id, own).possible_agents
    if len(found) != players:
        raise ValueError(
            f"{name} with these options has {len(found)} agents: write {name}:{len(found)}"
        )
    return batched(
        lambda: _make(id, own),
        describer,
        num_games,
        seed=seed,
        restart=restart,
        max_turns=max_turns,
        frame_skip=frame_skip,
    )


def count_seats(id: str) -> int:
    """The number of agents of a registered environment, as it is by default.

    Raises:
        ValueError: if there is none of the name, or its packages are missing.
    """
    known = {**aec_registry, **parallel_registry}
    if id not in known:
        near = get_close_matches(id, known, 3, 0.4) or sorted(known)
        raise ValueError(f"PettingZoo has no environment {id!r}; there is {', '.join(near)}")
    return len(_make(id, {}).possible_agents)


def _make(id: str, options: Mapping[str, Any]) -> Any:
    """An environment: Parallel where there is one, for all choose at once then."""
    kind = "parallel" if id in parallel_registry else "aec"
    try:
        return pettingzoo.make(kind, id, **options)
    except TypeError as error:
        raise ValueError(f"{id} refuses the options {dict(options)}: {error}") from None
    except ImportError as error:
        raise ValueError(f"{id} needs more packages: pip install 'troupe[zoo]' ({error})") from None
