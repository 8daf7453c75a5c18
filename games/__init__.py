"""Games that speak text: what is played."""

from __future__ import annotations

from typing import Any

from pettingzoo import AECEnv
from pettingzoo.env_registry import register

from games.core import BatchedGame, Step
from games.text import PAD, Phrasebook

__all__ = ["PAD", "BatchedGame", "Phrasebook", "Step", "batched", "make"]

GAMES = ("hanabi",)

# pettingzoo.make("aec", "troupe/hanabi-v0", players=3) works once this package is imported.
for _name in GAMES:
    register("aec", f"troupe/{_name}-v0", entry_point=f"games.{_name}.aec:env")


def _check(name: str) -> None:
    if name not in GAMES:
        raise ValueError(f"unknown game {name!r}; there are {', '.join(GAMES)}")


def batched(name: str, num_games: int = 1024, seed: int = 0, **options: Any) -> BatchedGame:
    """Many games of one setting, advanced in one call.

    Args:
        name: the game, such as "hanabi".
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        **options: the game's own: for Hanabi ``preset`` and the fields of ``HanabiConfig``.

    Raises:
        ValueError: if the game or an option is unknown, or a value is out of range.
    """
    _check(name)
    from games.hanabi import HanabiBatched, configure

    return HanabiBatched(configure(**options), num_games, seed)


def make(name: str, render_mode: str | None = None, **options: Any) -> AECEnv:
    """One game as a PettingZoo AEC environment.

    Args:
        name: the game, such as "hanabi".
        render_mode: None, "human" (print) or "ansi" (return text).
        **options: as in :func:`batched`.

    Raises:
        ValueError: if the game or an option is unknown, or a value is out of range.
    """
    _check(name)
    from games.hanabi.aec import env

    return env(render_mode, **options)
