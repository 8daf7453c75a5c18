from __future__ import annotations

import numpy as np
import pytest

import games
from games import testing
from games.tracking import TrackingBatched, TrackingConfig, best_offset, optimum, where


def test_text_says_what_the_state_says():
    world = TrackingBatched(TrackingConfig(cells=5), num_games=20, seed=3)
    for _ in range(30):
        for row in range(20):
            cell, way = world.phrasebook.render(world.facts[row])
            assert cell == f"the target is at cell {world.position[row] + 1}"
            assert way == f"the target runs {'right' if world.direction[row] > 0 else 'left'}"
        world.step(np.zeros(20, int))
    choices = world.phrasebook.render(world.choices[0])
    assert choices[2] == "I point at cell 3"
    assert choices[world.wait] == "I point nowhere"
    assert set(world.facts.ravel()) <= {*world.fact_phrases, -1}
    assert list(world.choices[0]) == list(world.choice_phrases)


def test_pointing_at_the_target_wins_the_frame():
    world = TrackingBatched(TrackingConfig(noise=0.0, frames=10), num_games=4)
    for frame in range(10):
        step = world.step(world.position.copy())
        assert (step.rewards == 1).all()
        assert step.terminated.all() == (frame == 9)
    assert (step.outcome["won"] == 10).all()
    assert (world.step(np.full(4, world.wait)).rewards == 0).all()


def test_a_world_depends_on_its_seed_alone():
    many = TrackingBatched(TrackingConfig(frames=7), num_games=6, seed=10)
    alone = [TrackingBatched(TrackingConfig(frames=7), num_games=1, seed=10 + i) for i in range(6)]
    for _ in range(7):  # The first episode: later ones have the seeds of other batches.
        np.testing.assert_array_equal(many.facts, np.concatenate([one.facts for one in alone]))
        for world in (many, *alone):
            world.step(np.zeros(world.num_games, int))
    second = TrackingBatched(TrackingConfig(frames=7), num_games=6, seed=16)
    np.testing.assert_array_equal(many.facts, second.facts)


def test_a_saved_world_goes_on_as_it_was():
    world = TrackingBatched(TrackingConfig(frames=20, noise=0.3), num_games=3, seed=1)
    for _ in range(15):
        world.step(np.zeros(3, int))
    copy = TrackingBatched(TrackingConfig(frames=20, noise=0.3), num_games=3, seed=99)
    copy.load_state(world.state())
    for _ in range(15):
        np.testing.assert_array_equal(world.facts, copy.facts)
        first, second = world.step(np.full(3, 2)), copy.step(np.full(3, 2))
        np.testing.assert_array_equal(first.rewards, second.rewards)
        np.testing.assert_array_equal(first.terminated, second.terminated)
    with pytest.raises(ValueError, match="does not fit 2 games"):
        TrackingBatched(TrackingConfig(), num_games=2).load_state(world.state())


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3, 0.5])
@pytest.mark.parametrize("age", [0, 1, 4, 9])
def test_the_optimum_is_what_the_best_play_wins(noise, age):
    config = TrackingConfig(cells=9, noise=noise, frames=10**6)
    world = TrackingBatched(config, num_games=2000, seed=5)
    offset = best_offset(config, age)
    seen, won = [], []
    for _ in range(120 + age):
        seen.append((world.position.copy(), world.direction.copy()))
        move = np.full(2000, world.wait)
        if len(seen) > age:
            position, direction = seen[-1 - age]
            move = (position + direction * offset) % 9
        won.append(world.step(move).rewards.mean())
    assert np.mean(won[age:]) == pytest.approx(optimum(config, age), abs=0.006)


