"""What manages a game: the kinds there are, their options, and what a manager can say and read."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame
from games.deeds import Ask, find_deeds
from games.text import PAD, Phrasebook

KINDS = ("incentives", "recommendation", "hidden", "subsidy", "scripted", "shared", "none")
SPEAKING = ("incentives", "recommendation", "hidden")
"""Those in which the manager has a seat."""


@dataclass(frozen=True)
class ManagerConfig:
    """What manages a game: a manager, or one of the controls to compare it with.

    Attributes:
        manager: ``incentives``: a manager that asks and offers. ``recommendation``: it asks and
            offers nothing. ``hidden``: it asks and pays, and the players do not hear it. Without a
            seat of its own: ``subsidy``, the same offer to everybody for ever; ``scripted``, that
            offer to whoever would do the deed where all play for the whole; ``shared``, where each
            player gets the mean of the raw rewards; and ``none``.
        every: rounds from one time that the manager speaks to the next: own turns of whoever has
            the most of them.
        kappa: what a payment or tax of one costs the manager.
        offers: what may be offered for a deed, () for what the game declares. A subsidy is one
            offer, scripted or not, by default the smallest payment declared.
        together: whether the manager says one thing to all players at once. It then has one choice
            to make each time, and no player is treated unlike another.
        named: whether each player reads what the manager calls it: "I am factory B". Players who
            all follow one policy can then play unlike each other.
        deeds: names of the deeds that may be asked for, with commas; "" for all, and for a subsidy
            the first.

    Raises:
        ValueError: if a value is out of range.
    """

    manager: str = "incentives"
    every: int = 1
    kappa: float = 1.0
    offers: tuple[float, ...] = ()
    together: bool = False
    named: bool = False
    deeds: str = ""

    def __post_init__(self) -> None:
        if self.manager not in KINDS:
            raise ValueError(f"manager must be one of {', '.join(KINDS)}, got {self.manager!r}")
        if self.every < 1:
            raise ValueError(f"manager_every must be at least 1, got {self.every}")
        if not (isfinite(self.kappa) and self.kappa >= 0):
            raise ValueError(f"manager_kappa must be a number from 0 up, got {self.kappa}")
        if not all(map(isfinite, self.offers)):
            raise ValueError(f"manager_offers must be finite, got {self.offers}")

    @property
    def speaks(self) -> bool:
        """Whether there is a seat for the manager."""
        return self.manager in SPEAKING

    @property
    def heard(self) -> bool:
        """Whether the players read what they are asked."""
        return self.manager in ("incentives", "recommendation", "subsidy", "scripted")

    @property
    def constant(self) -> bool:
        """Whether there is one offer only."""
        return self.manager in ("subsidy", "scripted")


def find_asks(game: BatchedGame, config: ManagerConfig) -> tuple[Ask, ...]:
    """What can be said to one player, nothing first.

    Raises:
        ValueError: if the game has no such deed, or a subsidy is not one offer.
    """
    deeds = find_deeds(game)
    names = [deed.name for deed in deeds]
    wanted = config.deeds.split(",") if config.deeds else names
    for name in wanted:
        if name not in names:
            raise ValueError(f"there is no deed {name!r} to ask for; there are {', '.join(names)}")
    chosen = [deed for deed in deeds if deed.name in wanted]
    nothing = Ask(None, 0.0)
    if config.manager in ("shared", "none"):
        return (nothing,)
    if config.constant:
        deed = chosen[0]
        offers = config.offers or tuple(sorted(x for x in deed.offers if x > 0)[:1])
        if len(offers) != 1:
            raise ValueError(
                f"a subsidy of {deed.name} is one offer, got {offers}: give it as manager_offers"
            )
        return (nothing, Ask(deed, offers[0]))
    asks = [Ask(deed, offer) for deed in chosen for offer in (config.offers or deed.offers)]
    if config.manager == "recommendation":
        asks = [Ask(deed, 0.0) for deed in chosen]
    return (nothing, *dict.fromkeys(asks))


class Tally:
    """How often each player was told what, since somebody last looked.

    It is for watching, and no part of a game's state.

    Args:
        names: of the players.
        asks: what can be said to each.
    """

    def __init__(self, names: tuple[str, ...], asks: tuple[Ask, ...]) -> None:
        self._names = [name.replace(" ", "-") for name in names]
        self._asks = [ask.short for ask in asks]
        self._counts = np.zeros((len(names), len(asks)), np.int64)

    def add(self, seat: NDArray[np.integer], ask: NDArray[np.integer]) -> None:
        """Counts what was said."""
        np.add.at(self._counts, (seat, ask), 1)

    def take(self) -> dict[str, float]:
        """The share of each ask among all that a player was told, by "factory-A/nothing".

        Of players that were told nothing at all there are none.
        """
        counts = self._counts.copy()
        self._counts[:] = 0
        return {
            f"{name}/{ask}": float(count / row.sum())
            for name, row in zip(self._names, counts, strict=True)
            for ask, count in zip(self._asks, row, strict=True)
            if row.any()
        }


class Reads:
    """The sentences "player A reads: ..." of every player and fact, made when first needed."""

    def __init__(self, book: Phrasebook, names: tuple[str, ...]) -> None:
        self._book, self._names = book, names
        self._ids = np.full((len(names), 0), PAD, np.int16)

    def cover(self, facts: NDArray[np.int16]) -> None:
        """Makes the sentences of some facts."""
        if not facts.size:
            return
        missing = int(facts.max()) + 1 - self._ids.shape[1]
        if missing > 0:
            more = np.full((len(self._names), missing), PAD, np.int16)
            self._ids = np.concatenate([self._ids, more], axis=1)
        for fact in np.unique(facts[self._ids[0, facts] == PAD]).tolist():
            for seat, name in enumerate(self._names):
                said = f"{name} reads: {self._book[fact]}"
                self._ids[seat, fact] = self._book.intern(said)

    def of(self, seat: int, facts: NDArray[np.int16]) -> NDArray[np.int16]:
        """The ids of what one player reads, int16 [n]."""
        self.cover(facts)
        return self._ids[seat, facts]

    def all(self) -> NDArray[np.int16]:
        """The ids of all of them so far."""
        return self._ids[self._ids != PAD]
