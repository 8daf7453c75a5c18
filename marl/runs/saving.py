"""A run on disk: its folder, how it is saved, and how it goes on."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path

from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import CONFIG_FILE, TrainConfig, to_dict
from marl.runs.roster import starting_weights
from marl.runs.serial import SerialRun
from marl.runs.state import flatten, unflatten


def refuse_second(run_dir: Path) -> None:
    """Raises ValueError where a folder holds a run already."""
    if (run_dir / CONFIG_FILE).exists():
        raise ValueError(
            f"{run_dir} holds a run already: continue it with --resume, or choose another --run-dir"
        )


def write_config(config: TrainConfig, run_dir: Path) -> None:
    """Makes a folder a run's."""
    run_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_dict(config), indent=2) + "\n"
    # Whole or absent: a run whose configuration cannot be read cannot be resumed.
    temporary = run_dir / f"{CONFIG_FILE}.tmp"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(run_dir / CONFIG_FILE)


def restore(run: SerialRun, store: CheckpointStore) -> int:
    """Loads the newest checkpoint and returns its step; 0 where the run has none yet.

    Raises:
        ValueError: if a run without a checkpoint is to start from weights that it cannot have.
    """
    try:
        saved = store.load()
    except FileNotFoundError:
        # Nothing was ever saved; damaged checkpoints are an error, not a fresh start.
        if run.config.start:
            run.learner.start_from(starting_weights(run.config))
            run.player.load(*run.weights.latest())
    else:
        state = unflatten(*saved)
        if "replay" not in state:
            with contextlib.suppress(FileNotFoundError):
                state["replay"] = unflatten(*_replay_store(store).load())
        run.load_state(state)
    return run.learner.updates


def save(run: SerialRun, store: CheckpointStore, replay_due: Interval) -> None:
    """Saves a run as it stands, and its replay beside it where that is due by itself.

    Raises:
        OSError: if there is no room.
    """
    state = run.state()
    if replay_due.seconds:
        # Replay lies beside the checkpoints, which would carry it away when they are removed.
        replay = state.pop("replay")
        if len(run.replay) and replay_due():
            _replay_store(store).save(run.learner.updates, *flatten(replay))
    store.save(run.learner.updates, *flatten(state))


def _replay_store(store: CheckpointStore) -> CheckpointStore:
    """Where replay is saved by itself, beside the checkpoints."""
    return CheckpointStore(store.folder.with_name("replay"), keep=1)


class Interval:
    """Says when something is due again; at first it is.

    Args:
        seconds: between two times.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._next = -math.inf

    def __call__(self) -> bool:
        """Whether it is due; it counts as done then."""
        if (now := time.monotonic()) < self._next:
            return False
        self._next = now + self.seconds
        return True