def test_delay_costs_nothing_without_noise_and_more_with_more():
    assert [optimum(TrackingConfig(noise=0.0), age) for age in (0, 5, 50)] == [1, 1, 1]
    for noise in (0.01, 0.1, 0.5):
        shares = [optimum(TrackingConfig(noise=noise), age) for age in range(8)]
        assert shares[0] == 1
        assert shares[1] == pytest.approx(1 - noise)
    assert optimum(TrackingConfig(noise=0.1), 9) < optimum(TrackingConfig(noise=0.01), 9)
    assert where(12, 0.5, 30).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cells": 2}, "cells must be at least 3, got 2"),
        ({"noise": 0.6}, "noise must lie between 0 and 0.5, got 0.6"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"delay": 129}, "delay must be 0 to 128 frames, got 129"),
        ({"varied": 1}, "varied must be true or false, got 1"),
        ({"way": "no"}, "way must be true or false, got 'no'"),
    ],
)
def test_worlds_that_cannot_be_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        TrackingConfig(**options)


@pytest.mark.parametrize("move", [[13], [-1], [0, 0], [0.5]])
def test_moves_that_are_none_are_refused(move):
    with pytest.raises(ValueError, match=r"move_index.* (13 choices|1 integers)"):
        TrackingBatched(TrackingConfig()).step(np.array(move))


def test_tracking_is_a_game():
    testing.check_all(
        lambda n, seed, restart: games.batched("tracking@frames=25", n, seed, restart),
        decode=lambda facts: {"cell": facts[0].split()[-1], "way": facts[1].split()[-1]},
        truth=lambda world, i, seat: {
            "cell": str(world.position[i] + 1),
            "way": "right" if world.direction[i] > 0 else "left",
        },
        steps=60,
    )


@pytest.mark.parametrize("way", [True, False])
def test_a_game_with_delay_shows_what_was(way):
    config = TrackingConfig(delay=7, varied=True, way=way, noise=0.2, frames=30)
    world = TrackingBatched(config, num_games=40, seed=2)
    track = [np.stack([world.position, world.direction], 1)]
    ahead = world.ahead.copy()
    assert {*ahead} == set(range(8))
    for frame in range(20):
        for game in range(40):
            said = world.phrasebook.render(world.facts[game])
            if ahead[game]:
                assert f"my choice counts in {ahead[game]} frames" in said
            if frame >= ahead[game]:
                position, direction = track[frame - ahead[game]][game]
                assert said[0] == f"the target is at cell {position + 1}"
                runs = f"the target runs {'right' if direction > 0 else 'left'}"
                assert (runs in said) == way
            assert len(said) == 1 + way + bool(ahead[game]) == world.fact_counts[game]
        assert (world.step(world.position.copy()).rewards == 1).all()
        track.append(np.stack([world.position, world.direction], 1))


@pytest.mark.parametrize("delay", [1, 6])
def test_choices_with_delay_win_as_often_as_the_optimum_says(delay):
    config = TrackingConfig(delay=delay, noise=0.1, frames=10**6)
    world = TrackingBatched(config, num_games=500, seed=5)
    won = []
    for _ in range(200):
        facts = world.facts
        move = facts[:, 0] + (2 * (facts[:, 1] - 12) - 1) * best_offset(config, delay)
        won.append(world.step(move % 12).rewards.mean())
    assert np.mean(won) == pytest.approx(optimum(config, delay), abs=0.01)


def test_a_loop_in_real_time_tells_when_a_choice_counts():
    world = TrackingBatched(TrackingConfig())
    world.tell([[]], 5)
    assert world.phrasebook.render(world.facts[0])[2] == "my choice counts in 5 frames"
    world.tell([[]], 0)
    assert len(world.phrasebook.render(world.facts[0])) == 2
    world.tell([[]], 4000)  # More than there are words for.
    assert "in 128 frames" in world.phrasebook.render(world.facts[0])[2]


def test_tracking_with_delay_is_a_game():
    setting = "tracking@frames=25@delay=3@varied=true@way=false"
    testing.check_all(lambda n, seed, restart: games.batched(setting, n, seed, restart), steps=60)
