"""A pool without sockets and without a clock: leases, retries, and the ledger that proves them.

The broker tells it what arrives and what time it is, and carries out what it decides; a simulation
does the same in virtual time. The life of a request::

    submit -> [schedule] -> lease to a worker -> answer -> outcome
                    ^                |
                    +--- lost or expired: leased again under a new epoch

A lease has an epoch that no other lease ever has. An answer counts if its epoch is that of a lease
that the worker holds, and if the request has no outcome yet; any other is *late*, and dropped.
"""

from __future__ import annotations

import heapq
import itertools
import math
import secrets
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from transport.ledger import Ledger
from transport.metrics import ROWS, Histogram
from transport.schedules import Request, Schedule
from transport.wire import Kind


class Lease(NamedTuple):
    """Requests that a worker is to answer, together, before a time."""

    epoch: int
    worker: bytes
    requests: list[Request]
    since: float
    expires: float


class Outcome(NamedTuple):
    """What a client is told about a request.

    Attributes:
        request: the request.
        kind: REPLY, ERROR or DROP.
        message: the answer of the worker, as it came (None for DROP).
        note: why there is none.
    """

    request: Request
    kind: Kind
    message: Any
    note: str


@dataclass(slots=True)
class _Worker:
    slot: int
    seen: float
    lease: Lease | None = None
    answered: float = -math.inf


@dataclass(slots=True, order=True)
class _Held:
    """Answers that the schedule holds back until a time."""

    until: float
    worker: _Worker = field(compare=False)
    lease: Lease = field(compare=False)
    answers: Sequence[tuple[Kind, Any]] = field(compare=False)
    note: str = field(compare=False)


