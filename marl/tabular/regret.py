"""How much one factory of a supply chain would gain by leaving what all have learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from games.supply_chain import SupplyChainBatched, SupplyChainConfig
from games.supply_chain.solver import Profile, Solver, every_state
from marl.acting.table import observe
from marl.core import Policy


def profile_of(config: SupplyChainConfig, policies: Sequence[Policy]) -> Profile:
    """What policies do in every state, in every period alike.

    Args:
        config: the setting.
        policies: of each seat, that look neither at the period nor at what has been.

    Returns:
        float32 [P, T, S, A], see :mod:`games.supply_chain.solver`.
    """
    stock, owed, backlog = every_state(config)
    game = SupplyChainBatched(config, len(backlog))
    arrays = game.state()
    arrays["stock"][:, : config.players] = stock
    arrays["owed"][:, : config.players] = owed
    arrays["backlog"][:] = backlog
    game.load_state(arrays)
    profile = np.zeros((config.players, config.periods, len(backlog), 1 + 2 * config.room))
    seen = observe(game)
    for seat, policy in enumerate(policies):
        mine = game.due_seat == seat
        memory = np.zeros((mine.sum(), policy.memory_size), np.float32)
        chosen, _, _ = policy.act(seen[mine], memory)
        said = seen.choices[mine][np.arange(len(chosen)), chosen]
        move = np.searchsorted(game.choice_phrases, said)
        profile[seat, :, np.arange(len(move)), move] = 1
    return profile.astype(np.float32)


def gain(config: SupplyChainConfig, policies: Sequence[Policy]) -> float:
    """The most that one factory would gain by a best response to the others, exactly."""
    return Solver(config).gain(profile_of(config, policies))
