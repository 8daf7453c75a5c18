from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import games
from games.gameboy.parcels import ParcelsBatched
from games.gameboy.parcels_model import ModelledParcels
from games.settings import parse


def batched(emulated: bool, **options: Any) -> ParcelsBatched:
    game = games.batched("parcels", num_games=2, seed=7, emulated=emulated, **options)
    assert isinstance(game, ParcelsBatched)
    return game


def chances(game: ParcelsBatched, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(game.due_game)) * game.choice_counts).astype(int)


@pytest.mark.parametrize(
    "options",
    [
        {"parcels": 7},
        {"pace": 3, "every": 2, "parcels": 5},
        {"delay": 5, "every": 3, "pace": 4, "sparks": 9, "parcels": 5},
        {"delay": 4, "every": 2, "pending": False, "parcels": 7},
        {"delay": 4, "schedule": "sequential", "sparks": 0, "parcels": 7},
    ],
)
def test_the_model_does_what_the_cartridges_do(options: dict[str, Any]) -> None:
    real, model = batched(True, **options), batched(False, **options)
    assert isinstance(model, ModelledParcels)
    rng = np.random.default_rng(1)
    over = 0
    while over < 6:
        for name in real.ram.dtype.names or ():
            np.testing.assert_array_equal(model.ram[name], real.ram[name], name)
        for name in ("due_game", "due_seat", "facts", "choices", "labels"):
            np.testing.assert_array_equal(getattr(model, name), getattr(real, name), name)
        move = chances(real, rng)
        found, wanted = model.step(move), real.step(move)
        for name in ("rewards", "terminated", "truncated", "over", "elapsed"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
        np.testing.assert_array_equal(found.outcome["right"], wanted.outcome["right"])
        over += int(found.over.sum())
    real.close()


def test_a_state_goes_on_on_the_cartridges() -> None:
    model, real = batched(False, delay=4), batched(True, delay=4)
    rng = np.random.default_rng(2)
    for _ in range(120):
        model.step(chances(model, rng))
    real.load_state(model.state())
    np.testing.assert_array_equal(real.facts, model.facts)
    again = batched(False, delay=4)
    again.load_state(model.state())
    for _ in range(30):
        np.testing.assert_array_equal(again.facts, model.facts)
        move = chances(model, rng)
        model.step(move), again.step(move)
    real.close()


def test_what_needs_a_console_says_so() -> None:
    model = batched(False)
    for call in (model.screens, model.frame):
        with pytest.raises(ValueError, match="emulated=false"):
            call()


def test_a_model_plays_more_games_at_once() -> None:
    (setting,), (model,) = parse("parcels"), parse("parcels@emulated=false")
    assert setting.at_once == 32 < model.at_once
