"""``troupe join``: let this machine work for a run that is trained on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from scripts.arguments import exporting, parse


@dataclass(frozen=True, kw_only=True)
class Options:
    """Joins a run with workers, which infer, or actors, which play; they may come and go.

    The run has to be started with --workers and --bind, and its registry's address is what it
    prints. Ctrl-C leaves; the run goes on.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run: the address of its registry (tcp://HOST:PORT), or its folder, where this machine
    has that, too."""
    role: Annotated[tuple[Literal["worker", "actor"], ...], tyro.conf.arg(metavar="ROLE ...")] = (
        "actor",
    )
    """What to do: worker, actor, or both."""
    count: int = 1
    """Processes of each role."""
    keys: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The file of keys that the run's owner has made for this machine (troupe keys)."""
    peer: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ROLE=ADDRESS ...")] = ()
    """Where parts of the run are, if that is not where the run says: pool=tcp://10.0.0.1:5555."""
    peers: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The same as a table, in TOML or JSON."""
    run_dir: Path = Path("runs/joined")
    """Folder of this machine's own, for logs."""
    patience: float = 60.0
    """Seconds that the run may be away before this machine leaves."""
    metrics_port: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None
    """Offers the figures of every process here to Prometheus, at ports from this one on; 0 for any
    that are free (docs/metrics.md)."""
    metrics_host: str = "127.0.0.1"
    """The interface for --metrics-port; this machine only, if nothing is said."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"--count must be at least 1, got {self.count}")
        if not 0 < self.patience < float("inf"):
            raise ValueError(f"--patience must be a positive number, got {self.patience}")
        exporting(self.metrics_port, self.metrics_host)


def main(args: Sequence[str]) -> None:
    """Joins as the options say.

    Raises:
        ValueError: if there is no such run, it cannot be joined, or a process keeps dying.
    """
    options = parse(Options, "troupe join", args)
    from marl.remote.join import Guests, join
    from transport.endpoints import read_peers
    from transport.launch import ProcessDiedError

    guests = Guests(
        options.run,
        workers=options.count * ("worker" in options.role),
        actors=options.count * ("actor" in options.role),
        run_dir=options.run_dir,
        keys=options.keys,
        peers=read_peers(options.peer, options.peers),
        patience=options.patience,
        metrics=exporting(options.metrics_port, options.metrics_host),
    )
    try:
        join(guests)
    except ProcessDiedError as error:
        raise ValueError(str(error)) from error
