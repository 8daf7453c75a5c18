"""CURVE keys: made, and kept in files that only their owner reads.

A folder of keys belongs to a server. It holds ``server.json`` and, for everyone who may come in,
``clients/NAME.json`` and ``clients/NAME.public``. NAME.json is all that a client needs (its own
pair and the server's public key): hand it over. NAME.public is what lets the client in: it stays
with the server, and deleting it shuts the client out at once (see ``transport.door``).

A key is for one *role* or for several, which say what its owner may do: a client asks a pool, a
worker answers for it, an actor hands over sequences as well as it asks, and a host may do all that
the run's own processes do.
Whoever comes in by any key may follow the weights.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq

ROLES = ("client", "actor", "worker", "host")
"""What a key may be for."""
HOST = "host"
"""The role that comes in everywhere."""

_MODE = 0o600
_OWN = "local"  # The client whose keys a run's own processes use.


@dataclass(frozen=True)
class ServerKeys:
    """What a listening socket needs: its own pair, and the public keys of its clients.

    Attributes:
        public: key that clients know.
        secret: key that they do not.
        clients: public keys of those who may come in, and what each is for.
        folder: where ``clients`` were read, and are read again when they change.
    """

    public: bytes
    secret: bytes = field(repr=False)
    clients: Mapping[bytes, str] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class ClientKeys:
    """What a connecting socket needs: its own pair, and the public key of its server.

    Attributes:
        public: key that the server knows.
        secret: key that it does not.
        server: the server's public key.
        role: what the key is for; the server goes by its own list.
    """

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes
    role: str = "client"


def make_keys(folder: Path, clients: list[str], role: str = "client") -> list[Path]:
    """Makes the keys of a server, if it has none, and of new clients.

    Args:
        folder: the server's folder of keys; made if it is missing.
        clients: names of the clients.
        role: what their keys are for: of ``ROLES``, one or several with spaces between them.

    Returns:
        The files that were written.

    Raises:
        ValueError: if a name is no file name, a client of that name has keys already, or there is
            no such role.
    """
    if not role.split() or not set(role.split()) <= set(ROLES):
        raise ValueError(f"keys are for {', '.join(ROLES)}, not for {role!r}")
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
        _write(file, {**pair, "server": server_public.decode(), "role": role})
        # Renamed into place: a server that looks meanwhile sees the whole of it or nothing.
        temporary = folder / "clients" / f".{name}.public"
        temporary.write_bytes(public + b"\n" + role.encode() + b"\n")
        temporary.rename(folder / "clients" / f"{name}.public")
        written.append(file)
    return written


def own_keys(folder: Path) -> Path:
    """The keys of a run's own processes, which come in everywhere; made where they are missing.

    Args:
        folder: of the server's keys.

    Raises:
        ValueError: if the server has none.
    """
    return role_keys(folder, _OWN, HOST)


def role_keys(folder: Path, name: str, role: str) -> Path:
    """The keys of a client for a role; made where they are missing, or are for another one.

    Args:
        folder: of the server's keys.
        name: of the client.
        role: what its keys are for.

    Raises:
        ValueError: if the server has none.
    """
    load_server_keys(folder)
    file = folder / "clients" / f"{name}.json"
    if file.exists() and load_client_keys(file).role != role:
        file.unlink()
        file.with_suffix(".public").unlink(missing_ok=True)
    if not file.exists():
        make_keys(folder, [name], role)
    return file


def load_server_keys(folder: Path) -> ServerKeys:
    """Reads a server's pair, and the public keys of the clients that it lets in.

    Raises:
        ValueError: if the folder holds no such keys, or others can read them.
    """
    pair = _read(folder / "server.json", ("public", "secret"))
    return ServerKeys(pair["public"], pair["secret"], read_clients(folder), folder)


def read_clients(folder: Path) -> dict[bytes, str]:
    """The public keys of those who may come in, and what each is for.

    A file without a role is a client's.

    Raises:
        OSError: if they cannot be read.
    """
    clients = {}
    for name in _public(folder):
        with contextlib.suppress(FileNotFoundError):  # Deleted since it was listed.
            key, _, role = (folder / "clients" / name).read_bytes().strip().partition(b"\n")
            clients[key.strip()] = role.strip().decode(errors="replace") or "client"
    return clients


def stamp_of_clients(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes when the keys of clients do, and is quicker to have than they are.

    Raises:
        OSError: if they cannot be looked at.
    """
    stamp = []
    for name in _public(folder):
        with contextlib.suppress(FileNotFoundError):
            status = (folder / "clients" / name).stat()
            stamp.append((name, status.st_mtime_ns, status.st_size))
    return tuple(stamp)


def _public(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder / "clients")
    except FileNotFoundError:  # Nobody may come in.
        return []
    return sorted(name for name in names if name.endswith(".public") and name[0] != ".")


def load_client_keys(file: Path) -> ClientKeys:
    """Reads a client's file.

    Raises:
        ValueError: if it is no such file, or others can read it.
    """
    keys = _read(file, ("public", "secret", "server"))
    role = json.loads(file.read_text()).get("role", "client")
    return ClientKeys(keys["public"], keys["secret"], keys["server"], str(role))


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
