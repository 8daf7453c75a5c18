"""Several brokers of one pool: who goes where, and what the loss of one costs."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter

import pytest

from scripts import cli
from tests.transport.parts import Thread, double, rows, slow_double, until
from transport import survey
from transport.broker import Broker, BrokerConfig, roles
from transport.client import Client, ClientConfig
from transport.connection import Published
from transport.endpoints import FileEndpoints, alike, find_endpoints
from transport.schedules import Batch
from transport.survey import Choice, Figures, fewest_clients, most_to_do
from transport.wire import Kind
from transport.worker import Worker, WorkerConfig


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Surveys follow each other ten times as fast."""
    monkeypatch.setattr("transport.broker._SWEEP", 0.2)
    monkeypatch.setattr("transport.connection._LOOK", 0.1)
    monkeypatch.setattr(
        "transport.connection._moment", lambda pause: time.monotonic() + 0.1 * pause
    )


class Pool:
    """Brokers and workers in threads."""

    def __init__(self, run_dir, brokers, workers, infer=double):
        self.run_dir, self.count = run_dir, brokers
        self.brokers = {k: self.broker(k) for k in range(brokers)}
        self.workers = [self.worker(k, infer) for k in range(workers)]

    def broker(self, number):
        config = BrokerConfig(self.run_dir, number=number, brokers=self.count)
        return Thread(lambda: Broker(Batch(), config))

    def worker(self, number, infer=double):
        return Thread(lambda: Worker(infer, WorkerConfig(self.run_dir, number=number)))

    def kill(self, number):
        self.brokers.pop(number).stop()

    def start(self, number):
        self.brokers[number] = self.broker(number)

    def spread(self, who):
        return sorted(broker.part.figures.get(who, -1) for broker in self.brokers.values())

    def clients_over(self):
        return sorted(len(broker.part._clients) for broker in self.brokers.values())

    def balances(self):
        return [broker.part.pool.ledger.balance() for broker in self.brokers.values()]


@contextlib.contextmanager
def several(run_dir, brokers=2, workers=2, infer=double):
    pool = Pool(run_dir, brokers, workers, infer)
    try:
        yield pool
    finally:
        for thread in (*pool.workers, *pool.brokers.values()):
            thread.stop()


@contextlib.contextmanager
def playing(pool, number, **config):
    """Clients of a pool, and a function by which each has a call answered rightly."""
    with contextlib.ExitStack() as stack:
        # Nothing waits for a second try.
        config = ClientConfig(**{"timeout": 30.0, "retry": 25.0, **config})
        where = Published(pool.run_dir, "pool")
        clients = [stack.enter_context(Client(where, config=config)) for _ in range(number)]

        def play(between=lambda: None):
            tickets = [client.submit(rows(number)) for number, client in enumerate(clients)]
            between()
            for number, (client, ticket) in enumerate(zip(clients, tickets, strict=True)):
                assert client.result(ticket).tensors["y"] == 2 * number

        yield clients, play
        for client in clients:
            assert client.balance() == client.open_calls() == 0
            assert client.counts["failed"] == client.counts["dropped"] == 0


def test_a_broker_that_dies_costs_its_clients_a_reconnect_to_another(tmp_path):
    with several(tmp_path, 2, 3, slow_double) as pool, playing(pool, 4) as (clients, play):
        until(lambda: play() or (min(pool.clients_over()), min(pool.spread("workers"))) > (0, 0))
        began = time.monotonic()
        play(between=lambda: pool.kill(0))
        assert time.monotonic() - began < 10
        until(lambda: play() or pool.spread("workers") == [3])
        assert {client.endpoint for client in clients} == {pool.brokers[1].part.endpoint}
        assert pool.balances() == [0]


@pytest.mark.slow
def test_who_has_gone_to_another_broker_comes_back(tmp_path):
    with several(tmp_path, 2, 4, slow_double) as pool, playing(pool, 6) as (_, play):
        until(lambda: play() or (pool.spread("workers"), pool.clients_over()) == ([2, 2], [3, 3]))
        play(between=lambda: pool.kill(0))
        pool.start(0)
        until(
            lambda: play() or (pool.spread("workers"), pool.clients_over()) == ([2, 2], [3, 3]),
            60,
        )
        assert pool.balances() == [0, 0]


def test_a_broker_that_nobody_works_for_sends_its_clients_away(tmp_path, monkeypatch):
    monkeypatch.setattr("transport.broker._ALONE", 1.0)
    with several(tmp_path, 2, 0) as pool:
        addresses = find_endpoints(tmp_path, "pool")
        with Client(addresses, config=ClientConfig(timeout=10.0, retry=60.0)) as client:
            ticket = client.submit(rows(3))
            there = addresses.index(client.endpoint)
            # The one worker goes to the other broker.
            pool.workers.append(pool.worker(0))
            until(lambda: pool.spread("workers") == [0, 1])
            assert client.result(ticket).tensors["y"] == 6
            moved = client.endpoint != addresses[there]
            here = pool.brokers[addresses.index(client.endpoint)].part
            # Worker and client look for each other, so the worker may have moved once more.
            until(lambda: here.figures["workers"] == 1)
            # It may have come and gone several times before the worker was there.
            assert client.counts["resent"] or not moved


