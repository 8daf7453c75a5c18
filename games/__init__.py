"""Games that speak text: what is played."""

from __future__ import annotations

from typing import Any

from pettingzoo.env_registry import register

from games.core import BatchedGame, Step
from games.environments import TextAEC, TextParallel
from games.settings import GAMES, Setting, parse, parse_all
from games.text import PAD, Phrasebook

__all__ = [
    "GAMES",
    "PAD",
    "BatchedGame",
    "Phrasebook",
    "Setting",
    "Step",
    "TextAEC",
    "TextParallel",
    "batched",
    "make",
    "make_parallel",
    "parse",
    "parse_all",
    "setting",
]


def setting(name: str, **options: Any) -> Setting:
    """One setting by its name, with further options.

    Args:
        name: such as "hanabi", "hanabi:3" or "hanabi:3@small"; see ``games.settings``.
        **options: ``players``, and the game's own.

    Raises:
        ValueError: if the game or an option is unknown, a value is out of range, or the name means
            several settings.
    """
    found = parse(name)
    if len(found) > 1:
        raise ValueError(f"{name} means {len(found)} settings: name one number of players")
    players = options.pop("players", found[0].players)
    return Setting(found[0].game, players, {**found[0].options, **options})


def batched(
    name: str, num_games: int = 1024, seed: int = 0, restart: bool = True, **options: Any
) -> BatchedGame:
    """Many games of one setting, advanced in one call.

    Args:
        name: the setting, such as "hanabi:3"; see ``games.settings``.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.
        **options: ``players``, and the game's own: for Hanabi ``preset`` and the fields of
            ``HanabiConfig``.

    Raises:
        ValueError: if the game or an option is unknown, or a value is out of range.
    """
    return setting(name, **options).batched(num_games, seed, restart)


def make(name: str, render_mode: str | None = None, **options: Any) -> TextAEC:
    """One game as a PettingZoo AEC environment.

    Args:
        name: the setting, such as "hanabi:3"; see ``games.settings``.
        render_mode: None, "human" (print) or "ansi" (return text).
        **options: as in :func:`batched`.

    Raises:
        ValueError: if the game or an option is unknown, or a value is out of range.
    """
    return TextAEC(setting(name, **options).batched(1, restart=False), render_mode)


def make_parallel(name: str, render_mode: str | None = None, **options: Any) -> TextParallel:
    """One game as a PettingZoo Parallel environment; see :func:`make`.

    In a game of turns the actions of agents whose turn it is not are ignored.
    """
    return TextParallel(setting(name, **options).batched(1, restart=False), render_mode)


# pettingzoo.make("aec", "troupe/hanabi-v0", players=3) works once this package is imported.
for _name in GAMES:
    register("aec", f"troupe/{_name}-v0", entry_point="games:make", kwargs={"name": _name})
    register(
        "parallel", f"troupe/{_name}-v0", entry_point="games:make_parallel", kwargs={"name": _name}
    )
