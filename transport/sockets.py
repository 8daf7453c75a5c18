"""ZeroMQ sockets that are bounded, local unless they have keys, and easy to find.

- Queues and messages are bounded, closing never waits (LINGER 0), a dead connection is noticed by
  ZMTP heartbeats, which libzmq's own threads send even while Python computes.
- An address is ``ipc`` (a socket file in a private folder), ``tcp`` (a free port on the loopback
  interface) or a ZeroMQ endpoint, ``tcp://0.0.0.0:5555`` say. Any address that other machines can
  reach needs keys.
- What a listener is bound to is published in the run directory (``transport.endpoints``).
- Nothing waits in a receive: a poll may say that there is a message where there is none (the first
  heartbeat of an idle connection with keys does that), so ``receive`` returns None instead.
- A socket belongs to one thread at a time, and a context to its process (never across a fork).
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from transport.endpoints import FileEndpoints
from transport.exporter import remove_targets
from transport.keys import ClientKeys, ServerKeys
from transport.wire import SIZE, Buffer

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

_BACKLOG = 4096  # Newcomers that may come at one moment; the library's own number is 100.
_ROLE = 24  # Letters that the name of a role may have in the path of a socket file.

# As numbers: the library's own are enumerations, which take longer to combine than to send with.
_MORE = int(zmq.SNDMORE)
NOBLOCK = int(zmq.NOBLOCK)
"""Flag of a ``send`` that does not wait."""


COPIED = 64 * 1024
"""Bytes up to which it is cheaper to copy a frame than to keep track of it."""


@dataclass(frozen=True)
class Bounds:
    """What a socket may hold, and how long it may be silent.

    Attributes:
        messages: messages queued in each direction, per peer.
        frame: bytes of a frame; whoever sends a longer one is cut off.
        heartbeat: seconds between what broker and workers tell each other to show that they live.
        ping: seconds between the pings of a connection, which the library's own threads exchange.
            With thousands of connections they cost more than all else where they come often.
        silence: seconds of silence after a ping, after which a connection counts as dead (one whose
            process ended is known at once; this is for those that hang, and long enough for a busy
            machine).
        handshake: seconds that a newcomer has to introduce itself; thousands that come at one
            moment need some.
    """

    messages: int = 256
    frame: int = SIZE
    heartbeat: float = 0.25
    ping: float = 2.0
    silence: float = 10.0
    handshake: float = 30.0

    def __post_init__(self) -> None:
        if self.messages < 1 or self.frame < 1:
            raise ValueError(
                f"bounds need at least 1 message and 1 byte, got {self.messages}, {self.frame}"
            )
        for name in ("heartbeat", "ping"):
            if not 0 < getattr(self, name) < self.silence:
                raise ValueError(
                    f"{name} ({getattr(self, name)} s) must be positive and less than silence "
                    f"({self.silence} s)"
                )


BOUNDS = Bounds()


class _Context(zmq.Context[Socket]):
    def __del__(self) -> None:
        """Nothing; the library's own may wait for ever (see ``new_context``)."""


def new_context() -> Context:
    """A context that is closed by whoever made it, and never by the garbage collector.

    The library's own is closed there and waits until all its sockets are. Where they are garbage in
    one cycle with it, as after an error whose traceback holds both, the collector comes to the
    context first and waits for ever. One that is forgotten stays until its process ends.
    """
    return _Context()


def new_socket(
    context: Context, kind: int, *, bounds: Bounds = BOUNDS, identity: bytes | None = None
) -> Socket:
    """A socket with its bounds set, neither bound nor connected yet."""
    socket = context.socket(kind)
    socket.linger = 0
    socket.rcvtimeo = 0  # No receive waits, whoever calls it and however.
    socket.set_hwm(bounds.messages)
    socket.maxmsgsize = bounds.frame
    socket.heartbeat_ivl = round(bounds.ping * 1000)
    socket.heartbeat_timeout = round(bounds.silence * 1000)
    socket.handshake_ivl = round(bounds.handshake * 1000)
    socket.reconnect_ivl, socket.reconnect_ivl_max = 20, 200
    socket.backlog = _BACKLOG
    if kind == zmq.ROUTER:
        # Sending to someone who has gone is an error, not a silence; who comes back is itself.
        socket.router_mandatory = True
        socket.router_handover = True
    if kind == zmq.DEALER:
        # Queue for connections that exist, rather than for a server that may never come.
        socket.immediate = True
    if identity is not None:
        socket.routing_id = identity
    return socket


