"""Places the processes of a run on the machines of a Ray cluster.

Ray decides where each process is, notices when it or its machine has died, and carries what it
says; all else is as on one machine: ``Supervisor`` starts again what has died (elsewhere, where its
machine has gone), and the processes talk by ZeroMQ::

    driver                                       node of the cluster
    Supervisor -- Cluster.start() -- Ray ------> Berth (a Ray actor) -- spawn() --> child
        log, status <--------------- Ray ------- look()                 | mirror of endpoints

A role that needs the run's folder is placed beside the driver, any other where there is room
(``transport.berth``). Ray is loaded only here and there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transport.berth import KEY, OWN, Berth
from transport.child import FATAL
from transport.closing import Closing
from transport.endpoints import FileEndpoints
from transport.processes import Role
from transport.registry import ROLE as REGISTRY

LOCAL = "auto"
"""The address of a cluster that is started for the run, on this machine."""

_WAITING = 60.0  # Seconds without a place after which that is said.
_GONE = -9  # The status of a process whose machine has gone.


class PlacedProcess:
    """A process that Ray has placed (see ``transport.processes.Process``).

    Args:
        cluster: where.
        role: what it does.
        name: its name.
        task: what it is told.
    """

    def __init__(self, cluster: Cluster, role: Role, name: str, task: Mapping[str, Any]) -> None:
        self.pid, self.where = 0, ""
        self._there = True  # Its berth, as far as is known.
        self._cluster, self._name = cluster, name
        self.returncode: int | None = None
        self._asked = time.monotonic()
        self._log = cluster.run_dir / "logs" / f"{name}.log"
        self._role, self._berth = role, cluster.berth(role, name)
        given = cluster.outfit(role)
        self._answer = self._berth.start.remote(name, json.dumps(task), given)

    def poll(self) -> int | None:
        """Its status, if it has ended."""
        self._hear(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: if that takes longer.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while self.returncode is None:
            left = deadline - time.monotonic()
            self._hear(min(max(left, 0.0), 1.0))
            if left <= 0 and self.returncode is None:
                raise subprocess.TimeoutExpired(self._name, timeout or 0.0)
        return self.returncode

    def terminate(self) -> None:
        """Tells it to stop."""
        if self.returncode is not None:
            return
        if not self.pid:  # It has no place yet.
            self.kill()
        elif self.where:
            self._berth.terminate.remote()
        else:  # Of this machine's own there is no need to ask Ray.
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it hard; elsewhere it ends by itself, as its parent does."""
        if self.returncode is None:
            if self.pid and not self.where:
                self._signal(signal.SIGKILL)
            self.returncode = _GONE

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """Gives its place back; one beside the driver is kept for who comes after it."""
        if self._role.anywhere or not self._there:
            self._cluster.give_back(self._name, self._berth)

    def _hear(self, timeout: float) -> None:
        """Takes in what its berth says, and asks again."""
        ray, exceptions = self._cluster.ray, self._cluster.ray.exceptions
        if self.returncode is not None:
            return
        if not ray.wait([self._answer], timeout=timeout)[0]:
            if not self.pid and time.monotonic() - self._asked > _WAITING:
                self._cluster.waits(self._name)
            return
        try:
            answer = ray.get(self._answer)
        except exceptions.RayTaskError as error:  # It cannot be started there, or anywhere.
            self._say(f"{error.cause}\n".encode())
            self.returncode = FATAL
            return
        except exceptions.RayError:
            self._there, self.returncode = False, _GONE
            return
        if not self.pid:
            self.pid, address, node = answer
            if node != self._cluster.node:
                self.where = f"{address} (node {node[:6]})"
            self._cluster.placed(self._name, self.where)
        else:
            code, text = answer
            self._say(text)
            self.returncode = code
        if self.returncode is None:
            self._answer = self._berth.look.remote(self._cluster.registry())

    def _say(self, text: bytes) -> None:
        """Writes into the log what was said elsewhere."""
        if text:
            with contextlib.suppress(OSError), self._log.open("ab") as log:
                log.write(text)


