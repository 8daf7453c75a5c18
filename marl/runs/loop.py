"""The loop that drives a run: it steps, and evaluates, logs and saves whenever it is time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from marl.acting.table import StoppedError
from marl.runs.checkpoint import CheckpointStore
from marl.runs.curve import save_curve
from marl.runs.monitor import Monitor
from marl.runs.saving import Interval, save
from marl.runs.serial import SerialRun

LOG_SECONDS = 5.0


def is_spent(run: SerialRun, end: float | None, updates: int | None) -> bool:
    """Whether a budget is: a time of the monotonic clock, a count of updates, or both."""
    return (end is not None and time.monotonic() >= end) or (
        updates is not None and run.learner.updates >= updates
    )


def drive(
    run: SerialRun,
    store: CheckpointStore,
    monitor: Monitor,
    over: Callable[[], bool],
    stopped: Callable[[], bool],
) -> None:
    """Steps a run until it is over; evaluates, logs and saves whenever it is time, and at the end.

    A new run is evaluated before its first step as well, and one that is stopped not at its end. An
    evaluation that somebody interrupts is given up. A budget that is spent while the run is
    evaluated makes that evaluation its last one; before the first step, there is none.

    Where there is no room for a checkpoint the run goes on, and the next one is tried in time.

    Args:
        run: as it stands.
        store: where checkpoints go.
        monitor: what shows and writes the metrics.
        over: asked before every step.
        stopped: whether somebody wants the run to end at once.

    Raises:
        OSError: if there is no room for the last checkpoint.
    """
    config = run.config
    replay_due = Interval(config.replay_minutes * 60)
    unsaved = moved = store.latest() is None
    logged = saved = time.monotonic()
    scored = -1  # the update of the newest evaluation
    evaluated = run.learner.updates // config.evaluate_interval
    if unsaved and not run.learner.updates:  # what it begins from
        scored = _score(run, monitor, over)
        moved = scored >= 0
    while not over():
        moves = run.env_steps
        learned = run.step()
        unsaved = moved = True
        monitor.count(env_steps=run.env_steps - moves, updates=learned)
        step, now = run.learner.updates, time.monotonic()
        if step // config.evaluate_interval > evaluated:
            evaluated = step // config.evaluate_interval
            scored = _score(run, monitor, stopped)
        elif now - logged >= LOG_SECONDS:
            logged = now
            monitor.log(step, run.learning_metrics())
        if now - saved >= config.checkpoint_minutes * 60:
            saved = now
            try:
                save(run, store, replay_due)
            except OSError as error:
                monitor.say(
                    f"the checkpoint of update {step:,} could not be saved ({error.strerror}); "
                    f"the run goes on, and the next is due in {config.checkpoint_minutes:g} min"
                )
            else:
                unsaved = False
    if unsaved:  # A checkpoint that is there already would only push out an older one.
        save(run, store, replay_due)
    ended = stopped() or scored == run.learner.updates
    if moved and (ended or _score(run, monitor, stopped) < 0):
        monitor.log(run.learner.updates, run.learning_metrics())


def _score(run: SerialRun, monitor: Monitor, stop: Callable[[], bool]) -> int:
    """Evaluates a run as it stands, and draws its curve anew.

    Returns:
        the update that it stands at, or -1 if it was to stop before the games had ended.
    """
    try:
        metrics = run.evaluation_metrics(stop)
    except StoppedError:
        monitor.say(f"the evaluation of update {run.learner.updates:,} was not played to its end")
        return -1
    monitor.log(run.learner.updates, metrics)
    with contextlib.suppress(OSError):  # That there is no room, the monitor has said.
        save_curve(monitor.run_dir, run.settings)
    return run.learner.updates


def say_resumed(monitor: Monitor, step: int) -> None:
    """Says from where a run goes on, and what of its curves goes because it is made again."""
    said = f"goes on from update {step:,}"
    if not step:
        said = "no update was saved before this run ended: it begins again at update 0"
    if monitor.dropped:
        said += f"; its curves are cut there, they had reached update {monitor.dropped:,}"
    monitor.say(said)