def bind(
    socket: Socket,
    address: str,
    *,
    run_dir: Path,
    role: str,
    keys: ServerKeys | None = None,
) -> str:
    """Binds a socket and publishes where, under its role, in the run directory.

    Args:
        socket: what to bind.
        address: ``ipc``, ``tcp`` or an endpoint (port ``*`` or 0: any that is free), with ``@HOST``
            behind it if other machines know this one by that name.
        run_dir: the run directory.
        role: name to be found by, such as ``pool``. If the role was published before, by a process
            that died, its port is taken again where it is free, so that peers find it by
            themselves.
        keys: the server's keys; needed unless the address is local.

    Returns:
        The endpoint that others connect to.

    Raises:
        ValueError: if the address cannot be bound, or needs keys.
    """
    if address == "ipc":
        address = f"ipc://{ipc_folder(run_dir) / role}"
    elif address == "tcp":
        address = "tcp://127.0.0.1:*"
    address, _, host = address.partition("@")
    if address.endswith(":0"):
        address = address[:-1] + "*"
    check_address(address, keys)
    if keys is not None:
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret
        socket.zap_domain = role.encode()  # By which the doorkeeper knows whom to let in here.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    for attempt in (*_former(run_dir, role, address), address):
        try:
            socket.bind(attempt)
        except zmq.ZMQError as error:
            if attempt == address:
                raise ValueError(f"cannot bind {role} to {address}: {error}") from None
        else:
            break
    endpoint = bytes(socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")
    # Where nothing else is said, others know by which name they found the run.
    advertised = f"tcp://{host}:{endpoint.rpartition(':')[2]}" if host else endpoint
    endpoint = _reachable(endpoint)
    FileEndpoints(run_dir).publish(role, endpoint, advertised)
    return endpoint


def connect(socket: Socket, endpoint: str, keys: ClientKeys | None = None) -> None:
    """Connects a socket.

    Raises:
        ValueError: if it is not an endpoint, or needs keys.
    """
    check_address(endpoint, keys)
    if keys is not None:
        socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret
        socket.curve_serverkey = keys.server
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise ValueError(f"cannot connect to {endpoint!r}: {error}") from None


def is_local(address: str) -> bool:
    """Whether only processes of this machine can reach an address."""
    scheme, _, rest = address.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def ipc_folder(run_dir: Path) -> Path:
    """The private folder of a run's socket files, made if it is missing.

    It lies in the system's folder for temporary files, because the path of a socket has room for
    about a hundred letters, and a run directory may lie deep.
    """
    folder = _ipc_path(run_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise ValueError(f"{folder} belongs to someone else, or others may enter: remove it")
    return folder


def withdraw(run_dir: Path) -> None:
    """Removes what a run has published and its socket files, those of killed processes included.

    Only for who has claimed the folder, or belongs to a run that is about to end.
    """
    FileEndpoints(run_dir).clear()
    remove_targets(run_dir)
    shutil.rmtree(_ipc_path(run_dir), ignore_errors=True)


def remove_ipc_file(run_dir: Path, endpoint: str) -> None:
    """Removes the socket file of an endpoint, if it has one, and the run's folder if it is empty.

    ZeroMQ leaves them.
    """
    if endpoint.startswith("ipc://"):
        with contextlib.suppress(OSError):
            Path(endpoint.removeprefix("ipc://")).unlink()
            _ipc_path(run_dir).rmdir()


def _ipc_path(run_dir: Path) -> Path:
    digest = hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"troupe-{os.getuid()}-{digest}"
    if len(os.fsencode(folder)) + _ROLE <= zmq.IPC_PATH_MAX_LEN:
        return folder
    return Path("/tmp") / folder.name  # Batch systems like their own to lie deep.


def _former(run_dir: Path, role: str, address: str) -> list[str]:
    """Where the role was bound before, if the address leaves the port open."""
    former = FileEndpoints(run_dir).former(role)
    if former is None or not address.endswith(":*"):
        return []
    return [address[:-1] + former.rpartition(":")[2]]


def _reachable(endpoint: str) -> str:
    """An endpoint that peers can connect to: a wildcard stands for this machine."""
    return endpoint.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def check_address(address: str, keys: Any) -> None:
    """Makes sure that an address is one, and has keys if other machines can reach it.

    Raises:
        ValueError: if it is none, or has none.
    """
    if address in ("ipc", "tcp"):
        return
    address = address.partition("@")[0]
    scheme, separator, rest = address.partition("://")
    port = rest.rpartition(":")[2]
    # libzmq takes a port that is too large, and binds another.
    port_is_wrong = scheme == "tcp" and port != "*" and not (port.isdigit() and int(port) < 65536)
    if not separator or port_is_wrong:
        raise ValueError(f"{address!r} is not an address: use ipc, tcp, or tcp://HOST:PORT")
    if keys is None and not is_local(address):
        raise ValueError(
            f"{address} can be reached from other machines and needs keys: make them with "
            "`troupe keys` and pass them, or use a loopback address"
        )


def send(socket: Socket, frames: Sequence[Buffer], to: bytes | None = None, flags: int = 0) -> None:
    """Sends a message; short frames are copied, long ones lent until they have left.

    Raises:
        zmq.Again: if the peer's queue is full (with ``flags=NOBLOCK``).
        zmq.ZMQError: EHOSTUNREACH if ``to`` has gone.
    """
    more = flags | _MORE
    if to is not None:
        socket.send(to, more)
    *others, last = frames
    for frame in others:
        socket.send(frame, more, len(frame) <= COPIED)
    socket.send(last, flags, len(last) <= COPIED)


def receive(socket: Socket) -> list[Buffer] | None:
    """Receives a message if there is one, without waiting; only its first frame is copied.

    It is the only way to receive: what a poll has said is no promise.
    """
    try:
        frame = socket.recv(copy=False)
    except zmq.Again:
        return None
    frames: list[Buffer] = [frame.bytes]
    while frame.more:
        frame = socket.recv(copy=False)
        frames.append(frame.buffer)
    return frames


def receive_from(socket: Socket) -> tuple[bytes, list[Buffer]] | None:
    """Receives by a ROUTER, if there is a message: who sent it, and its frames."""
    try:
        sender = socket.recv()
    except zmq.Again:
        return None
    return sender, receive(socket) or []
