from __future__ import annotations

import contextlib
import gc
import socket as plain
import tempfile
import time

import numpy as np
import pytest
import zmq

from tests.transport.parts import Thread, client, double, pool, rows, until
from transport import sockets, wire
from transport.broker import Broker, BrokerConfig
from transport.client import Client
from transport.door import RefusedError
from transport.endpoints import find_endpoint
from transport.keys import (
    ClientKeys,
    load_client_keys,
    load_server_keys,
    make_keys,
    own_keys,
)
from transport.schedules import Batch
from transport.sockets import Bounds, is_local
from transport.weights import Publisher, Subscriber
from transport.worker import Worker, WorkerConfig


@pytest.fixture
def context():
    context = sockets.new_context()
    yield context
    context.destroy(linger=0)


class Forgetful:
    """Holds a context, a socket of it and, as a traceback would, itself."""

    def __init__(self):
        self.context = sockets.new_context()
        self.socket = sockets.new_socket(self.context, zmq.DEALER)
        self.socket.connect("tcp://127.0.0.1:9")
        self.itself = self


@pytest.mark.timeout(20, method="thread")
def test_the_garbage_collector_waits_for_no_socket():
    Forgetful()
    assert gc.collect()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("ipc:///tmp/x", True),
        ("inproc://x", True),
        ("tcp://127.0.0.1:5555", True),
        ("tcp://127.3.2.1:*", True),
        ("tcp://localhost:1", True),
        ("tcp://[::1]:5555", True),
        ("tcp://0.0.0.0:5555", False),
        ("tcp://*:5555", False),
        ("tcp://192.168.1.2:5555", False),
        ("tcp://[::]:5555", False),
        ("tcp://localhost.example.org:1", False),
        ("tcp://eth0:5555", False),
    ],
)
def test_what_is_local(address, local):
    assert is_local(address) is local


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:0", "tcp://*:*", "tcp://[::]:*"])
def test_an_address_that_others_can_reach_needs_keys(context, tmp_path, address):
    socket = sockets.new_socket(context, zmq.ROUTER)
    with pytest.raises(ValueError, match=r"needs keys.*troupe keys"):
        sockets.bind(socket, address, run_dir=tmp_path, role="pool")
    with pytest.raises(ValueError, match="needs keys"):
        sockets.connect(socket, "tcp://10.0.0.1:5555")


@pytest.mark.parametrize(
    "address", ["5555", "tcp:/x", "udp://127.0.0.1:1", "tcp://127.0.0.1:99999", "tcp://x"]
)
def test_what_is_no_address_is_refused_by_name(context, tmp_path, address):
    socket = sockets.new_socket(context, zmq.ROUTER)
    with pytest.raises(ValueError, match=address):
        sockets.bind(socket, address, run_dir=tmp_path, role="pool")


@pytest.mark.parametrize("address", ["ipc", "tcp"])
def test_listeners_are_found_in_the_run_directory(context, tmp_path, address):
    listener = sockets.new_socket(context, zmq.ROUTER)
    endpoint = sockets.bind(listener, address, run_dir=tmp_path, role="pool")
    assert find_endpoint(tmp_path, "pool") == endpoint
    assert not endpoint.endswith(("*", ":0"))
    sockets.withdraw(tmp_path)


def test_a_listener_that_nobody_started_is_missed_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"no pool is published under .* is it running\?"):
        find_endpoint(tmp_path, "pool", timeout=0.05)


def test_a_restarted_listener_takes_its_port_again(tmp_path):
    endpoints = []
    for _ in range(3):
        with sockets.new_context() as context, sockets.new_socket(context, zmq.ROUTER) as listener:
            endpoints.append(sockets.bind(listener, "tcp", run_dir=tmp_path, role="pool"))
            with sockets.new_socket(context, zmq.ROUTER) as other:  # Not while it is in use.
                assert endpoints[-1] != sockets.bind(other, "tcp", run_dir=tmp_path, role="other")
    assert len(set(endpoints)) == 1


