"""The cooperative games of the multi-agent particle environments: movers on a plane that talk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from games.mpe.batched import MpeBatched
from games.mpe.rules import NAMES, MpeConfig, configure

__all__ = ["NAMES", "MpeBatched", "MpeConfig", "configure", "make_batched"]


def make_batched(
    name: str, players: int, num_games: int, seed: int, restart: bool, options: Mapping[str, Any]
) -> MpeBatched:
    """A batch of one of the games; see :class:`games.settings.Room`.

    Raises:
        ValueError: if an option is unknown or out of range.
    """
    return MpeBatched(configure(name, players, options), num_games, seed, restart)
