"""Brokers and workers in threads, and the functions that they serve."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np

from transport.broker import Broker, BrokerConfig
from transport.client import Client, ClientConfig
from transport.endpoints import find_endpoint
from transport.schedules import Batch
from transport.worker import Worker, WorkerConfig


def double(tensors):
    """A row for a row."""
    return {"y": 2 * tensors["x"]}


def slow_double(tensors):
    time.sleep(0.05)
    return double(tensors)


def fail(tensors):
    raise ZeroDivisionError("no luck")


class Thread:
    """Makes, runs and closes a part in a thread of its own, as the part demands."""

    def __init__(self, make):
        self._stop = threading.Event()
        self._made = threading.Event()
        self.part = self.error = None
        self._thread = threading.Thread(target=self._run, args=(make,), daemon=True)
        self._thread.start()
        self._made.wait(10)
        if self.part is None and self.error is not None:
            raise self.error

    def _run(self, make):
        try:
            self.part = make()
            self._made.set()
            self.part.run(self._stop.is_set)
        except BaseException as error:
            self.error = error
        finally:
            self._made.set()
            if self.part is not None:
                self.part.close()

    def stop(self):
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def alive(self):
        return self._thread.is_alive()


@contextlib.contextmanager
def pool(run_dir, infer=double, workers=1, schedule=None, broker=None, keys=None, **options):
    """A broker and its workers; yields the broker's thread, and a list of the workers'."""
    config = BrokerConfig(Path(run_dir), **(broker or {}))
    threads = [Thread(lambda: Broker(schedule or Batch(), config, keys))]
    for number in range(workers):
        settings = WorkerConfig(Path(run_dir), number=number, **options.get("worker", {}))
        rest = {name: options[name] for name in options if name != "worker"}
        threads.append(Thread(lambda s=settings, r=rest: Worker(infer, s, **r)))
    try:
        yield threads[0], threads[1:]
    finally:
        for thread in reversed(threads):
            thread.stop()


def until(condition, seconds=30.0):
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def client(run_dir, name="pool", keys=None, **config):
    return Client(find_endpoint(Path(run_dir), name), config=ClientConfig(**config), keys=keys)


def rows(*values):
    return {"x": np.array(values, np.float32).reshape(len(values), 1)}
