"""A learner's helper: computes the gradients of its part of every batch (``marl.learning.group``).

It has what the learner, rank 0, has: the network, its optimiser, and the shards of replay to draw
from. It makes an update when rank 0 says so. When one of them dies, all of them end with an error
and are started again, and go on from the newest checkpoint, which rank 0 hands to the others.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from marl.lanes import prepare_process
from marl.learning.group import STOP, Learners
from marl.remote.learner import LearnerRun
from marl.remote.policy import wait_for
from marl.remote.shard import draws
from marl.replay.sharded import ShardGoneError
from marl.runs.config import load_config
from marl.runs.state import unflatten
from transport.binding import Binding


def help_learn(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    learners: int,
    address: str,
    shards: int,
    device: str = "cpu",
    keys: str | None = None,
) -> None:
    """A helper's process.

    Args:
        run_dir: the run.
        number: the helper's; its rank is one more.
        stop: asked until the others are there; from then on rank 0 says when it is over.
        learners: how many learn together, rank 0 included.
        address: where rank 0 waits (see ``marl.learning.group.Learners``).
        shards: processes that hold replay.
        device: where the network learns.
        keys: the file of a host's keys, if the run has any.

    Raises:
        RuntimeError: if one of the others has gone.
    """
    prepare_process()
    if wait_for(run_dir, draws(0), stop) is None:
        return
    group = Learners(number + 1, learners, address, device)
    binding = Binding(file=None if keys is None else Path(keys))
    run = LearnerRun(load_config(run_dir), run_dir, device, binding, shards, group)
    with contextlib.closing(run):
        run.learner.load_state(unflatten(*group.share({}, {})))
        # Told to stop, it goes on until rank 0 has made its last update, and saved it.
        while group.say(0) != STOP:
            run.hear_shards()
            with contextlib.suppress(ShardGoneError):
                run.learner.update()


def free_address(host: str = "127.0.0.1") -> str:
    """Where rank 0 may wait for others, at an address of this machine."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return f"tcp://{host}:{probe.getsockname()[1]}"


def torchrun() -> tuple[int, int]:
    """Rank and number of the processes that ``torchrun`` has started; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def was_restarted() -> bool:
    """Whether ``torchrun`` has started all of them again, since one had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
