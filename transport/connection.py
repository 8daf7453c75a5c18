"""A socket's connection to a role of a run, which may move while the run lives.

A server that died comes back at its old port, and its peers need to do nothing. But the port may
have been taken meanwhile: then it comes back at another one and publishes that, so its peers look
now and then where it is.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import NamedTuple

import zmq

from transport import sockets
from transport.door import Handshake, RefusedError
from transport.endpoints import find_endpoint
from transport.keys import ClientKeys
from transport.sockets import Socket

_LOOK = 1.0  # Seconds between looks; reading the published file takes a twentieth of a millisecond.


class Published(NamedTuple):
    """Where somebody is to be found: a role that is published in a run directory."""

    run_dir: Path
    role: str


class Connection:
    """Connects a socket, and knows where to and why not; belongs to the thread of the socket.

    Args:
        socket: to be connected.
        where: an endpoint, which stays what it is, or a role of a run; that one is waited for (see
            ``transport.endpoints.find_endpoint``).
        keys: of the client, if the other side has any.

    Attributes:
        endpoint: to which the socket is connected.

    Raises:
        ValueError: if it is no endpoint, needs keys, or is not published.
    """

    def __init__(
        self, socket: Socket, where: str | Published, keys: ClientKeys | None = None
    ) -> None:
        self._socket, self._where, self._keys = socket, where, keys
        self._handshake = Handshake(socket, keys is not None)
        try:
            self.endpoint = where if isinstance(where, str) else find_endpoint(*where)
            sockets.connect(socket, self.endpoint, keys)
        except BaseException:
            self.close()
            raise
        self._look_at = time.monotonic() + _LOOK

    def close(self) -> None:
        """Looks no more. To be closed before the socket and its context."""
        self._handshake.close()

    def follow(self, at_once: bool = False) -> bool:
        """Connects to where the other side is now, if it is elsewhere; looks once a second.

        Args:
            at_once: looks now.

        Returns:
            whether it has moved; what was sent to where it was is lost.
        """
        now = time.monotonic()
        if isinstance(self._where, str) or (now < self._look_at and not at_once):
            return False
        self._look_at = now + _LOOK
        try:
            endpoint = find_endpoint(*self._where, timeout=0.0)
        except ValueError:  # It is not there just now.
            return False
        if endpoint == self.endpoint:
            return False
        with contextlib.suppress(zmq.ZMQError):  # ZeroMQ may have given it up.
            self._socket.disconnect(self.endpoint)
        self.endpoint = endpoint
        sockets.connect(self._socket, endpoint, self._keys)
        return True

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
        except RefusedError:
            # Whoever has taken its old port need not know us.
            if not self.follow(at_once=True):
                raise
            return True
        return False
