"""The listening sockets of a part, and the door before them: made, renewed and closed together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from transport import sockets
from transport.door import Doorkeeper
from transport.keys import ServerKeys
from transport.sockets import Bounds, Context, Socket

_FREE = 2.0  # Seconds for an address to become free once its socket is closed.


@dataclass
class Listener:
    """A bound socket; another one takes its place when connections are cut.

    Attributes:
        kind: the socket's type.
        role: under which it is published.
        endpoint: that others connect to.
        socket: the socket of the moment.
        host: by which other machines know this one; empty where nothing was said.
    """

    kind: int
    role: str
    endpoint: str
    socket: Socket
    bounds: Bounds
    options: Mapping[int, int] = field(default_factory=dict)
    host: str = ""


class Listeners:
    """Belongs to one thread at a time, as its sockets do.

    Args:
        run_dir: where endpoints are published.
        keys: the server's, if other machines can reach it.

    Attributes:
        door: lets clients in; None without keys.
    """

    def __init__(self, run_dir: Path, keys: ServerKeys | None = None) -> None:
        self._run_dir, self._keys = run_dir, keys
        self._all: list[Listener] = []
        self._context: Context = sockets.new_context()
        self.door = None if keys is None else Doorkeeper(self._context, keys)

    def listen(
        self,
        kind: int,
        role: str,
        address: str,
        bounds: Bounds,
        options: Mapping[int, int] | None = None,
        admits: frozenset[str] | None = None,
    ) -> Listener:
        """Binds a socket and publishes where; see ``transport.sockets.bind``.

        Args:
            kind: the socket's type.
            role: to be found by.
            address: where to listen.
            bounds: of the socket.
            options: further options of the socket, by number.
            admits: roles whose keys let in here; None for any key.

        Raises:
            ValueError: if the address cannot be bound, or needs keys; all is closed then.
        """
        if self.door is not None:
            self.door.admit(role, admits)
        socket = self._make(kind, bounds, options or {})
        try:
            endpoint = sockets.bind(
                socket, address, run_dir=self._run_dir, role=role, keys=self._keys
            )
        except BaseException as error:
            socket.close()
            self.close()
            if isinstance(error, OSError):
                raise ValueError(f"cannot bind {role} to {address}: {error}") from None
            raise
        host = address.partition("@")[2]
        self._all.append(Listener(kind, role, endpoint, socket, bounds, options or {}, host))
        return self._all[-1]

    def renew(self) -> bool:
        """Cuts all connections if a client has been shut out; who may come in does so again.

        ZeroMQ cannot cut a single connection. Peers connect again by themselves, within a tenth of
        a second, and what was lost meanwhile is asked for again.

        Returns:
            whether the listeners have new sockets.
        """
        if self.door is None or not self.door.shut_out():
            return False
        for listener in self._all:
            address = bytes(listener.socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")
            address += f"@{listener.host}" * bool(listener.host)
            listener.socket.close()
            listener.socket = self._make(listener.kind, listener.bounds, listener.options)
            self._bind_again(listener, address)
        return True

    def close(self) -> None:
        """Closes all sockets, and removes their files, with the folder of these if it is empty."""
        for listener in self._all:
            listener.socket.close()
        if self.door is not None:
            self.door.close()
        self._context.term()
        for listener in self._all:
            sockets.remove_ipc_file(self._run_dir, listener.endpoint)

    def _make(self, kind: int, bounds: Bounds, options: Mapping[int, int]) -> Socket:
        socket = sockets.new_socket(self._context, kind, bounds=bounds)
        for option, value in options.items():
            socket.setsockopt(option, value)
        if self.door is not None:
            self.door.watch(socket)
        return socket

    def _bind_again(self, listener: Listener, address: str) -> None:
        """Binds to the address of a socket that was closed just now.

        Raises:
            ValueError: if it does not become free.
        """
        deadline = time.monotonic() + _FREE
        while True:
            try:
                sockets.bind(
                    listener.socket,
                    address,
                    run_dir=self._run_dir,
                    role=listener.role,
                    keys=self._keys,
                )
            except ValueError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
            else:
                return
