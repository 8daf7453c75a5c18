"""The supply chain, social dilemmas and managed games keep the promises of every game."""

from __future__ import annotations

from typing import Any

import pytest

import games
from games import testing, zoo
from games.managed import Managed, ManagerConfig

NAMES = (
    "supply-chain:3",
    "supply-chain:4@room=3@periods=8",
    "escape-room:3",
    "prisoners-dilemma",
    "stag-hunt:3",
    "harvest:2@rounds=12",
    "harvest:1@width=3@height=1@rounds=5",
    "supply-chain:3@manager=incentives@periods=6",
    "supply-chain:3@manager=hidden@manager_every=2@periods=7",
    "supply-chain:2@manager=subsidy@periods=6",
    "escape-room:3@manager=incentives",
    "escape-room:3@manager=recommendation@manager_every=2",
    "harvest:2@manager=shared@rounds=6",
    "stag-hunt:2@manager=none",
    "hanabi:2@small@manager=incentives@manager_offers=0.5",
    "simple-reference@chained=true@max_cycles=4@manager=incentives",
    "classic/tictactoe-v3@manager=incentives",
)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_game(name: str) -> None:
    def make(num_games: int, seed: int, restart: bool) -> games.BatchedGame:
        return games.batched(name, num_games=num_games, seed=seed, restart=restart)

    testing.check_all(make, num_games=3, steps=60)


def test_a_stock_environment_has_a_manager() -> None:
    """Stock mpe2's spread, in generic words, through the adapter."""
    from mpe2 import simple_spread_v3

    def make(num_games: int, seed: int, restart: bool) -> games.BatchedGame:
        def env() -> Any:
            return simple_spread_v3.parallel_env(N=2, max_cycles=4)

        stock = zoo.batched(env, num_games=num_games, seed=seed, restart=restart)
        return Managed(stock, ManagerConfig(every=2, offers=(0.0, 0.3)))

    assert make(1, 0, True).roles == ("agent", "agent", "manager")
    testing.check_all(make, num_games=2, steps=30)
