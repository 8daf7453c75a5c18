"""Replay in shards: filled by actors, drawn from by the learner, killed and resumed."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import numpy as np
import pytest

from marl.remote.driver import progress, train_distributed
from marl.remote.learner import LearnerRun
from marl.remote.replay import RemoteReplay
from marl.remote.shard import HeldShard, role
from marl.remote.sharding import RemoteShards
from marl.remote.spread import SpreadReplay
from marl.replay.limiter import Limiter
from marl.replay.sharded import ShardGoneError
from marl.runs.checkpoint import CheckpointStore
from marl.runs.saving import restore, write_config
from marl.runs.serial import SerialRun
from marl.runs.state import unflatten
from tests.marl.remote.test_remote_replay import sequences
from tests.marl.remote.test_remote_run import CONFIG, Driver, metrics
from tests.transport.parts import Thread, client, until
from transport.client import RemoteError
from transport.wire import text_tensor

SMALL = replace(CONFIG, warm_up=10, samples_per_insert=0.01)
PHRASES = {"phrases": text_tensor("\n".join(f"p{i}" for i in range(99))), "closed": np.array(True)}


class Running(HeldShard):
    def run(self, stop):
        while not stop():
            self.poll(0.005)


class Crew:
    """Two shards in threads, an actor that fills them, and a learner that draws."""

    def __init__(self, run_dir, config=SMALL):
        write_config(config, run_dir)
        self.run_dir = run_dir
        self.threads = [self.shard(k) for k in range(2)]
        self.replay = self.learner()

    def shard(self, number):
        return Thread(lambda: Running(self.run_dir, number, 2, {}, None))

    def learner(self):
        shape = (3, 0, 1, False, 1)
        return RemoteShards(self.run_dir, 2, SMALL.replay, shape, lambda: PHRASES, patience=5.0)

    def there(self, count=2, replay=None):
        def tended():
            (replay or self.replay).tend(0.0)
            return len((replay or self.replay)._there()) == count

        until(tended)

    def actor(self):
        replays = [RemoteReplay(client(self.run_dir, role(k), retry=0.2)) for k in range(2)]
        return SpreadReplay(replays, lambda: False)

    def close(self):
        self.replay.close()
        for thread in self.threads:
            thread.stop()


@pytest.fixture
def crew(tmp_path):
    crew = Crew(tmp_path)
    yield crew
    crew.close()


def fill(crew, times, size=3):
    """Inserts, and waits until the learner has heard of it."""
    actor = crew.actor()
    before = crew.replay.ledger()[0]["insertions"]
    for number in range(times):
        actor.insert(sequences(size, seed=before + number), moves=10, games=1)

    def heard():
        for replay in actor._replays:
            replay.settle()
        crew.replay.tend(0.0)
        return crew.replay.ledger()[0]["insertions"] == before + times

    until(heard)
    actor.close()


def test_actors_fill_shards_and_a_learner_draws(crew):
    crew.there()
    fill(crew, 10)
    replay, limiter = crew.replay, Limiter(1, 1.0)
    assert len(replay) == 30
    tables = [thread.part.table for thread in crew.threads]
    assert all(table.inserted > 6 for table in tables)  # Each in turn.
    replay.count(limiter)
    assert (limiter.min_size, limiter.inserts, limiter.samples) == (10, 30, 0)
    counts, balance = replay.ledger()
    assert (counts["sequences"], counts["moves"], counts["games"]) == (30, 100, 10)
    assert balance == counts["lost"] == counts["repeated"] == 0
    sample = replay.sample(64)
    assert len(sample.episodes) == len(sample.ids) == 64
    replay.count(limiter)
    assert limiter.samples == 64
    chosen = sample.ids == sample.ids[0]
    replay.update(sample.ids[chosen], np.full(chosen.sum(), 1e12, np.float32))
    # The next draw may not have heard of it yet; the one after that has.
    until(lambda: (replay.sample(64).ids == sample.ids[0]).mean() > 0.9)
    assert replay.nbytes > 0
    replay.insert(sequences(2))
    assert len(replay) == 32


def test_what_is_no_phrase_is_refused_by_the_shard(crew):
    crew.there()
    actor = crew.actor()
    bad = sequences(1)
    bad.facts[0] = 99
    actor.insert(bad)
    with pytest.raises(RemoteError, match="facts must be ids from 0 to 98"):
        actor._replays[0].flush()
    actor.close()


def test_a_shard_takes_in_what_its_part_of_the_limiter_allows(tmp_path):
    """Beyond the warm-up and the buffer actors wait for the learner; with it, they go on."""
    crew = Crew(tmp_path, replace(SMALL, samples_per_insert=16.0))
    try:
        crew.there()
        actor, limiter = crew.actor(), Limiter(1, 1.0)
        most = 2 * (5 + 4 * 8 / 16 + 3)  # Warm-up, half the buffer, and a batch that passes it.
        for number in range(14):  # There is room on the way.
            actor.insert(sequences(3, seed=number))

        def taken():
            crew.replay.tend(0.05)
            crew.replay.count(limiter)
            return limiter.inserts >= 10

        until(taken)
        time.sleep(0.5)
        assert taken()
        assert limiter.inserts <= most
        assert limiter.inserts == crew.replay.ledger()[0]["sequences"]
        for _ in range(100):
            crew.replay.sample(8)
        until(lambda: (crew.replay.tend(0.05), crew.replay.ledger()[0]["sequences"])[1] == 42)
        actor.close()
    finally:
        crew.close()


@pytest.mark.slow
def test_a_shard_that_dies_costs_its_own_sequences(crew):
    crew.there()
    fill(crew, 10)
    here = crew.threads[1].part.table.inserted
    gone = 30 - here
    seen = crew.replay.sample(50)
    crew.threads[0].stop()
    sample = crew.replay.sample(50)
    assert len(sample.ids) == 50
    assert set(sample.ids >> 48) == {1}
    assert crew.replay.failures == 1
    assert len(crew.replay) == here
    crew.replay.update(seen.ids, np.ones(50, np.float32))  # Those of the other: nobody's.
    assert crew.replay.metrics()["replay/shards"] == 1
    # With the other, warm-up and samples are counted for the one that is there alone.
    limiter = Limiter(1, 1.0)
    crew.replay.count(limiter)
    assert (limiter.min_size, limiter.inserts) == (5, here)
    crew.threads[0] = crew.shard(0)
    crew.there()
    assert crew.replay.metrics()["replay/lost_with_shards"] == gone
    assert len(crew.replay) == here
    fill(crew, 4)
    assert set(crew.replay.sample(80).ids >> 48) == {0, 1}
    for thread in crew.threads:
        thread.stop()
    with pytest.raises(ShardGoneError):
        crew.replay.sample(5)
    with pytest.raises(ShardGoneError):
        crew.replay.sample(5)


def test_a_checkpoint_is_of_all_shards_at_one_moment(crew, tmp_path):
    """While they are saved none takes anything in; those that begin anew have what was saved."""
    crew.there()
    fill(crew, 8)
    state = crew.replay.state()
    assert state == {"shards": 2, "moment": 0}
    tables = [thread.part.table for thread in crew.threads]
    saved = [table.inserted for table in tables]
    crew.threads[0].part._hold({})
    actor = crew.actor()
    for number in range(4):
        actor.insert(sequences(3, seed=90 + number))
    time.sleep(0.3)
    assert tables[0].inserted == saved[0]
    assert tables[1].inserted > saved[1]
    crew.threads[0].part._release({})
    until(lambda: tables[0].inserted > saved[0])
    actor.close()
    crew.replay.close()
    # Only the learner begins anew: the shards go on as they are.
    crew.replay = crew.learner()
    crew.replay.load_state(state)
    crew.there()
    assert len(crew.replay) == 36
    crew.replay.close()
    for thread in crew.threads:
        thread.stop()
    crew.threads = [crew.shard(k) for k in range(2)]
    crew.replay = crew.learner()
    crew.replay.load_state(state)
    crew.there()
    assert [thread.part.table.inserted for thread in crew.threads] == saved
    assert crew.replay.ledger()[0]["sequences"] == 24
    assert crew.replay.state() == {"shards": 2, "moment": 1}
    with pytest.raises(ValueError, match="resume with --replay-shards 3"):
        crew.replay.load_state({"shards": 3, "moment": 0})
    with pytest.raises(ValueError, match="resume with --replay-shards 0"):
        crew.replay.load_state({"shape": np.zeros(7)})
    run = SerialRun(CONFIG)
    with pytest.raises(ValueError, match="in 2 shards: resume with --replay-shards 2"):
        run.replay.load_state(state)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_run_with_shards_goes_on_without_one_and_resumes(tmp_path):
    driver = Driver(tmp_path / "run", shards=2, workers=1)
    try:
        killed = driver.kill("shard-0")
        until(lambda: driver.pids().get("shard-0") not in (None, killed))
        driver.go_on(20)
        killed = driver.kill("learner")
        until(lambda: driver.pids().get("learner") not in (None, killed))
        driver.go_on(20)
        assert driver.end() < 10
    finally:
        driver.process.kill()
        driver.process.wait()
    entry = metrics(driver.run_dir)[-1]
    assert entry["ledger/lost"] == entry["ledger/balance"] == 0
    before = progress(driver.run_dir)
    state = unflatten(*CheckpointStore(driver.run_dir / "checkpoints").load())
    assert state["replay"]["shards"] == 2
    moment = state["replay"]["moment"]
    for number in range(2):
        store = CheckpointStore(driver.run_dir / "replay" / f"shard-{number}")
        assert store.latest() == moment  # Also the last one, when all of it was told to stop.
    again = train_distributed(
        CONFIG, driver.run_dir, workers=1, shards=2, updates=before.updates + 10, resume=True
    )
    assert again.updates >= before.updates + 10
    run = LearnerRun(CONFIG, driver.run_dir)
    try:
        with pytest.raises(ValueError, match="--replay-shards 2"):
            restore(run, CheckpointStore(driver.run_dir / "checkpoints"))
    finally:
        run.close()


def test_the_books_are_right_while_no_shard_is_there(tmp_path):
    """A replay without a shard is empty, and still one in shards."""
    write_config(CONFIG, tmp_path)
    with contextlib.closing(LearnerRun(CONFIG, tmp_path, shards=2)) as run:
        run.ledger.counts["insertions"] = 71  # As it was told when the last of them went.
        figures = run.learning_metrics()
        assert figures["ledger/insertions"] == 71
        assert figures["ledger/balance"] == figures["replay/shards"] == 0
        assert run.state()["ledger"] == {}
