"""Spare processes: they have imported what a role needs, and wait to take the place of who dies.

To load libraries takes a new process longer than all else it has to do before it works. So there is
one spare for every environment that roles of a crew are started in, once that crew is calm: a start
of many at a time is not slowed, and who dies again and again finds none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from transport.claim import Claim
from transport.processes import LocalProcess, Role, spawn_spare

_Environment = tuple[tuple[str, str], ...]


class Spares:
    """Those of a crew; belongs to the thread that made it.

    Args:
        run_dir: the folder that they will work in.
        roles: of the crew; those that nobody starts again need none.
        claim: of the folder.
        prepare: ``module:function``, called with ``run_dir`` in each before it waits.
        calm: seconds without a start until there are spares.
    """

    def __init__(
        self, run_dir: Path, roles: Sequence[Role], claim: Claim, prepare: str | None, calm: float
    ) -> None:
        self._run_dir, self._claim, self._prepare, self._calm = run_dir, claim, prepare, calm
        self._modules: dict[_Environment, list[str]] = {}
        for role in roles:
            if role.count and role.restart in ("always", "until_done"):
                modules = self._modules.setdefault(_environment(role), [])
                modules.append(role.target.partition(":")[0])
        self._waiting: dict[_Environment, LocalProcess] = {}
        self._due = time.monotonic() + calm

    def take(self, role: Role) -> LocalProcess | None:
        """One that can be told to play a role, if there is one."""
        self._due = time.monotonic() + self._calm
        spare = self._waiting.pop(_environment(role), None)
        if spare is not None and spare.poll() is not None:  # It could not be made.
            spare.close()
            return None
        return spare

    def tend(self) -> None:
        """Makes those that are missing, when it is time; to be called now and then."""
        if time.monotonic() < self._due:
            return
        for environment in self._modules.keys() - self._waiting.keys():
            modules = list(dict.fromkeys(self._modules[environment]))
            self._waiting[environment] = spawn_spare(
                self._run_dir, modules, self._prepare, dict(environment), self._claim
            )

    def close(self) -> None:
        """Ends them."""
        for spare in self._waiting.values():
            spare.kill()
            spare.wait()
            spare.close()
        self._waiting = {}


def _environment(role: Role) -> _Environment:
    return tuple(sorted(role.environment.items()))
