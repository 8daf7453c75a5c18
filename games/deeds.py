"""Deeds: what a manager can ask a player to do, and what it may offer for it.

A game says so in a few lines, with an attribute ``deeds`` that holds a tuple of :class:`Deed`. One
that says nothing gets a deed for each of its choices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from games.core import BatchedGame
from games.words import LETTERS, number

UNDECLARED_OFFERS = (0.0, 0.1, -0.1)
"""What may be offered in a game that declares no deeds: nothing, a little, and a tax."""


@dataclass(frozen=True)
class Deed:
    """Something that can be asked for, and followed.

    Attributes:
        name: short, for options and curves ("large-supplier").
        ask: what is asked, behind "to": "order from the large supplier".
        choices: the choices that do it, each with how many times over it does so ("I order 2 parts
            from the large supplier": 2).
        unit: what is paid for each time, where a choice can do it several times over ("part").
        offers: what may be offered each time: nothing (0), a payment, or a tax (below 0).

    Raises:
        ValueError: if there is nothing to choose or to offer, or a number is not finite.
    """

    name: str
    ask: str
    choices: Mapping[str, float]
    unit: str = ""
    offers: tuple[float, ...] = UNDECLARED_OFFERS

    def __post_init__(self) -> None:
        if not self.choices or not self.offers or not self.ask:
            raise ValueError(f"deed {self.name!r} needs what is asked, choices and offers")
        if not all(map(isfinite, (*self.offers, *self.choices.values()))):
            raise ValueError(f"deed {self.name!r} has an offer or amount that is not finite")


@dataclass(frozen=True)
class Ask:
    """What a manager says to one player: a deed with an offer, or nothing.

    Attributes:
        deed: what is asked, None for nothing.
        offer: for each time the deed is done; below 0 it is a tax, and asks not to do it.
    """

    deed: Deed | None
    offer: float

    def __hash__(self) -> int:
        return hash((self.deed.name if self.deed else None, self.offer))

    def _terms(self, offers: str, charges: str) -> str:
        """Such as "to order from the large supplier and offers 0.3 for each part"."""
        assert self.deed is not None
        asked = f"{'not ' if self.offer < 0 else ''}to {self.deed.ask}"
        if not self.offer:
            return asked
        each = f" for each {self.deed.unit}" if self.deed.unit else ""
        verb = offers if self.offer > 0 else charges
        return f"{asked} and {verb} {number(abs(self.offer))}{each}"

    @property
    def short(self) -> str:
        """For curves: "nothing", "large-supplier", "large-supplier+0.4"."""
        if self.deed is None:
            return "nothing"
        return self.deed.name + (f"{self.offer:+g}" if self.offer else "")

    def order(self, name: str) -> str:
        """The manager's choice: "I ask factory A to order ... and offer 0.3 for each part"."""
        if self.deed is None:
            return f"I ask nothing of {name}"
        return f"I ask {name} {self._terms('offer', 'charge')}"

    @property
    def request(self) -> str:
        """What the player reads: "the manager asks me to ... and offers 0.3 for each part"."""
        if self.deed is None:
            return "the manager asks nothing of me"
        return f"the manager asks me {self._terms('offers', 'charges')}"

    def record(self, name: str) -> str:
        """What the manager reads of it: "factory A is asked to ... and offered 0.3 ..."."""
        if self.deed is None:
            return f"{name} is asked nothing"
        return f"{name} is asked {self._terms('offered', 'charged')}"


def seat_names(roles: tuple[str, ...]) -> tuple[str, ...]:
    """What a manager calls the players: "factory A", "factory B" ..."""
    marks = [LETTERS[k] if k < len(LETTERS) else str(k + 1) for k in range(len(roles))]
    return tuple(f"{role} {mark}" for role, mark in zip(roles, marks, strict=True))


def find_deeds(game: BatchedGame) -> tuple[Deed, ...]:
    """What can be asked for in a game: what it declares, or else each of its choices.

    Raises:
        ValueError: if two deeds share a name.
    """
    deeds: tuple[Deed, ...] = getattr(game, "deeds", ()) or tuple(
        _derived(game.phrasebook[int(id)]) for id in game.choice_phrases
    )
    names = [deed.name for deed in deeds]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two deeds are named {name!r}")
    return deeds


def _derived(choice: str) -> Deed:
    """The deed that is one choice: "I discard card 1" is to discard card 1."""
    verb = choice.removeprefix("I ")
    ask = verb if verb != choice else f"choose {choice}"
    return Deed(re.sub(r"[^A-Za-z0-9.]+", "-", verb).strip("-"), ask, {choice: 1.0})