def test_socket_files_lie_in_a_private_folder_that_goes_with_the_run(context, tmp_path):
    socket = sockets.new_socket(context, zmq.ROUTER)
    endpoint = sockets.bind(socket, "ipc", run_dir=tmp_path / ("deep" * 40), role="pool")
    folder = sockets.ipc_folder(tmp_path / ("deep" * 40))
    assert folder.stat().st_mode & 0o077 == 0
    assert endpoint == f"ipc://{folder}/pool"
    sockets.withdraw(tmp_path / ("deep" * 40))
    assert not folder.exists()


def test_a_folder_for_temporary_files_may_lie_deep(context, tmp_path, monkeypatch):
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    socket = sockets.new_socket(context, zmq.ROUTER)
    endpoint = sockets.bind(socket, "ipc", run_dir=tmp_path, role="pool-workers")
    assert endpoint.startswith("ipc:///tmp/troupe-")
    sockets.withdraw(tmp_path)
    assert not list(deep.iterdir())


def test_a_folder_that_others_may_enter_is_not_trusted(tmp_path):
    folder = sockets.ipc_folder(tmp_path)
    folder.chmod(0o755)
    with pytest.raises(ValueError, match="others may enter"):
        sockets.ipc_folder(tmp_path)
    sockets.withdraw(tmp_path)


def test_closing_waits_for_nobody(context):
    socket = sockets.new_socket(context, zmq.DEALER)
    socket.immediate = False
    sockets.connect(socket, "tcp://127.0.0.1:1")
    sockets.send(socket, [b"never delivered"])
    started = time.monotonic()
    socket.close()
    context.term()
    assert time.monotonic() - started < 2


def test_queues_are_bounded(context, tmp_path):
    bounds = Bounds(messages=5)
    listener = sockets.new_socket(context, zmq.ROUTER, bounds=bounds)
    endpoint = sockets.bind(listener, "tcp", run_dir=tmp_path, role="pool")
    sender = sockets.new_socket(context, zmq.DEALER, bounds=bounds)
    sockets.connect(sender, endpoint)
    assert sender.poll(5000, zmq.POLLOUT)
    big = bytes(1 << 20)
    sent = 0
    with contextlib.suppress(zmq.Again):
        for _ in range(100):
            sockets.send(sender, [big], flags=zmq.NOBLOCK)
            sent += 1
            time.sleep(0.001)
    assert sent < 50  # Twice five, and what the kernel holds.


@pytest.mark.parametrize("bounds", [{"messages": 0}, {"frame": 0}, {"heartbeat": 20.0}])
def test_bad_bounds_are_refused(bounds):
    with pytest.raises(ValueError, match=r"bounds need|heartbeat"):
        Bounds(**bounds)


# Keys


def test_keys_are_for_their_owner_alone(tmp_path):
    written = make_keys(tmp_path, ["alice", "bob-2"])
    assert [file.name for file in written] == ["server.json", "alice.json", "bob-2.json"]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in written)
    server, alice = load_server_keys(tmp_path), load_client_keys(written[1])
    assert alice.server == server.public
    assert alice.public in server.clients
    assert len(server.clients) == 2
    assert alice.secret.decode() not in repr(alice)
    assert server.secret.decode() not in repr(server)


def test_more_clients_join_the_same_server(tmp_path):
    make_keys(tmp_path, ["alice"])
    before = load_server_keys(tmp_path)
    make_keys(tmp_path, ["bob"])
    after = load_server_keys(tmp_path)
    assert after.public == before.public
    assert set(before.clients) < set(after.clients)


def test_keys_are_not_overwritten(tmp_path):
    make_keys(tmp_path, ["alice"])
    with pytest.raises(ValueError, match="exists: delete it first"):
        make_keys(tmp_path, ["bob", "alice"])
    assert not (tmp_path / "clients" / "bob.json").exists()


