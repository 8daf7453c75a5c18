"""A process of a run: what it is told, and how it is started on this machine.

Nothing is forked and nothing pickled: a child is a new interpreter (``transport.child``) that reads
its role from standard input, as JSON, and stops when that pipe breaks. A *spare* is one that has
imported what a role needs and waits for one, so that who takes the place of a process that was
killed is there at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from transport.claim import Claim

PATIENCE = 2.0
"""Seconds that a process has to return once it is told to stop, unless its role says otherwise."""

_START = "from transport.child import main; main()"


@dataclass(frozen=True)
class Role:
    """What some processes of a run do.

    Attributes:
        name: their name; with a count above 1 the processes are NAME-0, NAME-1, ...
        target: ``module:function``, called with ``arguments``, ``run_dir``, ``number`` and
            ``stop``.
        arguments: JSON.
        count: how many processes.
        restart: ``always``: whatever it ends by; ``until_done``: unless it ends with status 0;
            ``never``: it may end; ``essential``: the run cannot go on without it, so its end is an
            error.
        environment: variables set for it, such as OMP_NUM_THREADS.
        nice: how much it yields to others (0 to 19).
        patience: seconds that it has to return once it is told to stop.
        until: when its work is to be done (of this process's monotonic clock), passed to the
            function under this name, as a time of its own clock; None for no such argument. What
            travels is how many seconds are left when it starts.
        cpus: processors that it takes of a cluster.
        gpus: GPUs likewise.
        anywhere: whether it may run on another machine of a cluster, in a folder of its own; all it
            asks of the run's are endpoints and configuration.
    """

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1
    restart: Literal["always", "until_done", "never", "essential"] = "always"
    environment: Mapping[str, str] = field(default_factory=dict)
    nice: int = 0
    patience: float = PATIENCE
    until: float | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    anywhere: bool = False

    def __post_init__(self) -> None:
        if self.count < 0 or not 0 <= self.nice <= 19:
            raise ValueError(
                f"role {self.name}: count must be at least 0 and nice 0 to 19, "
                f"got {self.count} and {self.nice}"
            )
        if self.target.count(":") != 1:
            raise ValueError(f"role {self.name}: target {self.target!r} is not module:function")
        if self.restart not in ("always", "until_done", "never", "essential"):
            raise ValueError(
                f"role {self.name}: restart must be always, until_done, never or essential"
            )
        if not self.patience > 0:
            raise ValueError(f"role {self.name}: patience must be positive, got {self.patience}")

    def name_of(self, number: int) -> str:
        """The name of one of its processes."""
        return self.name if self.count == 1 else f"{self.name}-{number}"


class Process(Protocol):
    """A process of a run, wherever it is.

    Attributes:
        pid: its number on its machine.
        where: the machine; empty for this one.
        returncode: its status, if it has ended as far as is known.
    """

    pid: int
    where: str
    returncode: Any  # int or None; Popen says no more.

    def poll(self) -> int | None:
        """Its status, if it has ended; negative: the signal that ended it."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: if that takes longer.
        """
        ...

    def terminate(self) -> None:
        """Tells it to stop."""
        ...

    def kill(self) -> None:
        """Ends it hard."""
        ...

    def close(self) -> None:
        """Lets go of what belonged to it; it has ended."""
        ...


Start = Callable[[Role, str, Mapping[str, Any]], Process]
"""Starts a process of a role, under a name, with what it is told (see ``task_of``)."""


class LocalProcess(subprocess.Popen[bytes]):
    """A process of this machine."""

    where = ""

    def close(self) -> None:
        """Closes the pipe to it."""
        if self.stdin is not None:
            self.stdin.close()


def task_of(role: Role, number: int, name: str) -> dict[str, Any]:
    """What a process is told that plays a role, as JSON."""
    return {
        "target": role.target,
        "arguments": dict(role.arguments),
        "number": number,
        "name": name,
        "role": role.name,
        "nice": role.nice,
        "patience": role.patience,
        "seconds": None if role.until is None else role.until - time.monotonic(),
    }


def spawn(
    run_dir: Path,
    name: str,
    task: Mapping[str, Any],
    environment: Mapping[str, str],
    claim: Claim,
) -> LocalProcess:
    """Starts a child of this process.

    Args:
        run_dir: the folder that it works in; its log goes to ``logs``.
        name: the child's.
        task: what it is told (see ``task_of``).
        environment: variables set for it.
        claim: of the folder, which it shares.
    """
    with _log(run_dir, name).open("ab") as stream:
        process = _start(environment, claim, stream.fileno())
    tell(process, run_dir, name, task)
    return process


def spawn_spare(
    run_dir: Path,
    modules: Sequence[str],
    prepare: str | None,
    environment: Mapping[str, str],
    claim: Claim,
) -> LocalProcess:
    """Starts a child that imports what it may need, and waits to be told what to do.

    Args:
        run_dir: the folder that it will work in.
        modules: to be imported.
        prepare: ``module:function``, called with ``run_dir`` before it waits.
        environment: variables set for it.
        claim: of the folder.
    """
    process = _start(environment, claim, subprocess.DEVNULL)
    _say(process, {"modules": list(modules), "prepare": prepare, "run_dir": str(run_dir)})
    return process


def tell(process: LocalProcess, run_dir: Path, name: str, task: Mapping[str, Any]) -> None:
    """Tells a child what to do; see ``spawn``."""
    where = {"run_dir": str(run_dir), "parent": os.getpid(), "log": str(_log(run_dir, name))}
    _say(process, {**task, **where})


def _log(run_dir: Path, name: str) -> Path:
    return run_dir / "logs" / f"{name}.log"


def _start(environment: Mapping[str, str], claim: Claim, output: int) -> LocalProcess:
    # An empty entry is the current folder, which -P keeps off the child's path: modules of the
    # person's own may lie there that are called like ours.
    path = os.pathsep.join(filter(None, sys.path))
    return LocalProcess(
        [sys.executable, "-P", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": path, **environment},
        pass_fds=[claim.inherited],
        # A Ctrl-C at the terminal is the parent's to pass on, in order.
        start_new_session=True,
    )


def _say(process: LocalProcess, what: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # It died at once: its parent will see.
        process.stdin.write(json.dumps(what).encode() + b"\n")
        process.stdin.flush()
