"""Runs in several processes: as in one, resumable, and with any of them killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from agents.r3d2.config import R3D2Config
from marl.learning.config import LearnerConfig
from marl.remote.driver import progress, train_distributed
from marl.remote.learner import LearnerRun, learn, missing
from marl.remote.prepare import prepare
from marl.remote.replay import Ledger
from marl.remote.worker import _follow
from marl.replay.prioritised import ReplayConfig
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import ActorConfig, TrainConfig, load_config, to_dict
from marl.runs.monitor import METRICS_FILE
from marl.runs.roster import load
from marl.runs.saving import restore, write_config
from marl.runs.state import unflatten
from marl.runs.train import train
from tests.transport.parts import Thread, pool
from tests.transport.test_launch import alive, until
from transport import sockets
from transport.child import FatalError
from transport.claim import Claim, life_in
from transport.launch import PROCESSES
from transport.weights import Publisher

CONFIG = TrainConfig(
    games=("hanabi:2-3@small",),
    warm_up=20,
    samples_per_insert=2.0,
    evaluate_interval=40,
    evaluate_games=4,
    checkpoint_minutes=1 / 60,
    agent=R3D2Config(hidden=16, memory=16, text_hidden=32),
    actor=ActorConfig(num_games=16, epsilon=0.9),
    replay=ReplayConfig(capacity=4000, capacity_bytes=1 << 24),
    learner=LearnerConfig(batch=8, publish_interval=5),
)
BUSY = 10.0
"""Seconds allowed beside other tests; the long forms have the bounds of a quiet machine."""

KILLS = 100
ROLES = ("broker", "worker-0", "worker-1", "actor", "learner")


def metrics(run_dir):
    file = run_dir / METRICS_FILE
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def books(run_dir, serial=False):
    """The ledger of the newest checkpoint, after its sums were checked against the replay's."""
    state = unflatten(*CheckpointStore(run_dir / "checkpoints").load())
    ledger = Ledger()
    ledger.load_state(state["ledger"])
    assert ledger.balance() == 0
    assert ledger.counts["lost"] == ledger.counts["refused"] == 0
    inserted = int(state["limiter"]["counts"][0])
    if not serial:  # Where one process has gone on there are others, too.
        assert ledger.counts["sequences"] == inserted
    return ledger


@pytest.mark.timeout(600)
def test_a_run_in_several_processes_is_a_run(tmp_path, monkeypatch, capsys):
    """Curves, checkpoints, evaluations as in one process; it goes on, also where it was moved."""
    run_dir = tmp_path / "run"
    trained = train_distributed(CONFIG, run_dir, workers=2, updates=60)
    assert trained == progress(run_dir)
    assert trained.updates == 60
    assert trained.env_steps > 0
    assert load_config(run_dir) == CONFIG
    assert load(str(run_dir)).updates == 60
    entries = metrics(run_dir)
    assert any("evaluate/hanabi-3-small/score" in entry for entry in entries)
    last = entries[-1]
    assert last["step"] == 60
    assert last["ledger/lost"] == last["ledger/balance"] == last["ledger/rolled_back"] == 0
    assert 0 < last["replay/samples_per_insert"] <= 8
    assert not sockets._ipc_path(run_dir).exists()
    ledger = books(run_dir)
    assert ledger.holes() == 0

    with pytest.raises(ValueError, match="holds a run already"):
        train_distributed(CONFIG, run_dir, workers=1, updates=1)
    with pytest.raises(ValueError, match="another configuration"):
        train_distributed(replace(CONFIG, seed=9), run_dir, workers=1, updates=1, resume=True)
    before = checkpoints(run_dir)
    assert train_distributed(CONFIG, run_dir, workers=1, updates=50, resume=True) == trained
    assert "has 60 updates: nothing is left to do" in capsys.readouterr().err
    assert checkpoints(run_dir) == before

    # As a job of a batch system finds it: moved, and with another folder for temporary files.
    run_dir = run_dir.rename(tmp_path / "moved")
    (run_dir / "endpoints").mkdir(exist_ok=True)  # Of a run that was killed, host and all.
    for role in ("pool", "pool-workers", "replay", "weights"):
        stale = {"endpoint": f"ipc://{tmp_path}/{role}", "life": life_in(run_dir)}
        (run_dir / "endpoints" / f"{role}.json").write_text(json.dumps(stale))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    again = train_distributed(CONFIG, run_dir, workers=1, updates=120, resume=True)
    assert not sockets._ipc_path(run_dir).exists()
    assert again.updates == 120  # More than it could do without new sequences.
    assert again.env_steps > trained.env_steps
    assert [entry["step"] for entry in metrics(run_dir)] == sorted(
        entry["step"] for entry in metrics(run_dir)
    )
    assert books(run_dir).counts["insertions"] > ledger.counts["insertions"]
    assert "goes on from update 60" in capsys.readouterr().err

    serial = train(CONFIG, run_dir, updates=170, resume=True)
    assert serial.learner.updates >= 170
    assert serial.env_steps > again.env_steps
    run = LearnerRun(CONFIG, run_dir)
    try:
        assert restore(run, CheckpointStore(run_dir / "checkpoints")) == serial.learner.updates
        assert run.env_steps == serial.env_steps
        assert run.ledger.counts["insertions"] == books(run_dir, serial=True).counts["insertions"]
    finally:
        run.close()


