"""Lanes: results in order, and nothing begun after a failure."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from games.settings import parse
from marl.acting.actor import exploration_spectrum, spread_over
from marl.lanes import Lanes
from marl.runs.config import ActorConfig, TrainConfig
from marl.runs.serial import SerialRun


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_items(count: int) -> None:
    def slow(item: int) -> tuple[int, str]:
        time.sleep(0.01 * (7 - item))
        return item * item, threading.current_thread().name

    found = Lanes(count).map(slow, range(7))
    assert [value for value, _ in found] == [0, 1, 4, 9, 16, 25, 36]
    assert len({name for _, name in found}) == count
    assert Lanes(count).map(slow, []) == []


@pytest.mark.parametrize("failing", [KeyboardInterrupt, ValueError])
def test_nothing_is_begun_after_a_failure(failing: type[BaseException]) -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 3:
            raise failing
        time.sleep(0.02)

    with pytest.raises(failing):
        Lanes(2).map(work, range(1000))
    assert len(begun) < 20


def test_games_that_are_worlds_of_their_own_are_played_few_at_once() -> None:
    assert parse("blocks")[0].at_once == 32
    assert parse("pursuit")[0].at_once == 16
    config = TrainConfig(games=("hanabi:2@very-small", "blocks"), actor=ActorConfig(num_games=128))
    few, many = SerialRun(config).actors[1], SerialRun(config).actors[0]
    assert (few.game.num_games, many.game.num_games) == (32, 64)
    spectrum = exploration_spectrum(64)
    np.testing.assert_array_equal(many.epsilons, spectrum)
    assert few.epsilons[[0, -1]].tolist() == spectrum[[0, -1]].tolist()
    np.testing.assert_array_equal(spread_over(spectrum, 64), spectrum)
