"""Tracks: what the kernels write, where they stop, and what a saved state holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from marl.acting import tracks
from marl.acting.tracks import Tracks

STEPS, FACTS, CHOICES, LABELS, MEMORY = 6, 4, 3, 3, 2


def make(count: int = 4, steps: int = STEPS) -> Tracks:
    return tracks.allocate(
        count,
        steps=steps,
        max_facts=FACTS,
        max_choices=CHOICES,
        labels=LABELS,
        memory=MEMORY,
    )


def record(
    target: Tracks, rows: list[int], rng: np.random.Generator, **given: Any
) -> dict[str, Any]:
    """Writes a random step into each of ``rows``; returns what was written."""
    n = len(rows)
    step = {
        "facts": rng.integers(0, 99, (n, FACTS)).astype(np.int16),
        "fact_counts": rng.integers(0, FACTS + 1, n).astype(np.int16),
        "choices": rng.integers(0, 99, (n, CHOICES)).astype(np.int16),
        "choice_counts": rng.integers(1, CHOICES + 1, n).astype(np.int16),
        "actions": rng.integers(0, 3, n),
        "taught": rng.integers(-1, 3, n),
        "labels": rng.integers(-1, 25, (n, LABELS)).astype(np.int8),
        "memory": rng.normal(size=(n, MEMORY)).astype(np.float32),
        "version": 0,
        "overlap": 0,
        "slot": 0,
        **given,
    }
    tracks.record(target, np.array(rows), *step.values())
    return step


def earn(target: Tracks, *rewards: list[float], elapsed: int = 1) -> None:
    """Hands out what the seats of each game earned."""
    tracks.reward(target, np.array(rewards, np.float32), np.full(len(rewards), elapsed, np.int32))


def test_steps_go_to_their_rows_and_nowhere_else() -> None:
    mine, rng = make(), np.random.default_rng(0)
    first = record(mine, [2, 0], rng, version=5)
    second = record(mine, [2], rng, version=6)
    assert mine.length.tolist() == [1, 0, 2, 0]
    episodes = tracks.gather(mine, np.array([2, 0]), True, 7, 2, np.array([0, 4]))
    assert episodes.lengths.tolist() == [2, 1]
    assert episodes.version.tolist() == [5, 5]
    assert episodes.setting.tolist() == [7, 7]
    assert episodes.terminal.tolist() == [True, True]
    np.testing.assert_array_equal(episodes.memory, first["memory"])
    steps = [(first, 0), (second, 0), (first, 1)]
    for name in ("facts", "choices"):
        counts = f"{name[:-1]}_counts"
        parts = [step[name][i, : step[counts][i]] for step, i in steps]
        np.testing.assert_array_equal(getattr(episodes, name), np.concatenate(parts))
        assert getattr(episodes, counts).tolist() == [len(part) for part in parts]
    np.testing.assert_array_equal(episodes.actions, [step["actions"][i] for step, i in steps])
    np.testing.assert_array_equal(episodes.taught, [step["taught"][i] for step, i in steps])
    assert episodes.seat.tolist() == [0, 0]
    assert episodes.partner.tolist() == [0, 4]
    np.testing.assert_array_equal(episodes.labels, [step["labels"][i] for step, i in steps])
    # What was gathered belongs to the caller.
    before = episodes.facts.copy()
    mine.facts[:] = 0
    np.testing.assert_array_equal(episodes.facts, before)


def test_rewards_and_time_go_to_the_last_step_of_every_seat() -> None:
    """Two games of two seats; one seat has not moved yet and gets nothing."""
    mine, rng = make(), np.random.default_rng(1)
    record(mine, [0, 2], rng)
    earn(mine, [1, 7], [10, 10])
    record(mine, [1, 2], rng)
    earn(mine, [2, 3], [20, 20], elapsed=2)
    earn(mine, [0, 0], [-5, 4], elapsed=0)
    assert mine.rewards[:, :2].tolist() == [[3, 0], [3, 0], [10, 15], [0, 0]]
    assert mine.elapsed[:, :2].tolist() == [[3, 0], [2, 0], [1, 2], [0, 0]]
    earn(mine, [0, 0], [0, 0], elapsed=2**20)
    assert mine.elapsed[0, 0] == 2**15 - 1
    assert mine.length.tolist() == [1, 1, 2, 0]


def test_a_track_that_is_used_again_holds_nothing_of_before() -> None:
    mine, rng = make(1), np.random.default_rng(2)
    for _ in range(STEPS):
        record(mine, [0], rng)
    earn(mine, [3], elapsed=5)
    assert tracks.full(mine, np.array([0])).tolist() == [0]
    tracks.clear(mine, np.array([0]))
    assert tracks.full(mine, np.array([0])).tolist() == []
    step = record(mine, [0], rng, version=9)
    episodes = tracks.gather(mine, np.array([0]), False, 0, 2)
    assert episodes.steps == 1
    assert episodes.rewards.tolist() == [0]
    assert episodes.elapsed.tolist() == [0]
    assert episodes.fresh.tolist() == [True]
    assert episodes.version.tolist() == [9]
    np.testing.assert_array_equal(episodes.facts, step["facts"][0, : step["fact_counts"][0]])
    np.testing.assert_array_equal(episodes.memory, step["memory"])


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_a_successor_begins_with_the_overlap(overlap: int) -> None:
    """With the memory and the weights' version of its own first step, twice in a row."""
    mine, rng = make(2), np.random.default_rng(3)
    written = []
    for cut in range(3):
        while mine.length[1] < STEPS:
            written.append(record(mine, [1], rng, version=len(written), overlap=overlap))
            earn(mine, [0, len(written)], elapsed=len(written))
        episodes = tracks.gather(mine, np.array([1]), False, 0, 2)
        assert episodes.steps == STEPS
        begin = len(written) - STEPS
        assert episodes.version.tolist() == [begin]
        assert episodes.seat.tolist() == [1]
        np.testing.assert_array_equal(
            episodes.taught, np.concatenate([step["taught"] for step in written[begin:]])
        )
        np.testing.assert_array_equal(episodes.memory, written[begin]["memory"])
        assert episodes.rewards.tolist() == [i + 1.0 for i in range(begin, len(written))]
        assert episodes.elapsed.tolist() == [i + 1 for i in range(begin, len(written))]
        assert episodes.fresh.tolist() == [cut == 0]
        facts = [step["facts"][0, : step["fact_counts"][0]] for step in written[begin:]]
        np.testing.assert_array_equal(episodes.facts, np.concatenate(facts))
        tracks.keep_overlap(mine, np.array([1]), overlap)
        assert mine.length.tolist() == [0, overlap + 1], cut
    tracks.clear(mine, np.array([1]))
    record(mine, [1], rng)
    assert tracks.gather(mine, np.array([1]), False, 0, 2).fresh.tolist() == [True]


