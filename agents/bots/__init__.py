"""Rule-based players of Hanabi, to meet and to measure against.

They observe what everybody observes: the facts. All of them act as a ``Policy`` of ``marl.core``;
what they play by is told in ``docs/bots.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agents.bots import holmes, information, lists, simple, smart
from agents.bots.core import Bot

__all__ = ["NAMES", "Bot", "make"]

_MAKERS: dict[str, Callable[[], Bot]] = {
    **{name: partial(simple.make, name) for name in simple.RULES},
    "holmes": holmes.make,
    "information": information.make,
    "smart": smart.make,
}

NAMES: tuple[str, ...] = tuple(sorted(_MAKERS))
"""Every player with a name of its own, in alphabetical order."""


def make(name: str) -> Bot:
    """A player by its name, out of ``NAMES`` or ``list-SEED`` for a random list of rules.

    Raises:
        ValueError: if there is no such player.
    """
    if name.startswith(lists.PREFIX):
        return lists.make(name)
    if name not in _MAKERS:
        raise ValueError(
            f"there is no bot {name!r}: choose from {', '.join(NAMES)}, or {lists.PREFIX}SEED"
        )
    return _MAKERS[name]()
