"""Processes that start, stop and die together.

A role is a function that a process of its own runs: ``module:function``, with keyword arguments
that are JSON and a ``stop`` that says when it is to return::

    with Supervisor(run_dir, [Role("worker", "marl.serve:work", {"threads": 1}, count=4)]) as crew:
        while training:
            crew.check()  # restarts what has died; raises if it keeps dying

- Nothing is forked and nothing pickled: a child is a new interpreter that reads its role from
  standard input, as JSON.
- That pipe stays open as long as the parent lives. When it breaks the parent is gone, however it
  went, and the child stops; on Linux the kernel sends SIGTERM at that moment, too.
- SIGTERM and SIGINT make ``stop()`` true. A child that has not returned two seconds later is ended
  hard, by a thread of its own or by its parent, with the stacks of its threads in its log.
- One run at a time lives in a directory: whoever starts there waits until the last one's processes
  have gone, and is refused while its parent lives.
- Who they are stands in ``processes.json``, process ids by name.
- Whoever goes last removes the run's socket files.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import fcntl
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self

from transport.sockets import remove_ipc_folder

PATIENCE = 2.0
"""Seconds that a process has to return once it is told to stop, unless its role says otherwise."""

PROCESSES = "processes.json"
"""File of a run directory that says which process is which."""

_LOCK = ".lock"  # Held by every process of a run.
_GONE = 10.0  # Seconds for the processes of a killed parent to go.
_MOMENT = 0.5  # Seconds for a role to finish before the next one is told.
_PR_SET_PDEATHSIG = 1


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
    """

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1
    restart: Literal["always", "until_done", "never", "essential"] = "always"
    environment: Mapping[str, str] = field(default_factory=dict)
    nice: int = 0
    patience: float = PATIENCE

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


class ProcessDiedError(RuntimeError):
    """A process that the run needs has died, or keeps dying."""


@dataclass
class _Child:
    role: Role
    number: int
    name: str
    process: subprocess.Popen[bytes]
    began: float
    failures: int = 0
    restart_at: float | None = None  # When it is started again, if it is down.


