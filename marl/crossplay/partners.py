"""Who is met: the partners of a part of the split, and who sits where among them.

As a *guest* an agent holds one seat and one partner all others; as *hosts* it holds all seats but
one. With two players both are the same. The guest's place in the order of turns goes round from
game to game. The random lists are one partner, another list from game to game.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.settings import Setting
from marl.core import Policy
from marl.runs import roster
from marl.runs.split import PARTS

GUEST, HOSTS = "guest", "hosts"
RULE_LISTS, CONVENTIONS = "rule lists", "conventions"
FRESH_LISTS = "random lists"


@dataclass(frozen=True)
class Partner:
    """Somebody to be met.

    Attributes:
        name: in tables.
        kind: ``RULE_LISTS`` or ``CONVENTIONS``.
        policies: who takes its seats, another from game to game.
    """

    name: str
    kind: str
    policies: tuple[Policy, ...]


def partners_of(part: str, device: str = "cpu") -> list[Partner]:
    """The partners of a part of the split, the rule lists first.

    Raises:
        ValueError: if there is no such part.
    """
    if part not in PARTS:
        raise ValueError(f"there is no part {part!r} of the split: choose from {', '.join(PARTS)}")
    chosen = PARTS[part]
    kinds = {RULE_LISTS: chosen.rule_lists, CONVENTIONS: chosen.conventions}
    found = [
        Partner(name, kind, (roster.load(name, device).policy,))
        for kind, names in kinds.items()
        for name in names
    ]
    lists = tuple(roster.load(name).policy for name in chosen.lists)
    found.insert(len(chosen.rule_lists), Partner(FRESH_LISTS, RULE_LISTS, lists))
    return found


def seating(players: int, games: int, role: str, partners: int) -> NDArray[np.int64]:
    """Who sits where.

    Args:
        players: seats of a game.
        games: how many.
        role: of the agent.
        partners: how many policies the partner is, each with the guest in every place in turn.

    Returns:
        int64 [games, players], 0 for the agent and k for the k-th policy of the partner.
    """
    game = np.arange(games)[:, None]
    alone = np.arange(players) == game % players
    mine = alone if role == GUEST else ~alone
    return np.where(mine, 0, 1 + game // players % partners)


def roles(setting: Setting) -> tuple[str, ...]:
    """The roles that differ: of two players each is the other's guest."""
    return (GUEST,) if setting.players == 2 else (GUEST, HOSTS)
