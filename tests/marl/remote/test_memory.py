"""Memory of a shard and of a broker, under more work in a minute than a run has in hours.

What replay holds is bounded, and so is what a broker has open; what grows beyond that would be a
leak, or memory that the library of C takes and does not find again.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from marl.remote.replay import RemoteReplay
from marl.remote.shard import role
from marl.remote.sharding import RemoteShards
from marl.replay.prioritised import ReplayConfig
from marl.runs.saving import write_config
from scripts.bench import scale
from tests.marl.remote.test_remote_replay import sequences
from tests.marl.remote.test_remote_run import CONFIG
from tests.marl.remote.test_shards import PHRASES
from tests.transport.parts import client, until
from transport.launch import Role, Supervisor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = 90.0
SETTLED = 0.4
"""Share of the time after which nothing is to grow any more."""

GROWTH = 0.03
"""Share of its memory by which a process may grow after that."""

SMALL = ReplayConfig(capacity=1000, capacity_bytes=1 << 22)  # Full in seconds.


def watched(pid, work):
    """MiB of a process, and when, while something is done over and over."""
    process, began = psutil.Process(pid), time.monotonic()
    times, values = [], []
    while (now := time.monotonic() - began) < SECONDS:
        work()
        if not times or now > times[-1] + 0.5:
            times.append(now)
            values.append(process.memory_info().rss / 2**20)
    times, values = np.array(times), np.array(values)
    settled = times > SETTLED * SECONDS
    slope = np.polyfit(times[settled], values[settled], 1)[0]
    grown = slope * (1 - SETTLED) * SECONDS
    first, last = values[: len(values) // 10].mean(), values[-len(values) // 10 :].mean()
    print(f"{first:.1f} MiB at first, {last:.1f} at last; {grown:+.2f} over the last part")
    return grown / last


def test_a_shard_stays_level(tmp_path):
    write_config(replace(CONFIG, warm_up=10, samples_per_insert=0.2, replay=SMALL), tmp_path)
    shard = Role("shard", "marl.remote.shard:hold", {"shards": 1})
    batches = [sequences(16, seed=number) for number in range(50)]
    done = {"inserted": 0, "drawn": 0, "saved": 0}
    with Supervisor(tmp_path, [shard]) as crew:
        replay = RemoteShards(tmp_path, 1, SMALL, (3, 0, 1, False, 1), lambda: PHRASES)
        until(lambda: replay.tend(0.01) or len(replay._there()) == 1, 60)
        actor = RemoteReplay(client(tmp_path, role(0)))
        actor.insert(batches[0])
        actor.flush()
        until(lambda: replay.tend(0.01) or len(replay) > 0, 60)
        moment = time.monotonic()

        def work():
            nonlocal moment
            for number in range(10):
                actor.insert(batches[(done["inserted"] + number) % len(batches)])
            actor.flush()
            done["inserted"] += 10
            sample = replay.sample(32)
            replay.update(sample.ids, np.random.default_rng().random(32, np.float32) + 0.1)
            replay.tend(0.0)
            done["drawn"] += 1
            if time.monotonic() > moment + 1.0:
                moment = time.monotonic()
                replay.state()
                done["saved"] += 1

        grown = watched(crew.pids()["shard"], work)
        actor.close()
        replay.close()
    print(done)
    assert grown < GROWTH


def test_a_broker_stays_level(tmp_path):
    load = replace(scale.BATCHED, brokers=1)
    with (
        Supervisor(tmp_path, scale._roles(tmp_path, load)) as crew,
        client(tmp_path, "pool0") as asking,
    ):
        grown = watched(crew.pids()["broker0"], lambda: time.sleep(0.5))
        stats = asking.stats()
    print({name: stats[name] for name in ("requests_reply", "pool_leases", "ledger_balance")})
    assert stats["requests_reply"] > 10_000
    assert grown < GROWTH
