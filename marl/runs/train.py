"""A training run from its beginning, or from where it was, to the end of its budget."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from marl.lanes import prepare_process
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import CONFIG_FILE, TrainConfig, load_config, to_dict
from marl.runs.curve import CURVE_FILE
from marl.runs.loop import drive, is_spent, say_resumed
from marl.runs.monitor import Monitor
from marl.runs.roster import refuse_export
from marl.runs.saving import refuse_second, restore, write_config
from marl.runs.serial import SerialRun
from transport.claim import Claim
from transport.exporter import Exporter, Exporting
from transport.signals import StopFlag


def train(
    config: TrainConfig,
    run_dir: Path,
    *,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    device: str = "cpu",
    metrics: Exporting | None = None,
) -> SerialRun:
    """Trains until the budget is spent or somebody interrupts, and leaves a resumable run.

    Args:
        config: of the run; with ``resume``, that of the run resumed (see ``load_config``).
        run_dir: where configuration, checkpoints and curves go.
        minutes: wall-clock budget of this call, start-up and compilation included.
        updates: update count at which to stop; with both, whichever comes first.
        resume: continue from the newest checkpoint in ``run_dir``.
        device: where the network learns.
        metrics: where it offers its figures, if it does.

    Returns:
        the run as it stands, its checkpoint saved.

    Raises:
        ValueError: if there is no budget, or ``run_dir`` holds a run and ``resume`` is not set, or
            holds none and it is.
    """
    start = time.monotonic()
    prepare_process()
    if minutes is None and updates is None:
        raise ValueError("training needs a budget: give minutes, updates or both")
    if metrics is not None:
        metrics.check(1)
    store = CheckpointStore(run_dir / "checkpoints", keep=config.keep_checkpoints)
    refuse_export(run_dir)
    if not resume:
        refuse_second(run_dir)
    elif load_config(run_dir) != config:
        raise ValueError(
            f"the run in {run_dir} was started with another configuration than it is to be "
            f"continued with: resume with what its {CONFIG_FILE} says"
        )
    with contextlib.ExitStack() as stack:
        if resume:
            stack.enter_context(Claim(run_dir))
            store.sweep()
        run = SerialRun(config, device)
        step = restore(run, store)
        if not resume:  # Nothing is left behind by a run that cannot be.
            stack.enter_context(Claim(run_dir))
            refuse_second(run_dir)
            write_config(config, run_dir)
        if metrics is not None:
            stack.enter_context(Exporter(metrics, run_dir, "learner", "learner"))
        stopped = stack.enter_context(StopFlag())
        monitor = stack.enter_context(
            Monitor(
                run_dir,
                seconds=None if minutes is None else minutes * 60,
                resume_step=step if resume else None,
            )
        )
        if resume:
            say_resumed(monitor, step)
        if updates is not None and step >= updates:
            monitor.say(f"it has {step:,} updates already: nothing is left to do")
        monitor.say(
            f"{sum(p.numel() for p in run.agent.parameters()):,} parameters, "
            f"{len(run.agent.facts.ids):,} facts and {len(run.agent.choices.ids)} choices in "
            f"{len(run.settings)} setting{'s' * (len(run.settings) > 1)}; "
            f"curves: {run_dir / CURVE_FILE}, tensorboard --logdir {run_dir.parent}"
        )
        if not resume:
            monitor.describe(to_dict(config))
        end = None if minutes is None else start + minutes * 60

        def over() -> bool:
            return stopped() or is_spent(run, end, updates)

        drive(run, store, monitor, over, stopped)
        if stopped():
            monitor.say(f"interrupted; go on with --resume --run-dir {run_dir}")
    return run
