"""Idle connections with keys beside busy ones.

The first heartbeat of an idle connection makes a socket readable though there is nothing to
receive: who then waits for a message waits for ever.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from scripts.bench import wire as wire_bench
from tests.transport.parts import Thread, client, double, rows
from transport import sockets
from transport.broker import Broker, BrokerConfig
from transport.endpoints import find_endpoint
from transport.keys import load_client_keys, load_server_keys, make_keys
from transport.schedules import Batch
from transport.service import Service
from transport.sockets import Bounds
from transport.weights import Publisher, Subscriber
from transport.worker import Worker, WorkerConfig

QUICK = Bounds(heartbeat=0.02, ping=0.02, silence=5.0)
SECONDS = 0.6  # Many heartbeats.


@pytest.fixture
def keys(tmp_path):
    files = make_keys(tmp_path / "keys", ["one"], "host")
    return load_server_keys(tmp_path / "keys"), load_client_keys(files[1])


@contextlib.contextmanager
def idlers(endpoint, keys, kind, count=6):
    """Connections that never say anything; they come one after the other."""
    with sockets.new_context() as context:
        opened = []
        for _ in range(count):
            socket = sockets.new_socket(context, kind, bounds=QUICK)
            sockets.connect(socket, endpoint, keys)
            opened.append(socket)
            time.sleep(0.02)
        yield
        for socket in opened:
            socket.close()


def test_a_broker_and_its_workers_beside_idle_connections(tmp_path, keys):
    server, own = keys
    config = BrokerConfig(tmp_path, bounds=QUICK)
    broker = Thread(lambda: Broker(Batch(), config, server))
    settings = WorkerConfig(tmp_path, bounds=QUICK)
    workers = [Thread(lambda: Worker(double, settings, keys=own)) for _ in range(3)]
    pool, back = (find_endpoint(tmp_path, role) for role in ("pool", "pool-workers"))
    try:
        with (
            idlers(pool, own, zmq.DEALER),
            idlers(back, own, zmq.DEALER),
            client(tmp_path, keys=own, timeout=5.0) as caller,
        ):
            began, calls = time.monotonic(), 0
            while time.monotonic() - began < SECONDS:
                assert caller.call(rows(calls)).tensors["y"] == 2 * calls
                calls += 1
                time.sleep(0.03)  # So that workers are idle, too.
    finally:
        for thread in (*workers, broker):
            thread.stop()


def test_a_service_beside_idle_connections(tmp_path, keys):
    server, own = keys
    functions = {"double": double}
    service = Thread(lambda: Service(functions, tmp_path, name="table", keys=server, bounds=QUICK))
    with (
        idlers(find_endpoint(tmp_path, "table"), own, zmq.DEALER),
        client(tmp_path, "table", keys=own, timeout=5.0) as caller,
    ):
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            assert caller.call(rows(3), "double").tensors["y"] == 6
    service.stop()


def test_a_publisher_beside_idle_connections(tmp_path, keys):
    server, own = keys
    publisher = Publisher(tmp_path, keys=server, beacon=0.05)
    endpoint = find_endpoint(tmp_path, "weights")
    with idlers(endpoint, own, zmq.SUB), contextlib.closing(Subscriber(endpoint, keys=own)) as busy:
        for version in range(10):
            publisher.publish(version, {"w": np.full(10, version)})
            assert busy.latest(timeout=5.0)[0] == version
            time.sleep(SECONDS / 10)
    publisher.close()


def test_new_clients_come_in_while_others_are_idle(tmp_path, keys):
    server, own = keys
    service = Thread(lambda: Service({"double": double}, tmp_path, name="table", keys=server))
    endpoint = find_endpoint(tmp_path, "table")
    with idlers(endpoint, own, zmq.DEALER):
        for _ in range(20):
            with client(tmp_path, "table", keys=own, timeout=5.0) as caller:
                assert caller.call(rows(3), "double").tensors["y"] == 6
    service.stop()


@pytest.mark.parametrize("attempt", range(6))
def test_the_other_process_of_the_bench_beside_idle_connections(tmp_path, attempt):
    """It listens with DEALERs, which such a heartbeat wakes for nothing.

    Every attempt has a server of its own: a DEALER that has not yet noticed that its last peer is
    gone sends every second answer to it.
    """
    make_keys(tmp_path / "keys", ["bench"])
    stop = threading.Event()
    options = {"side": "ours", "address": "tcp"}
    server = threading.Thread(
        target=wire_bench.serve, args=(tmp_path, 0, stop.is_set), kwargs=options, daemon=True
    )
    server.start()
    with sockets.new_context() as context:
        connection = wire_bench._connect(context, tmp_path, "ours")
        for socket in connection.values():
            socket.rcvtimeo = 3000
        # The other one is idle meanwhile, and its first heartbeat comes after 0.25 s.
        wire_bench._round_trip("ours", connection["echo"], np.zeros(1000, np.uint8), 0.35)
        wire_bench._rate("ours", connection["sink"], np.zeros(1000, np.uint8), 0.05)
        for socket in connection.values():
            socket.close()
    stop.set()
    server.join(5)
    assert not server.is_alive()


@pytest.fixture
def lying_polls(monkeypatch):
    """Sockets that say at once that there is something to receive, whether there is or not."""
    poll = zmq.Socket.poll

    def lie(self, timeout=None, flags=zmq.POLLIN):
        if flags == zmq.POLLIN:
            poll(self, min(timeout or 0, 1), flags)
            return zmq.POLLIN
        return poll(self, timeout, flags)

    monkeypatch.setattr(zmq.Socket, "poll", lie)


def test_polls_that_lie_stop_nobody(tmp_path, keys, lying_polls):
    """Broker, worker, publisher, subscriber, doorkeeper, client: none believes a poll."""
    server, own = keys
    broker = Thread(lambda: Broker(Batch(), BrokerConfig(tmp_path), server))
    publisher = Publisher(tmp_path, keys=server, beacon=0.05)
    follower = Subscriber(find_endpoint(tmp_path, "weights"), keys=own)
    worker = Thread(lambda: Worker(double, WorkerConfig(tmp_path), keys=own, weights=follower))
    done = threading.Event()

    def play():
        for number in range(3):
            with client(tmp_path, keys=own, timeout=5.0) as caller:
                assert caller.call(rows(number)).tensors["y"] == 2 * number
        publisher.publish(1, {"w": np.zeros(3)})
        with contextlib.closing(Subscriber(find_endpoint(tmp_path, "weights"), keys=own)) as late:
            assert late.latest(timeout=5.0)[0] == 1
        done.set()

    threading.Thread(target=play, daemon=True).start()
    assert done.wait(20)
    worker.stop()
    follower.close()
    publisher.close()
    broker.stop()


def test_a_receive_never_waits(tmp_path):
    """Whatever a poll has said, and whoever forgets to say that it must not."""
    returned = threading.Event()

    def receive(kind):
        with sockets.new_context() as context, sockets.new_socket(context, kind) as socket:
            sockets.bind(socket, "ipc", run_dir=Path(tmp_path), role="pool")
            assert sockets.receive(socket) is None
            with pytest.raises(zmq.Again):
                socket.recv()
            returned.set()

    for kind in (zmq.ROUTER, zmq.DEALER, zmq.SUB, zmq.XPUB, zmq.REP):
        returned.clear()
        threading.Thread(target=receive, args=(kind,), daemon=True).start()
        assert returned.wait(10)
