"""The broker: a pool behind two sockets, one for clients and one for workers.

Clients and workers know only the broker, and both can come and go. The pattern is the Paranoid
Pirate of the ZeroMQ guide: heartbeats both ways, so that a worker notices a dead broker and the
broker a dead worker; a request whose worker died is leased to another (see ``transport.pool``).

======== ==================================== ==============================================
from     what                                 answer
======== ==================================== ==============================================
client   HELLO                                WELCOME with the description of what is served
client   REQUEST number, tensors              REPLY, ERROR or DROP with that number, once
anybody  STATS                                STATS: a JSON text
worker   READY with its description           HEARTBEAT, or ERROR if the pool serves otherwise
worker   RESULT epoch, nested answers         (nothing; RESET if the worker is not known)
worker   HEARTBEAT                            (nothing; RESET likewise)
======== ==================================== ==============================================

A pool may have several brokers, which share nothing: clients and workers spread over them by what
STATS says (``transport.survey``). Clients that ask a broker that nobody works for are told RESET,
so that they look for another one. No work of the loop grows with the number of silent clients.

The broker checks every message, counts those that it refuses by reason, and passes the good ones on
as they came: what a client asked and what a worker answered are checked again at the other end.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from transport import metrics, sockets, wire
from transport.endpoints import numbered
from transport.keys import ServerKeys, load_server_keys
from transport.listeners import Listener, Listeners
from transport.pool import Outcome, Pool, PoolConfig
from transport.schedules import Request, Schedule, make_schedule
from transport.sockets import Bounds
from transport.wire import Buffer, Header, Kind, WireError

REQUESTS = metrics.counter("requests", "Requests of clients, by what became of them.", "outcome")
EVENTS = metrics.counter("pool_events", "Leases, their rows, workers that came and went.", "event")
REFUSED = metrics.counter("refused", "Messages and newcomers that were refused.", "reason")
STATE = metrics.gauge("pool", "Workers, clients, open requests, balance of the ledger.", "what")
INFERENCE = metrics.histogram("inference_seconds", "From a lease to its answer.")
WAITING = metrics.histogram("waiting_seconds", "From a request's arrival to its lease.")
BATCHES = metrics.histogram("lease_rows", "Rows of a lease.")
STANDING = ("workers", "workers_healthy", "clients", "requests_open", "ledger_balance")
"""The figures of a pool that rise and fall."""

_CLIENTS, _WORKERS = frozenset({"client", "actor"}), frozenset({"worker"})  # Whose keys let in.
_BURST = 64  # Messages read from one socket before the other has its turn.
_SWEEP = 2.0  # Seconds without a word after which a client is looked for.
_SWEPT = 25  # Clients looked for at once, with every heartbeat.
_ALONE = 3.0  # Seconds without a worker after which clients are sent to other brokers.
_RECENT = 0.1  # By how much the mean of what is open follows the newest value.
_STALL = 1.5  # Seconds between two looks at the pool, more than we ever wait: we were stopped.


@dataclass(frozen=True)
class BrokerConfig:
    """Where a broker listens, and what it allows.

    Attributes:
        run_dir: where its endpoints are published.
        name: the pool's name; its roles are NAME (for clients) and NAME-workers.
        number: the broker's, where the pool has several: then the roles are numbered.
        address: where clients come in (see ``transport.sockets``).
        workers_address: where workers come in.
        pool: leases and bounds.
        limits: caps on messages.
        bounds: caps on queues, and heartbeats.
        health: seconds within which a healthy worker has answered an inference.
    """

    run_dir: Path
    name: str = "pool"
    number: int = 0
    brokers: int = 1
    address: str = "ipc"
    workers_address: str = "ipc"
    pool: PoolConfig = field(default_factory=PoolConfig)
    limits: wire.Limits = field(default_factory=wire.Limits)
    bounds: Bounds = field(default_factory=Bounds)
    health: float = 30.0


class Broker:
    """Leases the requests of clients to workers.

    It is made, run and closed by one thread.
    """

    def __init__(
        self, schedule: Schedule, config: BrokerConfig, keys: ServerKeys | None = None
    ) -> None:
        self.pool = Pool(schedule, config.pool)
        self.refused: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._config = config
        # And when each was heard last; who has been silent longest is first.
        self._clients: OrderedDict[bytes, float] = OrderedDict()
        self._asking: set[bytes] = set()  # who said HELLO before there was an answer
        self._description: list[Buffer] | None = None
        self._rows = 0.0  # open, on average
        self._started = self._worked = time.monotonic()
        self.figures: dict[str, float] = {}  # ``stats()`` of a moment ago, for other threads
        self._listeners = Listeners(config.run_dir, keys)
        listen, bounds = self._listeners.listen, config.bounds
        clients, workers = roles(config.name, config.number, config.brokers)
        self._front = listen(zmq.ROUTER, clients, config.address, bounds, admits=_CLIENTS)
        self._back = listen(zmq.ROUTER, workers, config.workers_address, bounds, admits=_WORKERS)
        self.endpoint, self.workers_endpoint = self._front.endpoint, self._back.endpoint
        metrics.watch(self)

    def run(self, stop: Callable[[], bool]) -> None:
        """Works until ``stop()``, which is asked several times a second, says so."""
        poller = zmq.Poller()
        poller.register(self._back.socket, zmq.POLLIN)
        now = beat = time.monotonic()
        reading = False
        while not stop():
            last, now = now, time.monotonic()
            # A full pool stops reading: the queues fill up to their bounds, then clients wait.
            room = self.pool.has_room()
            if room != reading:
                reading = room
                poller.modify(self._front.socket, zmq.POLLIN if room else 0)
            wait = min(self.pool.wakeup(now), beat) - now
            # Rounded down: the last fraction of a millisecond is waited for awake.
            # Only who has something is read: to find nothing costs more than to receive.
            ready = {socket for socket, _ in poller.poll(max(0, math.floor(min(wait, 1.0) * 1000)))}
            if self._front.socket in ready:
                self._drain(self._front, self._from_client)
            if self._back.socket in ready:
                self._drain(self._back, self._from_worker)
            now = time.monotonic()
            if now - last > _STALL:
                self.pool.excuse(now - last, now)
            self.pool.advance(now)
            self._flush(now)
            if now >= beat:
                beat = now + self._config.bounds.heartbeat
                self._beat(now)
            if self._listeners.renew():
                poller, reading = zmq.Poller(), False
                poller.register(self._back.socket, zmq.POLLIN)
                for worker in self.pool.workers():  # What they answered meanwhile is lost.
                    self.pool.leave(worker, now)

    def close(self) -> None:
        """Closes the sockets."""
        self._listeners.close()

    def stats(self) -> dict[str, float]:
        """Figures of the pool since it began; see docs/pools.md."""
        now, pool = time.monotonic(), self.pool
        figures: dict[str, float] = {
            "seconds": now - self._started,
            "workers": len(pool.workers()),
            "workers_healthy": pool.healthy(now, self._config.health),
            "clients": len(self._clients),
            "requests_open": pool.ledger.open_requests(),
            "rows_open": self._rows,
            "ledger_balance": pool.ledger.balance(),
            "inference_seconds": pool.inference.sum,
        }
        for prefix, counts in (
            ("requests", pool.ledger.counts),
            ("pool", pool.counts),
            ("broker", self.counts),
            ("refused", self.refused),
            ("door", Counter() if self._listeners.door is None else self._listeners.door.refused),
        ):
            for name, count in sorted(counts.items()):
                figures[f"{prefix}_{name.replace(' ', '_')}"] = count
        return figures

    def measured(self) -> Iterator[metrics.Figures]:
        """Its figures, those that rise and fall as they were at the last heartbeat."""
        pool, door = self.pool, self._listeners.door
        yield REQUESTS.of(pool.ledger.counts)
        yield EVENTS.of({**pool.counts, **self.counts})
        yield REFUSED.of({**self.refused, **(door.refused if door is not None else {})})
        yield STATE.of({name: self.figures.get(name, 0) for name in STANDING})
        yield INFERENCE.is_(pool.inference)
        yield WAITING.is_(pool.waiting)
        yield BATCHES.is_(pool.batches)

    def _drain(
        self, listener: Listener, handle: Callable[[bytes, list[Buffer], float], None]
    ) -> None:
        for _ in range(_BURST):
            if (received := sockets.receive_from(listener.socket)) is None:
                return
            try:
                handle(*received, time.monotonic())
            except WireError as error:
                self.refused[error.reason] += 1

    def _from_client(self, client: bytes, frames: list[Buffer], now: float) -> None:
        header, rows = wire.inspect(frames, self._config.limits)
        if header.kind is not Kind.STATS:  # Who only asks how we are is nobody's client.
            self._clients[client] = now
            self._clients.move_to_end(client)
        if header.kind is Kind.REQUEST:
            size = sum(map(len, frames))
            self.pool.submit(
                Request(client, header.request, frames, header.frame, max(1, rows), size, now), now
            )
        elif header.kind is Kind.HELLO:
            if self._description is None:
                self._asking.add(client)
            else:
                self._tell(client, self._description)
        elif header.kind is Kind.STATS:
            self._tell(client, self._told_stats())
        else:
            raise WireError("kind", f"{header.kind.name} from a client")

    def _from_worker(self, worker: bytes, frames: list[Buffer], now: float) -> None:
        message = wire.decode(frames, self._config.limits)
        header = message.header
        if header.kind is Kind.READY:
            self._ready(worker, message, now)
        elif header.kind is Kind.STATS:
            self._order(worker, self._told_stats())
        elif header.kind is Kind.BYE:
            self.pool.leave(worker, now)
        elif header.kind is Kind.HEARTBEAT:
            if self.pool.knows(worker):
                self.pool.seen(worker, now)
            else:
                self._order(worker, wire.encode(Header(Kind.RESET)))
        elif header.kind is Kind.RESULT:
            self._result(worker, message, now)
            if not self.pool.knows(worker):
                self._order(worker, wire.encode(Header(Kind.RESET)))
        else:
            raise WireError("kind", f"{header.kind.name} from a worker")

    def _result(self, worker: bytes, message: wire.Message, now: float) -> None:
        """Takes the answers of a worker, if they are answers to what it was asked."""
        answers, numbers = [], []
        for nested in message.nested:
            header, _ = wire.inspect(nested, self._config.limits)
            if header.kind not in (Kind.REPLY, Kind.ERROR):
                raise WireError("kind", f"{header.kind.name} as an answer")
            answers.append((header.kind, nested))
            numbers.append(header.request)
        epoch, lease = message.header.epoch, self.pool.lease(worker)
        if lease is not None and lease.epoch == epoch:
            asked = [request.number for request in lease.requests]
            if len(asked) == len(numbers) and asked != numbers:
                raise WireError("kind", f"answers to {numbers}, asked were {asked}")
        self.pool.answer(worker, epoch, answers, now)

    def _ready(self, worker: bytes, message: wire.Message, now: float) -> None:
        """Takes a worker in, if it serves what the others serve."""
        description = wire.encode(Header(Kind.WELCOME), message.tensors)
        if self._description is None:
            # A copy: what was received is not to live as long as the broker.
            self._description = [bytes(frame) for frame in description]
            for client in self._asking:
                self._tell(client, self._description)
            self._asking.clear()
        elif [bytes(frame) for frame in description] != self._description:
            self.counts["other_description"] += 1
            note = "this pool serves something else: its first worker described itself otherwise"
            self._order(worker, wire.encode(Header(Kind.ERROR, note=note)))
            return
        # One who was not known is told so at every word, and may answer as often: what it has been
        # given since is still its own. (Who gives it back says BYE before.)
        if not self.pool.knows(worker):
            self.pool.join(worker, now)
        self._order(worker, wire.encode(Header(Kind.HEARTBEAT)))

    def _flush(self, now: float) -> None:
        """Carries out what the pool has decided."""
        while self.pool.leases or self.pool.outcomes:
            outcomes, self.pool.outcomes = self.pool.outcomes, []
            for outcome in outcomes:
                if not outcome.request.leases:
                    outcome.request.message = None  # Whoever still lists it needs no more of it.
                self._tell(outcome.request.client, _answer(outcome))
            leases, self.pool.leases = self.pool.leases, []
            for lease in leases:
                messages = [request.message for request in lease.requests]
                header = Header(Kind.LEASE, epoch=lease.epoch)
                if not self._order(lease.worker, wire.encode_nested(header, messages)):
                    self.pool.advance(now)  # Its requests went back, others may take them.

    def _tell(self, client: bytes, frames: list[Buffer]) -> None:
        try:
            sockets.send(self._front.socket, frames, client, sockets.NOBLOCK)
        except zmq.Again:  # It does not read; it can ask again.
            self.counts["undelivered"] += 1
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.counts["undelivered"] += 1
            self._forget(client)

    def _order(self, worker: bytes, frames: list[Buffer], urgent: bool = True) -> bool:
        """Tells a worker; if it cannot be told, or (what is urgent) does not read, it is gone."""
        try:
            sockets.send(self._back.socket, frames, worker, sockets.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            if error.errno == zmq.EAGAIN and not urgent:
                return False
            self.pool.leave(worker, time.monotonic())
            return False
        return True

    def _told_stats(self) -> list[Buffer]:
        text = wire.text_tensor(json.dumps(self.stats()))
        return wire.encode(Header(Kind.STATS), {"json": text})

    def _beat(self, now: float) -> None:
        """Tells the workers that the broker is there; who cannot be told has gone."""
        self._rows += _RECENT * (self.pool.ledger.rows - self._rows)
        self.figures = self.stats()
        heartbeat = wire.encode(Header(Kind.HEARTBEAT))
        for worker in self.pool.workers():
            self._order(worker, heartbeat, urgent=False)
        self.pool.advance(now)
        self._flush(now)
        self._sweep(now, heartbeat)
        self._send_away(now)

    def _sweep(self, now: float, heartbeat: list[Buffer]) -> None:
        """Forgets clients that have gone: of those that are silent, some at a time."""
        for _ in range(min(_SWEPT, len(self._clients))):
            client, heard = next(iter(self._clients.items()))
            if now - heard <= _SWEEP:
                return
            self._clients[client] = now
            self._clients.move_to_end(client)
            self._tell(client, heartbeat)

    def _send_away(self, now: float) -> None:
        """Tells clients that wait for an answer to look elsewhere, if nobody works here."""
        if self._config.brokers == 1 or self.pool.workers():
            self._worked = now
        elif now - self._worked >= _ALONE:
            self._worked = now
            for client in self.pool.ledger.waiting():
                self._tell(client, wire.encode(Header(Kind.RESET)))

    def _forget(self, client: bytes) -> None:
        self._clients.pop(client, None)
        self._asking.discard(client)
        self.pool.forget(client)


def _answer(outcome: Outcome) -> list[Buffer]:
    """The message that tells a client the outcome."""
    if outcome.message is not None:
        return list(outcome.message)
    request = outcome.request
    header = Header(outcome.kind, request=request.number, frame=request.frame, note=outcome.note)
    return wire.encode(header)


def roles(name: str, number: int = 0, brokers: int = 1) -> tuple[str, str]:
    """The roles at which a pool's clients and workers find one of its brokers."""
    return numbered(name, number, brokers), numbered(f"{name}-workers", number, brokers)


