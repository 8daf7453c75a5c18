"""What a process counts and measures, for whoever asks (``transport.exporter`` does).

A part declares its families once, counts with plain numbers as it always did, and has itself
watched; nothing is done until somebody asks::

    CALLS = counter("calls", "Calls, by what became of them.", "outcome")

    class Client:
        def __init__(self):
            watch(self)

        def measured(self):
            yield CALLS.of(self.counts)

Where several parts of a process measure the same, two clients say, the figures add up.
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

SECONDS = tuple(base * 10.0**power for power in range(-4, 2) for base in (1, 2, 5))
"""Bounds of a histogram of times: 0.1 ms to 50 s, three a decade."""

ROWS = tuple(float(2**power) for power in range(13))
"""Bounds of a histogram of counts, up to 4096."""


class Histogram:
    """Counts values by the first bound that they do not exceed; one writes, anybody may read.

    Args:
        bounds: ascending; values beyond the last are counted as well.

    Attributes:
        sum: of all values.
    """

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def counts(self) -> list[int]:
        """How many values there are at every bound, and beyond the last; int [bounds + 1]."""
        return self._counts.copy()


Value = float | Histogram


class Figures(NamedTuple):
    """What a part says of one family: values by their labels."""

    family: Family
    values: Mapping[tuple[str, ...], Value]


@dataclass(frozen=True)
class Family:
    """Figures of one name.

    Attributes:
        name: as it is exported, behind ``troupe_``; without the ending of a counter.
        kind: a counter never falls while a process lives, a gauge may.
        text: what it means, in a sentence.
        labels: by which its figures are told apart.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()

    def of(self, values: Mapping[str, float], *before: str) -> Figures:
        """Figures by their last label, those before it given."""
        return Figures(self, {(*before, name): value for name, value in dict(values).items()})

    def is_(self, value: Value, *labels: str) -> Figures:
        """One figure."""
        return Figures(self, {labels: value})


FAMILIES: dict[str, Family] = {}
"""All that have been declared in this process, by name."""


def _declare(family: Family) -> Family:
    if FAMILIES.setdefault(family.name, family) != family:
        raise ValueError(f"two families of figures are called {family.name}")
    return family


def counter(name: str, text: str, *labels: str) -> Family:
    """Declares what only grows."""
    return _declare(Family(name, "counter", text, labels))


def gauge(name: str, text: str, *labels: str) -> Family:
    """Declares what may rise and fall."""
    return _declare(Family(name, "gauge", text, labels))


def histogram(name: str, text: str, *labels: str) -> Family:
    """Declares what has a distribution."""
    return _declare(Family(name, "histogram", text, labels))


class Measured(Protocol):
    """A part that is watched."""

    def measured(self) -> Iterable[Figures]:
        """Its figures as they are; called from a thread of the exporter, so it must not wait."""
        ...


_lock = threading.Lock()
_watched: weakref.WeakSet[Measured] = weakref.WeakSet()


def watch(part: Measured) -> None:
    """Has a part asked for its figures for as long as it lives."""
    with _lock:
        _watched.add(part)


def collect() -> Iterator[Figures]:
    """The figures of all parts of this process, a family each, added up where several have them."""
    with _lock:
        parts = list(_watched)
    totals: dict[Family, dict[tuple[str, ...], _Total]] = {}
    for part in parts:
        for family, values in part.measured():
            known = totals.setdefault(family, {})
            for labels, value in values.items():
                known.setdefault(labels, _Total()).add(value)
    for family, found in totals.items():
        yield Figures(family, {labels: total.value for labels, total in found.items()})


@dataclass
class _Total:
    """A sum of numbers or of histograms."""

    value: Value = 0.0
    _first: bool = field(default=True, repr=False)

    def add(self, value: Value) -> None:
        if not isinstance(value, Histogram):
            assert not isinstance(self.value, Histogram)
            self.value += float(value)
            return
        if not isinstance(self.value, Histogram):
            self.value = Histogram(value.bounds)
        for place, count in enumerate(value.counts()):
            self.value._counts[place] += count
        self.value.sum += value.sum
