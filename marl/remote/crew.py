"""The processes of a training run: who they are, what they are told, and where they may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marl.remote.helper import free_address, torchrun
from marl.remote.shard import draws, role
from transport.binding import Binding, parse_binding
from transport.broker import roles
from transport.keys import make_keys, role_keys
from transport.launch import Role

SAVING = 2.5
"""Seconds that the learner has to save when the run is interrupted; what does not fit in there is
kept by the checkpoint before."""

PREPARE = "marl.remote.prepare:prepare"
"""What spares of a crew do before they wait."""

_SINGLE = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
_SERVING = 0.5  # Processors of a cluster that one takes who only hands things on.


@dataclass(frozen=True)
class Counts:
    """How many processes of a kind a run has.

    Attributes:
        workers: that infer.
        actors: that play; the games are shared among them.
        shards: that hold replay; 0 for the learner's own.
        learners: that compute gradients of a part of each batch; they need shards. With
            ``torchrun`` they are its processes.
        brokers: that share the pool's clients and workers; each needs a worker.

    Raises:
        ValueError: if that cannot be.
    """

    workers: int
    actors: int = 1
    shards: int = 0
    learners: int = 1
    brokers: int = 1

    def __post_init__(self) -> None:
        least = {"workers": 1, "actors": 1, "shards": 0, "learners": 1, "brokers": 1}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        if self.learners > 1 and not self.shards:
            raise ValueError("several learners draw from shards of replay: give --replay-shards")
        if self.brokers > self.workers:
            raise ValueError(f"{self.brokers} brokers need as many workers, got {self.workers}")

    @property
    def cpus(self) -> float:
        """Processors that they take of a cluster, all together."""
        return self.workers + self.actors + self.learners + _SERVING * (self.shards + self.brokers)


def listening(shards: int = 0, brokers: int = 1) -> list[str]:
    """The roles of a run that listen, beside its registry."""
    pool = [name for k in range(brokers) for name in roles("pool", k, brokers)]
    table = [name(k) for k in range(shards) for name in (role, draws)] or ["replay"]
    return [*pool, *table, "weights"]


def open_binding(host: str, folder: Path, counts: Counts) -> Binding:
    """Where the parts of a run listen for the other machines of a cluster, where nobody has said.

    Args:
        host: this machine's address there.
        folder: of the server's keys, which are made where they are missing.
        counts: of its processes.
    """
    make_keys(folder, [])
    names = listening(counts.shards, counts.brokers)
    return parse_binding([f"tcp://{host}:0"], names, host=None, keys=folder)


def crew(
    counts: Counts,
    binding: Binding,
    *,
    updates: int | None,
    until: float | None,
    device: str,
    lease: float,
    patience: float,
    host: str | None = None,
) -> list[Role]:
    """The roles of a run's processes.

    Args:
        counts: how many there are of each kind.
        binding: where its parts listen.
        updates: update count at which to stop.
        until: when to stop (of this process's monotonic clock).
        device: where the network learns.
        lease: seconds that a worker has to answer.
        patience: seconds that the learner waits for a sequence.
        host: this machine's address in a cluster; None without one.
    """
    elsewhere = torchrun()[1] > 1  # The helpers are processes of torchrun's.
    rendezvous = "env://" if elsewhere else free_address(host or "127.0.0.1")
    doors = {role: binding.address(role) for role in listening(counts.shards, counts.brokers)}
    learning = {"shards": counts.shards, "learners": counts.learners, "device": device}
    gpus = float(device == "cuda")
    of: Callable[[str], str | None] = lambda role: _keys(binding, role, host)  # noqa: E731
    return [
        Role(
            "broker",
            "transport.broker:run_broker",
            {
                "workers": counts.workers,
                "lease": lease,
                "brokers": counts.brokers,
                "addresses": doors,
                "keys": binding.server,
            },
            counts.brokers,
            cpus=_SERVING,
        ),
        Role(
            "shard",
            "marl.remote.shard:hold",
            {"shards": counts.shards, "addresses": doors, "keys": binding.server},
            counts.shards,
            environment=_SINGLE,
            patience=SAVING,
            cpus=_SERVING,
        ),
        Role(
            "worker",
            "marl.remote.worker:answer",
            {"keys": of("worker")},
            counts.workers,
            environment=_SINGLE,
            anywhere=True,
        ),
        Role(
            "actor",
            "marl.remote.actor:play",
            {"actors": counts.actors, "shards": counts.shards, "keys": of("actor")},
            counts.actors,
            environment=_SINGLE,
            anywhere=True,
        ),
        Role(
            "helper",
            "marl.remote.helper:help_learn",
            {**learning, "address": rendezvous, "keys": binding.own},
            0 if elsewhere else counts.learners - 1,
            restart="until_done",
            patience=SAVING,
            gpus=gpus,
            anywhere=True,
        ),
        Role(
            "learner",
            "marl.remote.learner:learn",
            {
                **learning,
                "updates": updates,
                "patience": patience,
                "addresses": doors,
                "keys": binding.server,
                "rendezvous": rendezvous,
            },
            restart="until_done",
            patience=SAVING,
            until=math.inf if until is None else until,
            gpus=gpus,
        ),
    ]


def _keys(binding: Binding, role: str, host: str | None) -> str | None:
    """The file of keys of a role: on other machines of a cluster nobody gets more than it needs."""
    if host is None or binding.folder is None:
        return binding.own
    return str(role_keys(binding.folder, f"cluster-{role}", role))
