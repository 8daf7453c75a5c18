"""Rule-based players, to meet and to measure against: of Hanabi, and one of the particle games.

They observe what everybody observes: the facts. All of them act as a ``Policy`` of ``marl.core``;
what they play by is told in ``docs/bots.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agents.bots import holmes, information, lists, sieve, simple, smart, value
from agents.bots.core import Bot
from agents.bots.planner import Planner

__all__ = ["NAMES", "PLANNER", "Bot", "Planner", "make"]

PLANNER = Planner.name
"""Of those that play another game than Hanabi, the name."""

_MAKERS: dict[str, Callable[[], Bot]] = {
    **{name: partial(simple.make, name) for name in simple.RULES},
    "holmes": holmes.make,
    "information": information.make,
    "referential-sieve": sieve.make,
    "smart": smart.make,
    "value": value.make,
}

NAMES: tuple[str, ...] = tuple(sorted(_MAKERS))
"""Every player of Hanabi with a name of its own, in alphabetical order."""


def make(name: str) -> Bot | Planner:
    """A player by its name: ``NAMES``, ``list-SEED`` for a random list of rules, or ``PLANNER``.

    Raises:
        ValueError: if there is no such player.
    """
    if name.startswith(lists.PREFIX):
        return lists.make(name)
    if name == PLANNER:
        return Planner()
    if name not in _MAKERS:
        known = ", ".join((*NAMES, PLANNER))
        raise ValueError(f"there is no bot {name!r}: choose from {known}, or {lists.PREFIX}SEED")
    return _MAKERS[name]()
