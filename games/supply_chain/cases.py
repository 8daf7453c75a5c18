"""Every case of a supply chain: each state, each joint move that can be made in it, what follows.

The table that :mod:`games.supply_chain.solver` goes through period by period. A state is every
factory's stock and parts on order, and the products that customers wait for; a case is a state with
a move of each factory.
"""

from __future__ import annotations

from itertools import product
from math import comb, prod
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.supply_chain.rules import SupplyChainConfig

MAX_TRANSITIONS = 20_000_000
"""What is still solved: about a gigabyte and a minute."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Cases(NamedTuple):
    """The table: S states, K cases, M transitions.

    Attributes:
        first: int64 [S + 1], the cases of state s are ``first[s]`` to ``first[s + 1] - 1``: the
            product of what each factory can do, the last factory's moves running fastest.
        options: int64 [S, P], how many moves each factory can make.
        moves: int8 [K, P], each factory's move: 0 to wait, then orders, supplier by supplier.
        rewards: float64 [K, P], what each factory can expect of the period.
        begins: int64 [K + 1], the transitions of case k are ``begins[k]`` to ``begins[k + 1] - 1``.
        after: int32 [M], a state that can follow.
        chances: float64 [M], with which probability.
        refunds: float64 [S, P], what each factory gets where the game ends in a state.
    """

    first: Ints
    options: Ints
    moves: NDArray[np.int8]
    rewards: Floats
    begins: Ints
    after: NDArray[np.int32]
    chances: Floats
    refunds: Floats


def places(room: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One factory's states: stock and parts on order of each, int64 [L, 2], and back again.

    Returns:
        the states, and int64 [room + 1, room + 1], the number of a state by stock and order.
    """
    pairs = [(stock, owed) for stock in range(room + 1) for owed in range(room + 1 - stock)]
    numbers = np.full((room + 1, room + 1), -1, np.int64)
    for number, (stock, owed) in enumerate(pairs):
        numbers[stock, owed] = number
    return np.array(pairs), numbers


def make_cases(config: SupplyChainConfig) -> Cases:
    """All cases of a setting.

    Raises:
        ValueError: if there are too many.
    """
    players, room = config.players, config.room
    own, numbers = places(room)
    grid = np.stack(np.meshgrid(*[np.arange(len(own))] * players, indexing="ij"), axis=-1)
    states = own[grid.reshape(-1, players)].repeat(config.max_backlog + 1, axis=0)  # [S, P, 2]
    free = room - states.sum(axis=2)
    options = 1 + 2 * free
    first = np.concatenate([[0], options.prod(axis=1).cumsum()])
    ways = _ways(config)
    counts = _count(states, first, options, ways[0], np.array(config.demand), room)
    begins = np.concatenate([[0], counts.cumsum()])
    if begins[-1] > MAX_TRANSITIONS:
        raise ValueError(
            f"{len(states)} states with {begins[-1]} transitions, and at most {MAX_TRANSITIONS} "
            "can be solved: take less room, fewer factories or a smaller backlog"
        )
    cases = Cases(
        first,
        options,
        np.zeros((first[-1], players), np.int8),
        np.zeros((first[-1], players)),
        begins,
        np.zeros(begins[-1], np.int32),
        np.zeros(begins[-1]),
        config.refund * states.sum(axis=2).astype(np.float64),
    )
    amounts = np.array(
        [
            *(1 + config.margin, config.holding_cost, config.backlog_cost / players),
            *(config.idle_cost, config.small_price, config.large_price),
        ]
    )
    demand = np.array(config.demand)
    _fill(cases, states, ways, demand, amounts, numbers, room, config.max_backlog)
    return cases


