"""CURVE keys: made, kept in files that only their owner reads, checked at the door.

A folder of keys belongs to a server. It holds ``server.json`` and ``clients/NAME.json``, one for
everyone who may come in. A client's file is all that it needs (its own pair and the server's public
key): hand it over, and delete it here to shut the client out; only ``clients/NAME.public`` has to
stay with the server.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

_MODE = 0o600


@dataclass(frozen=True)
class ServerKeys:
    """What a listening socket needs: its own pair, and the public keys of its clients."""

    public: bytes
    secret: bytes = field(repr=False)
    clients: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class ClientKeys:
    """What a connecting socket needs: its own pair, and the public key of its server."""

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes


def make_keys(folder: Path, clients: list[str]) -> list[Path]:
    """Makes the keys of a server, if it has none, and of new clients.

    Args:
        folder: the server's folder of keys; made if it is missing.
        clients: names of the clients.

    Returns:
        The files that were written.

    Raises:
        ValueError: if a name is no file name, or a client of that name has keys already.
    """
    written = []
    server = folder / "server.json"
    for name in clients:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"client name {name!r} must be of letters, digits, '-' and '_'")
        for file in (folder / "clients" / f"{name}.json", folder / "clients" / f"{name}.public"):
            if file.exists():
                raise ValueError(f"{file} exists: delete it first to give {name} new keys")
    (folder / "clients").mkdir(mode=0o700, parents=True, exist_ok=True)
    if not server.exists():
        public, secret = zmq.curve_keypair()
        _write(server, {"public": public.decode(), "secret": secret.decode()})
        written.append(server)
    server_public = load_server_keys(folder).public
    for name in clients:
        public, secret = zmq.curve_keypair()
        file = folder / "clients" / f"{name}.json"
        pair = {"public": public.decode(), "secret": secret.decode()}
        _write(file, {**pair, "server": server_public.decode()})
        (folder / "clients" / f"{name}.public").write_bytes(public + b"\n")
        written.append(file)
    return written


def load_server_keys(folder: Path) -> ServerKeys:
    """Reads a server's pair, and the public keys of the clients that it lets in.

    Raises:
        ValueError: if the folder holds no such keys, or others can read them.
    """
    pair = _read(folder / "server.json", ("public", "secret"))
    clients = frozenset(
        file.read_bytes().strip() for file in sorted((folder / "clients").glob("*.public"))
    )
    return ServerKeys(pair["public"], pair["secret"], clients)


def load_client_keys(file: Path) -> ClientKeys:
    """Reads a client's file.

    Raises:
        ValueError: if it is no such file, or others can read it.
    """
    return ClientKeys(**_read(file, ("public", "secret", "server")))


def _write(file: Path, content: dict[str, str]) -> None:
    # Created with its final mode: there is no moment in which others could read it.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream)


def _read(file: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    if not file.is_file():
        raise ValueError(f"no keys at {file}: make them with `troupe keys`")
    if file.stat().st_mode & 0o077:
        raise ValueError(f"{file} can be read by others: run `chmod 600 {file}`")
    try:
        content = json.loads(file.read_text())
        keys = {name: content[name].encode() for name in names}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{file} is not a file of keys ({', '.join(names)})") from None
    for name, key in keys.items():
        if len(key) != 40:
            raise ValueError(f"{file}: the {name} key has {len(key)} letters instead of 40")
    return keys


class Doorkeeper:
    """Lets clients with known keys in (ZAP, the authentication protocol of ZeroMQ).

    There is one to a context, for all its sockets with ``ServerKeys``, in a thread of its own, so
    that a busy owner keeps nobody waiting at the door. ``refused`` counts whom it sent away.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: ServerKeys) -> None:
        self.refused: Counter[str] = Counter()
        self._context, self._clients = context, keys.clients
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._error: zmq.ZMQError | None = None
        self._thread = threading.Thread(target=self._serve, name="doorkeeper", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise RuntimeError(f"this context has a doorkeeper already ({self._error})")

    def _serve(self) -> None:
        with self._context.socket(zmq.REP) as door:
            door.linger = 0
            try:
                door.bind("inproc://zeromq.zap.01")
            except zmq.ZMQError as error:
                self._error = error
                return
            finally:
                self._ready.set()
            while not self._stop.is_set():
                if door.poll(100):
                    self._answer(door)

    def _answer(self, door: zmq.Socket[bytes]) -> None:
        version, sequence, _, _, _, mechanism, *credentials = door.recv_multipart()
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" else b""
        if known := key in self._clients:
            status = (b"200", b"OK")
        else:
            self.refused["unknown key" if key else "no key"] += 1
            status = (b"400", b"unknown key")
        door.send_multipart((version, sequence, *status, key if known else b"", b""))

    def close(self) -> None:
        """Leaves the door shut: nobody else is let in."""
        self._stop.set()
        self._thread.join()