def test_what_is_silent_costs_the_loop_nothing_that_grows(tmp_path, monkeypatch):
    """2,000 silent clients: a few of them are looked for at a time, and all in a while."""
    monkeypatch.setattr("transport.broker._SWEEP", 10.0)
    broker = Broker(Batch(), BrokerConfig(tmp_path))
    try:
        told = Counter()
        monkeypatch.setattr(broker, "_tell", lambda client, frames: told.update([client]))
        names = [b"c%d" % number for number in range(2000)]
        broker._clients.update(dict.fromkeys(names, 0.0))
        broker._beat(5.0)
        assert not told
        for beat in range(1, 81):
            broker._beat(100.0 + beat / 100)
            assert sum(told.values()) == 25 * beat
        assert set(told) == set(names)
        broker._beat(102.0)
        assert sum(told.values()) == 2000
    finally:
        broker.close()


def test_a_ledger_holds_no_account_without_an_open_request(tmp_path):
    with several(tmp_path, 1, 1) as pool:
        for number in range(5):
            with Client(Published(tmp_path, "pool")) as client:
                assert client.call(rows(number)).tensors["y"] == 2 * number
        ledger = pool.brokers[0].part.pool.ledger
        assert (ledger.counts["opened"], ledger.waiting(), ledger._sizes) == (5, [], {})
        assert ledger.balance() == 0


def test_several_parts_do_what_one_role_says(tmp_path):
    assert roles("pool", 0, 1) == ("pool", "pool-workers")
    assert roles("pool", 2, 3) == ("pool-2", "pool-workers-2")
    names = ["pool-0", "pool-1", "pool-workers-0", "replay-0", "replay-0-draws", "weights"]
    assert alike("pool", names) == ["pool-0", "pool-1"]
    assert alike("replay", names) == ["replay-0"]
    files = FileEndpoints(tmp_path)
    for number, name in enumerate(names):
        files.publish(name, f"tcp://127.0.0.1:{number + 1}")
    assert files.addresses("pool") == ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]
    assert files.addresses("weights") == ["tcp://127.0.0.1:6"]
    assert files.addresses("nobody") == []


def test_a_client_goes_where_the_fewest_are():
    a, b, idle = Figures(9, 2, 0.0), Figures(4, 1, 0.0), Figures(0, 0, 0.0)
    assert fewest_clients({"a": a, "b": b, "c": idle}, 3, None).address == "b"
    assert fewest_clients({"a": idle, "b": idle}, 2, "a").address is None
    assert fewest_clients({"a": idle, "b": b}, 2, "a").address == "b"
    assert fewest_clients({}, 2, "a") == Choice(None)
    even = {"a": b, "b": Figures(5, 1, 0.0)}
    assert fewest_clients(even, 2, "b") == Choice(None, math.inf)
    assert fewest_clients(even, 3, "b").again < math.inf  # Somebody has not answered.
    # Of nine, two or three go over: gap 5, half of it to even out.
    gone = sum(fewest_clients({"a": a, "b": b}, 2, "a").address == "b" for _ in range(9000))
    assert 2300 < gone < 2700


def test_a_worker_goes_where_most_is_to_do():
    busy, idle, none = Figures(6, 2, 11.0), Figures(6, 2, 1.0), Figures(0, 0, 0.0)
    assert most_to_do({"a": busy, "b": idle}, 2, None).address == "a"
    assert most_to_do({"a": busy, "b": none}, 2, None).address == "b"
    assert most_to_do({"a": busy, "b": idle}, 2, "a") == Choice(None, survey.LATER)
    moved = sum(most_to_do({"a": busy, "b": idle}, 2, "b").address == "a" for _ in range(1000))
    assert 400 < moved < 600
    # Nobody leaves clients alone, whatever there is to do elsewhere.
    alone = Figures(1, 1, 0.0)
    assert most_to_do({"a": busy, "b": alone}, 2, "b").address is None
    assert most_to_do({"a": Figures(3, 0, 9.0), "b": alone}, 2, "b").address is None
    assert most_to_do({"a": Figures(3, 0, 9.0), "b": alone._replace(clients=0)}, 2, "b").address


def test_a_reset_is_nothing_to_a_client_of_one_broker(tmp_path):
    with several(tmp_path, 1, 1) as pool, Client(Published(tmp_path, "pool")) as client:
        client.call(rows(1))
        identity = next(iter(pool.brokers[0].part._clients))
        assert identity.startswith(b"c")
        client._handle(type("M", (), {"header": type("H", (), {"kind": Kind.RESET})})())
        assert client.call(rows(2)).tensors["y"] == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--brokers", "0"), "--brokers must be at least 1, got 0"),
        (("--brokers", "3", "--workers", "2"), "needs a worker: give --workers 3"),
        (
            ("--brokers", "2", "--workers", "2", "--bind", "tcp://127.0.0.1:5555"),
            "is for 1 broker(s), and there are 2",
        ),
    ],
)
def test_bad_options_are_refused_in_a_line(tmp_path, capsys, options, words):
    assert cli.main(["serve", "hanabi-2p", *options, "--run-dir", str(tmp_path / "pool")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "pool").exists()
    if "--bind" not in options:
        common = ["train", "hanabi", "--run-dir", str(tmp_path / "run"), "--updates", "1"]
        assert cli.main([*common, *options]) == 2
        assert words in capsys.readouterr().err
