"""A pool in virtual time: the real schedules and playouts, with emulated inference.

An hour of sixty frames a second and seventy workers takes some seconds, gives the same figures
every time, and depends on no machine.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transport.pool import Pool, PoolConfig
from transport.realtime import Freshness, Playout
from transport.schedules import Request, Schedule
from transport.wire import Kind


@dataclass(frozen=True)
class Latency:
    """How long an emulated inference takes.

    Attributes:
        median: seconds.
        sigma: spread of its logarithm (0: constant).
        spikes: share of inferences that take ``spike`` seconds more.
        spike: see above.
    """

    median: float = 0.1
    sigma: float = 0.15
    spikes: float = 0.0
    spike: float = 0.3

    def sample(self, rng: np.random.Generator) -> float:
        """Seconds of one inference."""
        seconds = self.median * math.exp(self.sigma * rng.standard_normal())
        return seconds + self.spike * (rng.random() < self.spikes)

    @property
    def mean(self) -> float:
        """Seconds of an inference, on average."""
        return self.median * math.exp(self.sigma**2 / 2) + self.spikes * self.spike

    def workers_needed(self, rate: float) -> int:
        """N*: the fewest workers that can give every frame an inference of its own."""
        return math.ceil(self.mean * rate)


def simulate(
    schedule: Schedule,
    playout: Playout,
    latency: Latency,
    *,
    workers: int,
    frames: int,
    rate: float,
    seed: int = 0,
    warm_up: int = 600,
    play: Callable[[int, int | None], None] | None = None,
) -> Freshness:
    """Runs a world of fixed frame rate against a pool.

    Args:
        schedule: which observation meets which worker.
        playout: when answers are played.
        latency: of an inference; everything else takes no time.
        workers: how many.
        frames: to simulate, besides the warm-up.
        rate: frames per second.
        seed: of the latencies.
        warm_up: frames at the start that the figures leave out.
        play: called at every frame with the frame whose observation acts, or None.

    Returns:
        What was fresh.
    """
    rng = np.random.default_rng(seed)
    pool = Pool(schedule, PoolConfig(lease=math.inf, silence=math.inf, max_client=1 << 30))
    for worker in range(workers):
        pool.join(b"%d" % worker, 0.0)
    freshness = Freshness()
    arrived: list[tuple[int, int]] = []
    busy: list[tuple[float, int, bytes]] = []  # until, epoch, worker
    frame, now = 0, 0.0
    while frame < frames + warm_up:
        tick = frame / rate
        now = max(now, min(tick, pool.wakeup(now), busy[0][0] if busy else math.inf))
        while busy and busy[0][0] <= now:
            _, epoch, name = heapq.heappop(busy)
            pool.answer(name, epoch, [(Kind.REPLY, None)], now)
        pool.advance(now)
        if now >= tick:
            _take(pool, freshness, arrived, now)
            for seen, due in arrived:
                if not playout.add(seen, due, frame, None):
                    freshness.counts["late"] += 1
            arrived.clear()
            popped = playout.pop(frame)
            shown = None if popped is None else popped[0]
            if frame == warm_up:
                freshness = Freshness()
            freshness.played(frame, shown)
            if play is not None:
                play(frame, shown)
            request = Request(b"world", frame, playout.due(frame), frame, arrived=now)
            freshness.counts["asked"] += 1
            pool.submit(request, now)
            pool.advance(now)
            frame += 1
        for lease in pool.leases:
            heapq.heappush(busy, (now + latency.sample(rng), lease.epoch, lease.worker))
        pool.leases.clear()
        _take(pool, freshness, arrived, now)
    assert pool.ledger.balance() == 0
    return freshness


def _take(pool: Pool, freshness: Freshness, arrived: list[tuple[int, int]], now: float) -> None:
    """Takes outcomes out of the pool as they come."""
    for outcome in pool.outcomes:
        if outcome.kind is Kind.REPLY:
            freshness.arrived(now)
            arrived.append((outcome.request.frame, outcome.request.message))
        else:
            freshness.counts["superseded"] += 1
    pool.outcomes.clear()
