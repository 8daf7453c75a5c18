"""Replay behind a service, and the ledger that enters every insertion once."""

from __future__ import annotations

import random
import time
import tracemalloc
from dataclasses import fields

import numpy as np
import pytest

from games.text import Phrasebook
from marl.episodes import Episodes
from marl.remote import replay as module
from marl.remote.replay import Ledger, RemoteReplay, replay_functions
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig
from marl.runs.state import flatten, unflatten
from tests.transport.parts import Thread, client
from transport.client import RemoteError
from transport.service import Service
from transport.wire import SMALL


def sequences(count, seed=0, length=5):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, length + 1, count).astype(np.int32)
    steps = int(lengths.sum())
    facts, choices = rng.integers(0, 9, steps), rng.integers(1, 4, steps)
    return Episodes(
        lengths=lengths,
        fact_counts=facts.astype(np.int16),
        facts=rng.integers(0, 99, facts.sum()).astype(np.int16),
        choice_counts=choices.astype(np.int16),
        choices=rng.integers(0, 99, choices.sum()).astype(np.int16),
        actions=np.zeros(steps, np.int16),
        rewards=rng.normal(size=steps).astype(np.float32),
        elapsed=np.ones(steps, np.int16),
        fresh=np.ones(count, bool),
        terminal=np.ones(count, bool),
        memory=rng.normal(size=(count, 3)).astype(np.float32),
        setting=np.zeros(count, np.int16),
        version=np.zeros(count, np.int32),
        seat=np.zeros(count, np.int8),
        partner=np.zeros(count, np.int16),
        labels=np.zeros((steps, 0), np.int8),
        taught=np.full(steps, -1, np.int16),
    )


def new_replay():
    return PrioritisedReplay(ReplayConfig(capacity=200, capacity_bytes=1 << 20), memory_size=3)


class Table:
    """A replay behind a service."""

    def __init__(self, run_dir, ledger=None, pause=0.0):
        self.replay, self.ledger, self.pause = new_replay(), ledger or Ledger(), pause
        functions = replay_functions(self.replay, self.ledger, self.insert)
        self.service = Service(functions, run_dir, name="replay")

    def insert(self, episodes):
        time.sleep(self.pause)
        self.replay.insert(episodes)

    def run(self, stop):
        self.service.run(stop)

    def close(self):
        self.service.close()


@pytest.fixture
def table(tmp_path):
    thread = Thread(lambda: Table(tmp_path))
    yield thread.part
    thread.stop()


def assert_equal(one, two):
    for field in fields(Episodes):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def test_the_far_side_is_the_same_replay(table, tmp_path):
    """The same calls there and here: the same draws and the same sequences."""
    local, remote = new_replay(), RemoteReplay(client(tmp_path, "replay"))
    for seed in range(20):
        for replay in (local, remote):
            replay.insert(sequences(4, seed))
    remote.flush()
    for _ in range(3):
        ours, theirs = local.sample(16), remote.sample(16)
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        np.testing.assert_array_equal(ours.weights, theirs.weights)
        assert_equal(ours.episodes, theirs.episodes)
        priorities = np.random.default_rng(1).random(16).astype(np.float32)
        for replay, ids in ((local, ours.ids), (remote, theirs.ids)):
            replay.update(ids, priorities)
    remote.close()
    assert table.ledger.counts["insertions"] == 20
    assert table.ledger.counts["sequences"] == table.replay.inserted == 80
    assert table.ledger.balance() == table.ledger.holes() == 0


def test_sequences_may_fill_frames_of_their_own(table, tmp_path):
    """Large tensors come in frames that can be written to, small ones do not, in one message."""
    big = sequences(120, seed=1, length=100)
    assert big.facts.nbytes > SMALL > big.choice_counts.nbytes
    remote = RemoteReplay(client(tmp_path, "replay"))
    remote.insert(big)
    remote.flush()
    remote.close()
    assert table.replay.inserted == 120


