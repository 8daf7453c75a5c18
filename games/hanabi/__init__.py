"""Hanabi, the cooperative card game in which everybody sees all hands but their own."""

from games.hanabi.batched import HanabiBatched
from games.hanabi.rules import PRESETS, HanabiConfig, configure

__all__ = ["PRESETS", "HanabiBatched", "HanabiConfig", "configure"]
