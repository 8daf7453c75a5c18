"""Runs in one process: the same bits every time, also after a resume, and who plays when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.r3d2.config import R3D2Config
from marl.learning.config import LearnerConfig
from marl.replay.prioritised import ReplayConfig
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.serial import SerialRun
from marl.runs.state import flatten, unflatten
from tests.marl.small_runs import CONFIG, IMITATION, VDN, assert_same, run

CONFIGS = pytest.mark.parametrize(
    "config", [CONFIG, IMITATION, VDN], ids=["iql", "imitation", "vdn"]
)


@CONFIGS
def test_the_same_seed_gives_the_same_bits(config: TrainConfig) -> None:
    """Weights, replay, games, generators, and every metric of every update."""
    (one, ours), (two, theirs) = run(config, 25), run(config, 25)
    assert ours == theirs
    assert one.replay.evicted > 0
    assert any(metrics["steps"] != ours[0]["steps"] for metrics in ours)
    assert_same(flatten(one.state()), flatten(two.state()))
    other, _ = run(replace(config, seed=2), 1)
    for name in ("replay/tail", "actors/0/table/game/deck", "learner/agent/network.query.weight"):
        assert not np.array_equal(flatten(one.state())[0][name], flatten(other.state())[0][name])


def test_watching_changes_nothing() -> None:
    """Evaluations and metrics come when the clock says; what is learned does not depend on them."""
    (one, _), two = run(CONFIG, 12), SerialRun(CONFIG)
    while two.learner.updates < 12:
        before = two.learner.updates
        two.step()
        if two.learner.updates > before:
            two.evaluation_metrics()
            two.state()
    assert_same(flatten(one.state()), flatten(two.state()))


def test_settings_are_balanced_by_their_moves() -> None:
    config = replace(
        CONFIG,
        games=("hanabi:2-5",),
        warm_up=10**6,
        actor=ActorConfig(num_games=18),
    )
    serial = SerialRun(config)
    assert [actor.game.num_players for actor in serial.actors] == [2, 3, 4, 5]
    assert [actor.game.num_games for actor in serial.actors] == [4, 4, 4, 4]
    assert [actor.setting for actor in serial.actors] == [0, 1, 2, 3]
    for _ in range(300):
        serial.step()
        moves = [actor.env_steps for actor in serial.actors]
        assert max(moves) - min(moves) <= 4
    assert serial.env_steps == 1200
    settings = serial.replay.counts
    assert (settings[:, 0] > 0).all(), "every setting is in replay"


@CONFIGS
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path: Path, config: TrainConfig) -> None:
    """Within one process, saved in the warm-up as well as later."""
    one, ours = run(config, 15)
    begin = SerialRun(config)
    for _ in range(7):
        begin.step()
    assert begin.learner.updates == 0
    store = CheckpointStore(tmp_path)
    store.save(0, *flatten(begin.state()))
    theirs: list[dict[str, float]] = []
    while len(theirs) < 15:
        two = SerialRun(config)
        two.load_state(unflatten(*store.load()))
        original = two.learner.update
        two.learner.update = lambda m, u=original: theirs.append(u(m)) or theirs[-1]  # type: ignore
        for _ in range(12):
            if two.learner.updates < 15:
                two.step()
        store.save(two.learner.updates, *flatten(two.state()))
    assert theirs == ours
    assert_same(flatten(one.state()), store.load())


MANAGED = replace(
    CONFIG,
    games=("supply-chain:2@periods=6@manager=incentives@manager_every=3",),
    agent=R3D2Config(
        encoder="vector",
        hidden=16,
        memory=8,
        text_hidden=32,
        own_hand=False,
        roles=("^I speak to",),
    ),
    actor=ActorConfig(num_games=8, epsilon=0.01, epsilon_spread=0, temperature=0, idle_manager=8),
    replay=ReplayConfig(capacity=40, max_length=8),
)


def test_a_run_of_networks_by_role_goes_on_bit_for_bit() -> None:
    one, _ = run(MANAGED, 10)
    two, _ = run(MANAGED, 6)
    three = SerialRun(MANAGED)
    three.load_state(unflatten(*flatten(two.state())))
    while three.learner.updates < 10:
        three.step()
    assert_same(flatten(one.state()), flatten(three.state()))
    weights = flatten(one.state())[0]
    first, second = (
        np.asarray(weights[f"learner/agent/network.networks.{k}.query.weight"]) for k in (0, 1)
    )
    assert first.shape == second.shape
    assert not np.array_equal(first, second)


def test_a_manager_is_idle_at_first() -> None:
    """It says anything until the weights have seen so many updates; the players do not."""
    game = SerialRun(MANAGED).actors[0].game
    said: dict[bool, list[int]] = {False: [], True: []}
    for idle in (True, False):
        serial = SerialRun(replace(MANAGED, actor=replace(MANAGED.actor, idle_manager=8 * idle)))
        actor = serial.actors[0]
        actor.insert = lambda episodes, idle=idle: said[idle].extend(  # type: ignore[misc]
            episodes.actions[episodes.choice_counts == len(game.asks)].tolist()  # type: ignore[attr-defined]
        )
        for _ in range(100):
            actor.step()
    assert len(set(said[True])) == len(game.asks)  # type: ignore[attr-defined]
    often = np.bincount(said[False]).max() / len(said[False])
    assert often > 0.5 > np.bincount(said[True]).max() / len(said[True])


def test_the_teacher_plays_first_then_both_then_the_agent() -> None:
    serial = SerialRun(IMITATION)
    moves: list[tuple[int, int]] = []
    while serial.learner.updates < 12:
        before = [sum(a.env_steps for a in them) for them in (serial.teachers, serial.actors)]
        done = serial.learner.updates
        serial.step()
        after = [sum(a.env_steps for a in them) for them in (serial.teachers, serial.actors)]
        if after != before:
            moves.append((done, int(after[1] > before[1])))
    phases = {(0, 4): [], (4, 10): [], (10, 12): []}
    for (first, last), by_agent in phases.items():
        by_agent += [agent for updates, agent in moves if first <= updates < last]
    assert set(phases[0, 4]) == {0}
    assert set(phases[4, 10]) == {0, 1}
    assert set(phases[10, 12]) == {1}
    steps = [actor.env_steps for actor in serial.teachers]
    assert max(steps) - min(steps) <= 4, "balanced by moves"
    metrics = serial.learning_metrics()
    assert metrics["act/taught_steps"] == sum(steps)
    assert metrics["act/env_steps"] == sum(steps) + sum(a.env_steps for a in serial.actors)
    assert 0 < metrics["learn/imitation_weight"] < 10
    assert metrics["learn/imitation_loss"] > 0
    # What the teacher did is told from what the agent did.
    sample = serial.replay.sample(200).episodes
    taught = sample.taught[np.cumsum(sample.lengths) - 1] >= 0
    assert taught.any()
    assert not taught.all()


def test_vdn_needs_whole_episodes() -> None:
    with pytest.raises(ValueError, match=r"raise replay\.max_length from 8"):
        SerialRun(replace(CONFIG, learner=replace(CONFIG.learner, mixing="vdn")))
    with pytest.raises(ValueError, match=r"learner\.mixing must be one of iql, vdn, got 'qmix'"):
        LearnerConfig(mixing="qmix")  # type: ignore[arg-type]