@dataclass(frozen=True)
class PoolConfig:
    """Bounds of a pool.

    Attributes:
        lease: seconds that a worker has to answer, before another is asked.
        silence: seconds of silence after which an idle worker counts as gone.
        max_open: open requests of all clients; the broker reads no more of them then.
        max_client: open requests of one client; more are refused.
        max_size: bytes of the open requests of all clients; no more of them are read then.
        max_client_size: bytes of the open requests of one client; more are refused, unless it is
            the client's only one.
        max_leases: times that a request is leased, before its client is told that it failed: once
            in company, and then alone, so it is very likely what ends its workers.
    """

    lease: float = 10.0
    silence: float = 3.0
    max_open: int = 4096
    max_client: int = 1024
    max_size: int = 1 << 30
    max_client_size: int = 64 << 20
    max_leases: int = 3

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass
class Pool:
    """Requests, workers and leases.

    ``leases`` and ``outcomes`` are what it has decided; whoever drives it takes them out.
    """

    schedule: Schedule
    config: PoolConfig = field(default_factory=PoolConfig)

    def __post_init__(self) -> None:
        self.leases: list[Lease] = []
        self.outcomes: list[Outcome] = []
        self.ledger = Ledger()
        self.counts: Counter[str] = Counter()
        self.inference, self.waiting = Histogram(), Histogram()  # of leases; of requests
        self.batches = Histogram(ROWS)  # rows of leases
        self._workers: dict[bytes, _Worker] = {}
        self._idle: OrderedDict[bytes, None] = OrderedDict()  # idle longest first
        self._held: list[_Held] = []
        self._look_at = math.inf  # Before then no worker is silent for too long and no lease over.
        # Epochs of another life of the broker are not taken for ours.
        self._epochs = itertools.count(secrets.randbits(30) << 32 | 1)

    def knows(self, worker: bytes) -> bool:
        """Whether a worker has joined."""
        return worker in self._workers

    def workers(self) -> list[bytes]:
        """Those that have joined."""
        return list(self._workers)

    def join(self, worker: bytes, now: float) -> None:
        """A worker is ready; if it was here before, it has started anew."""
        self.leave(worker, now)
        taken = {state.slot for state in self._workers.values()}
        slot = next(slot for slot in itertools.count() if slot not in taken)
        self._workers[worker] = _Worker(slot, seen=now)
        self._look_at = min(self._look_at, now + self.config.silence)
        self._idle[worker] = None
        self.counts["joined"] += 1

    def leave(self, worker: bytes, now: float) -> None:
        """A worker is gone: what it had goes back."""
        state = self._workers.pop(worker, None)
        self._idle.pop(worker, None)
        if state is None:
            return
        self.counts["left"] += 1
        if state.lease is not None:
            self._lost(state.lease, "worker lost")

    def lease(self, worker: bytes) -> Lease | None:
        """What a worker is answering."""
        state = self._workers.get(worker)
        return None if state is None else state.lease

    def seen(self, worker: bytes, now: float) -> None:
        """A worker gave a sign of life."""
        if worker in self._workers:
            self._workers[worker].seen = now

    def submit(self, request: Request, now: float) -> None:
        """A request has arrived."""
        if not self.ledger.has(request) and (note := self._too_much(request)):
            self.counts["refused"] += 1
            self.outcomes.append(Outcome(request, Kind.DROP, None, note))
            return
        if not self.ledger.open(request):
            return
        superseded = self.schedule.add(request, now)
        if superseded is not None:
            self._close(superseded, Kind.DROP, None, "superseded")

    def answer(
        self, worker: bytes, epoch: int, answers: Sequence[tuple[Kind, Any]], now: float
    ) -> None:
        """A worker has answered a lease.

        Args:
            worker: which.
            epoch: the lease's.
            answers: REPLY or ERROR and the message, for each request of the lease in order.
            now: the time.
        """
        state = self._workers.get(worker)
        lease = state.lease if state is not None else None
        if state is None or lease is None or lease.epoch != epoch:
            self.counts["late"] += len(answers)
            return
        note = ""
        if len(answers) != len(lease.requests):
            self.counts["wrong"] += 1
            note = f"the worker gave {len(answers)} answers to {len(lease.requests)} requests"
            answers = [(Kind.ERROR, None)] * len(lease.requests)
        state.seen = state.answered = now
        state.lease = None
        self._look_at = min(self._look_at, now + self.config.silence)
        self.inference.observe(now - lease.since)
        until = self.schedule.finished(state.slot, lease.since, now)
        held = _Held(until, state, lease, answers, note)
        if held.until <= now:
            self._publish(held)
        else:
            heapq.heappush(self._held, held)

    def has_room(self) -> bool:
        """Whether more requests are to be read."""
        ledger, config = self.ledger, self.config
        return ledger.open_requests() < config.max_open and ledger.size < config.max_size

    def forget(self, client: bytes) -> None:
        """A client has gone, and wants no answers."""
        for request in self.ledger.forget(client):
            if not request.leases:
                request.message = None  # The schedule may list it for long.

    def excuse(self, seconds: float, now: float) -> None:
        """Nobody could be heard for some seconds, since we were stopped: no fault of workers."""
        for state in self._workers.values():
            state.seen = min(now, state.seen + seconds)
            if state.lease is not None:
                state.lease = state.lease._replace(expires=state.lease.expires + seconds)

    def advance(self, now: float) -> None:
        """Does what is due: held answers out, expired leases back, idle workers to work."""
        while self._held and self._held[0].until <= now:
            self._publish(heapq.heappop(self._held))
        if now >= self._look_at:
            self._look(now)
        for worker in list(self._idle) if self._idle else ():
            state = self._workers[worker]
            share = self.ledger.rows / len(self._workers)
            requests = self.schedule.take(state.slot, now, share)
            if requests:
                self._lease(worker, state, requests, now)
            elif self.schedule.alike:
                break

    def wakeup(self, now: float) -> float:
        """When ``advance`` has something to do, if nothing happens before."""
        time = self._look_at
        if self._held:
            time = min(time, self._held[0].until)
        if self._idle:
            time = min(time, self.schedule.wakeup(now))
        return time

    def healthy(self, now: float, within: float) -> int:
        """How many workers answered an inference lately."""
        return sum(now - state.answered <= within for state in self._workers.values())

    def _lease(self, worker: bytes, state: _Worker, requests: list[Request], now: float) -> None:
        lease = Lease(next(self._epochs), worker, requests, now, now + self.config.lease)
        state.lease = lease
        del self._idle[worker]
        rows = 0
        for request in requests:
            request.leases += 1
            request.tries += 1
            rows += request.rows
            self.waiting.observe(now - request.arrived)
        self.counts["leases"] += 1
        self.counts["rows"] += rows
        self.batches.observe(rows)
        self.leases.append(lease)
        self._look_at = min(self._look_at, lease.expires)

    def _look(self, now: float) -> None:
        """Looks for workers that are silent and leases that are over, and when to look again."""
        self._look_at = math.inf
        for worker, state in list(self._workers.items()):
            until = state.lease.expires if state.lease else state.seen + self.config.silence
            if now >= until:
                self.counts["expired" if state.lease else "silent"] += 1
                self.leave(worker, now)
            else:
                self._look_at = min(self._look_at, until)

    def _publish(self, held: _Held) -> None:
        lease = held.lease
        if self._workers.get(lease.worker) is held.worker:  # It may have gone, or come anew.
            self._idle[lease.worker] = None
        for request, (kind, message) in zip(lease.requests, held.answers, strict=True):
            request.leases -= 1
            if not self._close(request, kind, message, held.note):
                self.counts["late"] += 1

    def _too_much(self, request: Request) -> str:
        """Why a client may not have this request open, too ("" if it may)."""
        config, client = self.config, request.client
        if self.ledger.open_requests(client) >= config.max_client:
            return f"more than {config.max_client} open requests"
        size = self.ledger.open_size(client)
        if size and size + request.size > config.max_client_size:
            return f"more than {config.max_client_size} bytes of open requests"
        return ""

    def _lost(self, lease: Lease, note: str) -> None:
        """A lease will not be answered."""
        again = []
        for request in lease.requests:
            request.leases -= 1
            if not request.open or request.leases:
                continue
            if not self.schedule.retries:
                self._close(request, Kind.DROP, None, note)
            elif request.tries >= self.config.max_leases:
                why = f"given up after {request.tries} workers: {note}"
                self._close(request, Kind.ERROR, None, why)
            else:
                self.counts["released"] += 1
                again.append(request)
        if again:
            self.schedule.put_back(again)

    def _close(self, request: Request, kind: Kind, message: Any, note: str) -> bool:
        if not self.ledger.close(request, kind):
            return False
        self.outcomes.append(Outcome(request, kind, message, note))
        return True
