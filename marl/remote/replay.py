"""The remote side of the ``Replay`` seam, and the ledger that shows that nothing was lost.

An actor hands its sequences over and plays on while they travel; with ``window`` of them on their
way it waits, so a learner that is slow slows its actors and nothing piles up. Calls that get no
answer are repeated. What makes that safe is the *ledger*: every actor numbers its insertions, and
the ledger enters each number once. It is saved with the replay, so that what was inserted before a
checkpoint is not inserted again after a resume.
"""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.text import Phrasebook
from marl.core import Replay
from marl.episodes import Episodes
from marl.replay.prioritised import Sample
from transport.client import Client
from transport.metrics import Figures, counter, watch
from transport.service import Function
from transport.wire import Array

_FIELDS = tuple(field.name for field in fields(Episodes))


class RemoteReplay:
    """Replay in another process; belongs to the thread that made it.

    Args:
        client: of the replay's service; closed with this.
        window: insertions on their way; with that many, ``insert`` waits.
        stop: whether to give up waiting, since the run is about to end.
    """

    def __init__(
        self, client: Client, *, window: int = 8, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._client, self._window, self._stop = client, window, stop
        self._life = secrets.randbits(62)
        self._next = 0
        self._open: dict[int, int] = {}  # number of the insertion by that of its call

    def insert(self, episodes: Episodes, moves: int = 0, games: int = 0) -> None:
        """Hands sequences over; returns before they are there.

        Args:
            episodes: the sequences.
            moves: made since the last insertion, for the counts of the run.
            games: finished since then.

        Raises:
            RemoteError: if replay refused this or an earlier insertion.
        """
        self._settle(self._window - 1)
        number, self._next = self._next, self._next + 1
        oldest = min(self._open.values(), default=number)
        entry = np.array([self._life, number, oldest, moves, games], np.int64)
        call = self._client.submit({**tensors_of(episodes), "entry": entry}, "insert")
        self._open[call] = number

    def sample(self, n: int) -> Sample:
        """Draws n sequences by priority."""
        tensors = self._client.call({"n": np.array(n)}, "sample").tensors
        return Sample(tensors["ids"], tensors["weights"], episodes_in(tensors))

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets the priorities of sampled sequences."""
        self._client.call({"ids": ids, "priorities": priorities}, "update")

    @property
    def has_room(self) -> bool:
        """Whether ``insert`` would not wait."""
        return len(self._open) < self._window

    def settle(self) -> None:
        """Takes in what has been acknowledged, and sends again what is overdue; does not wait.

        Raises:
            RemoteError: if replay refused an insertion.
        """
        self._client.wait(0.0)
        arrived = self._client.arrived()
        for reply in arrived:
            self._open.pop(reply.number, None)
        for reply in arrived:
            reply.checked()

    def flush(self) -> None:
        """Waits until all that was handed over is in replay, or the run is about to end."""
        self._settle(0)

    def close(self) -> None:
        """Leaves; what has not been acknowledged may or may not be in replay."""
        self._client.close()

    def _settle(self, most: int) -> None:
        """Waits until at most so many insertions are on their way."""
        while True:
            self.settle()
            if len(self._open) <= most or self._stop():
                return
            # However long the learner takes: it is not for us to give up.
            self._client.wait(0.2)


_AHEAD = 4096  # Insertions of an actor beyond one that is missing; honest ones have a window.
_ACTORS = 4096  # Actors remembered; more than that, and the one longest silent is forgotten.


@dataclass
class _Account:
    """What one actor has handed over: every number below ``next``, and those ``beyond``."""

    next: int = 0
    beyond: set[int] = field(default_factory=set)


INSERTIONS = counter("insertions", "Insertions into replay, by what became of them.", "outcome")
PLAYED = counter("played", "Sequences, moves and games that have come to replay.", "what")
_PLAYED = ("sequences", "moves", "games")


class Ledger:
    """Enters every insertion once, and can show it.

    Attributes:
        counts: insertions, sequences, moves and games entered; ``repeated`` insertions that were
            not entered again; insertions ``refused`` as malformed; insertions ``rolled_back``: they
            had been entered after the checkpoint that the run went on from, so they are gone with
            the rest of that time; and insertions ``lost``, of which there must be none.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._accounts: OrderedDict[int, _Account] = OrderedDict()
        self._foreign: set[int] = set()  # Actors whom a process before this one has heard, too.
        self._forgotten = 0  # Numbers used by actors that are no longer remembered.
        watch(self)

    def measured(self) -> Iterator[Figures]:
        """Its figures, for an exporter."""
        counts = dict(self.counts)
        yield PLAYED.of({name: counts.pop(name, 0) for name in _PLAYED})
        entered = counts.pop("insertions", 0)
        yield INSERTIONS.of({"entered": entered, "lost": 0} | counts)

    def enter(self, life: int, number: int, oldest: int) -> bool:
        """Enters an insertion; False if it is there already.

        Args:
            life: names the actor that inserts.
            number: of the insertion; an actor counts from 0.
            oldest: number of its oldest insertion that nobody has acknowledged.

        Raises:
            ValueError: if no honest actor would count like that.
        """
        if not 0 <= oldest <= number:
            raise ValueError(f"insertion {number} cannot come before {oldest}, the oldest open one")
        if life not in self._accounts:
            if oldest > 0:
                self._foreign.add(life)
            self._forget(_ACTORS - 1)
        account = self._accounts.setdefault(life, _Account())
        self._accounts.move_to_end(life)
        if len(account.beyond) >= _AHEAD:
            raise ValueError(f"more than {_AHEAD} insertions have come since one that is missing")
        if oldest > account.next:
            # All before it was acknowledged: by us, or by one who was killed since.
            later = {n for n in account.beyond if n >= oldest}
            gone = oldest - account.next - (len(account.beyond) - len(later))
            if gone:
                self.counts["rolled_back" if life in self._foreign else "lost"] += gone
            account.next, account.beyond = oldest, later
        new = number >= account.next and number not in account.beyond
        if new:
            account.beyond.add(number)
            self.counts["insertions"] += 1
        else:
            self.counts["repeated"] += 1
        while account.next in account.beyond:
            account.beyond.remove(account.next)
            account.next += 1
        return new

    def holes(self) -> int:
        """Insertions that are on their way although later ones are here."""
        return sum(
            max(account.beyond) + 1 - account.next - len(account.beyond)
            for account in self._accounts.values()
            if account.beyond
        )

    def balance(self) -> int:
        """Numbers that were used less those entered, rolled back or lost: 0, or the books are off.

        Numbers that are on their way do not count.
        """
        used = sum(account.next + len(account.beyond) for account in self._accounts.values())
        counts = self.counts
        return (
            self._forgotten + used - counts["insertions"] - counts["rolled_back"] - counts["lost"]
        )

    def state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "counts": dict(self.counts),
            "accounts": [[life, a.next, *sorted(a.beyond)] for life, a in self._accounts.items()],
            "forgotten": self._forgotten,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``; what was entered after it is known to be gone."""
        self.counts = Counter(state["counts"])
        self._accounts = OrderedDict(
            (life, _Account(first, set(beyond))) for life, first, *beyond in state["accounts"]
        )
        self._foreign = set(self._accounts)
        self._forgotten = state.get("forgotten", 0)

    def _forget(self, most: int) -> None:
        """Forgets actors, those longest silent first, until so many are left."""
        while len(self._accounts) > most:
            life, account = self._accounts.popitem(last=False)
            self._foreign.discard(life)
            self._forgotten += account.next + len(account.beyond)


def replay_functions(
    replay: Replay,
    ledger: Ledger,
    insert: Callable[[Episodes], None] | None = None,
    *,
    phrases: Phrasebook | None = None,
) -> dict[str, Function]:
    """What a service of a replay runs (see ``transport.service``).

    Args:
        replay: the table.
        ledger: enters the insertions.
        insert: takes sequences in, if there is more to do than ``replay.insert``.
        phrases: the phrasebook; sequences with other ids are refused. None for any ids.
    """
    take = insert or replay.insert

    def insert_once(tensors: dict[str, Array]) -> dict[str, Array]:
        try:
            life, number, oldest, moves, games = _entry(tensors)
            episodes = episodes_in(tensors)
            if not ledger.enter(life, number, oldest):
                return {}
            if phrases is not None:
                _check_ids(episodes, phrases)
            take(episodes)
        except ValueError:
            # Whoever sent them is told; what they hold would end the learner, and again after
            # every restart.
            ledger.counts["refused"] += 1
            raise
        ledger.counts["sequences"] += len(episodes)
        ledger.counts["moves"] += moves
        ledger.counts["games"] += games
        return {}

    def sample(tensors: dict[str, Array]) -> dict[str, Array]:
        drawn = replay.sample(int(tensors["n"]))
        return {"ids": drawn.ids, "weights": drawn.weights, **tensors_of(drawn.episodes)}

    def update(tensors: dict[str, Array]) -> dict[str, Array]:
        replay.update(tensors["ids"], tensors["priorities"])
        return {}

    return {"insert": insert_once, "sample": sample, "update": update}


def _entry(tensors: Mapping[str, Array]) -> list[int]:
    """The life of an actor, number and oldest of its insertions, and its moves and games since.

    Raises:
        ValueError: if a message has none.
    """
    entry = tensors.get("entry")
    if entry is None or entry.dtype != np.int64 or entry.shape != (5,) or entry[3:].min() < 0:
        raise ValueError("an insertion needs a tensor entry: int64 [5], moves and games from 0 on")
    return list(entry.tolist())


def _check_ids(episodes: Episodes, phrases: Phrasebook) -> None:
    """Raises ValueError where a fact or a choice is no phrase."""
    for name, ids in (("facts", episodes.facts), ("choices", episodes.choices)):
        if ids.max(initial=-1) >= len(phrases):
            phrases.catch_up()
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < len(phrases):
            raise ValueError(
                f"{name} must be ids from 0 to {len(phrases) - 1}, got {ids.min()} to {ids.max()}"
            )


def tensors_of(episodes: Episodes) -> dict[str, Array]:
    """Sequences as the tensors of a message."""
    return {name: getattr(episodes, name) for name in _FIELDS}


def episodes_in(tensors: Mapping[str, Array]) -> Episodes:
    """The sequences of a message.

    Raises:
        ValueError: if it holds none.
    """
    if missing := [name for name in _FIELDS if name not in tensors]:
        raise ValueError(f"sequences need the tensors {', '.join(missing)}")
    return Episodes(**{name: tensors[name] for name in _FIELDS})
