"""A worker: serves a function to a pool, and holds nothing that matters.

``serve`` is all that most need::

    serve(infer, run_dir=Path("runs/first"))

with ``infer`` from named tensors to named tensors, a row for every row. A pool that batches hands
the rows of several requests over at once; where their widths differ, the narrower are padded.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import zmq

from transport import metrics, sockets, wire
from transport.connection import Connection, Published
from transport.keys import ClientKeys
from transport.sockets import Bounds
from transport.survey import most_to_do
from transport.wire import Array, Buffer, Header, Kind, Message, Tensors, WireError, answer_header

ANSWERING = metrics.histogram("answer_seconds", "A worker's time for a lease, inference and all.")
VERSION = metrics.gauge("weights_version", "Version of the weights that a worker answers with.")

Infer = Callable[[dict[str, Array]], Mapping[str, Array]]


class Subscriber(Protocol):
    """Where a worker gets its weights (``transport.weights.Subscriber`` is one)."""

    version: int

    def poll(self) -> tuple[int, dict[str, Array]] | None:
        """A version newer than the last one that was given, if there is one."""
        ...


@dataclass(frozen=True)
class WorkerConfig:
    """How a worker meets its pool.

    Attributes:
        run_dir: where the pool's endpoint is published.
        name: the pool's name.
        number: the worker's number, in every answer.
        fill: what narrower tensors are padded with, by name (0 where a name is missing).
        limits: caps on messages.
        bounds: caps on queues, and how long the broker may be silent.
    """

    run_dir: Path
    name: str = "pool"
    number: int = 0
    fill: Mapping[str, float] = field(default_factory=dict)
    limits: wire.Limits = field(default_factory=wire.Limits)
    bounds: Bounds = field(default_factory=Bounds)


class Worker:
    """Answers leases, one at a time.

    While ``infer`` works nobody reads this worker's sockets, but libzmq's own threads go on
    answering heartbeats, so the broker sees that the process lives; an inference that hangs runs
    into the end of its lease.

    Args:
        infer: the function.
        config: how to meet the pool.
        description: named tensors that tell clients what is served (spaces, a phrasebook); all
            workers of a pool must give the same.
        weights: where new weights come from, if they do.
        load: takes a version and its tensors; called between inferences.
        keys: this worker's keys, if the pool has any.
    """

    def __init__(
        self,
        infer: Infer,
        config: WorkerConfig,
        *,
        description: Tensors | None = None,
        weights: Subscriber | None = None,
        load: Callable[[int, dict[str, Array]], None] | None = None,
        keys: ClientKeys | None = None,
    ) -> None:
        self._infer, self._config, self._keys = infer, config, keys
        self._weights, self._load = weights, load
        self._ready = wire.encode(Header(Kind.READY, worker=config.number), description)
        self._context = sockets.new_context()
        self._socket: sockets.Socket | None = None
        self.version = 0
        self.leases = 0
        self._seconds = metrics.Histogram()
        metrics.watch(self)

    def run(self, stop: Callable[[], bool]) -> None:
        """Serves until ``stop()``, which is asked several times a second, says so.

        Raises:
            ValueError: if the pool cannot be found, serves something else, or does not let this
                worker in (``RefusedError``).
        """
        while not stop():
            # A new socket has a new identity: what the last one was asked is none of its business.
            config = self._config
            name = b"w%d-%d-" % (config.number, os.getpid()) + secrets.token_hex(4).encode()
            socket = sockets.new_socket(
                self._context, zmq.DEALER, bounds=config.bounds, identity=name
            )
            try:
                pool = Published(config.run_dir, f"{config.name}-workers")
                connection = Connection(socket, pool, self._keys, most_to_do)
                with contextlib.closing(connection):
                    self._introduce(socket, connection, stop)
                    self._serve(socket, connection, stop)
            finally:
                self._send(socket, wire.encode(Header(Kind.BYE)))
                socket.close(linger=100)

    def _serve(
        self, socket: sockets.Socket, connection: Connection, stop: Callable[[], bool]
    ) -> None:
        """Serves until it is to stop, or the broker cannot be heard or told, or is elsewhere."""
        bounds = self._config.bounds
        heard = beat = time.monotonic()
        while not stop() and time.monotonic() - heard < 2 * bounds.silence:
            self._update()
            socket.poll(round(1000 * connection.rest(bounds.heartbeat)))
            if (frames := sockets.receive(socket)) is not None:
                if not self._handle(socket, frames):
                    return
                heard = time.monotonic()
            if connection.check():
                return
            if time.monotonic() - beat >= bounds.heartbeat:
                beat = time.monotonic()
                self._send(socket, wire.encode(Header(Kind.HEARTBEAT)))

    def measured(self) -> Iterator[metrics.Figures]:
        """Its figures."""
        yield ANSWERING.is_(self._seconds)
        yield VERSION.is_(self.version)

    def close(self) -> None:
        """Closes the context."""
        self._context.term()

    def _introduce(
        self, socket: sockets.Socket, connection: Connection, stop: Callable[[], bool]
    ) -> None:
        """Says what is served, once the connection is there.

        It is waited for as long as the broker may be silent (IMMEDIATE: none, no room to send).
        """
        deadline = time.monotonic() + self._config.bounds.silence
        while not stop() and time.monotonic() < deadline:
            if socket.poll(100, zmq.POLLOUT):
                self._send(socket, self._ready)
                return
            connection.check()

    def _send(self, socket: sockets.Socket, frames: list[Buffer]) -> bool:
        """Sends, if there is a broker; else it will hear from the next socket."""
        try:
            sockets.send(socket, frames, flags=sockets.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _handle(self, socket: sockets.Socket, frames: list[Buffer]) -> bool:
        """Does what the broker says; False if it cannot be told the answer."""
        try:
            message = wire.decode(frames, self._config.limits)
            requests = [wire.decode(nested, self._config.limits) for nested in message.nested]
        except WireError:  # Damaged on the way: leaving and coming back returns the lease.
            traceback.print_exc()
            self._send(socket, wire.encode(Header(Kind.BYE)))
            return self._send(socket, self._ready)
        header = message.header
        if header.kind is Kind.LEASE:
            self._update()
            began = time.perf_counter()
            answers = self._answer(requests, header.epoch)
            result = wire.encode_nested(Header(Kind.RESULT, epoch=header.epoch), answers)
            self.leases += 1
            self._seconds.observe(time.perf_counter() - began)
            return self._send(socket, result)
        if header.kind is Kind.RESET:
            return self._send(socket, self._ready)
        if header.kind is Kind.ERROR:
            raise ValueError(f"pool {self._config.name}: {header.note}")
        return True

    def _update(self) -> None:
        """Takes newer weights, if there are any."""
        if self._weights is None:
            return
        newer = self._weights.poll()
        if newer is not None:
            self.version = newer[0]
            if self._load is not None:
                self._load(*newer)

    def _answer(self, requests: list[Message], epoch: int) -> list[list[Buffer]]:
        """The answer to each request, in order."""
        tags = (epoch, self.version, self._config.number)
        inputs = [request.tensors for request in requests]
        try:
            outputs = run_rows(self._infer, inputs, self._config.fill)
            answers = [
                wire.encode(answer_header(request.header, Kind.REPLY, "", *tags), tensors)
                for request, tensors in zip(requests, outputs, strict=True)
            ]
            for answer in answers:
                wire.check_size(answer, self._config.limits)
            return answers
        except Exception as error:  # The function's fault is the client's to know, not our end.
            if len(requests) > 1:  # One of them was odd, and the others are not to blame.
                return [self._answer([request], epoch)[0] for request in requests]
            traceback.print_exc()
            note = f"{type(error).__name__}: {error}"
            return [wire.encode(answer_header(requests[0].header, Kind.ERROR, note, *tags))]


def serve(
    infer: Infer,
    run_dir: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
    description: Tensors | None = None,
    weights: Subscriber | None = None,
    load: Callable[[int, dict[str, Array]], None] | None = None,
    keys: ClientKeys | None = None,
    **config: object,
) -> None:
    """Serves a function to the pool of a run until ``stop()``; see ``Worker``.

    Args:
        infer: from named tensors to named tensors, row by row.
        run_dir: the run.
        stop: asked several times a second.
        description: what is served, for clients.
        weights: where new weights come from.
        load: takes them.
        keys: this worker's keys.
        config: further fields of ``WorkerConfig``.
    """
    worker = Worker(
        infer,
        WorkerConfig(run_dir, **config),  # type: ignore[arg-type]
        description=description,
        weights=weights,
        load=load,
        keys=keys,
    )
    try:
        worker.run(stop)
    finally:
        worker.close()


def run_rows(
    infer: Infer, inputs: list[dict[str, Array]], fill: Mapping[str, float]
) -> list[Mapping[str, Array]]:
    """Runs a function once over the rows of several requests, and deals the rows out again.

    Args:
        infer: the function.
        inputs: the tensors of each request; all have the same names. Tensors without a dimension
            must be equal in all of them.
        fill: what narrower tensors are padded with, by name.

    Raises:
        ValueError: if the names differ, or the function does not return a row for every row.
    """
    if len(inputs) == 1:
        return [infer(inputs[0])]
    first = inputs[0]
    if any(tensors.keys() != first.keys() for tensors in inputs):
        raise ValueError(f"requests in one batch have other tensors than {', '.join(first)}")
    counts = [_rows(tensors) for tensors in inputs]
    joined = {
        name: join([tensors[name] for tensors in inputs], fill.get(name, 0)) for name in first
    }
    outputs = infer(joined)
    for name, tensor in outputs.items():
        if tensor.ndim == 0 or len(tensor) != sum(counts):
            raise ValueError(
                f"output {name!r} has shape {tensor.shape}, expected {sum(counts)} rows"
            )
    ends = np.cumsum(counts)
    return [
        {name: tensor[end - count : end] for name, tensor in outputs.items()}
        for count, end in zip(counts, ends, strict=True)
    ]


def _rows(tensors: Mapping[str, Array]) -> int:
    rows = {len(tensor) for tensor in tensors.values() if tensor.ndim}
    if len(rows) != 1:
        raise ValueError(f"the tensors of a request must have one number of rows, got {rows}")
    return rows.pop()


def join(parts: list[Array], fill: float) -> Array:
    """Tensors below one another, padded with ``fill`` where they are narrower than the widest.

    Raises:
        ValueError: if their types or numbers of dimensions differ.
    """
    first = parts[0]
    if any(part.dtype != first.dtype or part.ndim != first.ndim for part in parts):
        raise ValueError("tensors of one name have other types or dimensions in one batch")
    if first.ndim == 0:
        if any(part != first for part in parts):
            raise ValueError("tensors without dimensions differ in one batch")
        return first
    if all(part.shape[1:] == first.shape[1:] for part in parts):
        return np.concatenate(parts)
    widest = np.max([part.shape[1:] for part in parts], axis=0)
    joined = np.full((sum(map(len, parts)), *widest), fill, first.dtype)
    row = 0
    for part in parts:
        joined[(slice(row, row + len(part)), *map(slice, part.shape[1:]))] = part
        row += len(part)
    return joined