def _ways(config: SupplyChainConfig) -> tuple[Ints, Ints, Floats]:
    """How the small supplier may ship, for every combination of parts that it owes.

    Returns:
        int64 [(room + 1) ** P + 1], where the ways of each combination begin; int64 [n, P], parts
        shipped to each; float64 [n], how probable: a multivariate hypergeometric distribution.
    """
    begins, shipped, chances = [0], [], []
    for owed in product(range(config.room + 1), repeat=config.players):
        number = min(config.small_capacity, sum(owed))
        for way in product(*(range(min(w, number) + 1) for w in owed)):
            if sum(way) == number:
                shipped.append(way)
                found = prod(comb(w, k) for w, k in zip(owed, way, strict=True))
                chances.append(found / comb(sum(owed), number))
        begins.append(len(shipped))
    return np.array(begins), np.array(shipped), np.array(chances)


@njit(cache=True, nogil=True)
def _decode(case, options, free, room, moves):  # type: ignore[no-untyped-def]
    """Each factory's move in a state's n-th case, into int8 [P]."""
    for k in range(len(options)):
        seat = len(options) - 1 - k
        move = case % options[seat]
        case //= options[seat]
        moves[seat] = move if move <= free[seat] else move - free[seat] + room


@njit(cache=True, nogil=True)
def _owed(state, moves, room):  # type: ignore[no-untyped-def]
    """The combination of parts that the small supplier owes after a case's orders."""
    combination = 0
    for seat in range(len(moves)):
        ordered = moves[seat] if moves[seat] <= room else 0
        combination = combination * (room + 1) + state[seat, 1] + ordered
    return combination


@njit(cache=True, nogil=True)
def _count(states, first, options, ways, demand, room):  # type: ignore[no-untyped-def]
    """Transitions of every case, int64 [K]."""
    counts = np.zeros(first[-1], np.int64)
    moves = np.zeros(states.shape[1], np.int8)
    for s in range(len(states)):
        free = (options[s] - 1) // 2
        for case in range(first[s], first[s + 1]):
            _decode(case - first[s], options[s], free, room, moves)
            combination = _owed(states[s], moves, room)
            number = ways[combination + 1] - ways[combination]
            counts[case] = number * (demand > 0).sum()
    return counts


@njit(cache=True, nogil=True)
def _fill(cases, states, ways, demand, amounts, numbers, room, max_backlog):  # type: ignore[no-untyped-def]
    """Writes moves, rewards and transitions of every case."""
    earns, holding, waiting, idle = amounts[0], amounts[1], amounts[2], amounts[3]
    small, large = amounts[4], amounts[5]
    begins, shipped, chances = ways
    players = states.shape[1]
    own = (room + 1) * (room + 2) // 2
    for s in range(len(states)):
        backlog = s % (max_backlog + 1)
        state = states[s]
        free = (cases.options[s] - 1) // 2
        least = state[:, 0].min()
        for case in range(cases.first[s], cases.first[s + 1]):
            moves = cases.moves[case]
            _decode(case - cases.first[s], cases.options[s], free, room, moves)
            combination = _owed(state, moves, room)
            at = cases.begins[case]
            for seat in range(players):
                move = moves[seat]
                price = small * move if move <= room else large * (move - room)
                cases.rewards[case, seat] = -price
            for wanted in range(len(demand)):
                if demand[wanted] == 0:
                    continue
                made = min(least, backlog + wanted)
                left = min(backlog + wanted - made, max_backlog)
                for seat in range(players):
                    stays = state[seat, 0] - made
                    reward = earns * made - holding * stays - waiting * left
                    if left > 0 and stays > 0:
                        reward -= idle
                    cases.rewards[case, seat] += demand[wanted] * reward
                for way in range(begins[combination], begins[combination + 1]):
                    after = 0
                    for seat in range(players):
                        move = moves[seat]
                        stock = state[seat, 0] - made + shipped[way, seat]
                        owed = state[seat, 1] - shipped[way, seat]
                        if move <= room:
                            owed += move
                        else:
                            stock += move - room
                        after = after * own + numbers[stock, owed]
                    cases.after[at] = after * (max_backlog + 1) + left
                    cases.chances[at] = demand[wanted] * chances[way]
                    at += 1
