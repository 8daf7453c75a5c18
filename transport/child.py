"""A process of a run, as ``transport.launch`` starts it: it plays one role and ends with its run.

- It reads its role from standard input, as JSON; a spare is told before what to import. That pipe
  stays open as long as the parent lives: when it breaks, the parent is gone, however it went, and
  this process stops. On Linux the kernel sends SIGTERM at that moment, too, and may send it several
  times.
- SIGTERM and SIGINT make ``stop()`` true. If the role has not returned within its patience after
  that, the process ends hard, with the stacks of its threads in its log.
- The last one to go of a run whose parent was killed leaves neither endpoints nor socket files.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import importlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transport.exporter import Exporter, Exporting
from transport.signals import StopFlag
from transport.sockets import withdraw

FATAL = 3
"""Exit status of a process that is not to be started again."""

_PR_SET_PDEATHSIG = 1
_hard_ends: list[Callable[[], object]] = []


class FatalError(RuntimeError):
    """What a role raises where starting it again would not help: it ends the run."""


def before_hard_end(function: Callable[[], object]) -> None:
    """Has a function called if this process has to end hard, from another thread than the role's.

    Args:
        function: removes what would be left behind half written.
    """
    _hard_ends.append(function)


def main() -> None:
    """Reads the role, and plays it until it is told to stop."""
    if (task := _read()) is not None and "modules" in task:  # A spare, to be told later.
        for module in task["modules"]:
            importlib.import_module(module)
        if task["prepare"] is not None:
            _function(task["prepare"])(run_dir=Path(task["run_dir"]))
        task = _read()
    if task is None:
        return  # The parent died before it could say anything.
    with open(task["log"], "ab") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    arguments = dict(task["arguments"])
    if task["seconds"] is not None:
        arguments["until"] = time.monotonic() + task["seconds"]
    run_dir = Path(task["run_dir"])
    sys.stdout = sys.stderr = _log(2)
    stop = StopFlag(insist=True)
    tidy = _follow(task["parent"], stop, run_dir, task["patience"], task.get("temporary", False))
    os.nice(task["nice"])
    _allow_many_connections()
    function, status = _function(task["target"]), 0
    with contextlib.ExitStack() as stack:
        if task["metrics"] is not None:
            who = (task["name"], task["role"], task["number"])
            stack.enter_context(Exporter(Exporting(**task["metrics"]), run_dir, *who))
        try:
            function(**arguments, run_dir=run_dir, number=task["number"], stop=stop)
        except FatalError as error:
            status = FATAL
            print(error)
    # All is closed. Taking the interpreter apart can take seconds, and nobody watches over it.
    tidy()
    sys.stdout.flush()
    os._exit(status)


def _read() -> Any:
    """What the parent says next; None if it has died."""
    line = sys.stdin.buffer.readline()
    return json.loads(line) if line else None


def _function(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _allow_many_connections() -> None:
    """As many open files as the system lets this process have: a connection takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # Not where there is no such bound.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _follow(
    parent: int, stop: StopFlag, run_dir: Path, patience: float, temporary: bool
) -> Callable[[], None]:
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
        for function in _hard_ends:
            with contextlib.suppress(Exception):
                function()
        tidy()
        os._exit(1)

    def tidy() -> None:
        if os.getppid() != parent:
            withdraw(run_dir)
            if temporary:  # Nobody else would remove the folder.
                shutil.rmtree(run_dir, ignore_errors=True)

    threading.Thread(target=watch_parent, name="parent", daemon=True).start()
    threading.Thread(target=watch_stop, name="patience", daemon=True).start()
    atexit.register(tidy)
    if os.getppid() != parent:  # It died before the kernel was told to tell.
        stop.set()
    return tidy


class _Patient(io.FileIO):
    """A log that keeps what it has no room for, so that a full disk ends nobody who only speaks.

    The newest 64 KiB are kept, and written as soon as there is room again.
    """

    _kept = b""

    def write(self, data: Any) -> int:
        self._kept = (self._kept + bytes(data))[-(1 << 16) :]
        with contextlib.suppress(OSError):
            while self._kept:
                self._kept = self._kept[os.write(self.fileno(), self._kept) :]
        return len(data)


def _log(descriptor: int) -> io.TextIOWrapper:
    """Standard output and error, which go to one file."""
    raw = io.BufferedWriter(_Patient(descriptor, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
