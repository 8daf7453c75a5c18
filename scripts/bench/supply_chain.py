"""The supply chain: moves a second on one core, and its exact solutions, which take no clock.

Nobody else plays it. The optimum is what all factories can expect together. The equilibria are
those found from the last period to the first, where each stage game counts by its best or its worst
one; the gain beside them is what one factory could still add by leaving them. What an offer to all
comes to is where best responses in turn lead; see ``games.supply_chain.offers``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

import games
from games.supply_chain import PRESETS, SupplyChainConfig
from games.supply_chain.offers import everywhere, respond
from games.supply_chain.solver import Solver
from scripts.bench import Row, rate
from scripts.bench.engine import NUM_GAMES, one_core

SPEEDS = ("supply-chain:3", "supply-chain:4", "supply-chain:3@manager=incentives")
SOLVED = {
    "supply-chain:3": SupplyChainConfig(),
    "supply-chain:4": SupplyChainConfig(players=4),
    **{f"supply-chain:3@{name}": SupplyChainConfig(**PRESETS[name]) for name in PRESETS},
}
OFFERS = (0.2, 0.3, 0.4, 0.5)


def run(seconds: float) -> Iterator[Row]:
    """Measures the engine, with and without a manager, and solves the settings."""
    with one_core():
        for name in SPEEDS:
            yield Row(f"{name}, random play", speed(name, seconds / len(SPEEDS)), "moves/s")
    for name, config in SOLVED.items():
        yield from _solve(name, config)
    plain = Solver(SupplyChainConfig())
    for offer in OFFERS:
        found = respond(plain, everywhere(plain, offer))
        name = f"supply-chain:3, {offer:g} for each dear part, best responses in turn"
        yield Row(name, found.raw, "welfare")
        yield Row(name, found.payments, "paid")


def speed(name: str, seconds: float) -> float:
    """Moves of single seats, the manager's among them."""
    batch, rng = games.batched(name, NUM_GAMES, seed=0), np.random.default_rng(0)
    moved = calls = 0

    def step() -> None:
        nonlocal moved, calls
        rows = len(batch.due_game)
        batch.step((rng.random(rows, np.float32) * batch.choice_counts).astype(np.int64))
        moved, calls = moved + rows, calls + 1

    return rate(step, seconds) * moved / calls


def _solve(name: str, config: SupplyChainConfig) -> Iterator[Row]:
    start = time.perf_counter()
    solver = Solver(config)
    optimum, profile = solver.optimum()
    took = time.perf_counter() - start
    yield Row(f"{name}, optimum", optimum, "welfare")
    yield Row(f"{name}, {solver.states} states solved, compilation included", took, "s")
    yield Row(f"{name}, gain of the best response to it", solver.gain(profile), "a factory")
    for kind in ("best", "worst"):
        found = solver.equilibrium(best=kind == "best")
        yield Row(f"{name}, {kind} equilibrium", float(found.returns.sum()), "welfare")
        yield Row(f"{name}, gain of the best response to it", found.gain, "a factory")
        without = 100 * found.unsolved
        yield Row(f"{name}, stage games without a pure equilibrium", without, "%")
    most, welfare = solver.stage()
    yield Row(f"{name}, stage game at the start, optimum", most, "welfare")
    for kind, value in (("worst", welfare[0]), ("best", welfare[-1])):
        yield Row(f"{name}, stage game at the start, {kind} equilibrium", float(value), "welfare")
