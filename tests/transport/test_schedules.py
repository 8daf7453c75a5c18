from __future__ import annotations

import math

import numpy as np
import pytest

from transport.realtime import FixedAge, NewestWins
from transport.schedules import (
    Batch,
    ExpectedTime,
    FrameClock,
    Immediate,
    MaxTime,
    Request,
    make_schedule,
)
from transport.simulate import Latency, simulate

RATE = 59.7275  # frames per second of a Game Boy
CONSTANT = Latency(median=0.1172, sigma=0.0)


def ask(number, client=b"c", **tags):
    return Request(client, number, frame=number, **tags)


def figures(schedule, playout, latency, workers, frames=6000, **options):
    result = simulate(
        schedule, playout, latency, workers=workers, frames=frames, rate=RATE, **options
    )
    return result.summary()


def publications(schedule, seconds, workers, count=400):
    """Times at which workers that never wait for an observation publish."""
    schedule.add(ask(0), 0.0)
    now, free, times = 0.0, set(range(workers)), []
    inferring: dict[int, float] = {}
    holding: dict[int, float] = {}
    while len(times) < count:
        for slot in [slot for slot, end in inferring.items() if end <= now]:
            started = inferring.pop(slot) - seconds
            holding[slot] = schedule.finished(slot, started, now)
        for slot in [slot for slot, end in holding.items() if end <= now]:
            times.append(holding.pop(slot))
            free.add(slot)
        for slot in sorted(free):
            if schedule.take(slot, now):
                free.discard(slot)
                inferring[slot] = now + seconds
        ends = (*inferring.values(), *holding.values(), schedule.wakeup(now))
        now = max(now, min(ends))
    return np.array(times)


def variation(times):
    intervals = np.diff(times)
    return intervals.std() / intervals.mean()


def test_the_corrected_rule_keeps_the_phases_even_and_the_released_rule_does_not():
    corrected = publications(MaxTime(7, 0.1), 0.1172, 7)[50:]
    released = publications(MaxTime(7, 0.1, "released"), 0.1172, 7)[50:]
    assert variation(corrected) < 1e-6
    assert variation(released) == pytest.approx(0.464, abs=0.01)


def test_coverage_under_either_rule():
    assert figures(MaxTime(7, 0.1), NewestWins(), CONSTANT, 7)["coverage"] > 0.999
    released = figures(MaxTime(7, 0.1, "released"), NewestWins(), CONSTANT, 7)
    assert released["coverage"] == pytest.approx(0.858, abs=0.005)


def test_workers_that_start_in_phase_cover_one_nth_of_the_frames():
    summary = figures(Immediate(), NewestWins(), CONSTANT, 7, warm_up=0)
    assert summary["coverage"] == pytest.approx(1 / 7, abs=0.02)


def test_sequential_interaction_acts_once_per_inference():
    summary = figures(Immediate(), NewestWins(), Latency(), 1)
    assert summary["coverage"] == pytest.approx(0.165, abs=0.01)


@pytest.mark.parametrize(("spikes", "coverage"), [(0.0, 0.99), (0.01, 0.97)])
def test_frame_clock_gives_nearly_every_frame_an_action(spikes, coverage):
    latency = Latency(spikes=spikes)
    workers = latency.workers_needed(RATE) + 1
    assert workers == 8
    summary = figures(FrameClock(), FixedAge(), latency, workers, frames=20_000)
    assert summary["coverage"] >= coverage
    if not spikes:
        assert summary["interval_cv"] <= 0.1
    assert summary["age"] * 1000 / RATE < 175
    assert summary["age_std"] < 1


def test_frame_clock_beats_the_algorithms_of_the_paper_under_spikes():
    latency = Latency(spikes=0.01)
    others = [
        figures(MaxTime(8), NewestWins(), latency, 8),
        figures(ExpectedTime(8), NewestWins(), latency, 8),
        figures(Immediate(), NewestWins(), latency, 8),
        figures(FrameClock(), NewestWins(), latency, 8),
    ]
    best = max(summary["coverage"] for summary in others)
    assert figures(FrameClock(), FixedAge(), latency, 8)["coverage"] > best + 0.2


def test_workers_needed_grow_linearly_with_the_time_of_an_inference():
    needed = []
    medians = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
    for median in medians:
        latency = Latency(median=median)
        for workers in range(latency.workers_needed(RATE), 100):
            summary = figures(FrameClock(), FixedAge(), latency, workers, frames=2000)
            if summary["coverage"] >= 0.97:
                needed.append(workers)
                break
    slope, _ = np.polyfit(medians, needed, 1)
    assert slope == pytest.approx(RATE, rel=0.15)
    assert np.corrcoef(medians, needed)[0, 1] > 0.998


