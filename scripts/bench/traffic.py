"""Traffic: bytes and processor time of all that travels in a run of several machines.

Two-player Hanabi with the default agent: what an observation, its answer, a sequence and a version
of the weights weigh, and what it costs to play, to infer and to learn. Times are of the processor,
all threads together, so that they can be taken beside other work; docs/scaling.md reckons with
them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.bench import Row
from transport import wire
from transport.wire import Header, Kind, Tensors

if TYPE_CHECKING:
    from agents.core import Observations
    from games.text import Phrasebook

ROWS = 256
"""Observations of a request: the games of one of the two halves of an actor."""


def run(seconds: float) -> Iterator[Row]:
    """Weighs and measures."""
    from marl.acting.table import observe_as
    from marl.episodes import Episodes
    from marl.remote.policy import request
    from marl.remote.replay import tensors_of
    from marl.runs.config import ActorConfig, TrainConfig
    from marl.runs.serial import SerialRun

    config = TrainConfig(actor=ActorConfig(num_games=ROWS), warm_up=2 * ROWS)
    training = SerialRun(config)
    (actor,), played = training.actors, list[Episodes]()
    actor.insert = played.append
    while sum(map(len, played)) < 2 * ROWS:
        actor.step()
    player, sequences = training.player, sum(map(len, played))
    observations = observe_as(player, actor.game)
    memory = np.zeros((len(observations), player.memory_size), np.float32)
    asked = request(observations, memory)
    chosen, values, _ = player.act(observations, memory)
    width = asked["choices"].shape[1]
    answer: dict[str, Any] = {"choices": chosen, "values": values[:, :width], "memory": memory}
    weights = {name: np.asarray(tensor) for name, tensor in training.weights.latest()[1].items()}
    yield Row("an observation that is asked about", _weigh(asked) / ROWS, "bytes")
    yield Row("its answer", _weigh(answer) / ROWS, "bytes")
    heavy = sum(_weigh(tensors_of(episodes)) for episodes in played)
    steps = sum(episodes.steps for episodes in played)
    yield Row("an own turn in a sequence", heavy / steps, "bytes")
    yield Row("own turns of a sequence", steps / sequences, "")
    yield Row("a version of the weights", _weigh(weights) / 2**20, "MiB")
    for episodes in played:
        training.replay.insert(episodes)
    yield Row("an own turn in replay", training.replay.nbytes / steps, "bytes")
    share = seconds / 4
    updating = _cost(training.learner.update, share)
    yield Row("an update", 1e3 * updating, "ms of a core")
    yield Row("learning", 1e6 * updating / config.learner.batch, "us of a core a sequence")
    inferring = _cost(lambda: player.act(observations, memory), share)
    yield Row("inference", 1e6 * inferring / ROWS, "us of a core a move")
    frames = wire.encode(Header(Kind.REQUEST), asked)
    passing = _cost(lambda: wire.inspect(frames), share / 8)
    yield Row(f"checking a request of {ROWS} observations", 1e6 * passing, "us of a core")
    idle = _Idle(player.memory_size, player.phrasebook)
    actor.policy, actor.table.policies = idle, (idle,)
    yield Row("playing", 1e6 * _cost(actor.step, share) / ROWS, "us of a core a move")


class _Idle:
    """Makes the first choice there is, and thinks nothing of it."""

    version = 0

    def __init__(self, memory_size: int, phrasebook: Phrasebook | None) -> None:
        self.memory_size, self.phrasebook = memory_size, phrasebook

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Nothing is computed."""
        places = np.arange(observations.choices.shape[1])
        there = places < observations.choice_counts[:, None]
        values = np.where(there, np.float32(0), np.float32(-np.inf))
        return np.zeros(len(observations), np.int64), values, memory


def _weigh(tensors: Tensors) -> int:
    """Bytes of a message."""
    return sum(map(len, wire.encode(Header(Kind.REQUEST), tensors)))


def _cost(call: Callable[[], object], seconds: float) -> float:
    """Seconds of the processor that a call takes, the median of as many as fit, after one."""
    call()
    costs, end = list[float](), time.perf_counter() + seconds
    while len(costs) < 3 or time.perf_counter() < end:
        began = time.process_time()
        call()
        costs.append(time.process_time() - began)
    return statistics.median(costs)
