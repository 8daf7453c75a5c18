"""Two learners with half the batch each take the steps of one with the whole."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from marl.episodes import concatenate
from marl.learning.group import Alone, Learners
from marl.learning.learner import Learner
from marl.learning.weights import LocalWeights
from tests.marl.learning.test_learner import (
    AGENT,
    CHOICES,
    CONFIG,
    FACTS,
    LABELS,
    Exact,
    Script,
    make_book,
    random_episodes,
)

BATCHES, HALF, UPDATES = 5, 3, 100


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def learner(rank: int, group: Learners | None = None) -> Learner:
    """One that learns from a half of every batch (rank 0 or 1), or from all of it (-1)."""
    rng = np.random.default_rng(5)
    agent = Exact(AGENT, make_book(), seed=4)
    agent.admit(range(FACTS), range(FACTS, FACTS + CHOICES), LABELS)
    batches = []
    for _ in range(BATCHES):
        # The halves differ in their number of steps: the loss is a mean over those of both.
        halves = [
            random_episodes(rng, lengths, agent.memory_size) for lengths in ([3, 2, 7], [4, 1, 2])
        ]
        batches.append(concatenate(halves) if rank < 0 else halves[rank])
    script = Script(
        batches,
        np.linspace(1.0, 0.4, len(batches[0]))
        if rank < 0
        else np.linspace(1.0, 0.4, 2 * HALF)[rank * HALF : (rank + 1) * HALF],
    )
    # Adam's own epsilon would make much of rounding wherever a gradient is next to nothing.
    config = replace(
        CONFIG, batch=2 * HALF, refresh_interval=3, target_interval=10, lanes=1, adam_eps=0.01
    )
    return Learner(agent, script, LocalWeights(), config, group=group)


def work(rank: int, address: str, folder: Path) -> None:
    """A learner's process."""
    torch.set_num_threads(1)
    group = Learners(rank, 2, address)
    one = learner(rank, group)
    for _ in range(UPDATES):
        assert group.say(1) == 1
        one.update()
    state = {"number": np.arange(3) * rank} | dict(one.agent.state_dict())
    shared, plain = group.share(state, {"rank": rank})
    assert plain == {"rank": 0}
    assert (shared["number"] == 0).all()
    # The same bits on both sides.
    assert all((shared[k] == v.numpy()).all() for k, v in one.agent.state_dict().items())
    assert not group.all(rank == 0)
    assert group.total(rank + 5) == 11
    np.savez(
        folder / f"rank-{rank}.npz", **{k: v.numpy() for k, v in one.agent.state_dict().items()}
    )
    group.close()


@pytest.mark.timeout(240)
def test_two_with_half_the_batch_take_the_steps_of_one_with_the_whole(tmp_path: Path) -> None:
    address = free_address()
    code = (
        "import sys; from pathlib import Path; from tests.marl.learning.test_group import work; "
        "work(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(rank), address, str(tmp_path)])
        for rank in range(2)
    ]
    torch.set_num_threads(1)
    one = learner(-1)
    start = {name: tensor.clone() for name, tensor in one.agent.state_dict().items()}
    for _ in range(UPDATES):
        one.update()
    assert [process.wait(200) for process in processes] == [0, 0]
    moved, apart = 0.0, 0.0
    for rank in range(2):
        theirs = np.load(tmp_path / f"rank-{rank}.npz")
        for name, tensor in one.agent.state_dict().items():
            apart = max(apart, float(np.abs(theirs[name] - tensor.numpy()).max()))
            moved = max(moved, float((tensor - start[name]).abs().max()))
    assert moved > 0.01
    assert apart < 1e-3 * moved


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    class Three(Alone):
        size = 3

    agent = Exact(AGENT, make_book(), seed=4)
    with pytest.raises(ValueError, match="batch=8 cannot be shared by 3 learners"):
        Learner(agent, Script([]), LocalWeights(), replace(CONFIG, batch=8), group=Three())
    growing = Exact(AGENT, make_book(closed=False), seed=4)
    with pytest.raises(ValueError, match="learned by one learner"):
        Learner(growing, Script([]), LocalWeights(), CONFIG, group=Three())


def test_alone_nothing_changes() -> None:
    alone, tensors = Alone(), [torch.ones(2), None]
    assert alone.add(tensors, [torch.ones(2), torch.ones(3)]) == tensors
    assert (alone.total(3), alone.all(True), alone.all(False)) == (3, True, False)