@pytest.mark.parametrize("name", ["../alice", "", "a/b", "a b", "."])
def test_names_that_are_no_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="client name"):
        make_keys(tmp_path, [name])


def test_keys_that_others_can_read_are_refused(tmp_path):
    file = make_keys(tmp_path, ["alice"])[1]
    file.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        load_client_keys(file)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"public": 1}', '{"public": "short"}'])
def test_files_that_hold_no_keys_are_refused(tmp_path, content):
    file = tmp_path / "alice.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ValueError, match=r"alice\.json"):
        load_client_keys(file)
    with pytest.raises(ValueError, match="make them with"):
        load_client_keys(tmp_path / "missing.json")


@pytest.fixture
def keyed_pool(tmp_path):
    """A pool that is bound to every interface."""
    files = [*make_keys(tmp_path / "keys", ["worker"], "worker")]
    files += make_keys(tmp_path / "keys", ["alice"])
    server = load_server_keys(tmp_path / "keys")
    everywhere = {"address": "tcp://0.0.0.0:*", "workers_address": "tcp://0.0.0.0:*"}
    broker = Thread(lambda: Broker(Batch(), BrokerConfig(tmp_path, **everywhere), server))
    keys = load_client_keys(files[1])
    worker = Thread(lambda: Worker(double, WorkerConfig(tmp_path), keys=keys))
    yield broker, load_client_keys(files[2])
    worker.stop()
    broker.stop()


def test_a_client_key_makes_no_worker(keyed_pool, tmp_path, capfd):
    """Nor does a worker's key ask; one for both roles does both, until it is for one only."""
    broker, alice = keyed_pool
    intruder = Thread(lambda: Worker(double, WorkerConfig(tmp_path), keys=alice))
    until(lambda: isinstance(intruder.error, RefusedError))
    assert "it is for another role" in str(intruder.error)
    intruder.stop()
    clients = tmp_path / "keys" / "clients"
    with (
        client(tmp_path, keys=load_client_keys(clients / "worker.json")) as caller,
        pytest.raises(RefusedError, match="another role"),
    ):
        caller.call(rows(1))
    assert broker.part.stats()["door_other_role"] >= 2
    assert f"a client's key {alice.public.decode()} at pool-workers" in capfd.readouterr().err
    host = load_client_keys(make_keys(tmp_path / "keys", ["host"], "worker client")[0])
    assert host.role == "worker client"
    helper = Thread(lambda: Worker(double, WorkerConfig(tmp_path), keys=host))
    with client(tmp_path, keys=host) as caller:
        assert caller.call(rows(1)).tensors["y"] == 2
        until(lambda: caller.stats()["workers"] == 2)
        # Its key is made a client's: it may stay as one, and works no more.
        (clients / "host.public").write_bytes(host.public + b"\nclient\n")
        until(lambda: isinstance(helper.error, RefusedError))
        assert caller.call(rows(1)).tensors["y"] == 2
    helper.stop()


def test_keys_are_for_a_role_that_there_is(tmp_path):
    with pytest.raises(ValueError, match="client, actor, worker, host, not for 'worker cook'"):
        make_keys(tmp_path, ["alice"], "worker cook")
    assert not tmp_path.exists() or not list(tmp_path.iterdir())


def test_the_keys_of_a_run_come_in_everywhere(tmp_path):
    make_keys(tmp_path, ["local"])  # As it was before keys had roles.
    file = own_keys(tmp_path)
    keys = load_client_keys(file)
    assert load_server_keys(tmp_path).clients == {keys.public: "host"}
    assert own_keys(tmp_path) == file
    assert load_client_keys(file) == keys


def test_known_clients_come_in(keyed_pool, tmp_path):
    _, alice = keyed_pool
    with client(tmp_path, keys=alice) as caller:
        assert caller.call(rows(1)).tensors["y"] == 2


