"""The social dilemmas: moves a second on one core, and the most that all can have together.

Nobody else plays them in batches of text. For the orchard the bound stands beside the optimum, or
alone where that takes too long, with what is had by picking whatever is there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import games
from games.social import HarvestBatched, HarvestConfig
from games.social.harvest_optimum import bound, optimum
from scripts.bench import Row
from scripts.bench.engine import one_core
from scripts.bench.supply_chain import speed

SETTINGS = ("escape-room:2", "escape-room:3", "prisoners-dilemma", "stag-hunt:3", "harvest:2")
FIELDS = {
    "harvest:2": HarvestConfig(),
    "harvest:3": HarvestConfig(players=3),
    "harvest:4": HarvestConfig(players=4),
}


def run(seconds: float) -> Iterator[Row]:
    """Measures the engines and computes the optima."""
    with one_core():
        for name in SETTINGS:
            yield Row(f"{name}, random play", speed(name, seconds / len(SETTINGS)), "moves/s")
    for name in SETTINGS[:-1]:
        most = games.batched(name, num_games=1).max_score
        yield Row(f"{name}, optimum", most, "welfare")
    for name, config in FIELDS.items():
        if config.players < 4:
            yield Row(f"{name}, optimum", optimum(config), "apples")
        yield Row(f"{name}, bound", bound(config), "apples")
        yield Row(f"{name}, picking whatever is there", _greed(config), "apples")


def _greed(config: HarvestConfig) -> float:
    """Mean of 4096 games in which everybody picks where it can and else goes anywhere."""
    batch, rng = HarvestBatched(config, 4096, 0, restart=False), np.random.default_rng(0)
    pick = batch.phrasebook.id("I pick the apple")
    while len(batch.due_game):
        here = batch.choices == pick
        anything = (rng.random(len(here)) * batch.choice_counts).astype(np.int64)
        batch.step(np.where(here.any(1), here.argmax(1), anything))
    return float(batch.outcome()["welfare"].mean())
