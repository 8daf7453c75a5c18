"""Several brokers of one pool: how they are, and which of them to go to.

Brokers share nothing and do not know of each other. Clients and workers ask them how many clients
and workers they have, and how much is open, and choose by a rule: a client the broker with the
fewest clients, a worker the one with the most to do for each of its workers. So what is lost with a
broker is found again at the others, and comes back to it when it does.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import zmq

from transport import sockets, wire
from transport.keys import ClientKeys
from transport.sockets import Context, Socket
from transport.wire import Header, Kind

_PATIENCE = 3.0  # Seconds that a broker has to answer, since who asks may be busy with others.
SOON, LATER = 2.0, 10.0  # Seconds to the next survey: where all is not well, and where it is.
_BETTER = 1.2  # How much more there has to be to do elsewhere for a worker to go there.


class Figures(NamedTuple):
    """How a broker is.

    Attributes:
        clients: that it has.
        workers: that it has.
        rows: that were open, on average over the last seconds.
    """

    clients: int
    workers: int
    rows: float


class Choice(NamedTuple):
    """Where to be.

    Attributes:
        address: of a broker; None to stay.
        again: seconds until it is worth asking again; inf: not until something happens.
    """

    address: str | None
    again: float = SOON


Rule = Callable[[Mapping[str, Figures], int, "str | None"], Choice]
"""From how the brokers are that have answered, of how many there are, and where one is (None:
nowhere), to where to be."""


class Survey:
    """Asks several brokers how they are, without waiting; belongs to the thread that made it.

    Args:
        context: for its sockets.
        addresses: of the brokers.
        keys: of who asks, if they have any.
        patience: seconds that they have to answer.
    """

    def __init__(
        self,
        context: Context,
        addresses: Sequence[str],
        keys: ClientKeys | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self._figures: dict[str, Figures] = {}
        self._unsent: dict[str, Socket] = {}
        self._asked: dict[str, Socket] = {}
        self._deadline = time.monotonic() + patience
        for address in addresses:
            socket = sockets.new_socket(context, zmq.DEALER)
            self._unsent[address] = socket
            try:
                sockets.connect(socket, address, keys)
            except BaseException:
                self.close()
                raise

    def poll(self) -> dict[str, Figures] | None:
        """How those are that have answered, once all have or have had the time; else None."""
        for address, socket in list(self._unsent.items()):
            try:
                sockets.send(socket, wire.encode(Header(Kind.STATS)), flags=zmq.NOBLOCK)
            except zmq.Again:  # The connection is not there yet.
                continue
            self._asked[address] = self._unsent.pop(address)
        for address, socket in list(self._asked.items()):
            if (frames := sockets.receive(socket)) is not None:
                self._asked.pop(address).close()
                self._take(address, frames)
        if (self._unsent or self._asked) and time.monotonic() < self._deadline:
            return None
        self.close()
        return self._figures

    def wait(self) -> dict[str, Figures]:
        """How those are that have answered."""
        while (figures := self.poll()) is None:
            time.sleep(0.002)
        return figures

    def close(self) -> None:
        """Asks no more."""
        for socket in (*self._unsent.values(), *self._asked.values()):
            socket.close()
        self._unsent, self._asked = {}, {}

    def _take(self, address: str, frames: list[wire.Buffer]) -> None:
        try:
            said = json.loads(wire.tensor_text(wire.decode(frames).tensors["json"]))
            figures = Figures(int(said["clients"]), int(said["workers"]), float(said["rows_open"]))
        except (ValueError, KeyError, TypeError):
            return  # As good as no answer.
        self._figures[address] = figures


def fewest_clients(figures: Mapping[str, Figures], there: int, mine: str | None) -> Choice:
    """A client's rule: to be where the fewest clients are, and somebody works.

    Only so many move that the numbers even out, by chance: none of them knows of the others.
    """
    able = {address: one for address, one in figures.items() if one.workers}
    if mine is None or mine not in figures or (able and mine not in able):
        return Choice(_least(able or figures, lambda one: one.clients))
    if not able:
        return Choice(None, LATER)
    best = _least(able, lambda one: one.clients)
    here = able[mine].clients
    gap = here - min(one.clients for one in able.values())
    if gap <= 1:
        return Choice(None, math.inf if len(able) == there else LATER)
    return Choice(best if random.random() < gap / (2 * here) else None)


def most_to_do(figures: Mapping[str, Figures], there: int, mine: str | None) -> Choice:
    """A worker's rule: to be where the most is to do for each worker.

    It leaves no broker alone that has clients, goes first where nobody works, and stays where it
    is unless there is clearly more to do elsewhere.
    """
    if mine is None or mine not in figures:
        return Choice(_least(figures, lambda one: -_to_do(one, 0)))
    here = figures[mine]
    others = {address: one for address, one in figures.items() if address != mine}
    best = _least(others, lambda one: (one.workers > 0, -_to_do(one, 1)))
    if best is None:
        return Choice(None, LATER)
    alone = others[best].workers == 0
    if here.workers <= 1:
        better = alone and others[best].clients > 0 and not here.clients
    else:
        better = alone or _to_do(others[best], 1) > _BETTER * _to_do(here, 0)
    if not better:
        return Choice(None, LATER)
    return Choice(best if random.random() * here.workers < 1 else None)


def _to_do(figures: Figures, more: int) -> float:
    """Open rows for each worker, if there were some more of them; idle brokers differ, too."""
    workers = figures.workers + more
    return (figures.rows + 1) / workers if workers else math.inf


def _least(figures: Mapping[str, Figures], value: Callable[[Figures], object]) -> str | None:
    """Where a value is least; by chance among equals."""
    addresses = list(figures)
    random.shuffle(addresses)
    return min(addresses, key=lambda one: value(figures[one]), default=None)  # type: ignore[arg-type, return-value]
