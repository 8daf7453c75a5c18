"""What is too old is skipped and counted, and nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.r3d2.config import R3D2Config
from marl.episodes import concatenate
from marl.learning.config import LearnerConfig
from marl.learning.mixing import IQL
from marl.learning.staleness import ages, mean_age, split
from marl.learning.weights import KEPT, LaggedWeights
from marl.replay.prioritised import ReplayConfig, Sample
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.monitor import Monitor
from marl.runs.serial import SerialRun
from tests.marl.learning.test_learner import CONFIG, make
from tests.marl.replay.test_sharded import labelled

RNG = np.random.default_rng(0)


def drawn(versions: list[int]) -> Sample:
    episodes = concatenate([labelled(version, RNG) for version in versions])
    episodes.taught[:] = -1
    ids = np.arange(10, 10 + len(versions))
    return Sample(ids, np.linspace(1.0, 0.5, len(versions), dtype=np.float32), episodes)


def test_what_is_too_old_is_left_out() -> None:
    sample = drawn([90, 97, 98, 50, 99])
    left, skipped = split(sample, IQL.edges(sample.episodes), 100, 3)
    assert left is not None
    assert left.ids.tolist() == [11, 12, 14]
    assert skipped.tolist() == [10, 13]
    assert left.episodes.version.tolist() == [97, 98, 99]
    assert (
        left.episodes.facts.tolist()
        == concatenate([sample.episodes.part(k, k + 1) for k in (1, 2, 4)]).facts.tolist()
    )
    np.testing.assert_allclose(left.weights, np.array([0.875, 0.75, 0.5]) / 0.875)
    assert split(sample, IQL.edges(sample.episodes), 100, 50)[0] is sample
    nothing, skipped = split(sample, IQL.edges(sample.episodes), 200, 3)
    assert nothing is None
    assert skipped.tolist() == sample.ids.tolist()


def test_an_episode_is_as_old_as_its_oldest_sequence() -> None:
    sample = drawn([98, 90, 99, 99])
    whole = replace(sample, ids=np.array([10, 12]), weights=np.ones(2, np.float32))
    left, skipped = split(whole, np.array([0, 2, 4]), 100, 3)
    assert left is not None
    assert (left.ids.tolist(), skipped.tolist()) == ([12], [10])
    assert left.episodes.version.tolist() == [99, 99]


def test_what_a_teacher_played_does_not_age() -> None:
    sample = drawn([0, 95])
    sample.episodes.taught[:3] = 0
    assert ages(sample.episodes, 100).tolist() == [0, 5]
    assert mean_age(sample.episodes, 100) == 5


def test_a_learner_skips_and_counts() -> None:
    """The priorities of what is skipped fall to the least, those of the rest are set as ever."""
    config = replace(CONFIG, publish_interval=1, max_staleness=2)
    learner, script = make(config=config)
    told: list[tuple[list[int], list[float]]] = []
    script.update = lambda ids, priorities: told.append((ids.tolist(), priorities.tolist()))  # type: ignore[method-assign]
    for batch in script.batches:
        batch.version[:] = 0
    assert [learner.update()["skipped"] for _ in range(3)] == [0, 0, 0]
    del told[:]
    script.batches[0].version[:] = [0, 0, 3, 3, 3, 0]
    metrics = learner.update()
    assert metrics["skipped"] == 0.5
    assert metrics["staleness"] == 0
    assert told[0] == ([0, 1, 5], [0.0, 0.0, 0.0])
    assert told[1][0] == [2, 3, 4]
    before = learner.updates
    for batch in script.batches:
        batch.version[:] = 0
    moved: list[int] = []
    assert learner.update(lambda: moved.append(1)) == {"skipped": 1.0}
    assert (learner.updates, moved) == (before, [1])


def test_who_has_nothing_fresh_publishes_at_once() -> None:
    learner, script = make(config=replace(CONFIG, publish_interval=10, max_staleness=10))
    for batch in script.batches:
        batch.version[:] = 0
    for _ in range(13):
        script.batches[script.turn % len(script.batches)].version[:] = learner.updates
        learner.update()
    assert learner.weights.latest()[0] == 10
    for batch in script.batches:
        batch.version[:] = 0
    for _ in range(2):
        assert learner.update() == {"skipped": 1.0}
        assert learner.weights.latest()[0] == 13


def test_a_run_with_the_strictest_bound_goes_on() -> None:
    """Replay is large for the speed: nearly all of it is too old, and still updates are made."""
    config = TrainConfig(
        games=("hanabi:2@very-small",),
        warm_up=20,
        samples_per_insert=8.0,
        agent=R3D2Config(hidden=16, memory=16, text_hidden=32),
        actor=ActorConfig(num_games=8),
        replay=ReplayConfig(capacity=4000, capacity_bytes=1 << 22),
        learner=LearnerConfig(batch=8, publish_interval=2, max_staleness=2, lanes=1),
    )
    run = SerialRun(config)
    for _ in range(3000):
        run.step()
        if run.learner.updates >= 40:
            break
    assert run.learner.updates >= 40
    metrics = run.learning_metrics()
    assert metrics["learn/staleness"] <= 2
    assert 0.2 < metrics["learn/skipped"] < 1


def test_a_run_warns_long_before_it_starves(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    with Monitor(tmp_path) as monitor:
        for step, skipped in enumerate((0.1, 0.3, 0.35, 0.7)):
            monitor.log(step, {"learn/skipped": skipped})
    said = capsys.readouterr().err
    assert said.count("older than learner.max_staleness") == 2
    assert "30%" in said
    assert "70%" in said


def test_a_bound_that_starves_everybody_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_staleness=5 is less than .*_interval=10"):
        LearnerConfig(max_staleness=5)
    with pytest.raises(ValueError, match="cannot be negative"):
        LearnerConfig(max_staleness=-1)


def test_held_back_weights_come_late_and_in_order() -> None:
    weights = LaggedWeights(100)
    weights.publish(0, {})  # What it all begins from, and then begins from once more.
    begun: dict[str, Tensor] = {"a": torch.zeros(1)}
    weights.publish(0, begun)
    late = []
    for version in range(10, 1000, 10):
        weights.publish(version, {})
        late.append(version - weights.latest()[0])
        if version < 100:
            assert weights.latest() == (0, begun)
    assert late[:9] == list(range(10, 100, 10))
    assert set(late[9:]) == {100}


def test_few_versions_are_held_however_long_the_lag() -> None:
    weights = LaggedWeights(10_000)
    for version in range(0, 30_000, 10):
        weights.publish(version, {})
        late = version - weights.latest()[0]
        assert late == version or 10_000 <= late < 10_000 * (1 + 1 / KEPT) + 10
        assert len(weights.state()["waiting"]) <= KEPT + 1
    again = LaggedWeights(10_000)
    again.load_state(weights.state())
    assert again.state() == weights.state()


def test_a_run_may_learn_from_what_old_weights_played() -> None:
    config = TrainConfig(
        games=("hanabi:2@very-small",),
        warm_up=20,
        agent=R3D2Config(hidden=16, memory=16, text_hidden=32),
        actor=ActorConfig(num_games=8, lag=20),
        replay=ReplayConfig(capacity=60, capacity_bytes=1 << 22),
        learner=LearnerConfig(batch=8, publish_interval=2, lanes=1),
    )
    run = SerialRun(config)
    while run.learner.updates < 60:
        run.step()
    assert 38 <= run.player.version <= 40
    assert run.learning_metrics()["learn/staleness"] > 20
    with pytest.raises(ValueError, match=r"max_staleness=21 leaves nothing .* at least 22, or 0"):
        replace(config, learner=replace(config.learner, max_staleness=21))
    with pytest.raises(ValueError, match="lag cannot be negative"):
        ActorConfig(lag=-1)