def stranger(alice):
    public, secret = zmq.curve_keypair()
    return ClientKeys(public, secret, alice.server)


def wrong_server(alice):
    return ClientKeys(alice.public, alice.secret, zmq.curve_keypair()[0])


OUTSIDERS = [
    (lambda alice: None, "the server wants a key", ("no key", "hung up")),
    (stranger, "the server does not know this client's key", ("unknown key",)),
    (wrong_server, "the server's key is not the one in this client's file", ("other server key",)),
]


@pytest.mark.parametrize(("keys", "told", "counted"), OUTSIDERS)
def test_others_stay_outside_are_told_why_and_disturb_nobody(
    keyed_pool, tmp_path, capfd, keys, told, counted
):
    broker, alice = keyed_pool
    endpoint = find_endpoint(tmp_path, "pool")
    with Client(endpoint, keys=keys(alice)) as outsider, client(tmp_path, keys=alice) as caller:
        began = time.monotonic()
        with pytest.raises(RefusedError, match=f"not let in at .*: {told}"):
            outsider.call(rows(1))
        assert time.monotonic() - began < 10  # It is no time-out.
        assert caller.call(rows(1)).tensors["y"] == 2
        figures = [f"door_{name.replace(' ', '_')}" for name in counted]
        until(lambda: any(caller.stats().get(figure) for figure in figures))
    assert broker.part.pool.ledger.counts["opened"] == 1
    assert "not let in: " in capfd.readouterr().err


@pytest.mark.parametrize(("keys", "told", "counted"), OUTSIDERS)
def test_a_worker_or_follower_that_is_not_let_in_says_so(keyed_pool, tmp_path, keys, told, counted):
    _, alice = keyed_pool
    worker = Thread(lambda: Worker(double, WorkerConfig(tmp_path), keys=keys(alice)))
    publisher = Publisher(tmp_path, address="tcp", keys=load_server_keys(tmp_path / "keys"))
    follower = Subscriber(find_endpoint(tmp_path, "weights"), keys=keys(alice))
    with pytest.raises(RefusedError, match=told):
        follower.latest(timeout=30)
    until(lambda: not worker.alive)
    assert isinstance(worker.error, RefusedError)
    assert told in str(worker.error)
    follower.close()
    publisher.close()


def test_a_key_for_a_server_without_keys_is_an_error(tmp_path):
    files = make_keys(tmp_path / "keys", ["alice"])
    keys = load_client_keys(files[1])
    with (
        pool(tmp_path, broker={"address": "tcp"}),
        client(tmp_path, keys=keys) as caller,
        # If the server hangs up before its greeting is read, the key may be the wrong one as well.
        pytest.raises(RefusedError, match=r"(server|it) has none"),
    ):
        caller.call(rows(1))


def test_a_key_that_was_added_counts_at_once_and_one_that_was_deleted_no_more(
    keyed_pool, tmp_path, capfd
):
    broker, alice = keyed_pool
    bob = load_client_keys(make_keys(tmp_path / "keys", ["bob"])[0])
    with client(tmp_path, keys=alice) as stays, client(tmp_path, keys=bob) as goes:
        for number in range(3):
            assert stays.call(rows(number)).tensors["y"] == 2 * number
            assert goes.call(rows(number)).tensors["y"] == 2 * number
        (tmp_path / "keys" / "clients" / "bob.public").unlink()

        def call_on():
            goes.call(rows(1))
            return False

        with pytest.raises(RefusedError, match="does not know this client's key, or no longer"):
            until(call_on)
        for number in range(20):  # The others come again, workers included.
            assert stays.call(rows(number)).tensors["y"] == 2 * number
        assert stays.balance() == 0
        with (
            client(tmp_path, keys=bob) as again,
            pytest.raises(RefusedError, match="does not know"),
        ):
            again.call(rows(1))
    assert broker.part.pool.ledger.balance() == 0
    assert f"shut out, for their keys were deleted: {bob.public.decode()}" in capfd.readouterr().err


