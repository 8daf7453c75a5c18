"""Versioned weights: published by one process, followed by many.

A version is a whole set of named tensors, so a follower that missed some needs only the newest. The
publisher keeps that one, and gives it to whoever comes late: every follower subscribes to what all
hear, and to a topic of its own, on which it is told what it has missed. When a newer version
exists than the one it has seen go by, it renews that subscription and gets it.

A publisher that takes the place of one that died may begin at an older version, that of a
checkpoint. Messages name the life of their publisher, and with a new life followers begin anew.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zmq

from transport import metrics, sockets, wire
from transport.connection import Connection, Published
from transport.keys import ClientKeys, ServerKeys
from transport.listeners import Listeners
from transport.sockets import Bounds
from transport.wire import Array, Buffer, Header, Kind, Tensors, WireError

RECEIVED = metrics.counter(
    "weights_received", "Versions of weights, by what became of them.", "outcome"
)

_ALL = b"*"
# Versions queued per follower; a slow one gets the newest later.
_QUEUE = Bounds(messages=4, frame=wire.LARGEST)
LIMITS = wire.Limits(size=wire.LARGEST)
"""Whoever follows trusts the publisher, and weights are as large as they are."""


class Publisher:
    """Publishes versions, from a thread of its own, so that late comers wait for no one.

    ``publish`` and ``latest`` make it the local side of the Weights seam, too.

    Args:
        run_dir: where its endpoint is published.
        name: the role that followers look for.
        address: where to listen (see ``transport.sockets``).
        keys: the server's keys, if it is to be reached from other machines.
        beacon: seconds between the messages that say which version is the newest.

    Raises:
        ValueError: if the address cannot be bound.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        name: str = "weights",
        address: str = "ipc",
        keys: ServerKeys | None = None,
        beacon: float = 0.5,
    ) -> None:
        self.version = -1
        self._tensors: dict[str, Array] = {}
        self._frames: list[Buffer] = []
        self._life = secrets.randbits(62)
        self._lock = threading.Lock()
        self._news = threading.Event()  # A version that has not been sent yet.
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._beacon = beacon
        self._listeners = Listeners(run_dir, keys)
        # A renewed subscription is news.
        options = {int(zmq.XPUB_VERBOSE): 1}
        self._listener = self._listeners.listen(zmq.XPUB, name, address, _QUEUE, options)
        # From here on the socket is the thread's.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def publish(self, version: int, tensors: Tensors, life: int | None = None) -> None:
        """Makes a version the newest; the tensors are copied.

        Args:
            version: its number.
            tensors: by name.
            life: of whoever has made it, for one who only hands it on; this publisher's own, by
                default.

        Raises:
            ValueError: if it is not newer than the last of this life, or a tensor cannot be sent.
            RuntimeError: if publishing has come to an end.
        """
        if self._error is not None:
            raise RuntimeError(f"nothing is published any more: {self._error}") from self._error
        life = self._life if life is None else life
        if life == self._life and version <= self.version:
            raise ValueError(f"version {version} is not newer than {self.version}")
        copies = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
        frames = wire.encode(Header(Kind.WEIGHTS, epoch=life, version=version), copies)
        wire.check_size(frames, LIMITS)
        with self._lock:
            self.version, self._tensors, self._frames = version, copies, frames
            self._life = life
        self._news.set()

    def latest(self) -> tuple[int, dict[str, Array]]:
        """The newest version (-1: none) and its tensors."""
        with self._lock:
            return self.version, self._tensors

    def close(self) -> None:
        """Stops publishing."""
        self._stop.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        """The thread's work; it alone touches the socket."""
        try:
            self._serve()
        except BaseException as error:  # Whoever publishes next is to know.
            self._error = error
        finally:
            self._listeners.close()

    def _serve(self) -> None:
        beacon = time.monotonic()
        while not self._stop.is_set():
            if self._news.wait(0.02):
                self._news.clear()
                self._send(_ALL)
            self._listeners.renew()
            while (frames := sockets.receive(self._listener.socket)) is not None:
                subscription = bytes(frames[0])
                if subscription[:1] == b"\x01" and subscription[1:] != _ALL:
                    self._send(subscription[1:])
            if self.version >= 0 and time.monotonic() >= beacon:
                beacon = time.monotonic() + self._beacon
                with self._lock:
                    header = Header(Kind.LATEST, epoch=self._life, version=self.version)
                sockets.send(self._listener.socket, [_ALL, *wire.encode(header)])

    def _send(self, topic: bytes) -> None:
        with self._lock:
            frames = self._frames
        if frames:
            sockets.send(self._listener.socket, [topic, *frames])


class Subscriber:
    """Follows a publisher; belongs to the thread that made it.

    Args:
        where: its endpoint, or the role under which a run publishes it: then it is followed where
            it moves.
        keys: this follower's, if the publisher has any.
        limits: caps on messages.

    Attributes:
        version: the newest version that was taken (-1: none yet).
        life: of the publisher that it came from.
        counts: messages refused, by reason, versions taken, and times that it had to catch up.
    """

    def __init__(
        self,
        where: str | Published,
        *,
        keys: ClientKeys | None = None,
        limits: wire.Limits = LIMITS,
    ) -> None:
        self.version = -1
        self.counts: Counter[str] = Counter()
        self._limits = limits
        self.life = 0
        self._own = b"@" + secrets.token_bytes(12)
        self._asked = time.monotonic()
        self._context = sockets.new_context()
        self._socket = sockets.new_socket(self._context, zmq.SUB, bounds=_QUEUE)
        for topic in (_ALL, self._own):
            self._socket.subscribe(topic)
        try:
            self._connection = Connection(self._socket, where, keys)
        except BaseException:
            self._socket.close()
            self._context.term()
            raise
        metrics.watch(self)

    def measured(self) -> Iterator[metrics.Figures]:
        """Its figures."""
        yield RECEIVED.of(self.counts)

    def poll(self) -> tuple[int, dict[str, Array]] | None:
        """The newest version and its tensors, if it is newer than the last one given.

        Raises:
            RefusedError: if the publisher does not let us in.
        """
        newest, known = None, self.version
        self._connection.check()
        while (frames := sockets.receive(self._socket)) is not None:
            try:
                message = wire.decode(frames[1:], self._limits)
            except WireError as error:
                self.counts[f"refused {error.reason}"] += 1
                continue
            header = message.header
            if header.epoch != self.life:
                self.life, self.version, known, newest = header.epoch, -1, -1, None
            known = max(known, header.version)
            if header.kind is Kind.WEIGHTS and header.version > self.version:
                self.version = header.version
                newest = (header.version, message.tensors)
        if newest is not None:
            self.counts["taken"] += 1
        elif known > self.version and time.monotonic() - self._asked > 1.0:
            # It went by while the queue was full, or before there was a connection.
            self._asked = time.monotonic()
            self.counts["catch-ups"] += 1
            self._socket.unsubscribe(self._own)
            self._socket.subscribe(self._own)
        return newest

    def latest(self, timeout: float = 60.0) -> tuple[int, dict[str, Array]]:
        """Waits for a version newer than the last one given.

        Raises:
            TimeoutError: if there is none in time.
            RefusedError: if the publisher does not let us in.
        """
        deadline = time.monotonic() + timeout
        while (newest := self.poll()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no weights newer than version {self.version} in {timeout:g} s")
            self._socket.poll(min(100, max(1, round(left * 1000))))
        return newest

    def close(self) -> None:
        """Stops following."""
        self._connection.close()
        self._socket.close()
        self._context.term()
