"""What a field can yield: exactly, and a bound where that takes too long.

Exactly by backward induction over where everybody stands and which apples hang. The bound lets
everybody pick anywhere: at most as many apples a round as there are players, whichever are best.
"""

from __future__ import annotations

from functools import lru_cache, reduce
from itertools import combinations_with_replacement, product
from math import comb
from operator import or_

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.social.harvest import HarvestConfig, neighbours

MAX_STATES = 2_000_000
MAX_PLACES = 16


@lru_cache(maxsize=16)
def optimum(config: HarvestConfig) -> float:
    """The most apples that all players together can expect.

    Raises:
        ValueError: if there are too many states.
    """
    stands = comb(config.places + config.players - 1, config.players)
    if (states := stands << config.places) > MAX_STATES:
        raise ValueError(
            f"{states} states, and at most {MAX_STATES} can be solved: take a smaller field or "
            "fewer players, or the bound"
        )
    number, after, picked = _moves(config)
    value = np.zeros((1 << config.places, stands))
    for _ in range(config.rounds):
        value = _best(_grow(value, config), after, picked)
    return float(value[-1, number[tuple(sorted(config.starts))]])


@lru_cache(maxsize=16)
def bound(config: HarvestConfig) -> float:
    """At least as many apples as anybody can expect, by letting everybody pick anywhere.

    Raises:
        ValueError: if the field is too large.
    """
    if config.places > MAX_PLACES:
        raise ValueError(
            f"the field has {config.places} places, and at most {MAX_PLACES} are bound"
        )
    value = np.zeros((1 << config.places, 1))
    for _ in range(config.rounds):
        value = _pick(_grow(value, config)[:, 0], config.places, config.players)[:, None]
    return float(value[-1, 0])


def _chances(config: HarvestConfig) -> NDArray[np.float64]:
    """[2 ** places, places], how probably each empty place bears, by the apples that hang."""
    hanging = np.arange(1 << config.places)[:, None] >> np.arange(config.places) & 1
    beside = np.zeros((config.places, config.places))
    for place, others in enumerate(neighbours(config)):
        beside[others, place] = 1
    return np.where(hanging == 1, 1.0, config.growth * (hanging @ beside))


def _grow(value: NDArray[np.float64], config: HarvestConfig) -> NDArray[np.float64]:
    """The mean of a value [2 ** places, X] after apples have grown."""
    return _grown(value, _chances(config))


def _moves(
    config: HarvestConfig,
) -> tuple[dict[tuple[int, ...], int], NDArray[np.int64], NDArray[np.int64]]:
    """What all players can do wherever they stand. Who stands where makes no difference.

    Returns:
        the number of each combination of places, S in all; int64 [S, n], the one in which they
        stand afterwards, -1 where nothing more can be done; and the apples that they pick if they
        hang, as bits, in the same shape.
    """
    own = [
        [(place, 0), (place, 1 << place), *((to, 0) for to in beside)]
        for place, beside in enumerate(neighbours(config))
    ]
    places = combinations_with_replacement(range(config.places), config.players)
    number = {stand: k for k, stand in enumerate(places)}
    joint = []
    for stand in number:
        found = set()
        for moves in product(*(own[place] for place in stand)):
            to = number[tuple(sorted(place for place, _ in moves))]
            found.add((to, reduce(or_, (pick for _, pick in moves))))
        joint.append(sorted(found))
    after = np.full((len(joint), max(map(len, joint))), -1, np.int64)
    picked = np.zeros_like(after)
    for k, ways in enumerate(joint):
        after[k, : len(ways)], picked[k, : len(ways)] = zip(*ways, strict=True)
    return number, after, picked


@njit(cache=True, nogil=True)
def _grown(value, chances):  # type: ignore[no-untyped-def]
    """The mean over what may hang after growth, for what hangs before it."""
    fields, places = chances.shape
    out = np.zeros_like(value)
    for field in range(fields):
        empty = fields - 1 - field
        grown = empty
        while True:  # through all sets of empty places, down to none
            chance = 1.0
            for place in range(places):
                if empty >> place & 1:
                    bears = chances[field, place]
                    chance *= bears if grown >> place & 1 else 1 - bears
            if chance > 0:
                for k in range(value.shape[1]):
                    out[field, k] += chance * value[field | grown, k]
            if grown == 0:
                break
            grown = (grown - 1) & empty
    return out


@njit(cache=True, nogil=True)
def _best(value, after, picked):  # type: ignore[no-untyped-def]
    """The most that can be had in each field and combination of places."""
    out = np.zeros_like(value)
    for field in range(len(value)):
        for stand in range(value.shape[1]):
            best = 0.0
            for k in range(after.shape[1]):
                to = after[stand, k]
                if to < 0:
                    break
                pick = picked[stand, k] & field
                number = 0
                rest = pick
                while rest:
                    rest &= rest - 1
                    number += 1
                best = max(best, number + value[field ^ pick, to])
            out[field, stand] = best
    return out


@njit(cache=True, nogil=True)
def _pick(value, places, players):  # type: ignore[no-untyped-def]
    """The most where any apples may be picked, one for each player."""
    best = value.copy()
    for _ in range(players):
        before = best.copy()
        for field in range(len(value)):
            for place in range(places):
                if field >> place & 1:
                    best[field] = max(best[field], 1 + before[field ^ (1 << place)])
    return best
