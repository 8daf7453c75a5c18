"""Hanabi, the cooperative card game in which everybody sees all hands but their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from games.hanabi.batched import HanabiBatched
from games.hanabi.rules import PRESETS, HanabiConfig, configure

__all__ = ["PRESETS", "HanabiBatched", "HanabiConfig", "configure", "make_batched"]


def make_batched(
    name: str, players: int, num_games: int, seed: int, restart: bool, options: Mapping[str, Any]
) -> HanabiBatched:
    """A batch of Hanabi; see ``games.settings.Room``."""
    return HanabiBatched(configure(players=players, **options), num_games, seed, restart)
