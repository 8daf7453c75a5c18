"""``troupe keys``: keys for pools that other machines can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from scripts.arguments import parse


@dataclass(frozen=True)
class Options:
    """Makes the keys of a server (once) and of clients that may come in.

    The folder stays with the server. Hand each client its file, clients/NAME.json, over a safe way:
    it is all that a client needs. Whose NAME.public is deleted there is shut out at once, whose is
    new may come in at once, while the server runs.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """The server's folder of keys; made if it is missing."""
    clients: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")]
    """Names of new clients, workers on other machines included."""
    role: tuple[Literal["client", "actor", "worker", "host"], ...] = ("client",)
    """What their keys are for, one or several: a client asks a pool for moves; an actor hands over
    what it has played, too; a worker answers for the pool; a host may do what the run's own
    processes do."""


def main(args: Sequence[str]) -> None:
    """Makes keys, as the options say, and prints the files.

    Raises:
        ValueError: if a name is no name, or has keys already.
    """
    from transport.keys import make_keys

    options = parse(Options, "troupe keys", args)
    written = make_keys(options.folder, list(options.clients), " ".join(options.role))
    for file in written:
        print(file)
    if not written:
        print(f"{options.folder} has the server's keys already: name clients to make theirs")
