"""Every setting of a run is learned with hyperparameters of its own."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from games.hyperparameters import NAMES, Hyperparameters
from games.settings import GAMES, parse
from marl.acting.actor import exploration_spectrum, temperature_spectrum
from marl.learning.config import LearnerConfig
from marl.runs.config import ActorConfig, TrainConfig, from_dict, to_dict
from marl.runs.serial import SerialRun

BOTH = ("hanabi:2-3", "simple-reference")
USUAL = Hyperparameters()
WORDS = GAMES["simple-reference"].hyperparameters


def test_a_game_names_its_own() -> None:
    config = TrainConfig(games=BOTH)
    assert config.hyperparameters() == (USUAL, USUAL, WORDS)
    assert WORDS.gamma < USUAL.gamma
    assert WORDS.epsilon > USUAL.epsilon
    assert parse("simple-spread:5@max_cycles=50")[0].hyperparameters == WORDS


def test_a_run_writes_down_what_it_was_given() -> None:
    """A later version's opinion of a game must not change a run that goes on."""
    one = TrainConfig(games=("simple-reference",))
    assert (one.learner.gamma, one.actor.epsilon) == (WORDS.gamma, WORDS.epsilon)
    assert one.per_setting == ()
    two = TrainConfig(games=BOTH)
    assert two.learner.n_step == USUAL.n_step, "all have it in common"
    assert two.learner.gamma is two.actor.epsilon is None
    assert "hanabi:3.gamma=0.999" in two.per_setting
    assert f"simple-reference.gamma={WORDS.gamma}" in two.per_setting
    for config in (one, two):
        assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
        assert replace(config, seed=7).hyperparameters() == config.hyperparameters()


def test_hanabi_is_learned_as_ever() -> None:
    """The configuration is written as it was before games had a say."""
    config = TrainConfig(games=("hanabi:2-5",))
    assert config.learner.gamma == 0.999
    assert config.learner.n_step == 3
    assert config.actor == ActorConfig(512, 0.1, 7.0, 0.1, 2.0)
    assert config.per_setting == ()


def test_a_run_of_before_goes_on_as_it_began() -> None:
    """Its configuration names one value for all games, whatever they would say today."""
    values: dict[str, Any] = to_dict(TrainConfig(games=("simple-reference", "tracking")))
    del values["per_setting"]
    values["learner"] |= {"gamma": 0.999, "n_step": 3}
    spectrum = {"epsilon": 0.1, "epsilon_spread": 7.0, "temperature": 0.1}
    values["actor"] = {"num_games": 512, "other_play": False, "temperature_spread": 2.0} | spectrum
    assert from_dict(values).hyperparameters() == (USUAL, USUAL)


def test_a_run_chooses_for_all_and_for_some() -> None:
    config = TrainConfig(
        games=BOTH,
        learner=LearnerConfig(gamma=0.9),
        actor=ActorConfig(temperature=0.0),
        per_setting=("hanabi.n-step=5", "hanabi:3.gamma=0.99", "hanabi:3.n_step=1"),
    )
    two, three, words = config.hyperparameters()
    assert (two.gamma, three.gamma, words.gamma) == (0.9, 0.99, 0.9)
    assert (two.n_step, three.n_step, words.n_step) == (5, 1, 3)
    assert (two.epsilon, words.epsilon) == (USUAL.epsilon, WORDS.epsilon)
    assert two.temperature == words.temperature == config.actor.temperature == 0
    option = TrainConfig(
        games=("supply-chain:2@margin=1.2", "supply-chain:2"),
        per_setting=("supply-chain:2@margin=1.2.gamma=0.5",),
    )
    assert [one.gamma for one in option.hyperparameters()] == [0.5, 0.999]


@pytest.mark.parametrize(
    ("per_setting", "message"),
    [
        ("tracking.gamma=0.9", "tracking is not learned, only hanabi:2, hanabi:3, simple-"),
        ("hanabi:4.gamma=0.9", "hanabi:4 is not learned"),
        ("hanabi:9.gamma=0.9", "hanabi is played by 2, 3, 4, 5 players, got 9"),
        ("gamma=0.9", "write it as simple-reference.gamma=0.95"),
        ("hanabi.huber=1", "one of gamma, n-step, epsilon, epsilon-spread, temperature, temp"),
        ("hanabi.gamma", "write it as"),
        ("hanabi.gamma=high", "'high' is no number"),
        ("hanabi.n-step=2.5", "'2.5' is no whole number"),
        ("hanabi.n-step=0", "n_step must be at least 1, got 0"),
        ("hanabi.gamma=nan", r"gamma must be in \(0, 1\], got nan"),
        ("hanabi.temperature=inf", "temperature must be a finite number"),
        ("hanabi.epsilon-spread=-1", "epsilon_spread cannot be negative"),
    ],
)
def test_what_cannot_be_is_refused(per_setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(games=BOTH, per_setting=(per_setting,))


def test_what_would_go_unheard_is_refused() -> None:
    config = TrainConfig(games=BOTH)
    with pytest.raises(ValueError, match=r"learner\.gamma=0\.9 says nothing, as per_setting has"):
        replace(config, learner=replace(config.learner, gamma=0.9))


def test_actors_and_learner_go_by_them() -> None:
    config = TrainConfig(
        games=("hanabi:2@very-small", "simple-reference"),
        actor=ActorConfig(num_games=16),
        warm_up=10**6,
    )
    run = SerialRun(config)
    for actor, chosen in zip(run.actors, config.hyperparameters(), strict=True):
        epsilons = exploration_spectrum(8, chosen.epsilon, chosen.epsilon_spread)
        np.testing.assert_array_equal(actor.epsilons, epsilons)
        temperatures = temperature_spectrum(8, chosen.temperature, chosen.temperature_spread)
        np.testing.assert_array_equal(actor.temperatures, temperatures)
    assert run.learner.objective.gamma.tolist() == [0.999, WORDS.gamma]


def test_the_manual_lists_them() -> None:
    """The table of docs/training.md has a row for every game that differs from the usual."""
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (.+?) \| ([^a-z]+) \|$", text, flags=re.MULTILINE))
    assert tuple(field.name for field in fields(Hyperparameters)) == NAMES

    def values(row: str) -> Hyperparameters:
        return Hyperparameters(*(float(cell) for cell in row.split(" | ")))  # type: ignore[arg-type]

    assert values(rows.pop("all others")) == USUAL
    found = {name: values(row) for key, row in rows.items() for name in re.findall("`(.+?)`", key)}
    assert found == {
        name: info.hyperparameters for name, info in GAMES.items() if info.hyperparameters != USUAL
    }
