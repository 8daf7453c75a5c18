"""Frames of a world that does not wait: pacing, playout, and what was fresh.

The loop that this serves::

    clock, player = FrameTimer(59.7275), Player(client, FixedAge())
    for frame in clock.frames(3600):
        action = player.play(frame)              # None: the default behaviour acts
        observation = world.step(action)
        player.observe(frame, observation)       # asks for an action, does not wait for it
    print(player.freshness.summary())

An observation of frame f is asked about at once. Its answer can be played, at the earliest, at the
first frame that begins after it has arrived. When it *is* played is the playout's choice:
``NewestWins`` plays it then, ``FixedAge`` at f + H with H the same for all, so that answers which
were overtaken come in order again, and variable latency becomes a constant age.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from transport.client import Reply
from transport.wire import Tensors

_VERSIONS = 1000  # Versions of weights whose actions are counted one by one.


@dataclass
class FrameTimer:
    """Paces frames by an absolute monotonic clock, so that lateness does not add up.

    A frame that is a little late is caught up. After a stall (this process was stopped, say) frames
    go on at their pace from there: a burst of them would give nobody the time to act.

    Attributes:
        rate: frames per second.
        catch_up: frames of lateness that are caught up, at most.
        overruns: frames that began more than a frame late: the caller's own work took too long.
        stalled: seconds by which the clock was set back, all stalls together.
        began: when frame 0 began, or would have but for the stalls (monotonic seconds).
    """

    rate: float
    catch_up: int = 4
    overruns: int = 0
    stalled: float = 0.0
    began: float = math.nan

    def __post_init__(self) -> None:
        if self.catch_up < 1:
            raise ValueError(f"catch_up must be at least 1 frame, got {self.catch_up}")
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate must be positive, got {self.rate}")

    def frames(self, count: int) -> Iterator[int]:
        """Yields 0, 1, ... as each frame begins."""
        self.began = time.monotonic()
        for frame in range(count):
            due = self.began + frame / self.rate
            late = time.monotonic() - due
            if late < 0:
                time.sleep(-late)
            elif late > 1 / self.rate:
                self.overruns += 1
                if late > self.catch_up / self.rate:
                    self.began += late
                    self.stalled += late
            yield frame


class LatencyQuantile:
    """A quantile of latencies in whole frames, of which old ones count for less and less.

    Where the last few answers to be in time would have to be waited for long (rare spikes), they
    are not worth the age that all others would get: a shorter latency is taken if what it loses in
    answers is less than ``price`` for each frame of age that it saves.

    Args:
        quantile: share of answers to be in time, at most.
        price: share of answers that one frame of age is worth.
        half_life: answers after which one counts for half.
        initial: frames, before the first answer.
    """

    def __init__(
        self,
        quantile: float = 0.995,
        price: float = 0.003,
        half_life: float = 600,
        initial: int = 1,
    ) -> None:
        if not 0 < quantile < 1:
            raise ValueError(f"quantile must lie between 0 and 1, got {quantile}")
        if not price >= 0:
            raise ValueError(f"price must not be negative, got {price}")
        if not half_life >= 1:
            raise ValueError(f"half_life must be at least 1 answer, got {half_life}")
        if not initial >= 1:
            raise ValueError(f"initial must be at least 1 frame, got {initial}")
        self.value = initial
        self._quantile, self._price = quantile, price
        self._growth = 0.5 ** (-1 / half_life)
        self._weight = 1.0
        self._weights = np.zeros(64)  # by frames of latency
        self._prices = price * np.arange(64)

    def add(self, frames: int) -> None:
        """Counts an answer that could be played after so many frames."""
        if frames >= len(self._weights):
            room = np.zeros(2 * frames)
            room[: len(self._weights)] = self._weights
            self._weights, self._prices = room, self._price * np.arange(2 * frames)
        # New ones weigh more, instead of all the old ones less; rescaled before it overflows.
        self._weight *= self._growth
        self._weights[max(frames, 0)] += self._weight
        if self._weight > 1e9:
            self._weights /= self._weight
            self._weight = 1.0
        within = np.cumsum(self._weights)
        within /= within[-1]
        most = int(np.searchsorted(within, self._quantile))
        worth = within[: most + 1] - self._prices[: most + 1]
        best = max(1, int(worth.argmax()))
        # Every change costs a frame or an answer, so a tie changes nothing.
        if self.value > most or worth[best] - worth[self.value] > self._price / 2:
            self.value = best


class Playout(Protocol):
    """When answers are played."""

    def due(self, frame: int) -> int:
        """The frame at which an observation's answer is due (-1: as soon as it is here)."""
        ...

    def add(self, frame: int, due: int, playable: int, action: Any) -> bool:
        """Takes an answer in; False if it is too late to be played.

        Args:
            frame: the frame that it saw.
            due: what ``due`` said.
            playable: the first frame at which it can be played.
            action: the answer.
        """
        ...

    def pop(self, frame: int) -> tuple[int, Any] | None:
        """The answer to play at a frame: what it saw, and the action."""
        ...