class Cluster(Closing):
    """A Ray cluster, as the driver of a run has it.

    Args:
        address: of the cluster, one of whose machines this is; ``auto`` for one of this machine,
            which is started, and ends with the run.
        run_dir: the run.
        cpus: processors that a cluster of this machine is to have.
        gpus: GPUs, likewise.

    Attributes:
        files: what a process that is away from the folder finds in its own: text by name.
        ray: the module.
        host: this machine's address in the cluster.
        node: this machine's name there.

    Raises:
        ValueError: if Ray is missing, or no cluster answers.
    """

    def __init__(
        self,
        address: str,
        run_dir: Path,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> None:
        self.ray = load_ray(address)
        self.run_dir = run_dir.resolve()
        self.files: dict[str, str] = {}
        self._kept: dict[str, Any] = {}
        self._news: list[str] = []
        self._waiting: set[str] = set()
        self._temporary: str | None = None
        options: dict[str, Any] = {"address": address}
        if address == LOCAL:
            self._temporary = str(_ray_folder(self.run_dir))
            options = {
                "address": "local",
                "num_cpus": max(int(cpus + 0.999), os.cpu_count() or 1),
                "num_gpus": int(gpus) or None,
                "include_dashboard": False,
                "_temp_dir": self._temporary,
            }
        try:
            self.ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except Exception as error:  # Ray has many kinds of them.
            self.close()
            raise ValueError(f"no Ray cluster answers at {address}: {error}") from None
        except BaseException:
            self.close()
            raise
        self.host: str = self.ray.util.get_node_ip_address()
        self.node = self.ray.get_runtime_context().get_node_id()
        self._actor = self.ray.remote(Berth)

    def close(self) -> None:
        """Leaves the cluster; ends it, if it was started for the run."""
        self.ray.shutdown()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def start(self, role: Role, name: str, task: Mapping[str, Any]) -> PlacedProcess:
        """Starts a process where there is room (see ``transport.processes.Start``)."""
        return PlacedProcess(self, role, name, task)

    def news(self) -> list[str]:
        """Who has found a place since the last time, and who waits for one; a line each."""
        news, self._news = self._news, []
        return news

    def reserve(self, roles: Sequence[Role]) -> None:
        """Takes the places beside the driver for who needs them, before others fill them.

        They are kept until the run ends: where a machine has gone, there may not be room for all.
        """
        for role in roles:
            for number in range(0 if role.anywhere else role.count):
                self.berth(role, role.name_of(number))

    def berth(self, role: Role, name: str) -> Any:
        """A place for a process of a role: an actor."""
        if role.anywhere:
            return self._new_berth(role)
        if name not in self._kept:
            self._kept[name] = self._new_berth(role)
        return self._kept[name]

    def give_back(self, name: str, berth: Any) -> None:
        """Gives the place of a process back."""
        self._kept.pop(name, None)
        self.ray.kill(berth)

    def _new_berth(self, role: Role) -> Any:
        strategy: Any = "SPREAD"
        if not role.anywhere:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            strategy = NodeAffinitySchedulingStrategy(self.node, soft=False)
        return self._actor.options(
            num_cpus=role.cpus, num_gpus=role.gpus, scheduling_strategy=strategy, max_restarts=0
        ).remote()

    def outfit(self, role: Role) -> str:
        """What a berth is given for a role, as JSON."""
        files = dict(self.files)
        if role.anywhere and (keys := role.arguments.get("keys")):
            files[KEY] = Path(keys).read_text()
        return json.dumps(
            {
                "run_dir": str(self.run_dir),
                "node": self.node,
                "files": files if role.anywhere else {},
                "environment": {name: os.environ[name] for name in OWN if name in os.environ},
                "own_environment": dict(role.environment),
                "troupe": version("troupe"),
            }
        )

    def registry(self) -> str | None:
        """Where other machines find the run's registry."""
        return FileEndpoints(self.run_dir, outside=True).address(REGISTRY)

    def placed(self, name: str, where: str) -> None:
        """A process has found its place."""
        self._waiting.discard(name)
        if where:
            self._news.append(f"{name} is on {where}")

    def waits(self, name: str) -> None:
        """A process has found no place so far."""
        if name not in self._waiting:
            self._waiting.add(name)
            left = self.ray.available_resources()
            free = ", ".join(f"{left.get(kind, 0):g} {kind}" for kind in ("CPU", "GPU"))
            self._news.append(f"{name} waits for a place in the cluster, where {free} are free")


def _ray_folder(run_dir: Path) -> Path:
    """Where a cluster that is started for a run keeps what is its own; emptied."""
    digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"troupe-{os.getuid()}-ray-{digest}"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def load_ray(address: str) -> Any:
    """The module, for a cluster at an address.

    Raises:
        ValueError: if it is not installed, or the address cannot be one of a machine's cluster.
    """
    if address.startswith("ray://"):
        raise ValueError(
            f"{address} is for clients from outside: start the run on a machine of the cluster "
            "(ray start --address HOST:PORT), and give --cluster HOST:PORT"
        )
    # What it would tell its makers is nobody's business, and the loopback needs no telling either.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ValueError(
            f"--cluster {address} needs Ray: pip install 'troupe[cluster]' (or: pip install ray)"
        ) from None
    return ray
