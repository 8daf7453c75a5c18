"""A machine that others use too: evaluation and training alone, and beside a busy process a core.

The busy processes do nothing but count, at the same priority. Two of them on two cores leave half
of the machine, and what is measured here should lose about that and not more: threads that wait for
each other by spinning lose nearly all of it. Each figure is taken in turns, alone and beside.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from games.settings import Setting
from marl.acting.evaluate import evaluate
from marl.acting.table import admit
from marl.lanes import available, prepare_process
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.roster import load
from marl.runs.serial import SerialRun
from scripts.bench import Row

SETTING = Setting("hanabi", 2)
TURNS = 3
"""How often each figure is taken; medians count."""
PEER = "alone"


def run(seconds: float) -> Iterator[Row]:
    """Measures."""
    prepare_process()
    share = seconds / (3 * 2 * TURNS)
    for what, unit, measure in (
        ("evaluation of hanabi-2p", "games/s", _evaluation),
        ("acting, 16 rows at a time", "calls/s", _acting),
        ("training", "updates/s", _training),
    ):
        rate = measure()
        rate(0.1)  # compiles
        alone, beside = list[float](), list[float]()
        for _ in range(TURNS):
            alone.append(rate(share))
            with _busy(available()):
                beside.append(rate(share))
        quiet, loaded = statistics.median(alone), statistics.median(beside)
        yield Row(what, quiet, unit)
        yield Row(
            f"{what}, beside {available()} busy processes", loaded, unit, PEER, loaded / quiet
        )


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Processes that take whatever they are given."""
    crew = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in crew:
            each.kill()
        for each in crew:
            each.wait()


def _evaluation() -> Callable[[float], float]:
    policy = load("hanabi-2p").policy

    def rate(seconds: float) -> float:
        start, games = time.perf_counter(), 0
        while not games or time.perf_counter() - start < seconds:
            games += len(evaluate(policy, SETTING, 1000, seed=1 + games))
        return games / (time.perf_counter() - start)

    return rate


def _acting() -> Callable[[float], float]:
    from marl.acting.table import observe

    game = SETTING.batched(16, 1)
    agent = R3D2Agent(R3D2Config(), game.phrasebook, 1)
    admit(agent, game)
    memory = np.zeros((16, agent.memory_size), np.float32)

    def rate(seconds: float) -> float:
        start, calls = time.perf_counter(), 0
        while not calls or time.perf_counter() - start < seconds:
            agent.act(observe(game), memory)
            calls += 1
        return calls / (time.perf_counter() - start)

    return rate


def _training() -> Callable[[float], float]:
    training = SerialRun(TrainConfig(warm_up=500, actor=ActorConfig(num_games=256)))

    def rate(seconds: float) -> float:
        start, before = time.perf_counter(), training.learner.updates
        while training.learner.updates == before or time.perf_counter() - start < seconds:
            training.step()
        return (training.learner.updates - before) / (time.perf_counter() - start)

    return rate
