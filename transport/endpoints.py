"""Where the parts of a run are: by files, by addresses that are given, or by the run's registry.

On one machine a part writes into the run's folder what it is bound to, and the others read it
there. A machine that joins has a folder of its own, into which the endpoints of the run are
mirrored, from wherever it hears of them: its processes read files as they do everywhere::

    FileEndpoints(run)  --- registry --->  RemoteEndpoints  --- mirror --->  FileEndpoints(own)
                                           StaticEndpoints  ------^

An endpoint carries the *life* of the run that published it (``transport.claim``), and nobody
believes one of another life. One that came from another machine is believed for some seconds,
counted from when it arrived: no machine is asked what time it is.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from transport.claim import life_in

_FOLDER = "endpoints"  # In a run's folder, with a file for each role.


def numbered(role: str, number: int, count: int) -> str:
    """The role of one of ``count`` parts that do the same: ROLE alone, or ROLE-0, ROLE-1, ..."""
    return role if count == 1 else f"{role}-{number}"


def alike(role: str, published: Iterable[str]) -> list[str]:
    """Those of some roles that do what a role says: itself, or ROLE-0, ROLE-1, ..."""
    return [name for name in published if re.fullmatch(rf"{re.escape(role)}(-\d+)?", name)]


class Endpoint(NamedTuple):
    """Where a part is.

    Attributes:
        address: that others connect to.
        life: of the run that published it.
        seconds: for which it may be believed, counted from when it was asked for.
    """

    address: str
    life: str
    seconds: float = math.inf


class Endpoints(Protocol):
    """Knows where the parts of a run are."""

    def published(self) -> dict[str, Endpoint]:
        """All that are there now, by role.

        Raises:
            TimeoutError: if nobody can say.
        """
        ...


class FileEndpoints:
    """Endpoints in the folder of a run, a file for each role.

    Args:
        run_dir: the folder.
        outside: whether it is read on another machine, which needs the advertised addresses.
    """

    def __init__(self, run_dir: Path, *, outside: bool = False) -> None:
        self.run_dir, self._outside = run_dir, outside

    def published(self) -> dict[str, Endpoint]:
        """Those of the run that claimed the folder last."""
        files = sorted((self.run_dir / _FOLDER).glob("[!.]*.json"))
        found = {file.stem: self.find(file.stem) for file in files}
        return {role: endpoint for role, endpoint in found.items() if endpoint is not None}

    def find(self, role: str) -> Endpoint | None:
        """Where a role is, if the run that claimed the folder last has published it."""
        content = self._read(role)
        if "endpoint" not in content or content.get("life") != life_in(self.run_dir):
            return None
        address = content["endpoint"]
        if self._outside:
            address = content.get("advertised", address)
        return Endpoint(address, content["life"])

    def address(self, role: str) -> str | None:
        """The address of a role, if it has one now; of several that do the same, the first."""
        return next(iter(self.addresses(role)), None)

    def addresses(self, role: str) -> list[str]:
        """The addresses of all that do what a role says (see ``alike``)."""
        if (alone := self.find(role)) is not None:
            return [alone.address]
        files = sorted((self.run_dir / _FOLDER).glob(f"{role}-*.json"))
        found = [self.find(name) for name in alike(role, [file.stem for file in files])]
        return [endpoint.address for endpoint in found if endpoint is not None]

    def former(self, role: str) -> str | None:
        """Where a role was published last, by whatever life."""
        return self._read(role).get("endpoint")

    def publish(self, role: str, address: str, advertised: str | None = None) -> None:
        """Publishes a role under the life of the folder.

        Args:
            role: to be found by.
            address: that processes of this machine connect to.
            advertised: that those of others do, if it is another.

        Raises:
            ValueError: if the file cannot be written.
        """
        content = {"endpoint": address, "life": life_in(self.run_dir)}
        if advertised not in (None, address):
            content["advertised"] = str(advertised)
        if self._read(role) == content:
            return  # By one who was killed: taking its place needs no room on the disk.
        file = self._file(role)
        # Renamed into place: a reader sees the whole of it or nothing.
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(content))
            temporary.rename(file)
        except OSError as error:
            raise ValueError(f"cannot publish {role} in {file}: {error.strerror}") from None

    def remove(self, role: str) -> None:
        """Publishes a role no longer."""
        with contextlib.suppress(OSError):
            self._file(role).unlink()

    def clear(self) -> None:
        """Removes all, those of killed processes included."""
        shutil.rmtree(self.run_dir / _FOLDER, ignore_errors=True)

    def _file(self, role: str) -> Path:
        return self.run_dir / _FOLDER / f"{role}.json"

    def _read(self, role: str) -> dict[str, str]:
        """What was published of a role last; empty if nothing was, or it cannot be read."""
        try:
            return dict(json.loads(self._file(role).read_text()))
        except (OSError, ValueError, TypeError):
            return {}


class StaticEndpoints:
    """Endpoints that somebody has written down.

    Args:
        addresses: by role.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._endpoints = {role: Endpoint(address, "") for role, address in addresses.items()}

    def published(self) -> dict[str, Endpoint]:
        """All of them, always."""
        return dict(self._endpoints)


