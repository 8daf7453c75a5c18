"""Hosts that are network namespaces of this machine, with addresses of their own on one cable."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


def why_not() -> str:
    """Why this machine cannot have them; empty if it can."""
    if shutil.which("ip") is None:
        return "there is no `ip` command to make network namespaces with"
    name = f"troupe-{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {error.stderr.decode().strip()}"
    return ""


def joining(
    *options: object, on: Sequence[str] = (), first: Sequence[str] = (), **how: Any
) -> subprocess.Popen[bytes]:
    """Starts ``troupe join``.

    Args:
        options: what follows it.
        on: words that run a command on a host, as ``Hosts.on`` gives them.
        first: folders to be looked into for modules before all others.
        how: passed on to ``Popen``.
    """
    path = os.pathsep.join([*first, *filter(None, sys.path)])
    command = [*on, sys.executable, "-m", "scripts.cli", "join", *map(str, options)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **how)


class Hosts:
    """Some hosts, which reach each other through a switch.

    Attributes:
        addresses: of each, by name.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        tag = secrets.token_hex(2)
        self._spaces = {name: f"troupe-{tag}-{name}" for name in (*names, "switch")}
        self.addresses = {name: f"10.77.0.{number + 1}" for number, name in enumerate(names)}
        for space in self._spaces.values():
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        switch = self._spaces["switch"]
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for name, address in self.addresses.items():
            space, port = self._spaces[name], f"p-{name}"
            pair = ("type", "veth", "peer", "name", port, "netns", switch)
            _ip("link", "add", "eth", "netns", space, *pair)
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth")
            _ip("-n", space, "link", "set", "eth", "up")
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")

    def on(self, name: str) -> list[str]:
        """The beginning of a command that is to run on a host."""
        return ["ip", "netns", "exec", self._spaces[name]]

    def cable(self, name: str, plugged: bool) -> None:
        """Plugs the cable of a host in, or pulls it out."""
        state = "up" if plugged else "down"
        _ip("-n", self._spaces["switch"], "link", "set", f"p-{name}", state)

    def close(self) -> None:
        """Takes all of it away."""
        for space in self._spaces.values():
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", space)


@contextlib.contextmanager
def hosts(*names: str) -> Iterator[Hosts]:
    """Hosts for the time of a test."""
    network = Hosts(names)
    try:
        yield network
    finally:
        network.close()
