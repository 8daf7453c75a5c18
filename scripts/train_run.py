"""One run of ``troupe train``, in one process or in several."""

from __future__ import annotations

from pathlib import Path

from marl.runs.train import train
from scripts.arguments import exporting
from scripts.train_options import DEFAULT_MINUTES, Train


def run(options: Train) -> None:
    """Trains one run as its options say, and says where it is."""
    minutes = options.minutes
    if minutes is None and options.updates is None:
        minutes = DEFAULT_MINUTES
    if options.workers:
        _train_distributed(options, minutes)
        return
    done = train(
        options.config,
        options.run_dir,
        minutes=minutes,
        updates=options.updates,
        resume=options.resume,
        device=options.device,
        metrics=exporting(options.metrics_port, options.metrics_host),
    )
    _tell(options.run_dir, done.learner.updates, done.env_steps)


def _train_distributed(options: Train, minutes: float | None) -> None:
    """Trains in several processes; sockets are loaded only where there are any."""
    from marl.remote.crew import listening
    from marl.remote.driver import train_distributed
    from marl.remote.helper import help_learn, torchrun, was_restarted
    from transport.binding import parse_binding
    from transport.keys import own_keys
    from transport.launch import ProcessDiedError
    from transport.signals import StopFlag

    rank, size = torchrun()
    if rank:
        with StopFlag() as stop:
            help_learn(
                options.run_dir,
                rank - 1,
                stop,
                learners=size,
                address="env://",
                shards=options.replay_shards,
                device=options.device,
                keys=None if options.keys is None else str(own_keys(options.keys)),
            )
        return
    binding = None
    if options.bind or options.keys or options.cluster in (None, "auto"):
        roles = listening(options.replay_shards, options.brokers)
        binding = parse_binding(options.bind, roles, host=options.advertise, keys=options.keys)
    try:
        done = train_distributed(
            options.config,
            options.run_dir,
            workers=options.workers,
            actors=options.actors,
            minutes=minutes,
            updates=options.updates,
            resume=options.resume or was_restarted(),
            device=options.device,
            patience=options.patience,
            binding=binding,
            shards=options.replay_shards,
            learners=max(options.learners, size),
            metrics=exporting(options.metrics_port, options.metrics_host),
            brokers=options.brokers,
            cluster=options.cluster,
        )
    except ProcessDiedError as error:
        raise ValueError(str(error)) from error
    _tell(options.run_dir, done.updates, done.env_steps)


def _tell(run_dir: Path, updates: int, env_steps: int) -> None:
    print(
        f"{updates:,} updates and {env_steps:,} moves are saved in {run_dir}. "
        f"To see what it plays like: troupe evaluate {run_dir}"
    )
