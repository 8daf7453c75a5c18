"""Schedules: which request an idle worker takes, and when. One small class each.

========================  ========================================================================
``Batch``                 throughput: the worker takes what waits, up to a number of rows
``Immediate``             realtime, as one would at first: an idle worker takes the newest
                          observation (one worker: sequential interaction; several: unstaggered)
``MaxTime``               realtime, Algorithm 1 of the paper: every inference is held to the
                          longest time seen, and the workers' phases are spread over it
``ExpectedTime``          realtime, Algorithm 2: starts are spread over the mean time
``FrameClock``            realtime, the default: every frame's observation to an idle worker, once
========================  ========================================================================

The paper is "Enabling Realtime Reinforcement Learning at Scale with Staggered Asynchronous
Inference" (ICLR 2025, arXiv 2412.14355). A schedule has no clock and starts nothing: the pool tells
it what happens and asks it what to do, in real or in simulated time (seconds from any origin).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(slots=True, eq=False)
class Request:
    """One request, from its arrival to its outcome.

    Attributes:
        client: who asked.
        number: the client's number for it.
        message: what was asked; a schedule does not look at it.
        frame: the frame that was observed (-1: not in real time).
        rows: rows of its tensors, for batches.
        size: bytes of its message.
        arrived: when, in seconds.
        leases: how many workers have it now.
        tries: how many have been given it so far.
        open: whether it has no outcome yet.
    """

    client: bytes
    number: int
    message: Any = None
    frame: int = -1
    rows: int = 1
    size: int = 0
    arrived: float = 0.0
    leases: int = 0
    tries: int = 0
    open: bool = True


class Schedule(Protocol):
    """What the pool asks of a schedule."""

    retries: bool
    """Whether a request whose worker was lost goes to another one; in real time it is stale."""

    alike: bool
    """Whether all workers are alike to it: if one is given nothing, the others are not either."""

    def add(self, request: Request, now: float) -> Request | None:
        """Takes a request in; returns the one that nobody needs to answer any more."""
        ...

    def put_back(self, requests: list[Request]) -> None:
        """Takes in again, ahead of others, what a lost worker had."""
        ...

    def take(self, slot: int, now: float, share: float = math.inf) -> list[Request]:
        """What the idle worker in this slot (0, 1, ...) is to answer now; empty: wait.

        Args:
            slot: the worker's.
            now: the time.
            share: rows of all open requests, divided by the workers there are.
        """
        ...

    def finished(self, slot: int, started: float, now: float) -> float:
        """A worker is done; returns when its answer may go out (until then it rests)."""
        ...

    def wakeup(self, now: float) -> float:
        """When ``take`` may answer otherwise though nothing has happened (inf: never)."""
        ...


_TIDY = 1024  # Requests in line from which on those that nobody waits for are looked for.


def _check(name: str, value: float, least: float) -> None:
    if not (value >= least and math.isfinite(value)):
        raise ValueError(f"{name} must be at least {least:g}, got {value}")


class Batch:
    """Requests wait in line; an idle worker takes its share of them, as far as they fit.

    A worker that took all that waits would leave nothing to those that are free a moment later: of
    the rows that are open, with workers and in line, everyone is given the same number.

    A request whose worker was lost goes alone from then on: if it is what ends workers, it takes no
    others with it.

    Args:
        max_rows: rows that a worker is given at once; a request larger than that goes alone.
        max_wait: seconds that the oldest request waits for a full batch. At 0 a worker takes what
            there is, and batches form by themselves while all are busy.
        max_bytes: bytes of the messages that a worker is given at once; likewise.
    """

    retries = alike = True

    def __init__(
        self, max_rows: int = 1024, max_wait: float = 0.0, max_bytes: int = 64 << 20
    ) -> None:
        _check("max_rows", max_rows, 1)
        _check("max_wait", max_wait, 0)
        _check("max_bytes", max_bytes, 1)
        self._max_rows, self._max_wait, self._max_bytes = max_rows, max_wait, max_bytes
        self._waiting: deque[Request] = deque()
        self._rows = 0
        self._tidy_at = _TIDY

    def add(self, request: Request, now: float) -> None:
        """Last in line."""
        self._waiting.append(request)
        self._rows += request.rows
        if len(self._waiting) >= self._tidy_at:  # Clients may have gone while no worker came.
            self._waiting = deque(waiting for waiting in self._waiting if waiting.open)
            self._rows = sum(waiting.rows for waiting in self._waiting)
            self._tidy_at = max(_TIDY, 2 * len(self._waiting))

    def put_back(self, requests: list[Request]) -> None:
        """First in line again."""
        self._waiting.extendleft(reversed(requests))
        self._rows += sum(request.rows for request in requests)

    def take(self, slot: int, now: float, share: float = math.inf) -> list[Request]:
        """A share of what waits, if that fills a batch or the first has waited long enough."""
        if not self._waiting:
            return []
        if self._rows < self._max_rows and now < self._waiting[0].arrived + self._max_wait:
            return []
        batch: list[Request] = []
        rows = size = 0
        while self._waiting and rows < share:
            request = self._waiting[0]
            if batch and (
                request.tries
                or rows + request.rows > self._max_rows
                or size + request.size > self._max_bytes
            ):
                break
            self._waiting.popleft()
            self._rows -= request.rows
            if not request.open:
                continue
            batch.append(request)
            rows += request.rows
            size += request.size
            if request.tries:
                break
        return batch

    def finished(self, slot: int, started: float, now: float) -> float:
        """At once."""
        return now

    def wakeup(self, now: float) -> float:
        """When the first in line has waited long enough."""
        return self._waiting[0].arrived + self._max_wait if self._waiting else math.inf


@dataclass
class _Newest:
    """The newest observation of each client, served in turn."""

    requests: dict[bytes, Request] = field(default_factory=dict)
    tidy_at: int = _TIDY

    def add(self, request: Request) -> Request | None:
        """Replaces the client's older one; returns what is superseded, unless a worker has it."""
        if len(self.requests) >= self.tidy_at:  # Clients may have gone while no worker came.
            self.requests = {c: waiting for c, waiting in self.requests.items() if waiting.open}
            self.tidy_at = max(_TIDY, 2 * len(self.requests))
        older = self.requests.get(request.client)
        if older is not None and older.frame > request.frame:
            return request  # Overtaken on its way here.
        self.requests[request.client] = request  # In its client's place in the line.
        return older if older is not None and older.open and not older.leases else None

    def next(self) -> Request | None:
        """The newest of the client that has waited longest; it goes to the end of the line."""
        request = self.pop()
        if request is not None:
            self.requests[request.client] = request
        return request

    def pop(self) -> Request | None:
        """The same, but nobody gets it again."""
        while self.requests:
            client = next(iter(self.requests))
            request = self.requests.pop(client)
            if request.open:
                return request
        return None


