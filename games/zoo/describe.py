"""How an environment is put into words: its observations as facts, its actions as choices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from games.text import MAX_PHRASES
from games.zoo.worlds import World

BINS = 20
"""Into how many parts the range of a number is divided, unless it is counted."""

_STEPS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""Where the amounts of a number without a range are divided."""

_COUNTED = 32
"""A range from 3 up to this size, between whole numbers, is said to the next whole number."""


@dataclass(frozen=True)
class Description:
    """The words for an environment.

    Attributes:
        facts: sentences that can be said of an observation; a fact's id is its place.
        max_facts: the most that are said at once.
        actions: the sentence of each action in the order of their numbers, for each seat.
        roles: the role of each seat.
        describe: world and seat -> places of the facts that hold; called for seats that are there.
        keeps_nothing: whether ``env.reset(seed)`` gives the same episode in an environment that
            was played before. If not, it is made afresh for each.
    """

    facts: tuple[str, ...]
    max_facts: int
    actions: tuple[tuple[str, ...], ...]
    roles: tuple[str, ...]
    describe: Callable[[World, int], Sequence[int]]
    keeps_nothing: bool = False


Describer = Callable[[World], Description]
"""Makes the words for a world, once, before its first episode."""


def generic(world: World) -> Description:
    """Words for any environment of numbers: ``value 3 lies from 0.2 to 0.4``.

    A seat is told its role, then every number that is not zero: absence says zero. The range of a
    ``Box`` is divided into twenty parts, or said to the next whole number where it counts a few;
    numbers without a range are said by their magnitude. ``Discrete``, ``MultiDiscrete`` and
    ``MultiBinary`` are said exactly, ``Dict`` and ``Tuple`` part by part; ``action_mask`` is no
    fact. Actions are numbered.

    Raises:
        ValueError: if a space is of another kind, or has more to say than a phrasebook holds.
    """
    env, name = world.env, str(world.env.metadata.get("name", "this game"))
    roles = roles_of(world)
    book: dict[str, int] = {}
    readers: dict[str, tuple[int, tuple[_Part, ...]]] = {}
    for agent, role in zip(world.agents, roles, strict=True):
        if role not in readers:
            head = _intern(book, f"I am {_a(role)} in {name.replace(' ', '-')}")
            readers[role] = head, tuple(_parts(env.observation_space(agent), "", str(env), book))
    actions = []
    for agent in world.agents:
        space = env.action_space(agent)
        if not isinstance(space, spaces.Discrete):
            raise ValueError(f"actions of {agent} in {env} must be Discrete, are {space}")
        actions.append(tuple(f"I do action {number + 1}" for number in range(int(space.n))))

    def describe(world: World, seat: int) -> list[int]:
        head, parts = readers[roles[seat]]
        found, seen = [head], world.observation(seat)
        for part in parts:
            found += part.read(seen)
        return found

    most = max(1 + sum(part.size for part in parts) for _, parts in readers.values())
    return Description(tuple(book), most, tuple(actions), roles, describe)


def roles_of(world: World) -> tuple[str, ...]:
    """A role for each seat: the agent's name without its number, one for each pair of spaces."""
    found: dict[tuple[str, str], str] = {}
    roles = []
    for agent in world.agents:
        stem = re.sub(r"[_ -]*\d+$", "", str(agent)).replace("_", " ").strip() or "player"
        kind = str((world.env.observation_space(agent), world.env.action_space(agent)))
        if (stem, kind) not in found:
            twins = sum(other == stem for other, _ in found)
            found[stem, kind] = f"{stem} {twins + 1}" if twins else stem
        roles.append(found[stem, kind])
    return tuple(roles)


@dataclass(frozen=True)
class _Part:
    """Numbers of an observation: how they are reached, and what each of their values is called.

    Attributes:
        path: keys and indices that lead to them.
        size: how many.
        facts: the fact of each number's bins, int64 [size, bins].
        edges: where the bins after the first begin, float64 [size, bins - 1], +inf unused.
        silent: the amount of which nothing is said, NaN if there is none.
    """

    path: tuple[str | int, ...]
    size: int
    facts: NDArray[np.int64]
    edges: NDArray[np.float64]
    silent: float

    def read(self, seen: Any) -> list[int]:
        """The facts of an observation."""
        for key in self.path:
            seen = seen[key]
        values = np.asarray(seen, np.float64).reshape(-1)
        said = np.flatnonzero(values != self.silent)
        bins = (values[said, None] >= self.edges[said]).sum(axis=1)
        facts: list[int] = self.facts[said, bins].tolist()
        return facts


