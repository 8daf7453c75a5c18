"""A server that comes back at another port is found there, within one life of the run."""

from __future__ import annotations

import contextlib
import socket
import time

import numpy as np
import pytest
import zmq

from tests.transport.parts import Thread, double, pool, rows, until
from transport import sockets
from transport.client import Client, ClientConfig
from transport.connection import Published
from transport.door import RefusedError
from transport.endpoints import find_endpoint
from transport.keys import load_server_keys, make_keys
from transport.service import Service
from transport.weights import Publisher, Subscriber

SOON = 10.0
"""Seconds in which a server is found beside other tests; two, on a quiet machine."""


@contextlib.contextmanager
def taken(endpoint):
    """Somebody else has the port now."""
    stranger = socket.socket()
    port = int(endpoint.rpartition(":")[2])
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    until(lambda: bound(stranger, port))
    stranger.listen()
    with contextlib.closing(stranger):
        yield


def bound(stranger, port):
    try:
        stranger.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def service(tmp_path, factor):
    functions = {"times": lambda tensors: {"y": factor * tensors["x"]}}
    return Thread(lambda: Service(functions, tmp_path, name="table", address="tcp"))


def test_a_client_finds_a_server_that_has_moved(tmp_path):
    """A call that is open, and all later ones; each is run once."""
    first = service(tmp_path, 2)
    config = ClientConfig(timeout=3 * SOON, retry=60.0)
    with Client(Published(tmp_path, "table"), config=config) as client:
        assert client.call(rows(3), "times").tensors["y"] == 6
        where = client.endpoint
        first.stop()
        with taken(where):
            number = client.submit(rows(3), "times")
            second = service(tmp_path, 5)
            assert find_endpoint(tmp_path, "table") != where
            began = time.monotonic()
            assert client.result(number).tensors["y"] == 15
            assert time.monotonic() - began < SOON
            assert client.endpoint == find_endpoint(tmp_path, "table")
            assert client.call(rows(4), "times").tensors["y"] == 20
            assert second.part.counts["run"] == 2
            second.stop()
        assert client.balance() == 0


def test_a_server_that_was_started_anew_where_it_was_is_asked_again(tmp_path):
    """Nobody has moved, and yet all that the one before had been asked is lost."""
    with contextlib.closing(Service({}, tmp_path, name="table")):
        client = Client(Published(tmp_path, "table"), config=ClientConfig(retry=60.0))
        number = client.submit(rows(3), "times")  # It does not come to that.
        time.sleep(0.2)
    second = service(tmp_path, 5)
    with client:
        began = time.monotonic()
        assert client.result(number).tensors["y"] == 15
        assert time.monotonic() - began < SOON
        assert client.counts["resent"] == 1
    second.stop()


def test_a_call_in_real_time_is_not_sent_again_where_the_server_has_moved(tmp_path):
    first = service(tmp_path, 2)
    config = ClientConfig(patience=SOON)
    with Client(Published(tmp_path, "table"), config=config) as client:
        assert client.call(rows(3), "times").tensors["y"] == 6
        first.stop()
        with taken(client.endpoint):
            second = service(tmp_path, 5)
            client.submit(rows(1), "times", frame=1)
            replies = []
            until(
                lambda: replies.extend(client.arrived()) or client.endpoint == second.part.endpoint
            )

            def answered():
                client.submit(rows(4), "times", frame=2)
                time.sleep(0.02)
                replies.extend(client.arrived())
                return any(not reply.dropped for reply in replies)

            until(answered)
            assert next(r.tensors["y"] for r in replies if not r.dropped) == 20
            assert replies[0].dropped
            second.stop()


def test_a_subscriber_finds_a_publisher_that_has_moved(tmp_path):
    first = Publisher(tmp_path, address="tcp", beacon=0.05)
    first.publish(9, {"w": np.zeros(3)})
    with contextlib.closing(Subscriber(Published(tmp_path, "weights"))) as subscriber:
        assert subscriber.latest(timeout=SOON)[0] == 9
        where = find_endpoint(tmp_path, "weights")
        first.close()
        with taken(where), contextlib.closing(Publisher(tmp_path, address="tcp")) as second:
            assert find_endpoint(tmp_path, "weights") != where
            second.publish(5, {"w": np.ones(3)})
            assert subscriber.latest(timeout=SOON)[0] == 5


def test_a_worker_finds_a_broker_that_has_moved(tmp_path):
    with contextlib.ExitStack() as stack:
        ports = {"address": "tcp", "workers_address": "tcp"}
        lonely, (worker,) = stack.enter_context(pool(tmp_path, double, broker=ports))
        client = stack.enter_context(Client(Published(tmp_path, "pool")))
        assert client.call(rows(3)).tensors["y"] == 6
        before = [find_endpoint(tmp_path, role) for role in ("pool", "pool-workers")]
        lonely.stop()
        for endpoint in before:
            stack.enter_context(taken(endpoint))
        stack.enter_context(pool(tmp_path, double, workers=0, broker=ports))
        assert find_endpoint(tmp_path, "pool-workers") not in before
        began = time.monotonic()
        assert client.call(rows(4)).tensors["y"] == 8
        assert time.monotonic() - began < SOON
        assert worker.alive


def test_a_stranger_at_the_old_port_who_refuses_us_is_no_reason_to_give_up(tmp_path):
    """One who wants a key; once nobody is elsewhere, it is."""
    make_keys(tmp_path / "keys", ["alice"])
    first = service(tmp_path, 2)
    with Client(Published(tmp_path, "table")) as client:
        assert client.call(rows(3), "times").tensors["y"] == 6
        where = client.endpoint
        first.stop()
        with taken(where):
            second = service(tmp_path, 5)
        context = sockets.new_context()
        stranger = context.socket(zmq.ROUTER)
        stranger.linger = 0
        own = load_server_keys(tmp_path / "keys")
        stranger.curve_server = True
        stranger.curve_publickey, stranger.curve_secretkey = own.public, own.secret
        stranger.bind(where)
        time.sleep(0.5)  # It is refused before it looks.
        assert client.call(rows(3), "times").tensors["y"] == 15
        second.stop()
        with pytest.raises(RefusedError), Client(where) as lost:
            lost.call(rows(3), "times")
        stranger.close()
        context.term()
