"""A run over three hosts, with a cable pulled: skipped where no network namespaces can be made."""

from __future__ import annotations

import json
import signal
import time

import pytest

from agents.r3d2.config import R3D2Config
from marl.acting.evaluate import evaluate
from marl.learning.config import LearnerConfig
from marl.replay.prioritised import ReplayConfig
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.roster import load
from marl.runs.state import unflatten
from marl.runs.train import train
from tests.hosts import hosts, joining, why_not
from tests.marl.remote.test_join import OpenDriver
from tests.marl.remote.test_remote_run import books
from tests.transport.parts import until
from transport.endpoints import FileEndpoints
from transport.keys import make_keys


def inserted(run_dir):
    """How much each actor's thread has handed over, by its number in the books."""
    time.sleep(0.5)
    state = unflatten(*CheckpointStore(run_dir / "checkpoints").load())
    return {life: next_ for life, next_, *_ in state["ledger"]["accounts"]}


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_three_hosts_train_and_a_cable_is_pulled(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    with hosts("head", "one", "two") as network:
        keys = tmp_path / "keys"
        make_keys(keys, ["one"], "worker")
        make_keys(keys, ["two"], "actor")
        driver = OpenDriver(
            tmp_path / "run",
            on=network.on("head"),
            workers=1,
            bind="tcp://0.0.0.0:5555",
            keys=str(keys),
        )
        address = f"tcp://{network.addresses['head']}:5555"
        joined = []
        try:
            for name, role in (("one", "worker"), ("two", "actor")):
                key = keys / "clients" / f"{name}.json"
                options = ("--role", role, "--keys", key, "--run-dir", tmp_path / name)
                joined.append(joining(address, *options, on=network.on(name)))
            own = FileEndpoints(tmp_path / "two")
            until(lambda: own.address("replay") is not None, 120)
            assert own.address("replay").startswith(f"tcp://{network.addresses['head']}:")
            until(lambda: len(inserted(driver.run_dir)) == 4, 200)
            network.cable("two", plugged=False)
            time.sleep(5.0)
            before = inserted(driver.run_dir)
            network.cable("two", plugged=True)
            # All four go on, those of the host that was away too.
            until(
                lambda: all(
                    more > before[life]
                    for life, more in inserted(driver.run_dir).items()
                    if life in before
                ),
                120,
            )
            assert set(before) <= set(inserted(driver.run_dir))
            for process in joined:
                process.send_signal(signal.SIGINT)
            assert [process.wait(20) for process in joined] == [0, 0]
            assert driver.end() < 10
        finally:
            for process in (*joined, driver.process):
                process.kill()
                process.wait()
        ledger = books(driver.run_dir)
        assert ledger.counts["lost"] == 0
        # What the broker says at its end: the worker of another host has joined, too.
        said = (driver.run_dir / "logs" / "broker.log").read_text().splitlines()[-1]
        assert json.loads(said)["pool_joined"] >= 2


SMALL = TrainConfig(
    games=("hanabi:2@small",),
    warm_up=500,
    evaluate_interval=10**9,
    checkpoint_minutes=0.1,
    agent=R3D2Config(hidden=64, memory=64, text_hidden=64),
    actor=ActorConfig(num_games=64),
    replay=ReplayConfig(capacity=2000),
    learner=LearnerConfig(batch=32, lanes=1),
)
UPDATES = 1500


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_hosts_learn_what_one_machine_learns(tmp_path):
    """At equal updates: two machines have joined, and play and infer beside the first."""
    if reason := why_not():
        pytest.skip(reason)
    train(SMALL, tmp_path / "one", updates=UPDATES)
    with hosts("head", "one", "two") as network:
        make_keys(tmp_path / "keys", ["guest"], "worker actor")
        driver = OpenDriver(
            tmp_path / "run",
            config=SMALL,
            on=network.on("head"),
            workers=1,
            updates=UPDATES,
            bind="tcp://0.0.0.0:5555",
            keys=str(tmp_path / "keys"),
        )
        address = f"tcp://{network.addresses['head']}:5555"
        joined = []
        try:
            for name in ("one", "two"):
                key = tmp_path / "keys" / "clients" / "guest.json"
                options = ("--role", "worker", "actor", "--keys", key, "--patience", 20)
                options = (*options, "--run-dir", tmp_path / f"host-{name}")
                joined.append(joining(address, *options, on=network.on(name)))
            assert driver.process.wait(2400) == 0
        finally:
            for process in (*joined, driver.process):
                process.kill()
                process.wait()
    assert books(driver.run_dir).counts["lost"] == 0
    scores = {}
    for name in ("one", "run"):
        member = load(str(tmp_path / name))
        assert member.updates == UPDATES
        played = evaluate(member.policy, SMALL.settings()[0], 1000, seed=7)
        scores[name] = played.mean()
    print(f"{UPDATES:,} updates, 1000 games each: {scores}")
    # Of 10 points; three seeds of one machine lie as far apart, and random play has 0.
    assert min(scores.values()) > 3.0
    assert abs(scores["one"] - scores["run"]) < 1.0
