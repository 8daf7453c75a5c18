"""A machine that others use too: evaluation and training alone, and beside a busy process a core.

The busy processes do nothing but count, at the same priority. Two of them on two cores leave half
of the machine, and what is measured here should lose about that and not more: threads that wait for
each other by spinning lose nearly all of it. Each figure is taken in turns, alone and beside.

That ratio holds where nobody else uses the machine: where others take the cores alone is not alone,
so it is said how many they took. What is done in a second of processor time stays what it is.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import psutil

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


@dataclass(frozen=True)
class Figure:
    """What was measured in one turn.

    Attributes:
        rate: things done in a second.
        each: things done in a second of our processor time.
        busy: cores that the busy processes had.
        others: cores that everybody else had.
    """

    rate: float
    each: float
    busy: float
    others: float


def run(seconds: float) -> Iterator[Row]:
    """Measures.

    Raises:
        RuntimeError: if the busy processes did not run.
    """
    prepare_process()
    share, cores = seconds / (3 * 2 * TURNS), available()
    for what, thing, measure in (
        ("evaluation of hanabi-2p", "games", _evaluation),
        ("acting, 16 rows at a time", "calls", _acting),
        ("training", "updates", _training),
    ):
        rate = measure()
        rate(0.1)  # compiles
        alone, beside = list[Figure](), list[Figure]()
        for _ in range(TURNS):
            alone.append(_figure(rate, share, 0))
            beside.append(_figure(rate, share, cores))
        quiet, loaded = _median(alone), _median(beside)
        name = f"{what}, beside {cores} busy processes"
        yield Row(what, quiet.rate, f"{thing}/s")
        yield Row(name, loaded.rate, f"{thing}/s", PEER, loaded.rate / quiet.rate)
        ratio = loaded.each / quiet.each
        yield Row(f"{name}, of processor time", loaded.each, f"{thing}/s", PEER, ratio)
        yield Row(f"{what}: taken by others, alone", quiet.others, f"of {cores} cores")
        yield Row(f"{what}: taken by the busy processes", loaded.busy, f"of {cores} cores")


def _figure(rate: Callable[[float], float], seconds: float, count: int) -> Figure:
    """Measures once, beside so many busy processes."""
    with _busy(count) as crew:
        before, start = _taken(crew), time.perf_counter()
        value = rate(seconds)
        wall = time.perf_counter() - start
        all_, own, busy = (now - then for now, then in zip(_taken(crew), before, strict=True))
    if count and busy < 0.01 * wall:
        raise RuntimeError(f"the busy processes ran for {busy:.2f} s of {wall:.2f}")
    return Figure(value, value * wall / own, busy / wall, max(0.0, all_ - own - busy) / wall)


def _median(turns: Sequence[Figure]) -> Figure:
    """The median of each figure."""
    columns = zip(*map(astuple, turns), strict=True)
    return Figure(*map(statistics.median, columns))


def _taken(crew: Sequence[psutil.Process]) -> tuple[float, float, float]:
    """Seconds of processor time that were taken by all, by this process, and by others of ours."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "steal", 0.0)
    # Linux counts guests' time in that of users, too.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    crews = sum(sum(process.cpu_times()[:2]) for process in crew)
    return sum(times) - idle - guests, time.process_time(), crews


@contextlib.contextmanager
def _busy(count: int) -> Iterator[list[psutil.Process]]:
    """Processes that take whatever they are given."""
    crew = [psutil.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield crew
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
