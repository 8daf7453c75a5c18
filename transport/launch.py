"""Processes that start, stop and die together.

A role is a function that a process of its own runs: ``module:function``, with keyword arguments
that are JSON and a ``stop`` that says when it is to return::

    with Supervisor(run_dir, [Role("worker", "marl.serve:work", {"threads": 1}, count=4)]) as crew:
        while training:
            crew.check()  # restarts what has died; raises if it keeps dying

- Nothing is forked and nothing pickled: a child is a new interpreter (``transport.child``) that
  reads its role from standard input, as JSON, and stops when that pipe breaks.
- A child imports what its parent would, whatever lies in the current folder.
- One run at a time lives in a folder (``transport.claim``).
- Who they are stands in ``processes.json``, process ids by name.
- They run on this machine, unless somebody else starts them (``transport.cluster``).
- Once all have been up for a while there are *spares*, which have imported what the roles need and
  take the place of who dies next.
- Whoever goes last removes endpoints and socket files.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transport.child import FATAL
from transport.claim import Claim
from transport.closing import Closing
from transport.exporter import Exporter, Exporting
from transport.metrics import Figures, counter, gauge, watch
from transport.processes import LocalProcess, Process, Role, Start, spawn, task_of, tell
from transport.sockets import withdraw
from transport.spares import Spares

RESTARTS = counter("restarts", "Processes that were started again, by what they do.", "of")
PROCESSES_UP = gauge("processes", "Processes that are up, by what they do.", "of")

PROCESSES = "processes.json"
"""File of a run directory that says which process is which."""

_MOMENT = 0.5  # Seconds for a role to finish before the next one is told.
_PAUSE, _LONG_PAUSE = 5.0, 60.0  # Seconds before another try, at most; while others do the work.


class ProcessDiedError(RuntimeError):
    """A process that the run needs has died, or keeps dying."""


@dataclass
class _Child:
    role: Role
    number: int
    name: str
    index: int
    process: Process
    began: float
    failures: int = 0
    restart_at: float | None = None  # When it is started again, if it is down.


class Supervisor(Closing):
    """Starts, restarts and stops the processes of a run; belongs to the thread that made it.

    Args:
        run_dir: the run; logs go to its ``logs``.
        roles: what to start.
        failures: times in a row that a process may die early. One that dies more often is started
            less often while others of its role live, and else ends the run.
        early: seconds from its start in which being killed is early; failing by itself, with a
            status, is in twelve times as many, since it may take a while to get that far.
        claim: of the directory, where it is claimed already; closed at the end.
        metrics: where this process and all others offer their figures, if they do; the processes'
            ports follow in the order of the roles.
        start: starts processes elsewhere; they are this one's children by default.
        prepare: ``module:function``, called with ``run_dir`` in every spare before it waits.
        calm: seconds without a start or a death until there are spares; inf for none.

    Raises:
        ValueError: if another run lives in the directory.
    """

    def __init__(
        self,
        run_dir: Path,
        roles: Sequence[Role],
        *,
        failures: int = 5,
        early: float = 5.0,
        claim: Claim | None = None,
        metrics: Exporting | None = None,
        start: Start | None = None,
        prepare: str | None = None,
        calm: float = 10.0,
    ) -> None:
        self.run_dir = run_dir
        self.restarts: Counter[str] = Counter()
        self._failures, self._early = failures, early
        self._children: list[_Child] = []
        self._told: dict[str, int] = {}
        self._stopped = False
        self._claim = claim or Claim(run_dir)
        self._metrics, self._exporter = metrics, None
        self._where = start or self._spawn
        local = roles if start is None else ()
        self._spares = Spares(run_dir, local, self._claim, prepare, calm)
        try:
            withdraw(run_dir)  # What a run left that was killed, or that this folder is a copy of.
            (run_dir / "logs").mkdir(exist_ok=True)
            if metrics is not None:
                self._exporter = Exporter(metrics, run_dir, "driver", "driver")
            places = ((role, number) for role in roles for number in range(role.count))
            for index, (role, number) in enumerate(places):
                name = role.name_of(number)
                process = self._start(role, number, name, index)
                began = time.monotonic()
                self._children.append(_Child(role, number, name, index, process, began))
            self._tell_who_is_who()
        except BaseException:
            self.close()
            raise
        watch(self)

    def measured(self) -> Iterator[Figures]:
        """Its figures."""
        yield RESTARTS.of({child.role.name: 0 for child in self._children} | self.restarts)
        up = Counter(c.role.name for c in self._children if c.process.returncode is None)
        yield PROCESSES_UP.of({child.role.name: up[child.role.name] for child in self._children})

    def pids(self, role: str | None = None) -> dict[str, int]:
        """Process ids of those that are up, by name (of one role, or of all)."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process.pid
            and child.process.poll() is None
            and role in (None, child.role.name)
        }

    def done(self, role: str) -> bool:
        """Whether all processes of a role have ended with status 0."""
        return all(child.process.poll() == 0 for child in self._children if child.role.name == role)

    def check(self) -> list[str]:
        """Restarts what has died; to be called several times a second.

        Returns:
            what was started again, a line each.

        Raises:
            ProcessDiedError: if the run cannot go on.
        """
        now, news = time.monotonic(), []
        for child in self._children:
            if child.restart_at is None:
                code = child.process.poll()
                if code is None or child.role.restart == "never":
                    continue
                if code == 0 and child.role.restart == "until_done":
                    continue
                child.restart_at = now + self._mourn(child, code, now - child.began)
            if now >= child.restart_at:
                code, where = child.process.returncode, child.process.where
                assert code is not None
                where = f" on {where}" * bool(where)
                child.process.close()
                child.process = self._start(child.role, child.number, child.name, child.index)
                child.began, child.restart_at = now, None
                self.restarts[child.role.name] += 1
                news.append(
                    f"{child.name} ended {_how(code)}{where} and was started again "
                    f"(restarts of {child.role.name}: {self.restarts[child.role.name]})"
                )
        self._spares.tend()
        if self._told != {child.name: child.process.pid for child in self._children}:
            self._tell_who_is_who()
        return news

    def _mourn(self, child: _Child, code: int, age: float) -> float:
        """Counts a death; returns the seconds until the process is to be started again.

        Raises:
            ProcessDiedError: if that would not help.
        """
        if child.role.restart == "essential" or code == FATAL:
            raise ProcessDiedError(self._obituary(child, code))
        early = age < self._early * (12 if code > 0 else 1)
        child.failures = child.failures + 1 if early else 0
        crew = [other for other in self._children if other.role is child.role]
        if all(other.failures > self._failures for other in crew):
            raise ProcessDiedError(self._obituary(child, code))
        # At once after a long life, later and later after short ones.
        pause = 0.1 * (2 ** min(child.failures, 20) - 1)
        return min(pause, _PAUSE if child.failures <= self._failures else _LONG_PAUSE)

    def close(self) -> None:
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
                process.terminate()
            _wait(crew, min(deadline, time.monotonic() + _MOMENT))
        self._spares.close()
        everyone = [child.process for child in self._children]
        _wait(everyone, deadline)
        for process in everyone:
            process.kill()
            process.wait()
            process.close()
        if self._exporter is not None:
            self._exporter.close()
        withdraw(self.run_dir)
        (self.run_dir / PROCESSES).unlink(missing_ok=True)
        self._claim.close()

    def _start(self, role: Role, number: int, name: str, index: int) -> Process:
        metrics = None if self._metrics is None else self._metrics.of(index + 1)
        return self._where(role, name, {**task_of(role, number, name), "metrics": metrics})

    def _spawn(self, role: Role, name: str, task: Mapping[str, Any]) -> LocalProcess:
        if (spare := self._spares.take(role)) is not None:
            tell(spare, self.run_dir, name, task)
            return spare
        return spawn(self.run_dir, name, task, role.environment, self._claim)

    def _tell_who_is_who(self) -> None:
        self._told = {child.name: child.process.pid for child in self._children}
        temporary = self.run_dir / f"{PROCESSES}.tmp"
        with contextlib.suppress(OSError):  # Nobody depends on it: a full disk ends no run.
            temporary.write_text(json.dumps(self.pids()) + "\n")
            temporary.replace(self.run_dir / PROCESSES)

    def _obituary(self, child: _Child, code: int) -> str:
        log = self.run_dir / "logs" / f"{child.name}.log"
        lines = log.read_text(errors="replace").strip().splitlines()[-1:]
        last = f"; its last words: {lines[0]}" if lines else ""
        if code == FATAL:
            return f"process {child.name} gave up: {''.join(lines)} (log: {log})"
        return f"process {child.name} ended {_how(code)}{last} (log: {log})"


def _how(code: int) -> str:
    """How a process ended, by its status."""
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"


def _wait(processes: Sequence[Process], deadline: float) -> None:
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