def _parts(
    space: spaces.Space,
    label: str,
    env: str,
    book: dict[str, int],
    path: tuple[str | int, ...] = (),
) -> Iterator[_Part]:
    """The parts of a space, whose sentences are added to the book."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        pairs = space.items() if isinstance(space, spaces.Dict) else enumerate(space)
        for key, part in pairs:
            if key == "action_mask":
                continue
            word = (
                ""
                if key == "observation"
                else f"part {key + 1}"
                if isinstance(key, int)
                else str(key)
            )
            inner = " ".join(f"{label} {word}".split())
            yield from _parts(part, inner, env, book, (*path, key))
        return
    if space.shape and 2 * np.prod(space.shape) > MAX_PHRASES:
        raise _too_much(env, int(np.prod(space.shape)))
    if isinstance(space, spaces.Box):
        bins = [_bins(low, high, space.dtype) for low, high in _ranges(space)]
    elif isinstance(space, spaces.MultiBinary):
        bins = [_exactly(0, 1)] * int(np.prod(space.shape))
    elif isinstance(space, spaces.Discrete):
        bins = [_exactly(int(space.start), int(space.start + space.n) - 1)]
    elif isinstance(space, spaces.MultiDiscrete):
        bins = [_exactly(0, int(n) - 1) for n in space.nvec.reshape(-1)]
    else:
        raise ValueError(f"{env} observes {space}: write a describer that puts it into words")
    if sum(len(names) for _, names in bins) + len(book) > MAX_PHRASES - 1000:
        raise _too_much(env, len(bins))
    single = isinstance(space, spaces.Discrete)
    shape = space.shape or (1,)
    width = max(len(edges) for edges, _ in bins)
    edges = np.full((len(bins), width), np.inf)
    facts = np.zeros((len(bins), width + 1), np.int64)
    for place, (index, (own, names)) in enumerate(zip(np.ndindex(shape), bins, strict=True)):
        where = " ".join(str(number + 1) for number in index)
        subject = " ".join(f"{label} {'number' if single else f'value {where}'}".split())
        ids = [_intern(book, f"{subject} {name}") for name in names]
        facts[place, : len(ids)], edges[place, : len(own)] = ids, own
    yield _Part(path, len(bins), facts, edges, np.nan if single else 0.0)


def _too_much(env: str, numbers: int) -> ValueError:
    return ValueError(
        f"{env} observes {numbers} numbers: more sentences than a phrasebook holds "
        f"({MAX_PHRASES}); write a describer that says what matters"
    )


_Bins = tuple[list[float], list[str]]
"""Where bins after the first begin, and what each bin is called."""


def _ranges(space: spaces.Box) -> Iterator[tuple[float, float]]:
    low, high = np.broadcast_arrays(space.low, space.high)
    yield from zip(low.reshape(-1).tolist(), high.reshape(-1).tolist(), strict=True)


@lru_cache(maxsize=256)
def _bins(low: float, high: float, dtype: Any) -> _Bins:
    if np.isfinite(low) and np.isfinite(high) and high - low < 1e6:
        least = 1 if np.issubdtype(dtype, np.integer) else 3
        if least <= high - low <= _COUNTED and low == int(low) and high == int(high):
            return _exactly(int(low), int(high))
        edges = np.linspace(low, high, BINS + 1)
        return edges[1:-1].tolist(), [f"lies from {a:.3g} to {b:.3g}" for a, b in pairwise(edges)]
    names = [f"lies from {a:g} to {b:g}" for a, b in pairwise(_STEPS)]
    below = [f"lies from -{b:g} to -{a:g}" for a, b in pairwise(_STEPS)]
    most = _STEPS[-1]
    return (
        [*(-step for step in _STEPS[::-1]), *_STEPS],
        [f"is below -{most:g}", *below[::-1], "is about 0", *names, f"is above {most:g}"],
    )


def _exactly(low: int, high: int) -> _Bins:
    return (
        [number - 0.5 for number in range(low + 1, high + 1)],
        [f"is {number}" for number in range(low, high + 1)],
    )


def _intern(book: dict[str, int], sentence: str) -> int:
    return book.setdefault(sentence, len(book))


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