def run_broker(
    run_dir: Path,
    stop: Callable[[], bool],
    *,
    number: int = 0,
    schedule: str = "batch",
    workers: int = 1,
    schedule_options: Mapping[str, float] | None = None,
    lease: float = 10.0,
    name: str = "pool",
    brokers: int = 1,
    addresses: Mapping[str, str] | None = None,
    keys: str | None = None,
) -> None:
    """A broker as a process of a run (see ``transport.launch``); prints its figures at the end.

    Args:
        run_dir: the run.
        stop: when to return.
        number: the broker's.
        schedule: name of the schedule (see ``transport.schedules.make_schedule``).
        workers: how many workers the pool is to expect.
        schedule_options: further arguments of ``make_schedule``.
        lease: seconds that a worker has to answer.
        name: the pool's name.
        brokers: how many the pool has.
        addresses: where clients and workers come in, by role; on this machine only, by default.
        keys: folder of keys (see ``transport.keys``).
    """
    doors = [(addresses or {}).get(role, "ipc") for role in roles(name, number, brokers)]
    share = -(-workers // brokers)
    broker = Broker(
        make_schedule(schedule, share, **(schedule_options or {})),  # type: ignore[arg-type]
        BrokerConfig(run_dir, name, number, brokers, doors[0], doors[1], PoolConfig(lease=lease)),
        None if keys is None else load_server_keys(Path(keys)),
    )
    try:
        broker.run(stop)
        print(json.dumps(broker.stats()), flush=True)
    finally:
        broker.close()
