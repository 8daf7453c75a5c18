"""A socket's connection to a role of a run, which may move while the run lives.

A server that died comes back at its old port, and its peers need to do nothing. But the port may
have been taken meanwhile: then it comes back at another one and publishes that, so its peers look
now and then where it is. Where several do the same, as the brokers of a pool may, a peer chooses
one by how they are (``transport.survey``), and another one when that is lost.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import zmq

from transport import sockets
from transport.door import Handshake, RefusedError
from transport.endpoints import FileEndpoints, find_endpoints
from transport.keys import ClientKeys
from transport.sockets import Socket
from transport.survey import LATER, SOON, Figures, Rule, Survey, fewest_clients

_FIRST = 1.0  # Seconds for the first survey, which is waited for.
_AWAITED = 0.05  # Seconds between looks whether the other side, which has gone, is back.
_LOOK = 1.0  # Seconds between looks; reading the published file takes a twentieth of a millisecond.


class Published(NamedTuple):
    """Where somebody is to be found: a role that is published in a run directory.

    Several may do what the role says, as ROLE-0, ROLE-1 and so on.
    """

    run_dir: Path
    role: str


Where = str | Sequence[str] | Published
"""An endpoint, several that do the same, or a role that is published."""


class Connection:
    """Connects a socket, and knows where to and why not; belongs to the thread of the socket.

    Args:
        socket: to be connected.
        where: endpoints, which stay what they are, or a role of a run; that one is waited for (see
            ``transport.endpoints.find_endpoints``).
        keys: of the client, if the other side has any.
        rule: which of several to go to.

    Attributes:
        endpoint: to which the socket is connected.

    Raises:
        ValueError: if it is no endpoint, needs keys, or is not published.
    """

    def __init__(
        self,
        socket: Socket,
        where: Where,
        keys: ClientKeys | None = None,
        rule: Rule = fewest_clients,
    ) -> None:
        self._socket, self._where, self._keys, self._rule = socket, where, keys, rule
        self._survey: Survey | None = None
        self._refused: RefusedError | None = None
        self._sent_away = self._moving = self._settled = False
        self._handshake = Handshake(socket, keys is not None)
        try:
            addresses = self._addresses(wait=True)
            self.endpoint = addresses[0] if len(addresses) == 1 else self._first(addresses)
            sockets.connect(socket, self.endpoint, keys)
        except BaseException:
            self.close()
            raise
        self._several = len(addresses)
        self._look_at = time.monotonic() + _LOOK
        self._ask_at = _moment(SOON)

    def close(self) -> None:
        """Looks no more. To be closed before the socket and its context."""
        if self._survey is not None:
            self._survey.close()
        self._handshake.close()

    def rest(self, seconds: float) -> float:
        """For how many seconds nobody has to look here, of so many.

        They are few while others are asked, or the other side is awaited.
        """
        if self._survey is not None:
            return min(seconds, 0.005)
        return min(seconds, _AWAITED) if self._handshake.gone else seconds

    def ready(self) -> bool:
        """Whether what is sent now goes to where the socket is connected.

        ZeroMQ leaves an endpoint in its own time, and meanwhile goes on sending to it.
        """
        if self._moving:
            self._handshake.look()
            if self._handshake.done:
                self._socket.poll(0)  # It takes note of what has been left.
                self._moving = False
        return not self._moving

    def came_back(self) -> bool:
        """Whether the other side has gone and come back since the last time.

        What it was asked before, or has answered, may be lost: it may have been started anew.
        """
        self._handshake.look()
        came_back, self._handshake.returned = self._handshake.returned, False
        return came_back

    def leave(self) -> None:
        """The other side has said that it can do nothing for us: another one may."""
        self._sent_away, self._look_at = True, 0.0

    def follow(self, at_once: bool = False) -> bool:
        """Connects to where the other side is now, if it is elsewhere; looks once a second.

        Args:
            at_once: looks now.

        Returns:
            whether it has moved; what was sent to where it was is lost.
        """
        if isinstance(self._where, str):
            return False
        if self._several > 1 and self._handshake.lost():
            self._look_at = 0.0
        if self._survey is not None:
            return self._go_by(self._survey.poll())
        now = time.monotonic()
        if now < self._look_at and not at_once:
            return False
        self._look_at = now + _LOOK
        addresses = self._addresses()
        self._several = len(addresses)
        if self._several <= 1:
            return any(map(self._move, addresses))
        if self._lost or self._sent_away or now >= self._ask_at:
            asked = [address for address in addresses if not self._lost or address != self.endpoint]
            self._survey = Survey(self._socket.context, asked, self._keys)
        return False

    def check(self) -> bool:
        """Follows the other side, and sees whether it lets us in.

        Returns:
            whether it has moved.

        Raises:
            RefusedError: if it does not let us in.
        """
        if self.follow():
            return True
        try:
            self._handshake.check()
        except RefusedError as error:
            # Whoever has taken its old port need not know us; or another of several does.
            self._refused = error
            if self.follow(at_once=True):
                return True
            if self._survey is None:
                raise
        return False

    def _addresses(self, wait: bool = False) -> list[str]:
        """Where the other side is now, or several that do the same; none if nobody is there."""
        if isinstance(self._where, str):
            return [self._where]
        if not isinstance(self._where, Published):
            return list(self._where)
        if wait:
            return find_endpoints(*self._where)
        return FileEndpoints(self._where.run_dir).addresses(self._where.role)

    def _first(self, addresses: list[str]) -> str:
        """Which of several to go to first."""
        survey = Survey(self._socket.context, addresses, self._keys, _FIRST)
        with contextlib.closing(survey):
            choice = self._rule(survey.wait(), len(addresses), None)
        return choice.address or random.choice(addresses)

    def _go_by(self, figures: dict[str, Figures] | None) -> bool:
        """Goes where the rule says, once those that were asked have answered."""
        if figures is None:
            return False
        self._survey, self._sent_away = None, False
        choice = self._rule(figures, self._several, None if self._lost else self.endpoint)
        # Who has just left a broker is still counted there: what looks settled is asked once more.
        settled, self._settled = self._settled, math.isinf(choice.again)
        self._ask_at = _moment(choice.again if settled else min(choice.again, LATER))
        if choice.address is not None:
            return self._move(choice.address)
        if self._refused is not None:  # And nobody else has let us in.
            raise self._refused
        return False

    @property
    def _lost(self) -> bool:
        """Whether the other side is not there, or not for us."""
        return self._handshake.gone or self._refused is not None

    def _move(self, endpoint: str) -> bool:
        """Connects to another endpoint; False if it is the one that there is."""
        if endpoint == self.endpoint:
            return False
        with contextlib.suppress(zmq.ZMQError):  # ZeroMQ may have given it up.
            self._socket.disconnect(self.endpoint)
        self._handshake.begin_anew()
        self.endpoint = endpoint
        sockets.connect(self._socket, endpoint, self._keys)
        self._refused, self._moving = None, True
        return True


def _moment(pause: float) -> float:
    """When a pause is over; those who began together do not end together."""
    return time.monotonic() + pause * (1 + random.random())