class NewestWins:
    """An answer is played as soon as it is here, unless a newer one has been."""

    def __init__(self) -> None:
        self._waiting: tuple[int, Any] | None = None
        self._newest = -1

    def due(self, frame: int) -> int:
        """As soon as it is here."""
        return -1

    def add(self, frame: int, due: int, playable: int, action: Any) -> bool:
        """Takes an answer in, if it saw more than those before."""
        if frame <= self._newest:
            return False
        self._newest, self._waiting = frame, (frame, action)
        return True

    def pop(self, frame: int) -> tuple[int, Any] | None:
        """The newest answer, once."""
        waiting, self._waiting = self._waiting, None
        return waiting


class FixedAge:
    """An answer is played H frames after what it saw, as in a jitter buffer.

    H is a quantile of the latencies measured so far, that forgets: a spell of slow answers makes
    the age longer for a while, and a rare slow one is dropped instead.
    """

    def __init__(self, latency: LatencyQuantile | None = None) -> None:
        self.latency = latency or LatencyQuantile()
        self._waiting: dict[int, tuple[int, Any]] = {}

    @property
    def age(self) -> int:
        """H: frames from an observation to its action."""
        return self.latency.value

    def due(self, frame: int) -> int:
        """H frames later."""
        return frame + self.age

    def add(self, frame: int, due: int, playable: int, action: Any) -> bool:
        """Takes an answer in, if its frame has not gone by."""
        self.latency.add(playable - frame)
        if playable > due:
            return False
        if due not in self._waiting or self._waiting[due][0] < frame:
            self._waiting[due] = (frame, action)
        return True

    def pop(self, frame: int) -> tuple[int, Any] | None:
        """The answer that is due."""
        for gone in [due for due in self._waiting if due < frame]:  # Frames that nobody played.
            del self._waiting[gone]
        return self._waiting.pop(frame, None)