class Supervisor:
    """Starts, restarts and stops the processes of a run; belongs to the thread that made it.

    Args:
        run_dir: the run; logs go to its ``logs``.
        roles: what to start.
        failures: times in a row that a process may die early.
        early: seconds from its start in which being killed is early; failing by itself, with a
            status, is in twelve times as many, since it may take a while to get that far.

    Raises:
        ValueError: if another run lives in the directory.
    """

    def __init__(
        self, run_dir: Path, roles: Sequence[Role], *, failures: int = 5, early: float = 5.0
    ) -> None:
        self.run_dir = run_dir
        self.restarts: Counter[str] = Counter()
        self._failures, self._early = failures, early
        self._children: list[_Child] = []
        self._stopped = False
        (run_dir / "logs").mkdir(parents=True, exist_ok=True)
        self._lock = _claim(run_dir)
        remove_ipc_folder(run_dir)  # Of a run that was killed, host and all.
        try:
            for role in roles:
                for number in range(role.count):
                    name = role.name if role.count == 1 else f"{role.name}-{number}"
                    process = self._start(role, number, name)
                    self._children.append(_Child(role, number, name, process, time.monotonic()))
            self._tell_who_is_who()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def pids(self, role: str | None = None) -> dict[str, int]:
        """Process ids of those that are up, by name (of one role, or of all)."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process.poll() is None and role in (None, child.role.name)
        }

    def done(self, role: str) -> bool:
        """Whether all processes of a role have ended with status 0."""
        return all(child.process.poll() == 0 for child in self._children if child.role.name == role)

    def check(self) -> None:
        """Restarts what has died; to be called several times a second.

        Raises:
            ProcessDiedError: if the run cannot go on.
        """
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is None:
                code = child.process.poll()
                if code is None or child.role.restart == "never":
                    continue
                if code == 0 and child.role.restart == "until_done":
                    continue
                if child.role.restart == "essential":
                    raise ProcessDiedError(self._obituary(child, code))
                early = self._early * (12 if code > 0 else 1)
                child.failures = child.failures + 1 if now - child.began < early else 0
                if child.failures > self._failures:
                    raise ProcessDiedError(self._obituary(child, code))
                # At once after a long life, later and later after short ones.
                child.restart_at = now + min(0.1 * (2**child.failures - 1), 5.0)
            if now >= child.restart_at:
                child.process = self._start(child.role, child.number, child.name)
                child.began, child.restart_at = now, None
                self.restarts[child.role.name] += 1
                self._tell_who_is_who()

    def stop(self) -> None:
        """Stops all processes, within their patience and a little, and tidies up.

        Roles stop in reverse order, each with a moment to finish while those before it still
        answer: name first who serves, then who asks.
        """
        if self._stopped:
            return
        self._stopped = True
        # They end themselves hard a little earlier.
        patience = max((child.role.patience for child in self._children), default=0.0)
        deadline = time.monotonic() + patience + 0.3
        for name in reversed(dict.fromkeys(child.role.name for child in self._children)):
            crew = [child.process for child in self._children if child.role.name == name]
            for process in crew:
                process.send_signal(signal.SIGTERM)
            _wait(crew, min(deadline, time.monotonic() + _MOMENT))
        everyone = [child.process for child in self._children]
        _wait(everyone, deadline)
        for process in everyone:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        remove_ipc_folder(self.run_dir)
        (self.run_dir / PROCESSES).unlink(missing_ok=True)
        os.close(self._lock)

    def _start(self, role: Role, number: int, name: str) -> subprocess.Popen[bytes]:
        log = self.run_dir / "logs" / f"{name}.log"
        path = os.pathsep.join(filter(None, sys.path))
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "transport.launch"],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": path,
                    **role.environment,
                },
                # A Ctrl-C at the terminal is the parent's to pass on, in order.
                start_new_session=True,
            )
        task = {
            "target": role.target,
            "arguments": dict(role.arguments),
            "run_dir": str(self.run_dir),
            "number": number,
            "nice": role.nice,
            "patience": role.patience,
            "parent": os.getpid(),
        }
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It died at once: check() will see.
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
        return process

    def _tell_who_is_who(self) -> None:
        temporary = self.run_dir / f"{PROCESSES}.tmp"
        temporary.write_text(json.dumps(self.pids()) + "\n")
        temporary.replace(self.run_dir / PROCESSES)

    def _obituary(self, child: _Child, code: int) -> str:
        log = self.run_dir / "logs" / f"{child.name}.log"
        lines = log.read_text(errors="replace").strip().splitlines()[-1:]
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        last = f"; its last words: {lines[0]}" if lines else ""
        return f"process {child.name} ended {how}{last} (log: {log})"


def _claim(run_dir: Path) -> int:
    """Takes a directory for a run of this process; returns the lock that its children share."""
    lock, deadline = (
        os.open(run_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600),
        time.monotonic() + _GONE,
    )
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise ValueError(
                    f"another run lives in {run_dir}: stop it first, or choose another folder"
                ) from None
            time.sleep(0.05)
        else:
            fcntl.flock(lock, fcntl.LOCK_SH)
            return lock


def _wait(processes: Sequence[subprocess.Popen[bytes]], deadline: float) -> None:
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


class StopFlag:
    """Becomes true at SIGTERM or SIGINT; called as ``stop()``, it says whether it is.

    Must be made in the main thread. A second signal ends the process at once.
    """

    def __init__(self) -> None:
        # Plain attributes: a handler may interrupt anything, also one who holds a lock.
        self._stopped = False
        self._signals = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._stopped

    def set(self) -> None:
        """Makes it true."""
        self._stopped = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + number)


def _child() -> None:
    """What a child does: reads its role, and plays it until it is told to stop."""
    line = sys.stdin.buffer.readline()
    if not line:
        return  # The parent died before it could say anything.
    task = json.loads(line)
    run_dir = Path(task["run_dir"])
    # Kept until this process has gone, however it goes.
    fcntl.flock(os.open(run_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_SH)
    stop = StopFlag()
    tidy = _follow(task["parent"], stop, run_dir, task["patience"])
    os.nice(task["nice"])
    module, _, name = task["target"].partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    function(**task["arguments"], run_dir=run_dir, number=task["number"], stop=stop)
    # All is closed. Taking the interpreter apart can take seconds, and nobody watches over it.
    tidy()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _follow(parent: int, stop: StopFlag, run_dir: Path, patience: float) -> Callable[[], None]:
    """Stops this process when it is told to, or when its parent is gone; in the end, hard.

    Returns:
        what is to be called at the end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    def watch_parent() -> None:
        # Not through sys.stdin, whose lock would keep the interpreter from ending.
        while os.read(0, 1024):
            pass
        stop.set()

    def watch_stop() -> None:
        while not stop():
            time.sleep(0.05)
        time.sleep(patience)
        faulthandler.dump_traceback()
        tidy()
        os._exit(1)

    def tidy() -> None:
        if os.getppid() != parent:
            remove_ipc_folder(run_dir)

    threading.Thread(target=watch_parent, name="parent", daemon=True).start()
    threading.Thread(target=watch_stop, name="patience", daemon=True).start()
    atexit.register(tidy)
    if os.getppid() != parent:  # It died before the kernel was told to tell.
        stop.set()
    return tidy


if __name__ == "__main__":
    _child()
