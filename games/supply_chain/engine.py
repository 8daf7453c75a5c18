"""The supply chain in compiled kernels: one record a game.

Within a period, in this order: every factory orders; products are assembled out of the stock that
was held before, for those who wait and the new demand; the small supplier ships some of all that it
owes, drawn part by part; what was shipped, and whatever was ordered at the large supplier, can be
used in the next period.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from games import chance
from games.simultaneous import SHARED_FIELDS, Kernels
from games.supply_chain.phrases import Phrases
from games.supply_chain.rules import MAX_DEMAND, MAX_PLAYERS, SupplyChainConfig
from games.text import PAD

SCORING = ("welfare", "products", "lost", "dear")
"""All that the factories earned; products made; products that customers went without because too
many waited; parts bought at the large supplier."""

GAME = np.dtype(
    [
        *SHARED_FIELDS,
        ("period", np.int16),  # periods gone by
        ("backlog", np.int8),
        ("demand", np.int8),  # of the latest period
        ("made", np.int8),  # in the latest period
        ("stock", np.int8, MAX_PLAYERS),
        ("owed", np.int8, MAX_PLAYERS),  # parts on order at the small supplier
        ("did", np.int8, MAX_PLAYERS),  # latest move: 0 wait, 1.. orders, supplier by supplier
        ("outcome", np.float64, len(SCORING)),
    ],
    align=True,
)

RULES = np.dtype(
    [
        ("players", np.int64),
        ("periods", np.int64),
        ("room", np.int64),
        ("capacity", np.int64),
        ("max_backlog", np.int64),
        ("price", np.float64, 2),
        ("earns", np.float64),  # each factory, for a product
        ("holding", np.float64),
        ("waiting", np.float64),  # cost to each factory of a product that is waited for
        ("idle", np.float64),
        ("refund", np.float64),
        ("demand", np.float64, MAX_DEMAND + 1),  # cumulated probabilities
        # Where sentences stand in the phrasebook.
        ("head", np.int64),
        ("heads", np.int64),
        ("left", np.int64),
        ("backlog", np.int64),
        ("stock", np.int64),
        ("owed", np.int64),
        ("did", np.int64),
        ("demands", np.int64),
        ("made", np.int64),
        ("wait", np.int64),
        ("order", np.int64),
    ],
    align=True,
)


def make_rules(config: SupplyChainConfig, said: Phrases) -> np.void:
    """A setting as the kernels read it: one record of ``RULES``."""
    rules = np.zeros(1, RULES)
    r = rules[0]
    r["players"], r["periods"], r["room"] = config.players, config.periods, config.room
    r["capacity"], r["max_backlog"] = config.small_capacity, config.max_backlog
    r["price"] = config.small_price, config.large_price
    r["earns"], r["holding"] = 1 + config.margin, config.holding_cost
    r["waiting"] = config.backlog_cost / config.players
    r["idle"], r["refund"] = config.idle_cost, config.refund
    r["demand"] = 1.0
    r["demand"][: len(config.demand) - 1] = np.cumsum(config.demand)[:-1]
    r["heads"] = len(said.head)
    for field, block in (
        *(("head", "HEAD"), ("left", "LEFT"), ("backlog", "BACKLOG"), ("stock", "STOCK")),
        *(("owed", "OWED"), ("did", "DID"), ("demands", "DEMAND"), ("made", "MADE")),
        *(("wait", "WAIT"), ("order", "ORDER")),
    ):
        r[field] = said.blocks[block].base
    return r


def max_facts(said: Phrases, players: int) -> int:
    """Columns of a row of facts."""
    return len(said.head) + 4 + 3 * players


@njit(cache=True, nogil=True)
def begin(games, rules, which):  # type: ignore[no-untyped-def]
    """Starts games, with a part in every factory; see ``Kernels.begin``."""
    for i in range(len(games)):
        if not which[i]:
            continue
        game = games[i]
        game.rng = chance.begin(game.seed)
        game.period = 0
        game.backlog = 0
        for seat in range(rules.players):
            game.stock[seat] = 1
            game.owed[seat] = 0
            game.did[seat] = 0
        for k in range(len(game.outcome)):
            game.outcome[k] = 0.0


@njit(cache=True, nogil=True)
def play(games, rules, moves, running, rewards, over):  # type: ignore[no-untyped-def]
    """A period of every game; see ``Kernels.play``."""
    players = rules.players
    for i in range(len(games)):
        if not running[i]:
            continue
        game = games[i]
        draw, state = chance.uniform(game.rng)
        demand = 0
        while draw >= rules.demand[demand]:
            demand += 1
        wanted = game.backlog + demand
        made = wanted
        for seat in range(players):
            made = min(made, game.stock[seat])
        left = wanted - made
        backlog = min(left, rules.max_backlog)
        waits = 0  # parts that the small supplier owes
        earned = 0.0
        for seat in range(players):
            reward = rules.earns * made
            did = moves[i, seat] - rules.wait
            game.did[seat] = did
            stays = game.stock[seat] - made
            reward -= rules.holding * stays + rules.waiting * backlog
            if backlog > 0 and stays > 0:
                reward -= rules.idle
            game.stock[seat] = stays
            if did > 0:
                supplier = (did - 1) // rules.room
                parts = (did - 1) % rules.room + 1
                reward -= rules.price[supplier] * parts
                if supplier == 0:
                    game.owed[seat] += parts
                else:
                    game.stock[seat] += parts
                    game.outcome[3] += parts
            waits += game.owed[seat]
            rewards[i, seat] = reward
        for _ in range(min(waits, rules.capacity)):
            pick, state = chance.below(state, waits)
            seat = 0
            while pick >= game.owed[seat]:
                pick -= game.owed[seat]
                seat += 1
            game.owed[seat] -= 1
            game.stock[seat] += 1
            waits -= 1
        game.rng = state
        game.period += 1
        game.backlog = backlog
        game.demand = demand
        game.made = made
        over[i] = game.period == rules.periods
        for seat in range(players):
            if over[i]:
                rewards[i, seat] += rules.refund * (game.stock[seat] + game.owed[seat])
            earned += rewards[i, seat]
        game.outcome[0] += earned
        game.outcome[1] += made
        game.outcome[2] += left - backlog


@njit(cache=True, nogil=True)
def view(games, rules, first, facts, counts):  # type: ignore[no-untyped-def]
    """What some seats know; see ``Kernels.view``."""
    players, room = rules.players, rules.room
    for i in range(len(games)):
        game = games[i]
        for k in range(facts.shape[1]):
            viewer = first + k
            out = facts[i, k]
            for n in range(rules.heads):
                out[n] = rules.head + n
            n = rules.heads
            out[n] = rules.left + rules.periods - game.period
            out[n + 1] = rules.backlog + game.backlog
            n += 2
            for offset in range(players):
                # Behind an onlooker comes seat 0.
                onlooker = viewer == players
                who = offset + onlooker
                seat = viewer + who
                if seat >= players:
                    seat -= players + onlooker
                out[n] = rules.stock + who * (room + 1) + game.stock[seat]
                out[n + 1] = rules.owed + who * (room + 1) + game.owed[seat]
                n += 2
                if game.period > 0:
                    out[n] = rules.did + who * (1 + 2 * room) + game.did[seat]
                    n += 1
            if game.period > 0:
                out[n] = rules.demands + game.demand
                out[n + 1] = rules.made + game.made
                n += 2
            counts[i, k] = n
            out[n:] = PAD


@njit(cache=True, nogil=True)
def offer(games, rules, choices, counts):  # type: ignore[no-untyped-def]
    """To wait, and every order for which there is room; see ``Kernels.offer``."""
    for i in range(len(games)):
        for seat in range(rules.players):
            out = choices[i, seat]
            free = rules.room - games[i].stock[seat] - games[i].owed[seat]
            out[0] = rules.wait
            n = 1
            for supplier in range(2):
                for parts in range(free):
                    out[n] = rules.order + supplier * rules.room + parts
                    n += 1
            counts[i, seat] = n
            out[n:] = PAD


KERNELS = Kernels(begin, play, view, offer)