def test_moves_and_games_are_counted_for_the_run(table, tmp_path):
    remote = RemoteReplay(client(tmp_path, "replay"))
    for _ in range(3):
        remote.insert(sequences(1), moves=40, games=2)
    remote.flush()
    remote.close()
    assert table.ledger.counts["moves"] == 120
    assert table.ledger.counts["games"] == 6


def test_an_actor_waits_for_a_slow_replay(tmp_path):
    thread = Thread(lambda: Table(tmp_path, pause=0.05))
    remote = RemoteReplay(client(tmp_path, "replay", retry=0.1), window=3)
    began = time.monotonic()
    for number in range(10):
        remote.insert(sequences(1, number))
        assert number + 1 - thread.part.replay.inserted <= 3 + 1
    assert time.monotonic() - began > 0.05 * 6
    remote.flush()
    remote.close()
    thread.stop()
    counts = thread.part.ledger.counts
    assert counts["insertions"] == thread.part.replay.inserted == 10  # Repeats came to nothing.
    assert counts["lost"] == counts["rolled_back"] == 0


def test_who_is_to_stop_does_not_wait(tmp_path):
    thread = Thread(lambda: Table(tmp_path, pause=1.0))
    stop = []
    remote = RemoteReplay(client(tmp_path, "replay"), window=1, stop=lambda: bool(stop))
    remote.insert(sequences(1))
    stop.append(True)
    began = time.monotonic()
    remote.insert(sequences(1))
    remote.flush()
    assert time.monotonic() - began < 0.5
    remote.close()
    thread.stop()


def test_what_is_malformed_is_refused_and_counted(table, tmp_path):
    remote = RemoteReplay(client(tmp_path, "replay"))
    bad = sequences(2)
    bad.lengths = bad.lengths.astype(np.int64)
    remote.insert(bad)
    with pytest.raises(RemoteError, match="lengths"):
        remote.flush()
    with pytest.raises(RemoteError, match="sequences need the tensors lengths"):
        remote._client.call({"entry": np.zeros(5, np.int64)}, "insert")
    with pytest.raises(RemoteError, match="replay is empty"):
        remote.sample(3)
    remote.close()
    assert table.ledger.counts["refused"] == 2
    assert table.replay.inserted == 0
    assert table.ledger.balance() == 0


@pytest.mark.parametrize(("name", "id"), [("facts", 32000), ("facts", -1), ("choices", 99)])
def test_ids_that_are_no_phrase_are_refused_at_the_door(name, id):
    replay, ledger = new_replay(), Ledger()
    insert = replay_functions(replay, ledger, phrases=Phrasebook(map(str, range(99))))["insert"]

    def tensors(number, episodes):
        entry = np.array([1, number, 0, 5, 1])
        return {"entry": entry, **{f.name: getattr(episodes, f.name) for f in fields(Episodes)}}

    bad = sequences(3)
    getattr(bad, name)[-1] = id
    with pytest.raises(ValueError, match=f"{name} must be ids from 0 to 98, got "):
        insert(tensors(0, bad))
    assert (len(replay), ledger.counts["refused"], ledger.counts["moves"]) == (0, 1, 0)
    insert(tensors(1, sequences(3)))
    assert (len(replay), ledger.counts["refused"], ledger.balance()) == (3, 1, 0)


@pytest.mark.parametrize(
    "entry",
    [
        np.zeros(4, np.int64),
        np.zeros(5),
        np.array([1, 0, 0, -1, 0]),
        np.array([1, 0, 5, 0, 0]),
        np.array([1, 0, -1, 0, 0]),
    ],
)
def test_entries_that_are_none_are_refused(entry):
    ledger = Ledger()
    insert = replay_functions(new_replay(), ledger)["insert"]
    episodes = sequences(1)
    with pytest.raises(ValueError, match="insertion"):
        insert({"entry": entry, **{f.name: getattr(episodes, f.name) for f in fields(Episodes)}})
    assert ledger.counts["refused"] == 1
    assert ledger.balance() == 0


