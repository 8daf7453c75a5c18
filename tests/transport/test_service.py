from __future__ import annotations

import numpy as np
import pytest

from tests.transport.parts import Thread, client
from transport import wire
from transport.client import Client, ClientConfig, RemoteError
from transport.service import Service
from transport.sockets import find_endpoint
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
        assert sizes == list(range(1, 101))
        assert table[0].part.counts["repeated"] > 0
        assert caller.balance() == 0


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