def test_a_smaller_answer_sheet_is_filled_up() -> None:
    mine, rng = make(1), np.random.default_rng(4)
    record(mine, [0], rng, labels=np.array([[7, 8]], np.int8))
    assert mine.labels[0, 0].tolist() == [7, 8, -1]
    record(mine, [0], rng, labels=np.array([[1, 2, 3, 4]], np.int8))
    assert mine.labels[0, 1].tolist() == [1, 2, 3]
    record(mine, [0], rng, labels=np.array([[5]], np.int8), slot=1)
    assert mine.labels[0, 2].tolist() == [-1, 5, -1], "another game's answers lie before it"
    record(mine, [0], rng, labels=np.array([[5, 6]], np.int8), slot=2)
    assert mine.labels[0, 3].tolist() == [-1, -1, 5]


def test_a_state_holds_what_is_in_use_and_no_more() -> None:
    """Two tracks that agree in what they hold, but not in what lies behind it."""
    clean, dirty = make(), make()
    for array in (dirty.facts, dirty.choices):
        array[:] = 77
    for target in (clean, dirty):
        rng = np.random.default_rng(5)
        for _ in range(3):
            record(target, [0, 1, 3], rng)
        target.length[1] = 0
        record(target, [1], rng)
    one, two = tracks.state(clean), tracks.state(dirty)
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].tobytes() == two[name].tobytes(), name
    assert len(one["facts"]) == clean.facts_used.sum()
    other = make()
    tracks.load_state(other, one)
    for rows in ([0], [1], [3, 0]):
        ours = tracks.gather(clean, np.array(rows), True, 0, 2)
        theirs = tracks.gather(other, np.array(rows), True, 0, 2)
        for name in vars(ours):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must have the shape \(4, 6\), got \(4, 5\)"):
        tracks.load_state(make(), tracks.state(make(steps=5)))