class Mirror:
    """Keeps the endpoints of a folder as they are elsewhere.

    Args:
        source: where they are known.
        target: the folder.

    Attributes:
        heard: when the source has last said where anything is (of the monotonic clock).
    """

    def __init__(self, source: Endpoints, target: FileEndpoints) -> None:
        self._source, self._target = source, target
        self._until: dict[str, float] = {}
        self.heard = time.monotonic()

    def update(self) -> None:
        """Looks once; what the source has no more, or has not confirmed in time, is removed."""
        now = time.monotonic()
        try:
            published = self._source.published()
        except TimeoutError:
            gone = {role for role, until in self._until.items() if until < now}
        else:
            self.heard = now = time.monotonic()
            gone = set(self._until) - set(published)
            for role, endpoint in published.items():
                self._target.publish(role, endpoint.address)
                self._until[role] = now + endpoint.seconds
        for role in gone:
            del self._until[role]
            self._target.remove(role)


def find_endpoints(run_dir: Path, role: str, timeout: float = 30.0) -> list[str]:
    """The endpoints that a role of a run is bound to, by one part or several; waits for the first.

    Raises:
        ValueError: if none is published in time, by the run that claimed the folder last.
    """
    deadline = time.monotonic() + timeout
    while not (addresses := FileEndpoints(run_dir).addresses(role)):
        if time.monotonic() >= deadline:
            raise ValueError(
                f"no {role} is published under {run_dir} (waited {timeout:g} s): is it running?"
            )
        time.sleep(0.01)
    return addresses


def find_endpoint(run_dir: Path, role: str, timeout: float = 30.0) -> str:
    """The endpoint that a role of a run is bound to, or the first of several; waits until it is.

    Raises:
        ValueError: if it is not published in time, by the run that claimed the folder last.
    """
    return find_endpoints(run_dir, role, timeout)[0]


def read_peers(peers: list[str] | tuple[str, ...], file: Path | None = None) -> dict[str, str]:
    """Addresses by role, as a person has written them down.

    Args:
        peers: each ``ROLE=ADDRESS``; they count before what the file says.
        file: JSON or TOML, a table of addresses by role.

    Raises:
        ValueError: if something is no role with an address, or the file cannot be read.
    """
    addresses: dict[str, str] = {}
    if file is not None:
        addresses |= _read_table(file)
    for peer in peers:
        role, separator, address = peer.partition("=")
        if not separator or not role:
            raise ValueError(f"{peer!r} is no peer: write ROLE=ADDRESS, pool=tcp://10.0.0.1:5555")
        addresses[role] = address
    for role, address in addresses.items():
        if not isinstance(address, str) or "://" not in address:
            raise ValueError(f"{role} has no address in {address!r}: write tcp://HOST:PORT")
    return addresses


def _read_table(file: Path) -> dict[str, str]:
    import tomllib

    try:
        text = file.read_text(encoding="utf-8")
        table = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise ValueError(f"cannot read peers from {file}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"{file} must be a table of addresses by role")
    return dict(table)
