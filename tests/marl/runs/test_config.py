"""The configuration of a run: what is accepted, what is refused, and how it is saved."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from agents.r3d2.config import R3D2Config
from marl.learning.config import LearnerConfig
from marl.learning.imitation import ImitationConfig
from marl.replay.prioritised import ReplayConfig
from marl.runs.config import ActorConfig, TrainConfig, from_dict, to_dict


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (("hanabi",), ("hanabi:2",)),
        (("hanabi:2",), ("hanabi:2",)),
        (("hanabi:2-5",), ("hanabi:2", "hanabi:3", "hanabi:4", "hanabi:5")),
        (("hanabi:4,2",), ("hanabi:2", "hanabi:4")),
        (("hanabi:2-3,5",), ("hanabi:2", "hanabi:3", "hanabi:5")),
        (("hanabi:3,2-4",), ("hanabi:2", "hanabi:3", "hanabi:4")),
        (("tracking", "hanabi:3@small"), ("tracking", "hanabi:3@small")),
    ],
)
def test_settings_are_read(given: tuple[str, ...], names: tuple[str, ...]) -> None:
    config = TrainConfig(games=given)
    assert config.games == names
    assert tuple(setting.name for setting in config.settings()) == names
    assert config == TrainConfig(games=names)


def floats(kind: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every field of a configuration that holds a float, by the names on the way there."""
    found = []
    for field in fields(kind):
        name, value = (*path, field.name), getattr(kind, field.name)
        if is_dataclass(value):
            found += floats(value, name)
        elif isinstance(value, float):
            found.append(name)
    return found


@pytest.mark.parametrize("path", floats(TrainConfig()), ids=".".join)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_endless(path: tuple[str, ...], value: float) -> None:
    values = to_dict(TrainConfig())
    *parts, name = path
    inner = values
    for part in parts:
        inner = inner[part]
    assert isinstance(inner[name], float)
    inner[name] = value
    with pytest.raises(ValueError, match=f"{'.'.join(path)} .*, got -?(nan|inf)"):
        from_dict(values)


@pytest.mark.parametrize("players", ["", "two", "2-", "-2", "2,,3", "2;3", "2.5"])
def test_players_that_cannot_be_read_are_refused(players: str) -> None:
    with pytest.raises(ValueError, match="players must look like"):
        TrainConfig(games=(f"hanabi:{players}",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("hanabi:5-2",), "write 2-5"),
        (("hanabi:2-6",), "hanabi is played by 2, 3, 4, 5 players, got 6"),
        (("chess",), "unknown game 'chess'; there are "),
        (("hanabi:2", "hanabi:2-3"), "hanabi:2 is named twice"),
        ((), "name at least one game"),
    ],
)
def test_games_that_are_not_there_are_refused(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(games=given)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TrainConfig, {"warm_up": 0}, "warm_up must be at least 1, got 0"),
        (TrainConfig, {"evaluate_interval": 0}, "evaluate_interval must be at least 1"),
        (TrainConfig, {"keep_checkpoints": 0}, "keep_checkpoints must be at least 1"),
        (TrainConfig, {"samples_per_insert": 0.0}, "samples_per_insert must be positive"),
        (TrainConfig, {"samples_per_insert": float("nan")}, "samples_per_insert must be"),
        (TrainConfig, {"checkpoint_minutes": -1.0}, "checkpoint_minutes must be positive"),
        (ActorConfig, {"num_games": 0}, "actor.num_games must be at least 1"),
        (ActorConfig, {"epsilon": 0.0}, r"actor.epsilon must be in \(0, 1\]"),
        (ActorConfig, {"epsilon": 1.5}, r"actor.epsilon must be in \(0, 1\]"),
        (ActorConfig, {"epsilon_spread": -1.0}, "actor.epsilon_spread cannot be negative"),
        (LearnerConfig, {"batch": 0}, "learner.batch must be at least 1"),
        (LearnerConfig, {"n_step": 0}, "learner.n_step must be at least 1"),
        (LearnerConfig, {"learning_rate": 0.0}, "learner.learning_rate must be positive"),
        (LearnerConfig, {"gamma": 1.1}, r"learner.gamma must be in \(0, 1\]"),
        (LearnerConfig, {"gamma": 0.0}, r"learner.gamma must be in \(0, 1\]"),
        (LearnerConfig, {"average": 1.0}, r"learner.average must be in \[0, 1\)"),
        (LearnerConfig, {"burn_in": -1}, "learner.burn_in cannot be negative"),
    ],
)
def test_values_out_of_range_are_refused(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_burn_in_must_leave_something_to_learn_from() -> None:
    replay = ReplayConfig(max_length=20)
    TrainConfig(replay=replay, learner=LearnerConfig(burn_in=9))
    with pytest.raises(ValueError, match="choose at most 9"):
        TrainConfig(replay=replay, learner=LearnerConfig(burn_in=10))


def test_a_configuration_survives_json() -> None:
    config = TrainConfig(
        games=("hanabi:2-5", "hanabi:2@small"),
        seed=2**40,
        agent=R3D2Config(encoder="vector", own_hand=True),
        actor=ActorConfig(other_play=True),
        replay=ReplayConfig(balanced=True),
        learner=LearnerConfig(burn_in=3, gamma=0.99, mixing="vdn"),
        imitate="bot:smart",
        imitation=ImitationConfig(updates=5, temperature=0.2),
    )
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    assert from_dict(to_dict(replace(config, seed=1))) != config


def test_guesses_are_rewarded_where_there_are_some_and_all_seats_are_seen() -> None:
    with pytest.raises(ValueError, match="add --learner"):
        TrainConfig(learner=LearnerConfig(aux_shaping=1.0))
    learner = LearnerConfig(aux_shaping=1.0, mixing="vdn")
    with pytest.raises(ValueError, match="leave out --agent"):
        TrainConfig(agent=R3D2Config(own_hand=False), learner=learner)
    assert TrainConfig(learner=learner).learner.aux_shaping == 1


@pytest.mark.parametrize("where", [(), ("agent",), ("learner",)])
def test_a_field_of_another_version_is_refused(where: tuple[str, ...]) -> None:
    values: dict[str, Any] = to_dict(TrainConfig())
    part = values
    for name in where:
        part = part[name]
    part["warp_factor"] = 9
    with pytest.raises(ValueError, match=r"not one of this version.*warp_factor"):
        from_dict(values)


def test_a_field_out_of_range_is_refused_when_it_is_read() -> None:
    values = to_dict(TrainConfig())
    values["learner"]["clip"] = -1.0
    with pytest.raises(ValueError, match=r"learner\.clip must be positive"):
        from_dict(values)