# --- the ledger -------------------------------------------------------------------------------


def saved(ledger):
    """As a checkpoint gives it back."""
    copy = Ledger()
    copy.load_state(unflatten(*flatten(ledger.state())))
    return copy


def test_numbers_are_entered_once_in_whatever_order_they_come():
    rng = random.Random(0)
    ledger = Ledger()
    numbers = [number for number in range(50) for _ in range(rng.randint(1, 3))]
    # Nobody is ahead of the oldest by more than a window.
    numbers.sort(key=lambda number: number + rng.random() * 8)
    entered = [number for number in numbers if ledger.enter(7, number, 0)]
    assert sorted(entered) == list(range(50))
    assert ledger.counts["repeated"] == len(numbers) - 50
    assert ledger.holes() == ledger.balance() == ledger.counts["lost"] == 0
    assert saved(ledger).state() == ledger.state()


def test_holes_are_what_is_on_its_way():
    ledger = Ledger()
    for number in (0, 1, 3, 6):
        ledger.enter(1, number, 0)
    assert ledger.holes() == 3
    assert saved(ledger).holes() == 3
    for number in (2, 4, 5):
        assert ledger.enter(1, number, 0)
    assert ledger.holes() == ledger.balance() == 0


def test_what_came_after_the_checkpoint_is_rolled_back_and_nothing_entered_twice():
    ledger = Ledger()
    for number in range(10):
        ledger.enter(1, number, max(0, number - 3))
    checkpoint = ledger.state()
    for number in range(10, 15):
        ledger.enter(1, number, number - 2)
    resumed = Ledger()
    resumed.load_state(checkpoint)
    # 14 was not acknowledged: it comes again. So does 9, which the checkpoint holds.
    assert not resumed.enter(1, 9, 9)
    assert resumed.enter(1, 14, 14)
    assert resumed.enter(1, 15, 14)
    assert resumed.counts["rolled_back"] == 4
    assert resumed.counts["lost"] == 0
    assert resumed.counts["insertions"] == 12
    assert resumed.balance() == 0
    # An actor that began after the checkpoint.
    assert resumed.enter(2, 30, 28)
    assert resumed.enter(2, 29, 28)
    assert resumed.enter(2, 28, 28)
    assert resumed.counts["rolled_back"] == 4 + 28
    assert resumed.holes() == resumed.balance() == 0


def test_a_loss_would_be_seen():
    """One that was acknowledged here but never entered: the proof of "none lost" is not idle."""
    ledger = Ledger()
    for number in (0, 1, 3):
        ledger.enter(1, number, 0)
    ledger.enter(1, 4, 4)
    assert ledger.counts["lost"] == 1
    assert ledger.balance() == 0


def test_a_peer_that_counts_in_millions_costs_nothing():
    ledger = Ledger()
    ledger.enter(1, 0, 0)
    tracemalloc.start()
    began = time.monotonic()
    assert ledger.enter(1, 5 * 10**12, 5 * 10**12)
    assert time.monotonic() - began < 0.1
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert ledger.counts["lost"] == 5 * 10**12 - 1
    assert ledger.balance() == 0
    for number in range(4096):
        ledger.enter(2, 2 * number + 1, 0)
    with pytest.raises(ValueError, match="more than 4096 insertions have come"):
        ledger.enter(2, 10**6, 0)
    assert ledger.balance() == 0


def test_actors_longest_silent_are_forgotten_and_the_books_stay_right(monkeypatch):
    monkeypatch.setattr(module, "_ACTORS", 3)
    ledger = Ledger()
    for life in (1, 2, 3, 1, 4, 5):
        ledger.enter(life, 0, 0)
        ledger.enter(life, 2, 0)
        ledger.enter(life, 1, 0)
    assert [life for life, *_ in ledger.state()["accounts"]] == [1, 4, 5]
    assert ledger.balance() == saved(ledger).balance() == 0
    assert ledger.counts["insertions"] == 15
    assert ledger.counts["repeated"] == 3
