"""A worker's process: answers what actors ask, with the newest weights of the learner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from agents.r3d2.agent import R3D2Agent
from games.text import shared
from marl.learning.lanes import prepare_process
from marl.remote.policy import serve_policy, wait_for, warm_up
from marl.runs.config import PHRASES_FILE, load_config
from marl.runs.roster import admit
from transport.weights import Subscriber


def answer(run_dir: Path, number: int, stop: Callable[[], bool]) -> None:
    """A worker's process: answers with the newest weights that the learner has published.

    Args:
        run_dir: the run.
        number: the worker's.
        stop: asked several times a second.
    """
    prepare_process()
    config = load_config(run_dir)
    playing = [setting.batched(1) for setting in config.settings()]
    book = shared([game.phrasebook for game in playing], run_dir / PHRASES_FILE)
    agent = R3D2Agent(config.agent, book, config.seed)
    for game in playing:
        admit(agent, game)
    endpoint = wait_for(run_dir, "weights", stop)
    if endpoint is None:
        return
    with contextlib.closing(Subscriber(endpoint)) as weights:
        while not stop():
            with contextlib.suppress(TimeoutError):  # The learner has to get ready, too.
                agent.load(*weights.latest(timeout=0.5))
                break
        else:
            return
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
        )
