from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import games
from games import testing
from games.gameboy.batch import ConsoleBatch
from games.gameboy.modelled import Modelled
from games.settings import parse


def batched(name: str, emulated: bool, **options: Any) -> ConsoleBatch:
    game = games.batched(name, **{"num_games": 2, "seed": 7, "emulated": emulated, **options})
    assert isinstance(game, ConsoleBatch)
    assert isinstance(game, Modelled) is not emulated
    return game


def chances(game: ConsoleBatch, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(game.due_game)) * game.choice_counts).astype(int)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("parcels", {"parcels": 7}),
        ("parcels", {"pace": 3, "every": 2, "parcels": 5}),
        ("parcels", {"delay": 5, "every": 3, "pace": 4, "sparks": 9, "parcels": 5}),
        ("parcels", {"delay": 4, "every": 2, "pending": False, "parcels": 7}),
        ("parcels", {"delay": 4, "schedule": "sequential", "sparks": 0, "parcels": 7}),
        ("blocks", {"num_games": 8}),
        ("blocks", {"num_games": 8, "pieces": 9, "choose": "placements", "level": 9}),
        ("blocks", {"num_games": 8, "delay": 20, "level": 8}),
        ("blocks", {"delay": 100, "level": 9}),
    ],
)
def test_the_model_does_what_the_cartridges_do(name: str, options: dict[str, Any]) -> None:
    real, model = batched(name, True, **options), batched(name, False, **options)
    rng = np.random.default_rng(1)
    over = 0
    while over < 6:
        for field in real.ram.dtype.names or ():
            np.testing.assert_array_equal(model.ram[field], real.ram[field], field)
        for part in ("due_game", "due_seat", "facts", "choices", "labels"):
            np.testing.assert_array_equal(getattr(model, part), getattr(real, part), part)
        move = chances(real, rng)
        found, wanted = model.step(move), real.step(move)
        for part in ("rewards", "terminated", "truncated", "over", "elapsed"):
            np.testing.assert_array_equal(getattr(found, part), getattr(wanted, part), part)
        for part in real.scoring:
            np.testing.assert_array_equal(found.outcome[part], wanted.outcome[part], part)
        over += int(found.over.sum())
    real.close()


def test_levels_rise_and_rows_are_filled_as_on_the_cartridge() -> None:
    options = {"num_games": 1, "rising": True, "level": 7, "pieces": 120}
    real, model = batched("blocks", True, **options), batched("blocks", False, **options)
    lines = 0.0
    for _ in range(110):
        np.testing.assert_array_equal(model.ram, real.ram)
        np.testing.assert_array_equal(model.choices, real.choices)
        first = model.kept[0, : model.choice_counts[0]]
        effects = model.effects[0, first]
        move = (effects[:, :4] @ [-3, 12, 2, 1]).argmin(keepdims=True)
        lines = float(model.step(move).outcome["lines"][0])
        real.step(move)
    assert lines > 25
    real.close()


@pytest.mark.parametrize("name", ["blocks", "parcels"])
def test_a_state_goes_on_on_the_cartridges(name: str) -> None:
    model, real = batched(name, False, delay=4), batched(name, True, delay=4)
    rng = np.random.default_rng(2)
    for _ in range(120):
        model.step(chances(model, rng))
    real.load_state(model.state())
    np.testing.assert_array_equal(real.facts, model.facts)
    again = batched(name, False, delay=4)
    again.load_state(model.state())
    for _ in range(30):
        np.testing.assert_array_equal(again.facts, model.facts)
        move = chances(model, rng)
        model.step(move), again.step(move)
    real.close()


def test_what_needs_a_console_says_so() -> None:
    model = batched("parcels", False)
    for call in (model.screens, model.frame):
        with pytest.raises(ValueError, match="emulated=false"):
            call()
    with pytest.raises(ValueError, match="emulated=false"):
        batched("blocks", False, choose="buttons")


def test_a_model_plays_more_games_at_once() -> None:
    (setting,), (model,) = parse("parcels"), parse("parcels@emulated=false")
    assert setting.at_once == 32 < model.at_once


@pytest.mark.parametrize("name", ["blocks@pieces=9", "parcels@parcels=2"])
def test_conformance(name: str) -> None:
    setting = games.setting(f"{name}@emulated=false")
    testing.check_all(setting.batched, steps=60)