def checkpoints(run_dir):
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def test_a_learner_that_hears_of_no_game_says_who_is_missing(tmp_path, monkeypatch):
    write_config(CONFIG, tmp_path)
    budget = {"until": None, "updates": 9, "device": "cpu", "patience": 0.2}
    with pytest.raises(FatalError, match=r"for 0.2 s: no broker has published a pool \(.*broker"):
        learn(tmp_path, 0, lambda: False, **budget)
    assert CheckpointStore(tmp_path / "checkpoints").latest() == 0
    with pool(tmp_path, workers=0):
        assert "no worker has joined the pool" in missing(tmp_path)
    with pool(tmp_path, workers=1) as (broker, _):
        until(lambda: broker.part.stats()["workers"])
        assert "but no actor has finished a game" in missing(tmp_path)


def test_a_learner_that_is_told_to_stop_waits_for_no_evaluation(tmp_path, capsys):
    """Whole, it would take minutes."""
    write_config(replace(CONFIG, evaluate_games=100_000), tmp_path)
    end = time.monotonic() + 2
    budget = {"until": None, "updates": 9, "device": "cpu", "patience": 99.0}
    learn(tmp_path, 0, lambda: time.monotonic() > end, **budget)
    assert time.monotonic() < end + BUSY
    assert CheckpointStore(tmp_path / "checkpoints").latest() == 0
    assert "the evaluation of update 0 was not played to its end" in capsys.readouterr().err


def test_a_worker_looks_again_for_weights_where_it_hears_nothing(tmp_path):
    (tmp_path / "endpoints").mkdir()
    stale = {"endpoint": f"ipc://{tmp_path}/nobody", "life": life_in(tmp_path)}
    (tmp_path / "endpoints" / "weights.json").write_text(json.dumps(stale))
    loaded = []
    agent = SimpleNamespace(load=lambda version, tensors: loaded.append(version))

    class Following:
        def __init__(self):
            self.weights = None

        def run(self, stop):
            self.weights = _follow(tmp_path, stop, agent)

        def close(self):
            if self.weights is not None:
                self.weights.close()

    thread = Thread(Following)
    time.sleep(0.7)
    assert not loaded
    publisher = Publisher(tmp_path)
    publisher.publish(7, {"x": np.zeros(2)})
    until(lambda: loaded == [7], 20)
    thread.stop()
    publisher.close()


def test_a_full_disk_ends_a_learner_once_and_for_all(tmp_path, monkeypatch):
    """The last checkpoint cannot be saved: there would be no more room for another learner."""
    write_config(CONFIG, tmp_path)

    def full(*args):
        raise OSError(28, "No space left on device", "there")

    monkeypatch.setattr(CheckpointStore, "save", full)
    budget = {"until": 0.0, "updates": None, "device": "cpu", "patience": 9.0}
    with pytest.raises(FatalError, match="there: No space left on device"):
        learn(tmp_path, 0, lambda: False, **budget)


def test_a_learner_that_begins_again_says_so(tmp_path, capsys):
    write_config(CONFIG, tmp_path)
    (tmp_path / METRICS_FILE).write_text('{"step": 63, "seconds": 5}\n')
    budget = {"until": 0.0, "updates": None, "device": "cpu", "patience": 9.0}
    (tmp_path / "checkpoints" / ".tmp-1").mkdir(parents=True)
    learn(tmp_path, 0, lambda: False, **budget)
    said = capsys.readouterr().err
    assert "no update was saved before this run ended: it begins again at update 0" in said
    assert "they had reached update 63" in said
    assert not list((tmp_path / "checkpoints").glob(".tmp-*"))


