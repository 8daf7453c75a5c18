"""A service: one process runs functions for clients, each call exactly once.

For what is not stateless, a replay table say, where a call that runs twice does harm. Clients are
those of ``transport.client``: they repeat a call whose answer does not come, so the service
remembers, for every client, which calls it has run and what the last of them answered.

    service = Service({"insert": insert, "size": size}, run_dir, name="replay")
    while learning:
        service.poll(0.0)  # between updates, in the learner's own thread
"""

from __future__ import annotations

import json
import traceback
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from transport import metrics, sockets, wire
from transport.keys import ServerKeys
from transport.listeners import Listeners
from transport.sockets import Bounds
from transport.wire import Array, Buffer, Header, Kind, Tensors, WireError

SERVED = metrics.counter("served", "Calls to a service, by what became of them.", "by", "outcome")

Function = Callable[[dict[str, Array]], Mapping[str, Array]]

_CLIENTS = 4096  # Clients remembered; more than that, and the one longest silent is forgotten.
_ANSWERS = 4096  # Answers remembered per client, far more than an honest one has calls in flight.
_SIZE = 64 << 20  # Bytes of answers remembered per client beyond which no more calls are run.


@dataclass
class _Account:
    """What a client has asked: all before ``settled`` is done with, ``answers`` may be repeated."""

    settled: int = 0
    size: int = 0
    answers: dict[int, list[Buffer]] = field(default_factory=dict)


class Service:
    """Runs functions on request; belongs to the thread that made it.

    Args:
        functions: by name, from named tensors to named tensors.
        run_dir: where its endpoint is published.
        name: the role that clients look for.
        address: where to listen (see ``transport.sockets``).
        description: named tensors that tell clients what is served.
        keys: the server's keys, if it is to be reached from other machines.
        admits: roles whose keys let in; None for any key.
        limits: caps on messages.
        bounds: caps on queues: while nobody polls, clients wait before these bounds, and nothing
            is dropped.

    Attributes:
        counts: calls run, failed and repeated, and messages refused by reason.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        run_dir: Path,
        *,
        name: str,
        address: str = "ipc",
        description: Tensors | None = None,
        keys: ServerKeys | None = None,
        admits: frozenset[str] | None = None,
        limits: wire.Limits = wire.LIMITS,
        bounds: Bounds = sockets.BOUNDS,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._functions, self._limits = dict(functions), limits
        self._accounts: OrderedDict[bytes, _Account] = OrderedDict()
        self._welcome = wire.encode(Header(Kind.WELCOME), description)
        self._listeners = Listeners(run_dir, keys)
        self._listener = self._listeners.listen(zmq.ROUTER, name, address, bounds, admits=admits)
        self.endpoint = self._listener.endpoint
        self._name = name
        metrics.watch(self)

    def poll(self, timeout: float = 0.0, calls: int = 64) -> int:
        """Runs what has been asked.

        Args:
            timeout: seconds to wait for a first call.
            calls: how many to run at most.

        Returns:
            How many messages were handled.
        """
        self._listeners.renew()
        socket = self._listener.socket
        if timeout > 0 and not socket.poll(max(1, round(timeout * 1000))):
            return 0
        for handled in range(calls):
            if (received := sockets.receive_from(socket)) is None:
                return handled
            client, frames = received
            try:
                self._handle(client, wire.decode(frames, self._limits))
            except WireError as error:
                self.counts[f"refused {error.reason}"] += 1
        return calls

    def measured(self) -> Iterator[metrics.Figures]:
        """Its figures."""
        yield SERVED.of(self.counts, self._name)

    def run(self, stop: Callable[[], bool]) -> None:
        """Serves until ``stop()``, which is asked several times a second, says so."""
        while not stop():
            self.poll(0.1)

    def close(self) -> None:
        """Closes the socket."""
        self._listeners.close()

    def _handle(self, client: bytes, message: wire.Message) -> None:
        header = message.header
        if header.kind is Kind.HELLO:
            self._send(client, self._welcome)
        elif header.kind is Kind.STATS:
            text = wire.text_tensor(json.dumps(self.counts))
            self._send(client, wire.encode(Header(Kind.STATS), {"json": text}))
        elif header.kind is Kind.REQUEST:
            self._call(client, header, message.tensors)
        else:
            raise WireError("kind", f"{header.kind.name} from a client")

    def _call(self, client: bytes, header: Header, tensors: dict[str, Array]) -> None:
        account = self._accounts.setdefault(client, _Account())
        self._accounts.move_to_end(client)
        if header.oldest > account.settled:
            account.settled = header.oldest
            for settled in [n for n in account.answers if n < header.oldest]:
                account.size -= sum(map(len, account.answers.pop(settled)))
        number = header.request
        if number < account.settled:  # Repeated before its answer came; it has come since.
            self.counts["repeated"] += 1
            return
        if number in account.answers:
            self.counts["repeated"] += 1
        elif len(account.answers) >= _ANSWERS:
            raise WireError("kind", f"more than {_ANSWERS} calls in flight")
        else:
            if account.size < _SIZE:
                answer = self._run(header, tensors)
            else:
                self.counts["failed"] += 1
                note = f"not run: {_SIZE} bytes of answers are remembered, and none is settled"
                answer = wire.encode(wire.answer_header(header, Kind.ERROR, note))
            account.answers[number] = answer
            account.size += sum(map(len, answer))
            if len(self._accounts) > _CLIENTS:
                self._accounts.popitem(last=False)
        self._send(client, account.answers[number])

    def _run(self, header: Header, tensors: dict[str, Array]) -> list[Buffer]:
        """The answer to a call that has not run before."""
        function = self._functions.get(header.note)
        if function is None:
            self.counts["failed"] += 1
            note = f"no function {header.note!r}: there are {', '.join(self._functions)}"
            return wire.encode(wire.answer_header(header, Kind.ERROR, note))
        try:
            answer = wire.encode(wire.answer_header(header, Kind.REPLY), function(tensors))
            wire.check_size(answer, self._limits)
        except Exception as error:  # The client's to know; the service goes on.
            traceback.print_exc()
            self.counts["failed"] += 1
            note = f"{type(error).__name__}: {error}"
            return wire.encode(wire.answer_header(header, Kind.ERROR, note))
        self.counts["run"] += 1
        # Large arrays of the answer may change before they are asked for again.
        return [bytes(frame) for frame in answer]

    def _send(self, client: bytes, frames: list[Buffer]) -> None:
        try:
            sockets.send(self._listener.socket, frames, client, sockets.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            self.counts["undelivered"] += 1  # It asks again, if it is still there.
