"""Weights that cross the network once a host: counted, with a relay that dies, and a late comer."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import numpy as np
import pytest

from tests.transport.parts import until
from transport.endpoints import FileEndpoints
from transport.keys import load_client_keys, load_server_keys, make_keys
from transport.relay import HOST_FOLDER, HostSubscriber
from transport.weights import Publisher

WEIGHTS = {"w": np.zeros(250_000, np.float32)}
SIZE = WEIGHTS["w"].nbytes


class Cable:
    """Carries what goes between 127.0.0.1:PORT and another port, and counts the bytes to us."""

    def __init__(self, port):
        self.bytes, self.port, self._loop = 0, 0, asyncio.new_event_loop()
        self._there, self._ready = port, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self):
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    async def _listen(self):
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _carry(self, reader, writer):
        to_us, to_them = await asyncio.open_connection("127.0.0.1", self._there)
        await asyncio.gather(self._pump(reader, to_them), self._pump(to_us, writer, count=True))

    async def _pump(self, reader, writer, count=False):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.bytes += count * len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@pytest.fixture
def publisher(tmp_path):
    publisher = Publisher(tmp_path / "run", address="tcp", beacon=0.05)
    yield publisher
    publisher.close()


@pytest.fixture
def guest(tmp_path, publisher):
    """A folder of a host that reaches the publisher by a cable, and the cable."""
    there = FileEndpoints(tmp_path / "run").address("weights")
    cable = Cable(int(there.rpartition(":")[2]))
    (tmp_path / "guest" / HOST_FOLDER).mkdir(parents=True)
    FileEndpoints(tmp_path / "guest").publish("weights", f"tcp://127.0.0.1:{cable.port}")
    yield tmp_path / "guest", cable
    cable.close()


@pytest.fixture
def follow(guest):
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(HostSubscriber(guest[0])))


def test_many_followers_on_a_host_cost_one_stream(publisher, guest, follow):
    followers = [follow() for _ in range(4)]
    for version in range(10):
        publisher.publish(version, WEIGHTS)
        for follower in followers:
            assert follower.latest(timeout=30)[0] == version
    # The first one twice: to all, and to one who has just come.
    assert 10 * SIZE <= guest[1].bytes < 12 * SIZE
    late = follow()
    assert late.latest(timeout=30)[0] == 9
    assert guest[1].bytes < 12 * SIZE


def test_a_relay_that_dies_costs_nothing_but_freshness(publisher, follow):
    first, *others = (follow() for _ in range(3))
    publisher.publish(3, WEIGHTS)
    for follower in (first, *others):
        assert follower.latest(timeout=30)[0] == 3
    first._relay.close()  # As when its process has ended.
    first._relay = None
    first._look_at = float("inf")
    publisher.publish(4, WEIGHTS)
    until(lambda: all(follower.poll() or follower.version == 4 for follower in others))
    assert sum(follower._relay is not None for follower in others) == 1
    assert first.latest(timeout=30)[0] == 4
    # It was the same version of the same learner all the time: nobody took anything twice.
    assert [follower.counts["taken"] for follower in (first, *others)] == [2, 2, 2]


def test_a_learner_that_begins_anew_may_begin_at_an_older_version(tmp_path, guest, follow):
    follower = follow()
    with contextlib.closing(Publisher(tmp_path / "second", address="tcp", beacon=0.05)) as second:
        second.publish(2, WEIGHTS)
        FileEndpoints(guest[0]).publish(
            "weights", FileEndpoints(tmp_path / "second").address("weights")
        )
        until(lambda: follower.poll() or follower.version == 2)


def test_whose_key_is_wrong_hears_why(tmp_path, guest):
    make_keys(tmp_path / "keys", ["one"], "worker")
    make_keys(tmp_path / "others", ["two"], "worker")
    keys = load_server_keys(tmp_path / "keys")
    with contextlib.closing(Publisher(tmp_path / "keyed", address="tcp", keys=keys)):
        FileEndpoints(guest[0]).publish(
            "weights", FileEndpoints(tmp_path / "keyed").address("weights")
        )
        stranger = load_client_keys(tmp_path / "others" / "clients" / "two.json")
        with (
            contextlib.closing(HostSubscriber(guest[0], keys=stranger)) as follower,
            pytest.raises(ValueError, match="not let in"),
        ):
            follower.latest(timeout=30)