def test_a_run_in_one_process_can_go_on_in_several(tmp_path):
    serial = train(CONFIG, tmp_path, updates=12)
    run = LearnerRun(CONFIG, tmp_path)
    try:
        run.load_state(unflatten(*CheckpointStore(tmp_path / "checkpoints").load()))
        assert run.learner.updates == 12
        assert run.env_steps == serial.env_steps
        assert len(run.replay) == len(serial.replay)
        assert run.step() == 1
    finally:
        run.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"actors": 0}, "actors must be at least 1, got 0"),
        ({"updates": None}, "training needs a budget"),
        ({"resume": True}, "holds no run"),
        ({"config": replace(CONFIG, games=("hanabi:2@huge",))}, "there are full, plain"),
        ({"config": replace(CONFIG, imitate="bot:smart")}, "is imitated in one process"),
        ({"config": replace(CONFIG, start="nobody")}, "there is no agent 'nobody'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(tmp_path, options, words):
    given = {"config": CONFIG, "workers": 1, "updates": 1, **options}
    with pytest.raises(ValueError, match=words):
        train_distributed(given.pop("config"), tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_a_spare_is_prepared_for_the_run_that_it_waits_in(tmp_path):
    """Nothing is left of it but what is loaded and compiled."""
    write_config(CONFIG, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    prepare(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("start", [train, partial(train_distributed, workers=1)])
def test_a_run_that_is_refused_changes_nothing(tmp_path, start):
    """The folder is another one's, who has not yet made it a run's, and would find our files."""
    with Claim(tmp_path):
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(ValueError, match="another run lives in"):
            start(CONFIG, tmp_path, updates=1)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# --- under a killer ---------------------------------------------------------------------------


class Driver:
    """A run with a driver process of its own."""

    CODE = (
        "import json, sys; from pathlib import Path\n"
        "from marl.runs.config import from_dict\n"
        "from marl.remote.driver import train_distributed\n"
        "config, run_dir, options = json.loads(sys.stdin.readline())\n"
        "train_distributed(from_dict(config), Path(run_dir), **options)"
    )

    def __init__(self, run_dir, config=CONFIG, on=(), **options):
        self.run_dir = run_dir
        self.given = given = {"workers": 2, "lease": 2.0, "updates": 10**9, **options}
        with (run_dir.parent / "driver.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*on, sys.executable, "-c", self.CODE],
                stdin=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        task = json.dumps([to_dict(config), str(run_dir), given])
        self.process.stdin.write(task.encode() + b"\n")
        self.process.stdin.flush()
        self.go_on(20)

    def pids(self):
        file = self.run_dir / PROCESSES
        return json.loads(file.read_text()) if file.exists() else {}

    def insertions(self):
        return max((int(entry["ledger/insertions"]) for entry in metrics(self.run_dir)), default=0)

    def go_on(self, more=1, seconds=240.0):
        """Waits until so many updates more than at the newest checkpoint have been saved."""
        store = CheckpointStore(self.run_dir / "checkpoints")
        wanted = (store.latest() or 0) + more

        def done():
            assert self.process.poll() is None, "the driver has ended"
            return (store.latest() or 0) >= wanted

        until(done, seconds)

    def kill(self, name, number=signal.SIGKILL):
        pid = self.pids()[name]
        os.kill(pid, number)
        return pid

    def end(self, number=signal.SIGINT):
        """Ends it by a signal; returns how long that took."""
        pids, began = list(self.pids().values()), time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(20) == 0
        seconds = time.monotonic() - began
        self.process.stdin.close()
        assert not any(map(alive, pids))
        assert not sockets._ipc_path(self.run_dir).exists()
        return seconds


@pytest.fixture
def drive(tmp_path):
    started = []

    def start(**options):
        started.append(Driver(tmp_path / "run", **options))
        return started[-1]

    yield start
    for driver in started:
        if driver.process.poll() is None:
            driver.process.kill()
            driver.process.wait()


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_any_process_may_be_killed(drive):
    """Worker, broker, actor and learner in turn: the run goes on, and the books are right."""
    driver = drive()
    for name in ("worker-0", "broker", "actor", "learner", "worker-1"):
        killed = driver.kill(name)
        until(lambda killed=killed, name=name: driver.pids().get(name) != killed)
        driver.go_on(20)
    assert driver.end() < BUSY
    ledger = books(driver.run_dir)
    assert len(ledger.state()["accounts"]) >= 4  # Two halves of two lives.
    assert_no_sequence_twice(driver.run_dir)
    trained = progress(driver.run_dir)
    assert trained.updates >= 100


def assert_no_sequence_twice(run_dir):
    """Games of random play: no two sequences are alike, unless one was inserted twice."""
    run = LearnerRun(CONFIG, run_dir)
    try:
        run.load_state(unflatten(*CheckpointStore(run_dir / "checkpoints").load()))
        ring = run.replay._ring
        episodes = ring.gather(ring.ids)
    finally:
        run.close()
    seen = set()
    for number in range(len(episodes)):
        one = episodes.part(number, number + 1)
        # Of a game that ended at once there is too little to tell it from others.
        if one.steps >= 3:
            seen.add((one.facts.tobytes(), one.actions.tobytes(), one.memory.tobytes()))
    assert len(seen) == (episodes.lengths >= 3).sum() > 100


def kill_driver(driver):
    """Kills a driver; nothing may be left. Returns whether its learner was saving just then."""
    pids = list(driver.pids().values())
    assert len(pids) == len(ROLES)
    unfinished = (driver.run_dir / "checkpoints").glob(".tmp-*")
    saving = any(True for _ in unfinished)
    driver.process.kill()
    driver.process.wait()
    killed = time.monotonic()
    until(lambda: not any(map(alive, pids)))
    assert time.monotonic() - killed < BUSY
    assert not sockets._ipc_path(driver.run_dir).exists()
    assert not (driver.run_dir / "endpoints").exists()
    assert not list((driver.run_dir / "checkpoints").glob(".tmp-*"))
    books(driver.run_dir)  # The newest checkpoint is whole.
    return saving


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_a_killed_driver_leaves_nothing_any_time(drive):
    """Its learner saves all the time, and many of the kills come while it does."""
    config = replace(CONFIG, checkpoint_minutes=1e-9)
    saving = sum(kill_driver(drive(config=config, resume=n > 0)) for n in range(KILLS))
    print(f"{saving} of {KILLS} kills came while the learner saved")
    assert saving > KILLS // 8


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_killed_driver_leaves_nothing_and_the_run_resumes(drive):
    kill_driver(drive())
    second = drive(resume=True)
    second.go_on(10)
    assert second.end(signal.SIGTERM) < BUSY
    books(second.run_dir)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_learner_that_stands_still_makes_actors_wait(drive):
    """Nothing piles up, and nothing is lost: it goes on where it was."""
    driver = drive()
    processes = [psutil.Process(pid) for name, pid in driver.pids().items() if name != "learner"]
    before = sum(process.memory_info().rss for process in processes)
    pid = driver.kill("learner", signal.SIGSTOP)
    time.sleep(8)
    assert sum(process.memory_info().rss for process in processes) - before < 64 << 20
    os.kill(pid, signal.SIGCONT)
    driver.go_on(20)
    assert driver.pids()["learner"] == pid
    driver.end()
    ledger = books(driver.run_dir)
    assert ledger.counts["rolled_back"] == 0


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_worker_killed_every_five_seconds_costs_nothing_but_its_share(drive):
    """Two minutes with four workers: none lost, none twice, at least three quarters as fast."""
    driver = drive(workers=4)

    def speed(seconds, kill):
        before, began = driver.insertions(), time.monotonic()
        while time.monotonic() - began < seconds:
            if kill:
                names = [name for name in driver.pids() if name.startswith("worker")]
                with contextlib.suppress(ProcessLookupError):
                    driver.kill(random.choice(names))
            time.sleep(5)
            assert driver.process.poll() is None
        return (driver.insertions() - before) / (time.monotonic() - began)

    clean, killed = speed(60, kill=False), speed(120, kill=True)
    driver.go_on(20)
    assert driver.end() < 3
    ledger = books(driver.run_dir)
    assert ledger.counts["rolled_back"] == 0
    assert_no_sequence_twice(driver.run_dir)
    print(f"insertions a second: clean {clean:.1f}, under the killer {killed:.1f}")
    assert killed >= 3 / 4 * clean


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_signal_ends_a_run_in_three_seconds_every_time(drive):
    for attempt in range(20):
        number = (signal.SIGINT, signal.SIGTERM)[attempt % 2]
        assert drive(resume=attempt > 0).end(number) < 3
