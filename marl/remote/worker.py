"""A worker's process: answers what actors ask, with the newest weights of the learner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from agents.r3d2.agent import R3D2Agent
from games.text import shared
from marl.acting.table import admit
from marl.lanes import prepare_process
from marl.remote.policy import serve_policy, wait_for, warm_up
from marl.runs.config import PHRASES_FILE, load_config
from transport.binding import client_keys
from transport.connection import Published
from transport.keys import ClientKeys
from transport.relay import HOST_FOLDER, HostSubscriber
from transport.weights import Subscriber


def answer(
    run_dir: Path, number: int, stop: Callable[[], bool], *, keys: str | None = None
) -> None:
    """A worker's process: answers with the newest weights that the learner has published.

    Args:
        run_dir: the run.
        number: the worker's.
        stop: asked several times a second.
        keys: the worker's file of keys, if the run has any.
    """
    prepare_process()
    own = client_keys(keys)
    config = load_config(run_dir)
    playing = [setting.batched(1) for setting in config.settings()]
    book = shared([game.phrasebook for game in playing], run_dir / PHRASES_FILE)
    agent = R3D2Agent(config.agent, book, config.seed)
    for game in playing:
        admit(agent, game)
    weights = _follow(run_dir, stop, agent, own)
    if weights is None:
        return
    with contextlib.closing(weights):
        warm_up(agent, playing[-1])
        serve_policy(
            agent,
            agent.phrasebook,
            run_dir,
            stop,
            number=number,
            about={"games": config.games},
            weights=weights,
            load=agent.load,
            keys=own,
        )


def _follow(
    run_dir: Path, stop: Callable[[], bool], agent: R3D2Agent, keys: ClientKeys | None = None
) -> Subscriber | None:
    """Where newer weights come from, once the agent has its first; None if it is to stop before.

    The learner has to get ready, too.

    Raises:
        RefusedError: if the learner does not let this worker in.
    """
    if wait_for(run_dir, "weights", stop) is None:
        return None
    weights: Subscriber
    if (run_dir / HOST_FOLDER).exists():
        weights = HostSubscriber(run_dir, keys=keys)
    else:
        weights = Subscriber(Published(run_dir, "weights"), keys=keys)
    while not stop():
        with contextlib.suppress(TimeoutError):
            agent.load(*weights.latest(timeout=0.5))
            return weights
    weights.close()
    return None
