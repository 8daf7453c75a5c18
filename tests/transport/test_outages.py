"""A world in real time whose broker dies, or stands still for a while."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.transport.parts import Thread, client, double, pool, rows
from tests.transport.test_launch import ROLES, until
from transport.broker import Broker, BrokerConfig
from transport.client import Client, ClientConfig
from transport.endpoints import find_endpoint
from transport.launch import Role, Supervisor
from transport.realtime import FixedAge, FrameTimer, Player
from transport.schedules import FrameClock

RATE = 60


class World:
    """Plays frames through a pool of processes, and notes which had an action of their own."""

    def __init__(self, run_dir, crew):
        self.crew, self.run_dir = crew, run_dir
        self.client = client(run_dir)
        self.player, self.fresh = Player(self.client, FixedAge()), []
        self.frames = iter(FrameTimer(RATE).frames(1_000_000))

    def play(self, seconds=0.0, until=lambda: True):
        """Plays on for so long, and until something is so; returns the share of fresh frames."""
        began, first = time.monotonic(), len(self.fresh)
        for frame in self.frames:
            self.crew.check()
            self.fresh.append(self.player.play(frame) is not None)
            self.player.observe(frame, rows(frame))
            if time.monotonic() - began >= seconds and until():
                break
            assert time.monotonic() - began < seconds + 30
        return np.mean(self.fresh[first:])

    def bound(self):
        """Changes when a broker binds."""
        file = Path(find_endpoint(self.run_dir, "pool").removeprefix("ipc://"))
        return file.stat().st_ctime_ns if file.exists() else None


@pytest.fixture
def world(tmp_path):
    roles = [
        Role("broker", "transport.broker:run_broker", {"schedule": "frame_clock", "workers": 4}),
        Role("worker", f"{ROLES}:worker", {"seconds": 0.02}, count=4),
    ]
    with Supervisor(tmp_path, roles) as crew:
        world = World(tmp_path, crew)
        with world.client as caller:
            until(lambda: caller.stats()["workers"] == 4)
            yield world


@pytest.mark.chaos
def test_after_a_broker_was_killed_the_world_is_covered_again_in_a_second(world):
    world.play(0.5)
    before = world.play(1.0)
    bound = world.bound()
    os.kill(world.crew.pids()["broker"], signal.SIGKILL)
    world.play(until=lambda: world.bound() not in (bound, None))
    world.play(1.0)
    after = world.play(1.5)
    assert after > before - 0.15, (before, after)
    figures = world.client.counts
    assert figures["dropped"] > 0  # What was lost is told as lost,
    assert figures["resent"] == 0  # and nothing that is stale is asked again.
    assert world.client.balance() == 0
    counts = world.player.freshness.counts
    outcomes = sum(counts[kind] for kind in ("answered", "lost", "superseded", "failed"))
    assert counts["asked"] == outcomes + world.client.open_calls()


@pytest.mark.chaos
def test_after_a_broker_stood_still_the_world_is_covered_again_in_a_second(world):
    world.play(0.5)
    before = world.play(1.0)
    pid = world.crew.pids()["broker"]
    os.kill(pid, signal.SIGSTOP)
    assert world.play(2.0) < 0.5
    os.kill(pid, signal.SIGCONT)
    world.play(1.0)
    after = world.play(1.5)
    assert after > before - 0.15, (before, after)
    assert world.client.counts["resent"] == 0
    assert world.client.balance() == 0


def test_one_lost_answer_ends_no_loop_in_real_time(tmp_path):
    """Nobody answers: frames go by at their pace, and what was asked is given up in time."""
    broker = Thread(lambda: Broker(FrameClock(), BrokerConfig(tmp_path)))
    with client(tmp_path, window=8, patience=0.2, timeout=30.0) as caller:
        caller.submit(rows(0), frame=0)  # May come before there is a connection: then it is lost.
        caller.stats()
        began, worst, outcomes = time.monotonic(), 0.0, []
        for frame in range(1, 200):
            before = time.monotonic()
            caller.submit(rows(frame), frame=frame)
            worst = max(worst, time.monotonic() - before)
            outcomes += caller.arrived()
            time.sleep(0.002)
        assert worst < 1.0
        assert time.monotonic() - began < 10
        time.sleep(0.25)
        outcomes += caller.arrived()
        assert caller.open_calls() == caller.balance() == 0
        assert {reply.frame for reply in outcomes} == set(range(200))
        assert {reply.dropped for reply in outcomes} >= {"superseded", "no answer in time"}
    broker.stop()


def test_without_a_server_a_call_in_real_time_is_dropped_at_once(tmp_path):
    with Client(f"ipc://{tmp_path}/nobody", config=ClientConfig()) as caller:
        began = time.monotonic()
        for frame in range(50):
            caller.submit(rows(frame), frame=frame)
        assert time.monotonic() - began < 2
        assert [reply.dropped for reply in caller.arrived()] == ["not connected"] * 50
        assert caller.balance() == caller.open_calls() == 0


def test_good_answers_are_not_lost_behind_an_error(tmp_path):
    def odd(tensors):
        if (tensors["x"] == 1).any():
            raise ZeroDivisionError("no luck")
        return double(tensors)

    with pool(tmp_path, odd), client(tmp_path) as caller:
        for number in range(3):
            caller.submit(rows(number))
        while caller.open_calls():
            caller.wait(0.1)
        first, second, third = sorted(caller.arrived(), key=lambda reply: reply.number)
        assert first.tensors["y"] == 0
        assert third.tensors["y"] == 4
        assert second.error == "ZeroDivisionError: no luck"
        assert caller.counts["failed"] == 1
        assert caller.balance() == 0


def test_an_error_in_real_time_is_counted_and_the_world_goes_on(tmp_path):
    def fail(tensors):
        raise ZeroDivisionError("no luck")

    with pool(tmp_path, fail, schedule=FrameClock()), client(tmp_path) as caller:
        player = Player(caller, FixedAge())
        for frame in FrameTimer(RATE).frames(60):
            assert player.play(frame) is None
            player.observe(frame, rows(frame))
        assert player.freshness.counts["failed"] > 0
