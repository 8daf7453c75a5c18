"""A training run in several processes, any of which may die.

======== ==========================================================================================
process  what it does
======== ==========================================================================================
driver   starts the others, starts again what has died, and shows what the learner says
learner  holds replay and takes in what was played, updates, saves, and publishes weights
helper   computes gradients beside the learner, where there are several of them
shard    holds a part of replay, where that is to have processes of its own
broker   hands what actors observe to workers, and their answers back (``transport.broker``)
worker   holds the newest weights and answers; several share the work
actor    plays two halves of its games: while one waits for its moves, the other is stepped
======== ==========================================================================================

The driver is this module; learner, worker and actor are those beside it, and who they are stands in
``marl.remote.crew``. They are children of the driver, or Ray places them on the machines of a
cluster (``transport.cluster``). Actor, learner, limiter,
monitor and checkpoints are those of ``marl.runs.train``, with the remote sides of the seams
between them. What is learned now depends on the clock: which weights chose a move, and when a
sequence arrived. All else is as in one process: run directory, configuration, curves and resume.

A learner that was killed goes on from its last checkpoint, replay included. What its actors had
inserted since is counted as rolled back; the ledger shows that nothing was lost and nothing
inserted twice (``marl.remote.replay``). Games that were being played begin anew with their actor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from marl.remote.crew import PREPARE, Counts, crew, open_binding
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import CONFIG_FILE, TrainConfig, load_config, to_dict
from marl.runs.monitor import read_metrics
from marl.runs.roster import find_partners, refuse_export, starting_weights
from marl.runs.saving import refuse_second, write_config
from transport.binding import Binding, server_keys
from transport.claim import Claim
from transport.cluster import LOCAL, Cluster, load_ray
from transport.endpoints import FileEndpoints
from transport.exporter import Exporting
from transport.launch import Supervisor
from transport.registry import ROLE as REGISTRY
from transport.registry import Registry
from transport.signals import StopFlag

PATIENCE = 300.0
"""Seconds that the learner waits for a sequence before it gives the run up, by default."""


@dataclass(frozen=True)
class Trained:
    """How far a run has come, by its newest checkpoint."""

    updates: int
    env_steps: int


def train_distributed(
    config: TrainConfig,
    run_dir: Path,
    *,
    workers: int,
    actors: int = 1,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    device: str = "cpu",
    lease: float = 10.0,
    patience: float = PATIENCE,
    binding: Binding | None = None,
    shards: int = 0,
    learners: int = 1,
    metrics: Exporting | None = None,
    brokers: int = 1,
    cluster: str | None = None,
) -> Trained:
    """Trains like ``marl.runs.train.train``, in processes of its own.

    Args:
        config: of the run; with ``resume``, that of the run resumed.
        run_dir: where configuration, checkpoints, curves and logs go.
        workers: processes that infer.
        actors: processes that play; the games are shared among them.
        minutes: wall-clock budget of this call, start-up included.
        updates: update count at which to stop.
        resume: continue from the newest checkpoint in ``run_dir``.
        device: where the network learns; workers are on the processor.
        lease: seconds that a worker has to answer, before another is asked.
        patience: seconds that the learner waits for a sequence before it gives the run up.
        binding: where its parts listen, so that other machines can join; None for this one only.
        shards: processes that hold replay; 0 for the learner's own.
        learners: processes that compute gradients of a part of each batch; they need shards. With
            ``torchrun`` they are its processes.
        metrics: where its processes offer their figures, if they do.
        brokers: that share the pool's clients and workers; each needs a worker.
        cluster: the address of the Ray cluster on whose machines they are placed, or ``auto`` for
            one of this machine; None for children of this process.

    Raises:
        ValueError: if there is no budget or an argument is out of range, there is no such cluster,
            ``run_dir`` holds a run
            and ``resume`` is not set, or holds none and it is, or another run lives there.
        ProcessDiedError: if a process keeps dying, or nothing arrives that could be learned from.
    """
    until = None if minutes is None else time.monotonic() + 60 * minutes
    if until is None and updates is None:
        raise ValueError("training needs a budget: give minutes, updates or both")
    counts = Counts(workers, actors, shards, learners, brokers)
    if config.learner.batch % learners:
        raise ValueError(
            f"learner.batch={config.learner.batch} cannot be shared by {learners} learners: choose "
            "a multiple"
        )
    _refuse(config, run_dir, resume)
    if cluster is not None:
        _refuse_cluster(cluster, config)
    if resume and updates is not None and (done := progress(run_dir)).updates >= updates:
        print(f"{run_dir} has {done.updates:,} updates: nothing is left to do", file=sys.stderr)
        return done
    with ExitStack() as stack:
        claim = stack.enter_context(Claim(run_dir))
        if not resume:
            refuse_second(run_dir)  # Nobody else can make it a run's from here on.
        placed = None
        if cluster is not None:
            gpus = counts.learners * float(device == "cuda")
            placed = stack.enter_context(Cluster(cluster, run_dir, counts.cpus, gpus))
        if not resume:
            write_config(config, run_dir)
        if placed is not None:
            placed.files[CONFIG_FILE] = (run_dir / CONFIG_FILE).read_text()
            if binding is None and cluster != LOCAL:
                binding = open_binding(placed.host, run_dir / "keys", counts)
        binding = binding or Binding()
        processes = crew(
            counts,
            binding,
            updates=updates,
            until=until,
            device=device,
            lease=lease,
            patience=patience,
            host=None if placed is None else placed.host,
        )
        about = {
            "config": to_dict(config),
            "actors": actors,
            "shards": shards,
            "troupe": version("troupe"),
        }
        if metrics is not None:
            metrics.check(1 + sum(role.count for role in processes))
        start = None
        if placed is not None:
            placed.reserve(processes)
            start = placed.start
        supervise = partial(
            Supervisor,
            run_dir,
            processes,
            claim=claim,
            metrics=metrics,
            start=start,
            prepare=PREPARE,
        )
        _drive(run_dir, supervise, placed, lambda: _registry(run_dir, binding, about))
    return progress(run_dir)


def _refuse_cluster(address: str, config: TrainConfig) -> None:
    """Raises ValueError where a run cannot be placed on a cluster."""
    load_ray(address)
    if address != LOCAL and not all(
        setting.batched(1).phrasebook.closed for setting in config.settings()
    ):
        raise ValueError(
            f"{', '.join(config.games)} has a phrasebook that grows, which processes share through "
            "the folder of the run: train it on one machine (--cluster auto, or none)"
        )


def progress(run_dir: Path) -> Trained:
    """How far the run in a directory has come."""
    updates = CheckpointStore(run_dir / "checkpoints").latest() or 0
    env_steps = 0.0
    for entry in read_metrics(run_dir):
        if entry["step"] <= updates:
            env_steps = entry.get("act/env_steps") or env_steps
    return Trained(updates, int(env_steps))


def _refuse(config: TrainConfig, run_dir: Path, resume: bool) -> None:
    """Raises ValueError for what cannot be trained, before anything is begun."""
    refuse_export(run_dir)
    settings = config.settings()
    playing = [setting.batched(1) for setting in settings]  # Refuses what cannot be played.
    find_partners(config.partners, settings, playing)
    if config.learner.off_belief:
        raise ValueError("learner.off_belief is learned in one process: leave out --workers")
    if not resume:
        refuse_second(run_dir)
        if config.start:
            starting_weights(config)
    elif load_config(run_dir) != config:
        raise ValueError(f"the run in {run_dir} was started with another configuration")
    if config.imitate and config.imitation.share(progress(run_dir).updates) > 0:
        raise ValueError(
            f"{config.imitate} is imitated in one process: begin without workers, and resume with "
            "them once the agent plays by itself"
        )


def _registry(run_dir: Path, binding: Binding, about: Mapping[str, Any]) -> Registry | None:
    """Who tells other machines where the parts of the run are, if any may join."""
    if not binding.is_open:
        return None
    address = binding.address(REGISTRY)
    registry = Registry(run_dir, address, about=about, keys=server_keys(binding.server))
    where = FileEndpoints(run_dir, outside=True).address(REGISTRY)
    print(f"other machines join at {where} (see troupe join --help)", file=sys.stderr, flush=True)
    return registry


def _drive(
    run_dir: Path,
    start: Callable[[], Supervisor],
    cluster: Cluster | None,
    open_to_others: Callable[[], Registry | None],
) -> None:
    """Keeps the processes going until the learner is done or somebody interrupts."""
    log = run_dir / "logs" / "learner.log"
    shown = log.stat().st_size if log.exists() else 0
    try:
        with ExitStack() as stack:
            stop = stack.enter_context(StopFlag())
            crew = stack.enter_context(start())
            if (registry := open_to_others()) is not None:
                stack.callback(registry.close)
            while not stop() and not crew.done("learner"):
                for news in (*crew.check(), *(cluster.news() if cluster else ())):
                    print(news, file=sys.stderr, flush=True)
                shown = _show(log, shown)
                if registry is None:
                    time.sleep(0.05)
                else:
                    registry.poll(0.05)
    finally:
        _show(log, shown)


def _show(log: Path, shown: int) -> int:
    """Passes on what was added to a log; returns how far it has been shown."""
    if not log.exists():
        return shown
    with log.open("rb") as file:
        file.seek(shown)
        text = file.read()
    if text:
        sys.stderr.write(text.decode(errors="replace"))
        sys.stderr.flush()
    return shown + len(text)
