from __future__ import annotations

import math
import time

import numpy as np
import pytest

from tests.transport.parts import Thread, client
from transport import sockets, wire
from transport.client import Client, ClientConfig, RemoteError, _Call
from transport.endpoints import find_endpoint
from transport.service import Service
from transport.wire import Header, Kind


@pytest.fixture
def table(tmp_path):
    """A service that counts, and the list of what it was given."""
    given = []

    def insert(tensors):
        given.append(int(tensors["n"]))
        return {"size": np.array(len(given))}

    def fail(tensors):
        raise KeyError("nothing")

    thread = Thread(
        lambda: Service(
            {"insert": insert, "fail": fail},
            tmp_path,
            name="table",
            description={"width": np.array(3)},
        )
    )
    yield thread, given
    thread.stop()


def number(n):
    return {"n": np.array(n)}


def test_functions_run_by_name(table, tmp_path):
    with client(tmp_path, "table") as caller:
        assert caller.describe()["width"] == 3
        assert caller.call(number(5), "insert").tensors["size"] == 1
        assert table[1] == [5]
        with pytest.raises(RemoteError, match="KeyError"):
            caller.call(number(5), "fail")
        with pytest.raises(RemoteError, match="no function 'other': there are insert, fail"):
            caller.call(number(5), "other")
        assert caller.stats() == {"run": 1, "failed": 2}


def test_a_call_that_is_sent_again_and_again_runs_once(table, tmp_path):
    with client(tmp_path, "table", window=32) as caller:
        tickets = []
        for n in range(100):
            tickets.append(caller.submit(number(n), "insert"))
            for call in caller._calls.values():  # Whoever gets no answer repeats itself.
                caller._send(call, again=True)
        sizes = [int(caller.result(ticket).tensors["size"]) for ticket in tickets]
        assert sorted(table[1]) == list(range(100))
        assert sorted(sizes) == list(range(1, 101))
        assert table[0].part.counts["repeated"] > 0
        assert caller.balance() == 0


def test_a_client_that_acknowledges_nothing_cannot_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("transport.service._SIZE", 1 << 20)
    runs = []

    def large(tensors):
        runs.append(1)
        return {"x": np.zeros(300_000, np.uint8)}

    thread = Thread(lambda: Service({"large": large}, tmp_path, name="table"))
    with client(tmp_path, "table") as caller:
        caller.describe()
        # An honest client says with each call which ones are settled; this one never does.
        caller._calls[-1] = _Call(-1, [], 0, time.monotonic(), math.inf, math.inf)
        header = [Header(Kind.REQUEST, request=n, note="large") for n in range(20)]
        for head in header:
            caller._push(wire.encode(head))
        refused = wire.encode(Header(Kind.REQUEST, request=20, note="large"))
        caller._calls[20] = _Call(-1, refused, 0, time.monotonic(), 0.0, 1.0)
        with pytest.raises(RemoteError, match="bytes of answers are remembered"):
            caller.result(20)
        assert 1 <= len(runs) <= 5
        settled = Header(Kind.REQUEST, request=21, oldest=21, note="large")
        caller._calls[21] = _Call(-1, wire.encode(settled), 0, time.monotonic(), 0.0, 1.0)
        assert len(caller.result(21).tensors["x"]) == 300_000
    thread.stop()


def test_a_service_leaves_nothing_behind(tmp_path):
    service = Service({}, tmp_path, name="table")
    assert sockets._ipc_path(tmp_path).exists()
    other = Service({}, tmp_path, name="other")
    service.close()
    assert list(sockets._ipc_path(tmp_path).iterdir()) == [sockets._ipc_path(tmp_path) / "other"]
    other.close()
    assert not sockets._ipc_path(tmp_path).exists()


def test_calls_that_come_out_of_order_run_once(table, tmp_path):
    """A call that was lost on the way comes after later ones."""
    with client(tmp_path, "table") as caller:
        sent = caller._push
        lost = []
        caller._push = lambda frames: lost.append(frames) or True
        first = caller.submit(number(0), "insert")
        caller._push = sent
        later = [caller.submit(number(n), "insert") for n in (1, 2)]
        for ticket in later:
            caller.result(ticket)
        caller._calls[first].resend = 0.0
        caller.result(first)
        assert table[1] == [1, 2, 0]


def test_answers_are_remembered_only_while_they_may_be_asked_for(table, tmp_path):
    with client(tmp_path, "table", window=8) as caller:
        for n in range(200):
            caller.call(number(n), "insert")
        (account,) = table[0].part._accounts.values()
        assert len(account.answers) <= 8
        caller._push(wire.encode(Header(Kind.REQUEST, request=3, note="insert"), number(3)))
        caller.call(number(200), "insert")
        assert table[1] == list(range(201))


def test_while_nobody_polls_clients_wait_and_nothing_is_lost(tmp_path):
    given = []
    service = Service(
        {"insert": lambda tensors: given.append(int(tensors["n"])) or {}}, tmp_path, name="table"
    )
    endpoint = find_endpoint(tmp_path, "table")
    with Client(endpoint, config=ClientConfig(window=5, timeout=0.3)) as caller:
        for n in range(5):
            caller.submit(number(n), "insert")
        with pytest.raises(TimeoutError):
            caller.submit(number(5), "insert")
        while caller.open_calls():
            service.poll(0.1)
            caller._receive()
        assert given == list(range(5))
    service.close()