@dataclass
class Freshness:
    """What was fresh: counts of frames and answers, and their ages.

    Attributes:
        frames: frames that went by.
        counts: fresh (frames with an action of their own), late (answers that came too late to be
            played), superseded, lost (requests that were dropped), failed, asked, answered.
        ages: frames from what an action saw to when it was played.
        intervals: frames between actions.
        arrivals: seconds between the arrivals of answers: number, mean, and sum of the squares of
            their distances from it.
        versions: versions of the weights that acted, by how many actions; of the newest ones.
    """

    frames: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    ages: Counter[int] = field(default_factory=Counter)
    intervals: Counter[int] = field(default_factory=Counter)
    arrivals: tuple[int, float, float] = (0, 0.0, 0.0)
    versions: Counter[int] = field(default_factory=Counter)
    _last: int | None = None
    _arrived: float | None = None

    def played(self, frame: int, seen: int | None, version: int | None = None) -> None:
        """A frame went by, with an action that had seen a frame, or (None) without."""
        if version is not None:
            self.versions[version] += 1
            if len(self.versions) > _VERSIONS:
                del self.versions[min(self.versions)]
        self.frames += 1
        if seen is None:
            return
        self.counts["fresh"] += 1
        self.ages[frame - seen] += 1
        if self._last is not None:
            self.intervals[frame - self._last] += 1
        self._last = frame

    def arrived(self, now: float) -> None:
        """An answer arrived."""
        self.counts["answered"] += 1
        if self._arrived is not None:
            # Welford's method: moments without the values.
            count, mean, squares = self.arrivals
            distance = now - self._arrived - mean
            mean += distance / (count + 1)
            squares += distance * (now - self._arrived - mean)
            self.arrivals = count + 1, mean, squares
        self._arrived = now

    def summary(self) -> dict[str, float]:
        """Coverage, interval CV (of actions, and of arrivals), ages in frames, shares dropped."""
        asked = max(1, self.counts["asked"])
        interval, spread = _moments(self.intervals)
        age, age_spread = _moments(self.ages)
        count, between, squares = self.arrivals
        return {
            "frames": self.frames,
            "coverage": self.counts["fresh"] / max(1, self.frames),
            "interval": interval,
            "interval_cv": spread / interval if interval else math.nan,
            "arrival_cv": math.sqrt(squares / count) / between if between else math.nan,
            "age": age,
            "age_std": age_spread,
            "late": self.counts["late"] / asked,
            "dropped": (self.counts["superseded"] + self.counts["lost"]) / asked,
        }


def _moments(counts: Counter[int]) -> tuple[float, float]:
    """Mean and standard deviation of counted values."""
    if not counts:
        return math.nan, math.nan
    values = np.array(list(counts), float)
    weights = np.array(list(counts.values()), float)
    mean = float(np.average(values, weights=weights))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


class Asking(Protocol):
    """What a player needs of a client (``transport.client.Client``, ``simulate.VirtualPool``)."""

    def submit(self, tensors: Tensors, *, frame: int, due: int) -> int:
        """Asks about a frame, and does not wait."""
        ...

    def arrived(self) -> list[Reply]:
        """Takes all outcomes that are here."""
        ...


class Player:
    """Asks a pool about every frame, and plays its answers.

    Args:
        client: of the pool. Calls of frames never wait, and those without an answer are given up
            after its ``config.patience``.
        playout: when answers are played.
        forget: frames at the start that the figures leave out.

    Attributes:
        freshness: the figures so far.
        outcomes: what became of earlier calls, as it was heard at the last ``play``.
    """

    def __init__(self, client: Asking, playout: Playout, forget: int = 0) -> None:
        self.freshness = Freshness()
        self.outcomes: list[Reply] = []
        self._client, self._playout, self._forget = client, playout, forget

    def due(self, frame: int) -> int:
        """When the answer to a frame will be played (-1: as soon as it is here)."""
        return self._playout.due(frame)

    def observe(self, frame: int, tensors: Tensors) -> int:
        """Asks about what is seen at a frame, and does not wait; returns the call's number.

        Raises:
            ValueError: if the tensors cannot be sent, or the pool does not let us in.
        """
        self.freshness.counts["asked"] += 1
        return self._client.submit(tensors, frame=frame, due=self._playout.due(frame))

    def play(self, frame: int) -> Reply | None:
        """What to do at a frame that begins now (None: no fresh action)."""
        self.outcomes = self._client.arrived()
        for reply in self.outcomes:
            if reply.dropped:
                kind = "superseded" if reply.dropped == "superseded" else "lost"
                self.freshness.counts[kind] += 1
                continue
            if reply.error:  # The world goes on without an action, and the worker's log says why.
                self.freshness.counts["failed"] += 1
                continue
            self.freshness.arrived(reply.at)
            if not self._playout.add(reply.frame, reply.due, frame, reply):
                self.freshness.counts["late"] += 1
        popped = self._playout.pop(frame)
        if frame == self._forget:
            self.freshness = Freshness()
        if popped is None:
            self.freshness.played(frame, None)
            return None
        seen, reply = popped
        self.freshness.played(frame, seen, reply.version)
        return reply
