"""A client: calls what a pool or a service serves, one call at a time or many in flight.

In five lines::

    with Client(Published(Path("runs/first"), "pool")) as client:
        ticket = client.submit({"facts": facts})  # returns at once
        ...                                       # step other games meanwhile
        reply = client.result(ticket)             # waits
        print(reply.tensors["choices"], reply.version)

A call whose answer does not come is sent again; an answer that comes twice is dropped. So the
caller gets exactly one outcome of each, whatever broker and workers go through meanwhile.

A call that says which ``frame`` it has seen is one in *real time*, where what is late is worth
nothing: it never waits and is never sent again. If it cannot be sent at once, or has no answer
after ``patience`` seconds, its outcome is that it was dropped.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import zmq

from transport import metrics, sockets, wire
from transport.closing import Closing
from transport.connection import Connection, Published, Where
from transport.keys import ClientKeys
from transport.sockets import Bounds
from transport.wire import Array, Buffer, Header, Kind, Tensors, WireError

CALLS = metrics.counter("calls", "Calls by a client, by whom it asks.", "to", "outcome")
CALL_SECONDS = metrics.histogram("call_seconds", "From a call to its answer.", "to")


class Reply(NamedTuple):
    """An answer.

    Attributes:
        tensors: views of what was received; read-only.
        number: the request's number.
        frame: the frame that the request had seen.
        due: the frame at which it is due.
        version: version of the weights that answered.
        worker: who answered.
        seconds: from the submission to the arrival.
        at: when it arrived, in seconds of whatever clock the client goes by.
        dropped: why there is no answer and will be none ("" if there is one).
        error: what the function raised, or why the pool gave the call up ("" if it did not).
    """

    tensors: dict[str, Array]
    number: int
    frame: int
    due: int
    version: int
    worker: int
    seconds: float
    at: float = 0.0
    dropped: str = ""
    error: str = ""

    def checked(self) -> Self:
        """Itself, if it is an answer.

        Raises:
            RemoteError: if the call failed or was dropped.
        """
        if self.error:
            raise RemoteError(self.error)
        if self.dropped:
            raise RemoteError(f"call {self.number} was dropped: {self.dropped}")
        return self


class RemoteError(RuntimeError):
    """What the other side raised, or why it did not answer."""


@dataclass(frozen=True)
class ClientConfig:
    """How long a client waits, and how much it has in flight.

    Attributes:
        timeout: seconds until a call without an answer fails.
        retry: seconds until a call without an answer is sent again, doubled every time up to 8
            times as long; inf: never.
        window: calls in flight; with that many, ``submit`` waits.
        size: bytes of the arguments of calls in flight; with more, ``submit`` waits (a call by
            itself may have as many as ``limits`` allow).
        patience: seconds until a call in real time is given up.
        limits: caps on messages.
        bounds: caps on queues.
    """

    timeout: float = 60.0
    retry: float = 1.0
    window: int = 64
    size: int = 32 << 20
    patience: float = 5.0
    limits: wire.Limits = field(default_factory=wire.Limits)
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        for name in ("timeout", "retry", "window", "size", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(slots=True)
class _Call:
    frame: int
    frames: list[Buffer]  # empty in real time: it is not sent again
    size: int
    submitted: float
    resend: float
    pause: float


class Client(Closing):
    """Calls a pool or a service; belongs to the thread that made it.

    Args:
        where: its endpoint, or those of several brokers of a pool, or the role under which a run
            publishes it or them: then it is followed where it moves. Of several the client goes to
            one, and to another one when that is lost.
        config: how long to wait, and how much to have in flight.
        keys: this client's, if the other side has any.

    Attributes:
        counts: submitted, answered, failed, dropped, resent, duplicates: every call submitted has
            been answered, has failed, was dropped, or is open (see ``balance``).

    Raises:
        ValueError: if it is no endpoint, needs keys, or is not published.
    """

    def __init__(
        self,
        where: Where,
        *,
        config: ClientConfig | None = None,
        keys: ClientKeys | None = None,
    ) -> None:
        self.config = config or ClientConfig()
        self.counts: Counter[str] = Counter()
        self._calls: dict[int, _Call] = {}
        self._replies: dict[int, Reply] = {}
        self._next = 0
        self._size = 0  # of the calls in flight
        self._connected = False
        self._description: dict[str, Array] | None = None
        self._stats: dict[str, float] | None = None
        self._to = where.role if isinstance(where, Published) else "endpoint"
        self._seconds = metrics.Histogram()
        self._context = sockets.new_context()
        self._socket = sockets.new_socket(
            self._context,
            zmq.DEALER,
            bounds=self.config.bounds,
            identity=b"c" + secrets.token_bytes(15),
        )
        try:
            self._connection = Connection(self._socket, where, keys)
        except BaseException:
            self._socket.close()
            self._context.term()
            raise
        metrics.watch(self)

    @property
    def endpoint(self) -> str:
        """Whom it is connected to."""
        return self._connection.endpoint

    def close(self) -> None:
        """Closes the socket; calls that are open get no answer."""
        self._connection.close()
        self._socket.close()
        self._context.term()

    def measured(self) -> Iterator[metrics.Figures]:
        """Its figures."""
        yield CALLS.of(self.counts, self._to)
        yield CALL_SECONDS.is_(self._seconds, self._to)

    def describe(self) -> Mapping[str, Array]:
        """What is served, as its workers describe it; asked once.

        Raises:
            TimeoutError: if nobody answers.
        """
        self._ask(Kind.HELLO, "_description")
        return self._description or {}

    def stats(self) -> dict[str, float]:
        """Figures of the pool.

        Raises:
            TimeoutError: if nobody answers.
        """
        self._stats = None
        self._ask(Kind.STATS, "_stats")
        return self._stats or {}

    def call(self, tensors: Tensors, function: str = "") -> Reply:
        """Calls, and waits for the answer; see ``submit`` and ``result``."""
        return self.result(self.submit(tensors, function))

    def submit(
        self,
        tensors: Tensors,
        function: str = "",
        *,
        frame: int = -1,
        due: int = -1,
        lend: bool = False,
    ) -> int:
        """Sends a call; returns its number, to ask for its result by.

        The first one waits for the connection, and each one for room among the calls in flight;
        in real time none waits for anything.

        Args:
            tensors: its arguments.
            function: which function of a service.
            frame: the frame that was observed, if the call is one in real time.
            due: the frame at which the answer is due.
            lend: whether large arrays may be sent without a copy: the caller then leaves them
                unchanged until the result is there.

        Raises:
            TimeoutError: if too much is in flight and nothing is answered in time.
            ValueError: if an array cannot be sent, they are too large together, or the server does
                not let this client in (``RefusedError``).
        """
        size = sum(array.nbytes for array in tensors.values())
        if frame < 0:
            self._make_room(size)
        else:
            self._give_up()
        number, self._next = self._next, self._next + 1
        if not lend:
            tensors = {
                name: np.array(array) if array.nbytes > wire.SMALL else array
                for name, array in tensors.items()
            }
        header = Header(
            Kind.REQUEST,
            request=number,
            oldest=next(iter(self._calls), number),
            frame=frame,
            due=due,
            note=function,
        )
        now = time.monotonic()
        frames = wire.encode(header, tensors)
        wire.check_size(frames, self.config.limits)
        self.counts["submitted"] += 1
        self._size += size
        if frame < 0:
            call = _Call(frame, frames, size, now, now + self.config.retry, self.config.retry)
            self._calls[number] = call
            self._send(call)
        else:
            self._calls[number] = _Call(frame, [], size, now, math.inf, math.inf)
            if not self._push(frames):
                self._drop(number, "not connected")
                self._check()
        return number

    def result(self, number: int, timeout: float | None = None) -> Reply:
        """Waits for the answer to a call; each can be had once.

        Args:
            number: the call's number.
            timeout: seconds to wait (default: the config's).

        Raises:
            TimeoutError: if it does not come; it can be asked for again.
            RemoteError: if the function failed, or the pool gave the call up.
            ValueError: if there is no such call.
        """
        deadline = time.monotonic() + (self.config.timeout if timeout is None else timeout)
        while number not in self._replies:
            if number not in self._calls:
                raise ValueError(f"call {number} was never made, or its result was taken")
            self._wait(deadline)
        return self._replies.pop(number).checked()

    def arrived(self) -> list[Reply]:
        """Takes all outcomes that are here, without waiting, for callers in real time.

        Calls that were dropped or failed are among them (``dropped`` or ``error`` says why).
        """
        if self._connection.follow() or self._connection.came_back():
            self._send_again()
        self._receive()
        self._give_up()
        replies, self._replies = list(self._replies.values()), {}
        return replies

    def wait(self, timeout: float = 0.0) -> None:
        """Sends again what is overdue, and waits until something arrives or the time is over."""
        self._rest(time.monotonic() + timeout)

    def forget(self, number: int) -> None:
        """Gives a call up; its answer, should it come, is dropped."""
        if number in self._calls:
            self._drop(number, "forgotten")
        self._replies.pop(number, None)

    def open_calls(self) -> int:
        """How many calls have no answer yet."""
        return len(self._calls)

    def balance(self) -> int:
        """Calls less outcomes less open calls: 0, or the books are wrong."""
        counts = self.counts
        outcomes = counts["answered"] + counts["failed"] + counts["dropped"]
        return counts["submitted"] - outcomes - len(self._calls)

    def _make_room(self, size: int) -> None:
        """Waits for the connection, and until a call of so many bytes may be in flight.

        Raises:
            TimeoutError: if that is not in time.
        """
        config, deadline = self.config, time.monotonic() + self.config.timeout
        while not self._connected:
            self._connected = bool(self._socket.poll(100, zmq.POLLOUT))
            self._check()
            if not self._connected and time.monotonic() >= deadline:
                raise self._nobody()
        # The span counts, not the number: a service remembers all answers since the oldest call.
        while self._calls and (
            self._next - next(iter(self._calls)) >= config.window or self._size + size > config.size
        ):
            self._wait(deadline)

    def _give_up(self) -> None:
        """Drops the calls in real time whose answers have not come in time."""
        before = time.monotonic() - self.config.patience
        late = []
        for number, call in self._calls.items():
            if call.submitted > before:
                break
            if call.frame >= 0:
                late.append(number)
        for number in late:
            self._drop(number, "no answer in time")

    def _drop(self, number: int, why: str) -> None:
        """Closes a call for which there will be no answer."""
        call = self._calls[number]
        self._close(Reply({}, number, call.frame, -1, 0, 0, 0.0, dropped=why))

    def _close(self, reply: Reply) -> None:
        """Enters the outcome of a call."""
        call = self._calls.pop(reply.number)
        self._size -= call.size
        kind = "failed" if reply.error else "dropped" if reply.dropped else "answered"
        self.counts[kind] += 1
        now = time.monotonic()
        self._seconds.observe(now - call.submitted)
        self._replies[reply.number] = reply._replace(seconds=now - call.submitted, at=now)

    def _ask(self, kind: Kind, attribute: str) -> None:
        """Asks until the answer is here."""
        deadline, again = time.monotonic() + self.config.timeout, 0.0
        while getattr(self, attribute) is None:
            if time.monotonic() >= again:
                # Soon again if it could not even be sent: there is no connection yet.
                pause = 1.0 if self._push(wire.encode(Header(kind))) else 0.02
                again = time.monotonic() + pause
            self._wait(deadline, again)

    def _wait(self, deadline: float, wake: float = float("inf")) -> None:
        """Rests, unless it is too late.

        Raises:
            TimeoutError: if it is.
            RefusedError: if the server does not let this client in.
        """
        self._check()
        if time.monotonic() >= deadline:
            raise self._nobody()
        self._rest(deadline, wake)

    def _rest(self, deadline: float, wake: float = float("inf")) -> None:
        """Waits for something to arrive, for a second at most; sends again what is overdue."""
        now = time.monotonic()
        for call in self._calls.values():
            if now >= call.resend:
                self._send(call, again=True)
            wake = min(wake, call.resend)
        pause = self._connection.rest(min(wake, deadline, now + 1.0) - now)
        if self._socket.poll(max(1, round(pause * 1000)) if deadline > now else 0):
            self._receive()

    def _check(self) -> None:
        """Follows the server where it has moved, and sees whether it was started anew.

        Raises:
            RefusedError: if it does not let us in.
        """
        if self._connection.check() or self._connection.came_back():
            self._send_again()

    def _send_again(self) -> None:
        """Makes calls overdue that were sent to a server that is no more, or elsewhere."""
        for call in self._calls.values():
            if call.frames:
                call.resend = 0.0

    def _nobody(self) -> TimeoutError:
        return TimeoutError(
            f"no answer from {self.endpoint} within {self.config.timeout:g} s: is anyone there?"
        )

    def _send(self, call: _Call, again: bool = False) -> None:
        if self._push(call.frames):
            if again:
                self.counts["resent"] += 1
                call.pause = min(2 * call.pause, 8 * self.config.retry)
            call.resend = time.monotonic() + call.pause
        else:  # Not connected, or not read: soon again.
            call.resend = time.monotonic() + min(0.05, self.config.retry)

    def _push(self, frames: list[Buffer]) -> bool:
        if not self._connection.ready():
            return False
        try:
            sockets.send(self._socket, frames, flags=sockets.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _receive(self) -> None:
        """Takes in all that is there."""
        while (frames := sockets.receive(self._socket)) is not None:
            try:
                self._handle(wire.decode(frames, self.config.limits))
            except WireError as error:
                self.counts[f"refused {error.reason}"] += 1

    def _handle(self, message: wire.Message) -> None:
        header = message.header
        if header.kind is Kind.WELCOME:
            self._description = message.tensors
        elif header.kind is Kind.STATS:
            self._stats = json.loads(wire.tensor_text(message.tensors["json"]))
        elif header.kind is Kind.RESET:  # This broker has nobody to answer.
            self._connection.leave()
        elif header.kind in (Kind.REPLY, Kind.ERROR, Kind.DROP):
            if header.request not in self._calls:
                self.counts["duplicates"] += 1
                return
            note = header.note or header.kind.name.lower()
            self._close(
                Reply(
                    message.tensors,
                    header.request,
                    header.frame,
                    header.due,
                    header.version,
                    header.worker,
                    0.0,
                    dropped=note if header.kind is Kind.DROP else "",
                    error=note if header.kind is Kind.ERROR else "",
                )
            )
