"""Wire: round trips and bandwidth of checked messages, beside bare pyzmq.

Ours is everything that a message goes through: encoding with its CRC, checked decoding, and an
answer that is encoded and decoded again. Bare pyzmq sends the same bytes in one frame, unchecked,
without names, types or shapes, and without copies where it can. Both cross the same kind of socket
between two processes, in turns, and the medians of their turns count.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from scripts.bench import Row
from transport import sockets, wire
from transport.door import Doorkeeper
from transport.endpoints import find_endpoint
from transport.keys import load_client_keys, load_server_keys, make_keys
from transport.launch import Role, Supervisor
from transport.wire import Header, Kind

PAYLOADS = {"1 KB": 1_000, "100 KB": 100_000, "2 MB": 2_000_000}
TRANSPORTS = {"ipc": "ipc", "tcp": "tcp", "tcp + CURVE": "tcp"}
TURNS = 7  # how often the two sides take turns for one figure
WINDOW = 16  # messages in flight while bandwidth is measured
TIMEOUT = 60.0  # seconds that an answer may take

Connection = dict[str, sockets.Socket]


def run(seconds: float) -> Iterator[Row]:
    """Measures ours and bare pyzmq in turn.

    Yields:
        rows of round trips and bandwidth, for every transport and payload.
    """
    share = seconds / (len(TRANSPORTS) * len(PAYLOADS) * 2 * 2 * TURNS)
    with tempfile.TemporaryDirectory() as folder, sockets.new_context() as context:
        for number, (transport, address) in enumerate(TRANSPORTS.items()):
            run_dir = Path(folder) / str(number)
            if "CURVE" in transport:
                make_keys(run_dir / "keys", ["bench"])
            roles = [
                Role(side, "scripts.bench.wire:serve", {"side": side, "address": address})
                for side in SIDES
            ]
            with Supervisor(run_dir, roles):
                connections = {side: _connect(context, run_dir, side) for side in SIDES}
                try:
                    for payload, size in PAYLOADS.items():
                        yield from _compare(f"{transport}, {payload}", size, connections, share)
                finally:
                    for connection in connections.values():
                        for socket in connection.values():
                            socket.close()


def _compare(
    what: str, size: int, connections: dict[str, Connection], seconds: float
) -> Iterator[Row]:
    array = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    trips: dict[str, list[float]] = {side: [] for side in SIDES}
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for turn in range(TURNS):
        # Each goes first as often as the other.
        for side in sorted(SIDES, reverse=bool(turn % 2)):
            trips[side].append(_round_trip(side, connections[side]["echo"], array, seconds))
        for side in sorted(SIDES, reverse=bool(turn % 2)):
            rates[side].append(size * _rate(side, connections[side]["sink"], array, seconds))
    trip = {side: statistics.median(trips[side]) * 1e6 for side in SIDES}
    rate = {side: statistics.median(rates[side]) / 1e6 for side in SIDES}
    yield Row(f"round trip p50, {what}", trip["ours"], "us")
    yield Row(
        f"round trip p50, {what}", trip["bare"], "us", "bare pyzmq", trip["bare"] / trip["ours"]
    )
    yield Row(f"bandwidth, {what}", rate["ours"], "MB/s")
    yield Row(f"bandwidth, {what}", rate["bare"], "MB/s", "bare pyzmq", rate["ours"] / rate["bare"])


def _send_ours(socket: sockets.Socket, array: np.ndarray[Any, Any]) -> None:
    sockets.send(socket, wire.encode(Header(Kind.REQUEST, request=1), {"x": array}))


def _receive_ours(socket: sockets.Socket) -> np.ndarray[Any, Any] | None:
    frames = sockets.receive(socket)
    return None if frames is None else wire.decode(frames).tensors["x"]


def _send_bare(socket: sockets.Socket, array: np.ndarray[Any, Any]) -> None:
    socket.send(array.data, 0, array.nbytes <= sockets.COPIED)


def _receive_bare(socket: sockets.Socket) -> np.ndarray[Any, Any] | None:
    try:
        return np.frombuffer(socket.recv(copy=False).buffer, np.uint8)
    except zmq.Again:
        return None


SIDES = {"ours": (_send_ours, _receive_ours), "bare": (_send_bare, _receive_bare)}


def _round_trip(
    side: str, socket: sockets.Socket, array: np.ndarray[Any, Any], seconds: float
) -> float:
    """Median seconds from sending an array to having it back.

    Raises:
        TimeoutError: if it does not come back.
    """
    send, receive = SIDES[side]
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or len(times) < 10:
        send(socket, array)
        if receive(socket) is None:
            raise TimeoutError(f"the process of {side} sent nothing back in {TIMEOUT:g} s")
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _rate(side: str, socket: sockets.Socket, array: np.ndarray[Any, Any], seconds: float) -> float:
    """Messages a second, one way; the other side says by an empty frame that it has one.

    Raises:
        TimeoutError: if it does not say so.
    """
    send, _ = SIDES[side]
    sent = got = 0

    def acknowledge() -> None:
        if sockets.receive(socket) is None:
            raise TimeoutError(f"the process of {side} acknowledged nothing in {TIMEOUT:g} s")

    began = time.perf_counter()
    while (now := time.perf_counter()) - began < seconds or sent < 2 * WINDOW:
        send(socket, array)
        sent += 1
        if sent - got >= WINDOW:
            acknowledge()
            got += 1
    elapsed = now - began
    rate = got / elapsed
    while got < sent:
        acknowledge()
        got += 1
    return rate


def _connect(context: Any, run_dir: Path, side: str) -> Connection:
    connection = {}
    keys = None
    if (run_dir / "keys").exists():
        keys = load_client_keys(run_dir / "keys" / "clients" / "bench.json")
    for mode in ("echo", "sink"):
        socket = sockets.new_socket(context, zmq.DEALER)
        # It has nothing else to wait for, and bare pyzmq would wait in the call, too.
        socket.rcvtimeo = round(TIMEOUT * 1000)
        sockets.connect(socket, find_endpoint(run_dir, f"{side}-{mode}"), keys)
        if not socket.poll(round(TIMEOUT * 1000), zmq.POLLOUT):
            raise TimeoutError(f"no connection to the process of {side}")
        connection[mode] = socket
    return connection


def serve(run_dir: Path, number: int, stop: Callable[[], bool], *, side: str, address: str) -> None:
    """The other process: sends back what comes to one socket, acknowledges what comes to another.

    Args:
        run_dir: where its endpoints are published.
        number: ignored.
        stop: when to return.
        side: ``ours`` or ``bare``.
        address: where to listen.
    """
    send, receive = SIDES[side]
    keyed = (run_dir / "keys").exists()
    keys = load_server_keys(run_dir / "keys") if keyed else None
    context = sockets.new_context()
    door = Doorkeeper(context, keys) if keys is not None else None
    poller = zmq.Poller()
    echo, sink = (sockets.new_socket(context, zmq.DEALER) for _ in range(2))
    for mode, socket in (("echo", echo), ("sink", sink)):
        sockets.bind(socket, address, run_dir=run_dir, role=f"{side}-{mode}", keys=keys)
        poller.register(socket, zmq.POLLIN)
    while not stop():
        for ready, _ in poller.poll(100):
            # As long as there is more, without asking the poller: like a loop of blocking calls.
            while ready.poll(1) and (array := receive(ready)) is not None:
                if ready is echo:
                    send(ready, array)
                else:
                    ready.send(b"")
    echo.close()
    sink.close()
    if door is not None:
        door.close()
    context.term()
