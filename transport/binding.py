"""Where the parts of a run listen, and by which keys they let in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transport.keys import ClientKeys, ServerKeys, load_client_keys, load_server_keys, own_keys
from transport.registry import ROLE as REGISTRY
from transport.sockets import check_address, is_local


@dataclass(frozen=True)
class Binding:
    """Addresses of the parts of a run that listen, and its keys.

    Attributes:
        addresses: by role, of those that have one of their own.
        others: of the others; ``ipc`` for a run that stays on its machine.
        folder: of the server's keys; None where there are none.
        file: of keys, for a part that only connects, and has no folder of them.
    """

    addresses: Mapping[str, str] = field(default_factory=dict)
    others: str = "ipc"
    folder: Path | None = None
    file: Path | None = None

    @property
    def is_open(self) -> bool:
        """Whether anybody may join, so that there is a registry."""
        return REGISTRY in self.addresses

    def address(self, role: str) -> str:
        """Where a role listens."""
        return self.addresses.get(role, self.others)

    @property
    def server(self) -> str | None:
        """The folder of the server's keys, as an argument of a process."""
        return None if self.folder is None else str(self.folder)

    @property
    def own(self) -> str | None:
        """The file of keys by which the run's own processes come in; made where it is missing."""
        if self.file is not None:
            return str(self.file)
        return None if self.folder is None else str(own_keys(self.folder))


def parse_binding(
    bind: Sequence[str], roles: Sequence[str], *, host: str | None, keys: Path | None
) -> Binding:
    """Reads where the parts of a run are to listen.

    Args:
        bind: each ``ADDRESS`` or ``ROLE=ADDRESS``. An address without a role is the registry's, and
            all others listen on the same interface, at any free port.
        roles: that there are, beside the registry.
        host: by which other machines know this one; None where they find it by themselves.
        keys: folder of the server's keys.

    Raises:
        ValueError: if an address is none, needs keys, or is for a role that there is not.
    """
    addresses: dict[str, str] = {}
    others = "ipc"
    known = (REGISTRY, *roles)
    for text in bind:
        role, separator, address = text.rpartition("=")
        if separator and role not in known:
            raise ValueError(f"no part is called {role!r}: there are {', '.join(known)}")
        if not separator and address.startswith("tcp://"):
            others = f"{address.rpartition(':')[0]}:*"
        elif not separator:
            others = address
        addresses[role or REGISTRY] = address
    for address in (*addresses.values(), others):
        check_address(address, keys)
    if host is not None:
        addresses = {role: _known_as(address, host) for role, address in addresses.items()}
        others = _known_as(others, host)
    if keys is not None:
        load_server_keys(keys)
    return Binding(addresses, others, keys)


def _known_as(address: str, host: str) -> str:
    """An address that tells others another host, if they can reach it at all."""
    return address if address in ("ipc", "tcp") or is_local(address) else f"{address}@{host}"


def server_keys(folder: str | None) -> ServerKeys | None:
    """The keys of a folder, as a process of a run is told of them."""
    return None if folder is None else load_server_keys(Path(folder))


def client_keys(file: str | None) -> ClientKeys | None:
    """The keys in a file, as a process of a run is told of it."""
    return None if file is None else load_client_keys(Path(file))
