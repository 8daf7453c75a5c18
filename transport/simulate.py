"""A pool in virtual time: the real schedules and playouts, with emulated inference.

An hour of sixty frames a second and seventy workers takes some seconds, gives the same figures
every time, and depends on no machine.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from transport.client import Reply
from transport.pool import Pool, PoolConfig
from transport.realtime import Freshness, Player, Playout
from transport.schedules import Request, Schedule
from transport.wire import Array, Kind, Tensors


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


class VirtualPool:
    """A pool whose inference is emulated, in virtual time, with a client's calls.

    ``transport.realtime.Player`` plays through it as through a real one: real schedules, leases and
    playouts, and a clock that does not wait::

        pool = VirtualPool(FrameClock(), Latency(), workers=8, rate=60.0)
        player = Player(pool, FixedAge())
        for frame in pool.frames(3600):
            reply = player.play(frame)
            player.observe(frame, tensors)

    Args:
        schedule: which observation meets which worker.
        latency: of an inference; everything else takes no time.
        workers: how many.
        rate: frames per second.
        seed: of the latencies.
        infer: what is computed, as a worker would; once a request that is answered. None for
            answers that hold nothing.
    """

    def __init__(
        self,
        schedule: Schedule,
        latency: Latency,
        *,
        workers: int,
        rate: float,
        seed: int = 0,
        infer: Callable[[Tensors], Mapping[str, Array]] | None = None,
    ) -> None:
        self._latency, self._rate, self._infer = latency, rate, infer
        self._rng = np.random.default_rng(seed)
        config = PoolConfig(lease=math.inf, silence=math.inf, max_client=1 << 30)
        self.pool = Pool(schedule, config)
        for worker in range(workers):
            self.pool.join(b"%d" % worker, 0.0)
        self._busy: list[tuple[float, int, bytes]] = []  # until, epoch, worker
        self._replies: list[Reply] = []
        self._now = 0.0
        self._number = 0

    def frames(self, count: int) -> Iterator[int]:
        """Yields 0, 1, ... as each frame begins."""
        for frame in range(count):
            self._advance(frame / self._rate)
            yield frame

    def submit(self, tensors: Tensors, *, frame: int, due: int) -> int:
        """Asks about a frame."""
        number, self._number = self._number, self._number + 1
        message = (tensors, due)
        self.pool.submit(Request(b"world", number, message, frame, arrived=self._now), self._now)
        self._settle()
        return number

    def arrived(self) -> list[Reply]:
        """Takes all outcomes that are here."""
        replies, self._replies = self._replies, []
        return replies

    def _advance(self, until: float) -> None:
        """Lets time go by."""
        pool, busy = self.pool, self._busy
        while True:
            event = min(pool.wakeup(self._now), busy[0][0] if busy else math.inf)
            self._now = max(self._now, min(until, event))
            while busy and busy[0][0] <= self._now:
                _, epoch, worker = heapq.heappop(busy)
                pool.answer(worker, epoch, [(Kind.REPLY, None)], self._now)
            self._settle()
            if self._now >= until:
                return

    def _settle(self) -> None:
        """Does what is due now."""
        pool, now = self.pool, self._now
        pool.advance(now)
        for lease in pool.leases:
            until = now + self._latency.sample(self._rng)
            heapq.heappush(self._busy, (until, lease.epoch, lease.worker))
        pool.leases.clear()
        for outcome in pool.outcomes:
            request = outcome.request
            tensors, due = request.message
            answered = outcome.kind is Kind.REPLY
            # Only what somebody gets is computed, though several workers may have been at it.
            answer = self._infer(tensors) if answered and self._infer is not None else {}
            self._replies.append(
                Reply(
                    dict(answer),
                    *(request.number, request.frame, due, 0, 0),
                    seconds=now - request.arrived,
                    at=now,
                    dropped="" if answered else outcome.note,
                )
            )
            request.message = None
        pool.outcomes.clear()


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
    """Runs a world of fixed frame rate against a pool, where nothing is computed.

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
    client = VirtualPool(schedule, latency, workers=workers, rate=rate, seed=seed)
    player = Player(client, playout, forget=warm_up)
    for frame in client.frames(frames + warm_up):
        reply = player.play(frame)
        if play is not None:
            play(frame, None if reply is None else reply.frame)
        player.observe(frame, {})
    assert client.pool.ledger.balance() == 0
    return player.freshness
