"""A supply chain: factories that serve themselves, and a whole that suffers from it.

Every product takes a part from each factory. A small supplier is cheap and ships few parts; a large
one is dear and ships everything. Whoever waits for the cheap one saves money, and keeps all the
others waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.options import configure
from games.simultaneous import Sheet, Simultaneous
from games.supply_chain import engine
from games.supply_chain.phrases import phrases
from games.supply_chain.rules import PRESETS, SupplyChainConfig
from games.supply_chain.solver import solve, state_index

__all__ = ["PRESETS", "SupplyChainBatched", "SupplyChainConfig", "make_batched"]

_NO_GAP = 0.05
"""Share of the optimum below which nothing is to be gained."""


class SupplyChainBatched(Simultaneous):
    """N supply chains; see :class:`games.simultaneous.Simultaneous`.

    Args:
        config: the setting.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.

    Attributes:
        records: the games as they stand, ``engine.GAME`` [N], live and not to be written.
    """

    def __init__(
        self, config: SupplyChainConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        self.config = config
        said = phrases(config)
        sheet = Sheet(
            phrasebook=said.book,
            players=config.players,
            role="factory",
            scoring=engine.SCORING,
            max_score=None,
            max_facts=engine.max_facts(said, config.players),
            max_choices=len(said.choices),
            rounds=config.periods,
            fact_phrases=said.facts,
            onlooker_phrases=said.onlooker,
            choice_phrases=said.choices,
            deeds=said.deeds,
        )
        rules = engine.make_rules(config, said)
        super().__init__(sheet, engine.KERNELS, rules, engine.GAME, num_games, seed, restart)
        self.records = self._games

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The welfare that self-interest comes to, and the optimum; None where there is no gap.

        They are found by :mod:`games.supply_chain.solver`, once a setting; None as well where that
        would take long.
        """
        solution = solve(self.config)
        if solution is None or solution.optimum - solution.selfish < _NO_GAP * solution.optimum:
            return None
        return solution.selfish, solution.optimum

    def advice(self) -> NDArray[np.int16]:
        """What every seat would choose where all play for the whole: int16 [N, P], ids.

        Raises:
            ValueError: if finding that out would take long.
        """
        solution = solve(self.config)
        if solution is None:
            raise ValueError(
                f"nobody knows the optimum of so large a supply chain: {self.config}; take less "
                "room or fewer factories"
            )
        games, seats = self._games, slice(self.num_players)
        stock, owed = games["stock"][:, seats], games["owed"][:, seats]
        state = state_index(self.config, stock, owed, games["backlog"])
        period = np.minimum(games["period"], self.config.periods - 1)
        return self.choice_phrases[solution.moves[:, period, state].T]


def make_batched(
    name: str,
    players: int,
    num_games: int,
    seed: int,
    restart: bool,
    options: Mapping[str, Any],
) -> SupplyChainBatched:
    """A batch of supply chains; see ``games.settings.Room``."""
    config = configure(SupplyChainConfig, options, PRESETS, name, players=players)
    return SupplyChainBatched(config, num_games, seed, restart)