@pytest.mark.parametrize("address", ["ipc", "tcp"])
def test_a_follower_that_is_shut_out_hears_no_more_weights(tmp_path, address):
    files = make_keys(tmp_path / "keys", ["alice", "bob"])
    server = load_server_keys(tmp_path / "keys")
    alice, bob = (load_client_keys(file) for file in files[1:])
    publisher = Publisher(tmp_path, address=address, keys=server, beacon=0.05)
    endpoint = find_endpoint(tmp_path, "weights")
    stays, goes = (Subscriber(endpoint, keys=keys) for keys in (alice, bob))
    publisher.publish(0, {"w": np.zeros(3)})
    assert stays.latest(timeout=30)[0] == goes.latest(timeout=30)[0] == 0
    (tmp_path / "keys" / "clients" / "bob.public").unlink()
    with pytest.raises(RefusedError, match="no longer"):
        goes.latest(timeout=30)
    publisher.publish(1, {"w": np.ones(3)})
    assert stays.latest(timeout=30)[0] == 1
    assert goes.version == 0
    for follower in (stays, goes):
        follower.close()
    publisher.close()
    assert not sockets._ipc_path(tmp_path).exists()


# Peers that do not play by the rules


def test_an_oversized_frame_is_cut_off(tmp_path, context):
    bounds = Bounds(frame=100_000)
    with pool(tmp_path, broker={"bounds": bounds}), client(tmp_path, retry=0.5) as caller:
        fool = sockets.new_socket(context, zmq.DEALER)
        sockets.connect(fool, find_endpoint(tmp_path, "pool"))
        assert fool.poll(5000, zmq.POLLOUT)
        sockets.send(fool, [bytes(1 << 20)])
        for number in range(5):
            assert caller.call(rows(number)).tensors["y"] == 2 * number


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


@pytest.mark.parametrize("ready", [False, True])
def test_half_sent_messages_and_slow_senders_hold_nobody_up(tmp_path, ready):
    """Raw TCP: a handshake that stops half-way, and a message that comes byte by byte."""
    bounds = Bounds(handshake=0.5, ping=0.25, silence=0.6)
    broker = {"address": "tcp", "bounds": bounds}
    with pool(tmp_path, broker=broker) as (thread, _), client(tmp_path, retry=0.5) as caller:
        caller.call(rows(0))
        host, port = find_endpoint(tmp_path, "pool").removeprefix("tcp://").split(":")
        with plain.create_connection((host, int(port))) as slow:
            slow.sendall(GREETING)
            if ready:
                slow.sendall(READY)
            slow.settimeout(0.0)
            # A large frame is announced; a few bytes of it come, one by one.
            announced = b"\x02" + (1 << 20).to_bytes(8, "big")
            cut_off = False
            deadline = time.monotonic() + 30
            for byte in announced + b"x" * 10_000:
                try:
                    slow.sendall(bytes([byte]))
                    while received := slow.recv(1000):
                        pass
                    cut_off = received == b""
                except BlockingIOError:
                    pass
                except OSError:
                    cut_off = True
                if cut_off or time.monotonic() > deadline:
                    break
                time.sleep(0.02)
                if byte == ord("x"):
                    assert caller.call(rows(3)).tensors["y"] == 6
            assert cut_off
        assert thread.part.pool.ledger.balance() == 0


def test_arrays_that_were_received_may_outlive_the_socket(tmp_path):
    with pool(tmp_path), client(tmp_path) as caller:
        large = np.arange(100_000.0).reshape(-1, 1)
        kept = caller.call({"x": large}).tensors["y"]
    np.testing.assert_array_equal(kept, 2 * large)
    assert wire.decode(wire.encode(wire.Header(wire.Kind.REPLY), {"kept": kept}))
