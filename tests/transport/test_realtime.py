from __future__ import annotations

import time

import numpy as np
import pytest

from transport.realtime import FixedAge, FrameTimer, Freshness, LatencyQuantile, NewestWins


def fed(latencies, **options):
    estimate = LatencyQuantile(**options)
    for frames in latencies:
        estimate.add(int(frames))
    return estimate


def test_the_quantile_is_that_of_the_latencies():
    rng = np.random.default_rng(0)
    latencies = rng.integers(0, 100, 20_000)
    value = fed(latencies, quantile=0.9, price=0.0, half_life=5000).value
    assert value == pytest.approx(np.quantile(latencies, 0.9), abs=3)


def test_old_latencies_are_forgotten():
    estimate = fed([30] * 1000, half_life=100)
    assert estimate.value == 30
    for _ in range(1500):
        estimate.add(5)
    assert estimate.value == 5


def test_rare_spikes_are_not_worth_the_age():
    latencies = [9] * 990 + [27] * 10
    np.random.default_rng(0).shuffle(latencies)
    assert fed(latencies * 3).value == 9
    assert fed(latencies * 3, price=0.0, quantile=0.999).value == 27


def test_the_weights_never_overflow():
    estimate = fed([3] * 20_000, half_life=10)
    assert estimate.value == 3
    assert np.isfinite(estimate._weights).all()


def test_latencies_beyond_all_measure_are_counted():
    assert fed([1000] * 50, price=0.0).value == 1000


def test_fixed_age_plays_in_order_what_was_overtaken():
    playout = FixedAge(fed([4] * 100))
    assert playout.due(10) == 14
    assert playout.add(11, 15, 13, "b")
    assert playout.add(10, 14, 14, "a")
    assert not playout.add(9, 13, 14, "late")
    assert [playout.pop(frame) for frame in (13, 14, 15)] == [None, (10, "a"), (11, "b")]


def test_newest_wins_drops_what_was_overtaken():
    playout = NewestWins()
    assert playout.add(5, -1, 8, "new")
    assert not playout.add(4, -1, 8, "old")
    assert playout.pop(8) == (5, "new")
    assert playout.pop(9) is None


def test_frames_are_paced_without_drift():
    timer = FrameTimer(200.0)
    started = []
    for frame in timer.frames(40):
        started.append(time.monotonic() - timer.began)
        if frame == 10:
            time.sleep(0.02)  # Late once; the frames after it are not.
    # The machine may be busy, so only a bound from below is exact, and the end is not far off.
    assert all(at >= frame / 200 for frame, at in enumerate(started))
    assert timer.overruns >= 1
    assert started[-1] < 39 / 200 + 0.5


def test_after_a_stall_frames_go_on_at_their_pace():
    timer, began = FrameTimer(100.0), []
    for frame in timer.frames(60):
        began.append(time.monotonic())
        if frame == 10:
            time.sleep(0.5)
    after = np.diff(began[11:])
    assert timer.stalled == pytest.approx(0.49, abs=0.1) or timer.stalled > 0.49
    # They would have come 49 at once.
    assert (after < 0.004).sum() < 25


def test_figures_of_arrivals_need_no_list_of_them():
    freshness, times = Freshness(), np.cumsum(np.random.default_rng(0).random(1000))
    for at in times:
        freshness.arrived(float(at))
    gaps = np.diff(times)
    assert freshness.summary()["arrival_cv"] == pytest.approx(gaps.std() / gaps.mean())
    assert len(freshness.arrivals) == 3
    for version in range(5000):
        freshness.played(version, version - 1, version)
    assert len(freshness.versions) <= 1000
    assert freshness.versions[4999] == 1


def test_answers_for_frames_that_nobody_played_are_forgotten():
    playout = FixedAge(fed([4] * 100))
    for frame in range(100):
        playout.add(frame, frame + 4, frame + 2, "x")
    playout.pop(200)
    assert not playout._waiting


def test_freshness_adds_up():
    freshness = Freshness()
    for frame in range(10):
        freshness.played(frame, frame - 3 if frame % 2 else None)
    summary = freshness.summary()
    assert summary["coverage"] == 0.5
    assert summary["interval"] == 2
    assert summary["interval_cv"] == 0
    assert summary["age"] == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LatencyQuantile(quantile=1.0), "quantile must lie between 0 and 1"),
        (lambda: LatencyQuantile(price=-1), "price must not be negative"),
        (lambda: LatencyQuantile(half_life=0), "half_life must be at least 1"),
        (lambda: LatencyQuantile(initial=0), "initial must be at least 1 frame"),
        (lambda: FrameTimer(0), "rate must be positive"),
    ],
)
def test_bad_options_are_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()