class Immediate:
    """An idle worker takes the newest observation, even one that another worker has.

    With one worker this is sequential interaction. With several it is what the paper calls not
    staggered: workers that start together stay together.
    """

    retries, alike = False, True

    def __init__(self) -> None:
        self._newest = _Newest()

    def add(self, request: Request, now: float) -> Request | None:
        """Replaces the client's older observation."""
        return self._newest.add(request)

    def put_back(self, requests: list[Request]) -> None:
        """Nothing: what was lost is stale."""

    def take(self, slot: int, now: float, share: float = math.inf) -> list[Request]:
        """The newest observation."""
        request = self._newest.next()
        return [] if request is None else [request]

    def finished(self, slot: int, started: float, now: float) -> float:
        """At once."""
        return now

    def wakeup(self, now: float) -> float:
        """Never."""
        return math.inf


class MaxTime(Immediate):
    """Algorithm 1: workers in phases, each inference held to the longest time seen.

    When an inference takes longer than any before, by d, the worker's own cycle has become d
    longer, and every other worker is delayed by its distance, as a share of the cycle, times d.
    Then the phases are spread evenly again. The longest time never decays: one slow inference
    slows the pool for good.

    Args:
        workers: how many share the cycle.
        initial: the longest time at first, in seconds.
        rule: ``corrected``: the distance of worker q from worker p is (q - p) mod N, and the
            phases stay even. ``released``: (p - q) mod N, as in the code released with the paper,
            which puts them out of order; kept for comparison.
    """

    alike = False

    def __init__(
        self,
        workers: int,
        initial: float = 0.1,
        rule: Literal["corrected", "released"] = "corrected",
    ) -> None:
        super().__init__()
        _check("workers", workers, 1)
        _check("initial", initial, 0)
        if rule not in ("corrected", "released"):
            raise ValueError(f"rule must be 'corrected' or 'released', got {rule!r}")
        self.longest = initial
        self._sign = 1 if rule == "corrected" else -1
        self._delays = [0.0] * workers
        self._starts: list[float | None] = [None] * workers

    def take(self, slot: int, now: float, share: float = math.inf) -> list[Request]:
        """The newest observation, once the worker's time has come."""
        while slot >= len(self._delays):  # More workers than were expected.
            self._delays.append(0.0)
            self._starts.append(None)
        start = self._starts[slot]
        if start is None or now - start > 2 * self.longest + 1:  # New, or gone for a while.
            start = self._starts[slot] = self._phase(slot, now)
        return super().take(slot, now) if now >= start else []

    def _phase(self, slot: int, now: float) -> float:
        """The first start, not before now, in step with the others."""
        workers, cycle = len(self._starts), self.longest
        others = [
            (start, other)
            for other, start in enumerate(self._starts)
            if start is not None and other != slot and now - start <= 2 * cycle + 1
        ]
        if not others:
            return now + cycle * slot / workers
        start, other = max(others)
        start += (slot - other) % workers * cycle / workers
        return start + max(0, math.ceil((now - start) / cycle)) * cycle if cycle else start

    def finished(self, slot: int, started: float, now: float) -> float:
        """When the longest time is over; delays the others if this was the longest."""
        workers, excess = len(self._delays), now - started - self.longest
        if excess > 0:
            for other in range(workers):
                distance = self._sign * (other - slot) % workers
                self._delays[other] += distance * excess / workers
            self.longest += excess
        published = max(now, started + self.longest)
        self._starts[slot] = published + self._delays[slot]
        self._delays[slot] = 0.0
        return published

    def wakeup(self, now: float) -> float:
        """The next start of a worker."""
        return min((s for s in self._starts if s is not None and s > now), default=math.inf)


