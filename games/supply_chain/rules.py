"""The rules of the supply chain as numbers: what a setting of it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any, Final

MAX_PLAYERS = 4
MAX_ROOM = 4
MAX_BACKLOG = 9
MAX_DEMAND = 4
MAX_PERIODS = 200


@dataclass(frozen=True)
class SupplyChainConfig:
    """A setting. The defaults are those of which the optimum, 73.58, is known.

    Attributes:
        players: factories, 2 to 4.
        periods: of an episode.
        margin: m; each factory earns 1 + m for a product.
        backlog_cost: b; a product that waits to be made costs each factory b / players a period.
        idle_cost: z, for a factory whose parts lie idle while the others keep customers waiting.
        holding_cost: of a part that lies in stock for a period.
        small_price: of a part at the small supplier.
        large_price: of a part at the large supplier.
        small_capacity: parts that the small supplier ships a period.
        room: parts that a factory may hold and have on order, 1 to 4.
        max_backlog: products that customers wait for; more are lost. 0 to 9.
        demand: probabilities of a demand for 0, 1, 2 ... products.
        refund: for each part held or on order at the end.

    Raises:
        ValueError: if a value is out of range.
    """

    players: int = 3
    periods: int = 30
    margin: float = 1.4
    backlog_cost: float = 0.45
    idle_cost: float = 0.2
    holding_cost: float = 0.1
    small_price: float = 1.0
    large_price: float = 2.0
    small_capacity: int = 2
    room: int = 2
    max_backlog: int = 3
    demand: tuple[float, ...] = (0.25, 0.5, 0.25)
    refund: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("players", 2, MAX_PLAYERS),
            ("periods", 1, MAX_PERIODS),
            ("small_capacity", 0, MAX_PLAYERS * MAX_ROOM),
            ("room", 1, MAX_ROOM),
            ("max_backlog", 0, MAX_BACKLOG),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {value}")
        for name in (
            *("margin", "backlog_cost", "idle_cost", "holding_cost", "refund"),
            *("small_price", "large_price"),
        ):
            value = getattr(self, name)
            if not (isfinite(value) and 0 <= value <= 100):
                raise ValueError(f"{name} must be from 0 to 100, got {value}")
        if not 2 <= len(self.demand) <= MAX_DEMAND + 1:
            raise ValueError(f"demand must be 2 to {MAX_DEMAND + 1} numbers, got {self.demand}")
        if min(self.demand) < 0 or abs(sum(self.demand) - 1) > 1e-6:
            raise ValueError(f"demand must be probabilities that add up to 1, got {self.demand}")


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        # A part bought at the large supplier is worth more to the others, and the trap is weaker.
        "lever": {"margin": 1.6, "backlog_cost": 0.5, "idle_cost": 0.3},
        # The small supplier ships whatever is ordered: nobody is in anybody's way, and a manager
        # has nothing to gain.
        "plenty": {"small_capacity": MAX_PLAYERS * MAX_ROOM},
    }
)
