"""The door of a listener with keys: who comes in, who is shut out, and how both sides hear why.

A server's *doorkeeper* answers for every new connection (ZAP, the authentication protocol of
ZeroMQ). It reads the clients' keys again when they have changed, so a key that was added counts at
once, and one that was deleted shuts its client out: the owner of the socket is told, and cuts the
connections that there are (see ``transport.listeners``).

A client learns from its own socket why it does not come in, and a ``Handshake`` puts that into
words: waiting longer would not help, so it is an error and no time-out.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import sys
import threading
import time
from collections import Counter

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from transport import sockets
from transport.keys import HOST, ServerKeys, read_clients, stamp_of_clients
from transport.sockets import Context, Socket

_LOOK = 0.25  # Seconds between looks at the clients' keys.
_SAID = 100  # Refusals told one by one; after that they are counted only.
_CUT_OFF = 5  # Times in a row that a server hangs up on us before it counts as a wrong key.

_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class RefusedError(ValueError):
    """The other side does not let us in, and will not: a key is wrong or missing."""


class Doorkeeper:
    """Lets clients with known keys in.

    There is one to a context, for all its sockets with these keys. It has a thread of its own, so
    that a busy owner keeps nobody waiting at the door.

    Args:
        context: the sockets'.
        keys: the server's, with the folder in which its clients' public keys lie.

    Attributes:
        refused: whom it sent away, by reason.

    Raises:
        RuntimeError: if the context has a doorkeeper already.
    """

    def __init__(self, context: Context, keys: ServerKeys) -> None:
        self.refused: Counter[str] = Counter()
        self._folder, self._clients = keys.folder, keys.clients
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._admitted: set[tuple[bytes, str]] = set()  # with the listener's role
        self._admits: dict[str, frozenset[str] | None] = {}
        self._said: set[str] = set()
        self._shut_out = threading.Event()
        self._stop = threading.Event()
        self._watched: queue.SimpleQueue[Socket] = queue.SimpleQueue()
        self._door = sockets.new_socket(context, zmq.REP)
        try:
            self._door.bind("inproc://zeromq.zap.01")
        except zmq.ZMQError as error:
            self._door.close()
            raise RuntimeError(f"this context has a doorkeeper already ({error})") from None
        # From here on the socket is the thread's.
        self._thread = threading.Thread(target=self._serve, name="doorkeeper", daemon=True)
        self._thread.start()

    def admit(self, listener: str, roles: frozenset[str] | None) -> None:
        """Says whose keys open a listener; to be called before it is bound.

        Args:
            listener: the role under which it is published, which is its ZAP domain.
            roles: that a key may have (see ``transport.keys``); None for any.
        """
        self._admits[listener] = roles

    def watch(self, listener: Socket) -> None:
        """Counts those, too, whom a listener turns away before the doorkeeper is asked."""
        address = f"inproc://handshakes-{id(listener)}-{time.monotonic_ns()}"
        listener.monitor(
            address,
            zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
        )
        events = sockets.new_socket(listener.context, zmq.PAIR)
        events.connect(address)
        self._watched.put(events)

    def shut_out(self) -> bool:
        """Whether somebody who has come in may not be here any more. Then it is forgotten."""
        shut_out = self._shut_out.is_set()
        self._shut_out.clear()
        return shut_out

    def close(self) -> None:
        """Leaves the door shut: nobody else is let in."""
        self._stop.set()
        self._thread.join()

    def _serve(self) -> None:
        """The thread's work; it alone touches its sockets."""
        watched: list[Socket] = []
        look = time.monotonic()
        while not self._stop.is_set():
            self._door.poll(100)
            if (request := sockets.receive(self._door)) is not None:
                self._look()
                self._answer([bytes(frame) for frame in request])
            with contextlib.suppress(queue.Empty):
                while True:
                    watched.append(self._watched.get_nowait())
            for events in watched:
                self._note_failures(events)
            if time.monotonic() >= look:
                look = time.monotonic() + _LOOK
                self._look()
        for socket in (*watched, self._door):
            socket.close()

    def _answer(self, request: list[bytes]) -> None:
        version, sequence, domain, address, _, mechanism, *credentials = request
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
        listener = domain.decode(errors="replace")
        if known := self._may_enter(key, listener):
            status = (b"200", b"OK")
            self._admitted.add((key, listener))
        else:
            kind = "unknown key" if key else "no key"
            words = f"{kind} {key.decode()} from {address.decode(errors='replace')}"
            if key in self._clients:
                kind = "other role"
                words = f"a {self._clients[key]}'s key {key.decode()} at {listener}"
            self._refuse(kind, words)
            status = (b"400", b"unknown key")
        sockets.send(self._door, [version, sequence, *status, key if known else b"", b""])

    def _may_enter(self, key: bytes, listener: str) -> bool:
        """Whether a key is for what a listener serves."""
        roles = set(self._clients.get(key, "").split())
        admitted = self._admits.get(listener)
        return bool(roles) and (admitted is None or HOST in roles or not roles.isdisjoint(admitted))

    def _note_failures(self, events: Socket) -> None:
        while (event := sockets.receive(events)) is not None:
            what = parse_monitor_message([bytes(frame) for frame in event])
            if what["event"] == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._refuse("hung up", "somebody who hung up at the door, maybe without a key")
            elif what["event"] != zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                continue
            elif what["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
                self._refuse("no key", "somebody without a key")
            elif what["value"] == zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
                self._refuse("other server key", "somebody who has another server's key")

    def _refuse(self, kind: str, words: str) -> None:
        self.refused[kind] += 1
        if words not in self._said and len(self._said) < _SAID:
            self._said.add(words)
            print(f"not let in: {words}", file=sys.stderr, flush=True)

    def _look(self) -> None:
        """Reads the clients' keys again, if they have changed."""
        if self._folder is None:
            return
        try:
            if (stamp := stamp_of_clients(self._folder)) == self._stamp:
                return
            clients = read_clients(self._folder)
        except OSError as error:  # A disk that is away for a moment shuts nobody out.
            self._refuse("keys unread", f"nobody new, for {self._folder} cannot be read: {error}")
            return
        self._clients, self._stamp = clients, stamp
        gone = {entry for entry in self._admitted if not self._may_enter(*entry)}
        if gone:
            self._admitted -= gone
            keys = ", ".join(sorted({key.decode() for key, _ in gone}))
            print(f"shut out, for their keys were deleted: {keys}", file=sys.stderr, flush=True)
            self._shut_out.set()


class Handshake:
    """Knows why a connecting socket does not come in. To be made before the socket connects.

    Args:
        socket: the connecting socket; this belongs to the same thread.
        keyed: whether it has keys.

    Attributes:
        done: whether the other side has let us in, since the socket was connected.
        gone: whether it has gone since, and not come back.
        returned: whether it has gone and come back.
    """

    def __init__(self, socket: Socket, keyed: bool) -> None:
        self.done = self.gone = self.returned = False
        self._keyed, self._cut_off = keyed, 0
        self._error: RefusedError | None = None
        self._socket = socket
        address = f"inproc://handshake-{id(socket)}-{time.monotonic_ns()}"
        socket.monitor(address, _FAILED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._events = sockets.new_socket(socket.context, zmq.PAIR)
        self._events.connect(address)

    def check(self) -> None:
        """Looks at what has happened since the last time.

        Raises:
            RefusedError: if the other side does not let us in.
        """
        self.look()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def lost(self) -> bool:
        """Whether the other side has gone since the last time, and not come back."""
        before = self.gone
        self.look()
        return self.gone and not before

    def begin_anew(self) -> None:
        """Forgets what has happened: the socket is connected to somebody else."""
        self.look()
        self.done = self.gone = self.returned = False
        self._error, self._cut_off = None, 0

    def look(self) -> None:
        """Takes in what has happened."""
        while (event := sockets.receive(self._events)) is not None:
            what = parse_monitor_message([bytes(frame) for frame in event])
            kind, value = what["event"], what["value"]
            if kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.returned |= self.gone
                self._cut_off, self.done, self.gone = 0, True, False
            elif kind == zmq.EVENT_DISCONNECTED:
                self.gone = True
            elif kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._error = self._refused(
                    "the server does not know this client's key, or no longer, or it is for "
                    "another role"
                )
            elif (
                kind == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
                and value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
            ):
                self._error = self._refused(
                    "this client has a key, and the server has none"
                    if self._keyed
                    else "the server wants a key: pass the client's file that `troupe keys` made"
                )
            elif kind == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and value == errno.EPIPE:
                # It hung up without a word, as one does who cannot read what was said; but also one
                # that is just being ended, for once.
                self._cut_off += 1
                if self._keyed and self._cut_off >= _CUT_OFF:
                    self._error = self._refused(
                        "the server's key is not the one in this client's file, or it has none"
                    )

    def close(self) -> None:
        """Looks no more. To be closed before the context."""
        self._socket.disable_monitor()
        self._events.close()

    def _refused(self, why: str) -> RefusedError:
        endpoint = bytes(self._socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")
        return RefusedError(f"not let in at {endpoint}: {why}")