def test_a_simulation_repeats_itself():
    first, second = (figures(FrameClock(), FixedAge(), Latency(), 8, frames=500) for _ in range(2))
    assert first == second


def test_a_batch_is_what_fits():
    schedule = Batch(max_rows=10)
    for number, rows in enumerate((4, 4, 4, 20, 1)):
        schedule.add(ask(number, rows=rows), 0.0)
    taken = [[request.number for request in schedule.take(0, 0.0)] for _ in range(5)]
    assert taken == [[0, 1], [2], [3], [4], []]


def test_a_batch_is_bounded_in_bytes():
    schedule = Batch(max_rows=100, max_bytes=10)
    for number, size in enumerate((4, 4, 4, 50, 1)):
        schedule.add(ask(number, size=size), 0.0)
    taken = [[request.number for request in schedule.take(0, 0.0)] for _ in range(5)]
    assert taken == [[0, 1], [2], [3], [4], []]


def test_a_batch_waits_until_it_is_full_or_old():
    schedule = Batch(max_rows=3, max_wait=0.5)
    schedule.add(ask(0, arrived=1.0), 1.0)
    assert schedule.take(0, 1.4) == []
    assert schedule.wakeup(1.4) == 1.5
    assert len(schedule.take(0, 1.5)) == 1
    for number in range(3):
        schedule.add(ask(number, arrived=2.0), 2.0)
    assert len(schedule.take(0, 2.0)) == 3
    assert schedule.wakeup(2.0) == math.inf


def test_what_a_lost_worker_had_comes_first_again():
    schedule = Batch(max_rows=2)
    for number in range(4):
        schedule.add(ask(number), 0.0)
    lost = schedule.take(0, 0.0)
    schedule.put_back(lost)
    assert [request.number for request in schedule.take(1, 0.0)] == [0, 1]


def test_the_newest_observation_supersedes_the_one_before():
    schedule = FrameClock()
    first, second, stale = ask(1), ask(2), ask(0)
    assert schedule.add(first, 0.0) is None
    assert schedule.add(second, 0.0) is first
    assert schedule.add(stale, 0.0) is stale
    assert schedule.take(0, 0.0) == [second]
    assert schedule.take(1, 0.0) == []


def test_clients_are_served_in_turn():
    schedule = FrameClock()
    schedule.add(ask(0, b"a"), 0.0)
    schedule.add(ask(0, b"b"), 0.0)
    schedule.add(ask(1, b"a"), 0.0)
    assert [schedule.take(0, 0.0)[0].client for _ in range(2)] == [b"a", b"b"]


def test_a_worker_that_comes_late_falls_in_step():
    schedule = MaxTime(4, 0.4)
    schedule.add(ask(0), 0.0)
    for slot in range(3):  # The fourth is missing.
        schedule.take(slot, 0.0)
    for now in (0.0, 0.1, 0.2):
        schedule.take(round(now * 10), now)
        schedule.finished(round(now * 10), now, now + 0.3)
    assert schedule.take(3, 0.55) == []
    assert schedule.wakeup(0.65) == pytest.approx(0.7)  # 0.3 and whole cycles of 0.4


def test_expected_time_spreads_starts_over_the_mean():
    schedule = ExpectedTime(4, 0.4)
    schedule.add(ask(0), 0.0)
    starts, now = [], 0.0
    while len(starts) < 8:
        if schedule.take(0, now):
            starts.append(now)
        now = schedule.wakeup(now)
    assert np.allclose(np.diff(starts), 0.1)
    schedule.finished(0, 0.0, 0.2)
    assert schedule.mean == 0.2


@pytest.mark.parametrize(
    "name",
    ["batch", "immediate", "max_time", "max_time_released", "expected_time", "frame_clock"],
)
def test_schedules_have_names(name):
    assert make_schedule(name, 4).take(0, 0.0) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: make_schedule("fifo", 1), "no schedule 'fifo'"),
        (lambda: MaxTime(0), "workers must be at least 1"),
        (lambda: MaxTime(2, -1.0), "initial must be at least 0"),
        (lambda: MaxTime(2, 0.1, "other"), "rule must be"),
        (lambda: Batch(0), "max_rows must be at least 1"),
        (lambda: Batch(1, math.nan), "max_wait must be at least 0"),
    ],
)
def test_bad_options_are_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()