class ExpectedTime(Immediate):
    """Algorithm 2: starts spread over the mean time of an inference, and none is held.

    Fewer workers keep up than with ``MaxTime``, at the price of uneven intervals. The released
    code lacks it; this one grants starts at intervals of mean / workers, in any order of workers.

    Args:
        workers: how many share the mean.
        initial: the mean at first, in seconds.
    """

    alike = False

    def __init__(self, workers: int, initial: float = 0.1) -> None:
        super().__init__()
        _check("workers", workers, 1)
        _check("initial", initial, 0)
        self.mean, self._count = initial, 0
        self._workers = workers
        self._next = -math.inf

    def take(self, slot: int, now: float, share: float = math.inf) -> list[Request]:
        """The newest observation, if the next start is due."""
        self._workers = max(self._workers, slot + 1)
        if now < self._next:
            return []
        requests = super().take(slot, now)
        if requests:
            interval = self.mean / self._workers
            # A start that came late, all workers being busy, is not made up for by a burst.
            self._next = (self._next if now - self._next < interval else now) + interval
        return requests

    def finished(self, slot: int, started: float, now: float) -> float:
        """At once."""
        self._count += 1
        self.mean += (now - started - self.mean) / self._count
        return now

    def wakeup(self, now: float) -> float:
        """The next start."""
        return self._next if self._next > now else math.inf


class FrameClock(Immediate):
    """Every observation, as it comes, to an idle worker, and to no other.

    The frames themselves keep the workers apart: one starts at each, so nothing has to be measured
    or held. While all are busy the newest observation waits and supersedes the one before. Made
    for the playout of ``transport.realtime.FixedAge``, which takes the variance out of the answers.
    """

    def take(self, slot: int, now: float, share: float = math.inf) -> list[Request]:
        """The newest observation that nobody has."""
        request = self._newest.pop()
        return [] if request is None else [request]


def make_schedule(
    name: str, workers: int, *, max_rows: int = 1024, max_wait: float = 0.0, initial: float = 0.1
) -> Schedule:
    """A schedule by its name, as people write it.

    Args:
        name: batch, immediate, max_time, max_time_released, expected_time or frame_clock.
        workers: how many workers there will be.
        max_rows: see ``Batch``.
        max_wait: see ``Batch``.
        initial: see ``MaxTime`` and ``ExpectedTime``.

    Raises:
        ValueError: if there is no such schedule.
    """
    makers = {
        "batch": lambda: Batch(max_rows, max_wait),
        "immediate": Immediate,
        "max_time": lambda: MaxTime(workers, initial),
        "max_time_released": lambda: MaxTime(workers, initial, "released"),
        "expected_time": lambda: ExpectedTime(workers, initial),
        "frame_clock": FrameClock,
    }
    if name not in makers:
        raise ValueError(f"no schedule {name!r}: choose one of {', '.join(makers)}")
    return makers[name]()  # type: ignore[return-value, no-untyped-call]
