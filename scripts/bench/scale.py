"""Scale: requests a second for each core of a broker, with thousands of clients and many brokers.

Clients and workers are emulated: each has a connection of its own, and does nothing else than to
send and to answer. Brokers are real processes. As clients, workers and brokers share the cores
there are, a broker's share is not known beforehand: its requests are divided by the processor time
that it took, all its threads together, which does not depend on who else was computing.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import zmq

from scripts.bench import Row
from transport import sockets, wire
from transport.client import Client
from transport.endpoints import find_endpoint
from transport.keys import load_client_keys, make_keys, own_keys
from transport.launch import Role, Supervisor
from transport.wire import Header, Kind

PROCESSES = 2
"""Processes of emulated clients, and as many of emulated workers, at most."""

WARM_UP = 0.3
"""Share of a measurement that is not measured."""

PATIENCE = 120.0
"""Seconds until all are connected."""


@dataclass(frozen=True)
class Load:
    """How many of whom there are.

    Attributes:
        clients: that ask, each with so many requests in flight.
        window: requests that a client has in flight.
        workers: that answer.
        brokers: among which clients and workers are dealt out.
        max_rows: requests of a lease, at most.
        silent: clients that are connected and have asked once.
        keys: whether all is encrypted (CURVE).
        size: bytes of the tensors of a request, and of an answer.
    """

    clients: int = 64
    window: int = 16
    workers: int = 4
    brokers: int = 1
    max_rows: int = 64
    silent: int = 0
    keys: bool = False
    size: int = 32


BATCHED = Load()
SINGLE = replace(BATCHED, max_rows=1)
ACTORS = replace(BATCHED, clients=16, window=1, max_rows=1024, size=174_000)
"""Requests of 256 observations, as many bytes as ``troupe bench traffic`` weighs."""

CLIENTS = (64, 500, 2000)
WORKERS = (4, 20, 100)
BROKERS = (1, 2, 4, 8)


def run(seconds: float) -> Iterator[Row]:
    """Measures.

    Raises:
        TimeoutError: if not all come in.
        RuntimeError: if a request was lost.
    """
    loads = {
        "small, batched": BATCHED,
        "small, batched, CURVE": replace(BATCHED, keys=True),
        "174 kB each way, as actors ask": ACTORS,
        "174 kB each way, as actors ask, CURVE": replace(ACTORS, keys=True),
        "one-request leases": SINGLE,
        **{f"{n:,} clients": replace(BATCHED, clients=n, window=2) for n in CLIENTS},
        "64 clients beside 1,936 silent": replace(BATCHED, window=2, silent=1936),
        **{f"one-request leases, {n} workers": replace(SINGLE, workers=n) for n in WORKERS},
        **{
            f"2,000 clients, 100 workers, {n} broker{'s' * (n > 1)}": Load(
                clients=2000, window=2, workers=100, brokers=n
            )
            for n in BROKERS
        },
    }
    for what, load in loads.items():
        figures = measure(load, seconds / len(loads))
        yield Row(what, figures["per_core"], "requests/s a core of broker")
        if load is BATCHED or load.clients == CLIENTS[-1]:
            yield Row(f"{what}: all together", figures["rate"], "requests/s")
            yield Row(f"{what}: cores of brokers", figures["cores"], "cores")
            yield Row(f"{what}: memory of a broker", figures["memory"], "MiB")
            yield Row(f"{what}: requests of a lease", figures["rows"], "")


def measure(load: Load, seconds: float) -> dict[str, float]:
    """One load on brokers of its own.

    Returns:
        requests answered a second of processor time of all brokers (``per_core``), a second
        (``rate``), cores that brokers took, MiB of the largest, and requests of a lease.
    """
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        if load.keys:
            make_keys(run_dir / "keys", ["load"])
        with Supervisor(run_dir, _roles(run_dir, load)) as crew, contextlib.ExitStack() as stack:
            keys = load_client_keys(own_keys(run_dir / "keys")) if load.keys else None
            brokers = [
                stack.enter_context(Client(find_endpoint(run_dir, f"pool{number}"), keys=keys))
                for number in range(load.brokers)
            ]
            pids = crew.pids()
            processes = [psutil.Process(pids[f"broker{k}"]) for k in range(load.brokers)]
            _wait_for_all(brokers, load)
            time.sleep(WARM_UP * seconds)
            before, began = _totals(brokers, processes), time.monotonic()
            time.sleep(seconds * (1 - WARM_UP))
            after, took = _totals(brokers, processes), time.monotonic() - began
            done = {name: after[name] - before[name] for name in after}
            if after["balance"]:
                raise RuntimeError(f"the ledgers of {load.brokers} brokers are not balanced")
            return {
                "per_core": done["replies"] / done["cpu"],
                "rate": done["replies"] / took,
                "cores": done["cpu"] / took,
                "memory": max(process.memory_info().rss for process in processes) / 2**20,
                "rows": done["rows"] / max(done["leases"], 1),
            }


def _roles(run_dir: Path, load: Load) -> list[Role]:
    """Brokers, and whoever loads them."""
    keys = str(run_dir / "keys") if load.keys else None
    brokers = [
        Role(
            f"broker{number}",
            "transport.broker:run_broker",
            {
                "name": f"pool{number}",
                "schedule_options": {"max_rows": load.max_rows},
                "addresses": {f"pool{number}": "tcp", f"pool{number}-workers": "tcp"},
                "keys": keys,
            },
        )
        for number in range(load.brokers)
    ]
    few = min(PROCESSES, load.workers)
    shared = {"brokers": load.brokers, "shares": few, "keys": load.keys, "size": load.size}
    return [
        *brokers,
        Role("workers", f"{__name__}:emulate_workers", {"workers": load.workers, **shared}, few),
        Role(
            "clients",
            f"{__name__}:emulate_clients",
            {
                "clients": load.clients,
                "silent": load.silent,
                "window": load.window,
                **shared,
                "shares": PROCESSES,
            },
            PROCESSES,
        ),
    ]


def _wait_for_all(brokers: list[Client], load: Load) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        stats = [broker.stats() for broker in brokers]
        # Who only asks for figures, as is done here, is not counted as a client.
        clients = sum(int(figures["clients"]) for figures in stats)
        workers = sum(int(figures["workers"]) for figures in stats)
        if clients >= load.clients + load.silent and workers >= load.workers:
            return
        if time.monotonic() >= deadline:
            raise TimeoutError(
                f"{clients} clients and {workers} workers have come in {PATIENCE:g} s"
            )
        time.sleep(0.05)


def _totals(brokers: list[Client], processes: list[psutil.Process]) -> dict[str, float]:
    stats = [broker.stats() for broker in brokers]
    times = [process.cpu_times() for process in processes]
    return {
        "cpu": sum(each.user + each.system for each in times),
        "replies": sum(figures.get("requests_reply", 0) for figures in stats),
        "leases": sum(figures.get("pool_leases", 0) for figures in stats),
        "rows": sum(figures.get("pool_rows", 0) for figures in stats),
        "balance": sum(abs(figures["ledger_balance"]) for figures in stats),
    }


class _Crowd:
    """Connections of one process, each to a broker.

    Args:
        run_dir: of the brokers.
        role: to connect to; the number of the broker is put in for ``{}``.
        numbers: of those in this process, among all.
        brokers: how many there are.
        keyed: whether they want keys.
    """

    def __init__(self, run_dir: Path, role: str, numbers: range, brokers: int, keyed: bool) -> None:
        keys = load_client_keys(own_keys(run_dir / "keys")) if keyed else None
        self._context: sockets.Context = sockets.new_context()
        self._context.set(zmq.MAX_SOCKETS, len(numbers) + 8)
        endpoints = [find_endpoint(run_dir, role.format(number)) for number in range(brokers)]
        self.sockets = []
        for number in numbers:
            socket = sockets.new_socket(self._context, zmq.DEALER, identity=b"%x" % (number + 1))
            sockets.connect(socket, endpoints[number % brokers], keys)
            self.sockets.append(socket)

    def close(self) -> None:
        for socket in self.sockets:
            socket.close()
        self._context.term()

    def begin(self, places: Iterable[int], first: list[wire.Buffer]) -> None:
        """Sends everybody's first message, each as soon as there is a connection.

        Raises:
            TimeoutError: if that takes too long.
        """
        waiting, deadline = list(places), time.monotonic() + PATIENCE
        while waiting:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{len(waiting)} connections were not made in {PATIENCE:g} s")
            waiting = [place for place in waiting if not self.send(place, first)]
            time.sleep(0.005)

    def send(self, place: int, frames: list[wire.Buffer]) -> bool:
        """Sends, if there is a connection with room."""
        try:
            sockets.send(self.sockets[place], frames, flags=sockets.NOBLOCK)
        except zmq.Again:
            return False
        return True


def _share(count: int, number: int, shares: int) -> range:
    return range(number, count, shares)


def emulate_clients(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    clients: int,
    silent: int,
    window: int,
    brokers: int,
    shares: int,
    keys: bool,
    size: int,
) -> None:
    """A process of clients: each asks again as soon as it is answered."""
    tensors = {"x": np.zeros((1, size // 4), np.float32)}
    everyone = _Crowd(run_dir, "pool{}", _share(clients + silent, number, shares), brokers, keys)
    asking = everyone.sockets[: len(_share(clients, number, shares))]
    asked = [1] * len(asking)

    def ask(place: int) -> None:
        header = Header(Kind.REQUEST, request=asked[place])
        asked[place] += everyone.send(place, wire.encode(header, tensors))

    try:
        everyone.begin(
            range(len(everyone.sockets)), wire.encode(Header(Kind.REQUEST, request=0), tensors)
        )
        for place in range(len(asking)):
            for _ in range(window - 1):
                ask(place)
        while not stop():
            idle = True
            for place, socket in enumerate(asking):
                while sockets.receive(socket) is not None:
                    idle = False
                    ask(place)
            if idle:
                time.sleep(0.001)
    finally:
        everyone.close()


def emulate_workers(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    workers: int,
    brokers: int,
    shares: int,
    keys: bool,
    size: int,
) -> None:
    """A process of workers: each answers at once."""
    answer = {"y": np.zeros((1, size // 4), np.float32)}
    everyone = _Crowd(run_dir, "pool{}-workers", _share(workers, number, shares), brokers, keys)
    ready, heartbeat = wire.encode(Header(Kind.READY)), wire.encode(Header(Kind.HEARTBEAT))
    beat = time.monotonic()
    try:
        everyone.begin(range(len(everyone.sockets)), ready)
        while not stop():
            idle = True
            for place, socket in enumerate(everyone.sockets):
                while (frames := sockets.receive(socket)) is not None:
                    message = wire.decode(frames)
                    if message.header.kind is not Kind.LEASE:
                        continue
                    idle = False
                    answers = []
                    for nested in message.nested:
                        asked = wire.decode(nested).header
                        answers.append(wire.encode(wire.answer_header(asked, Kind.REPLY), answer))
                    header = Header(Kind.RESULT, epoch=message.header.epoch)
                    everyone.send(place, wire.encode_nested(header, answers))
            if time.monotonic() - beat > 0.5:
                beat = time.monotonic()
                for place in range(len(everyone.sockets)):
                    everyone.send(place, heartbeat)
            if idle:
                time.sleep(0.0005)
    finally:
        everyone.close()
