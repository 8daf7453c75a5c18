"""Lanes: threads that work side by side on the parts of one update, or of one evaluation.

Torch's own threads split every operation, and an update is a thousand small ones: two of them
gain a tenth. Lanes split the batch instead, and meet twice an update. What each part holds, and the
order in which results are taken, do not depend on which thread is faster, so neither do the bits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

A = TypeVar("A")
T = TypeVar("T")


class Lanes:
    """A fixed number of threads, the caller's among them.

    Args:
        count: how many; with 1, everything runs in the caller.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = (
            ThreadPoolExecutor(count - 1, "lane", initializer=_prepare) if count > 1 else None
        )

    def start(
        self, function: Callable[..., T], parts: Sequence[tuple[Any, ...]]
    ) -> Callable[[], list[T]]:
        """Starts ``function(*part)`` for every part but the first, which is left to the caller.

        Returns:
            what does the first part, waits for the others, and returns all results in order.
        """
        others = [self.start_one(function, *part) for part in parts[1:]]
        return lambda: [function(*parts[0]), *(other() for other in others)]

    def map(self, function: Callable[[A], T], items: Iterable[A]) -> list[T]:
        """Calls a function with every item, as many at a time as there are lanes; in order.

        Where a call fails, or the caller is interrupted, no other is begun.
        """
        waiting, results = deque(enumerate(items)), dict[int, T]()

        def take() -> None:
            while True:
                try:
                    number, item = waiting.popleft()  # of one thread at a time
                except IndexError:
                    return
                try:
                    results[number] = function(item)
                except BaseException:
                    waiting.clear()  # nobody begins another
                    raise

        self.start(take, [()] * min(self.count, max(len(waiting), 1)))()
        return [results[number] for number in sorted(results)]

    def start_one(self, function: Callable[..., T], *args: Any) -> Callable[[], T]:
        """Starts a call and returns what waits for its result."""
        if self._threads is None:
            return lambda: function(*args)
        return self._threads.submit(function, *args).result


def available() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare_process() -> None:
    """Settings for a process that runs lanes; to be called before its first tensors."""
    # Lanes keep the cores busy; torch's own threads would get into their way.
    _prepare()
    # A lane that comes back from torch waits for the interpreter until the other lets go of it, by
    # default after 5 ms: a sixth of an update.
    sys.setswitchinterval(2e-4)
    # By default glibc hands memory back after every large tensor, and the system clears each page
    # anew when the next one is made: a quarter of an update went there.
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, value in _MALLOC.items():
            mallopt(name, value)


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # malloc.h
_MALLOC = {
    _TRIM_THRESHOLD: 2**31 - 1,
    _TOP_PAD: 2**26,
    _MMAP_THRESHOLD: 2**25,
    _ARENA_MAX: 1,
}


def _prepare() -> None:
    """Settings that torch keeps for each thread."""
    # Denormal numbers, of which a decaying memory is full, cost processors a hundredfold.
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
