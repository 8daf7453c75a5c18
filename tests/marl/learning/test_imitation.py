"""Imitation: its schedule, its loss, and who may teach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import games
from agents.bots import Bot
from marl.acting.table import observe
from marl.learning.imitation import ImitationConfig, cross_entropy
from marl.runs.roster import find_teacher
from tests.marl.players import exported


def test_the_share_stays_and_then_falls_linearly() -> None:
    config = ImitationConfig(updates=10, anneal=4, weight=0.5)
    assert [config.share(updates) for updates in (0, 9)] == [1, 1]
    assert [config.share(updates) for updates in range(10, 16)] == [1, 0.75, 0.5, 0.25, 0, 0]
    assert [config.weight_at(updates) for updates in (3, 12, 14)] == [0.5, 0.25, 0]
    at_once = ImitationConfig(updates=3, anneal=0)
    assert [at_once.share(updates) for updates in (0, 2, 3, 4)] == [1, 1, 0, 0]
    assert ImitationConfig(updates=0, anneal=2).share(0) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"updates": -1}, "imitation.updates cannot be negative, got -1"),
        ({"anneal": -5}, "imitation.anneal cannot be negative, got -5"),
        ({"weight": -0.5}, "imitation.weight cannot be negative, got -0.5"),
        ({"weight": float("nan")}, "imitation.weight cannot be negative, got nan"),
        ({"updates": 0, "anneal": 0}, "cannot both be 0"),
        ({"temperature": 0.0}, "imitation.temperature must be positive, got 0.0"),
        ({"epsilon": 1.0}, r"imitation.epsilon must be in \[0, 1\), got 1.0"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImitationConfig(**options)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 3.0])
def test_cross_entropy_is_that_of_the_softmax(temperature: float) -> None:
    inf = float("inf")
    rows = [[1.0, 2.0, 0.5], [0.3, -inf, -inf], [4.0, 4.1, -inf], [0.0, 9.0, 1.0]]
    q = torch.tensor(rows, requires_grad=True)
    taught = torch.tensor([1, 0, -1, 2])
    found = cross_entropy(q, taught, temperature)
    expected, slopes = [], []
    for row, choice in zip(rows, taught.tolist(), strict=True):
        odds = np.exp((np.array(row) - max(row)) / temperature)
        chances = odds / odds.sum()
        expected.append(-np.log(chances[choice]) if choice >= 0 else 0.0)
        slopes.append((chances - np.eye(3)[choice]) / temperature if choice >= 0 else np.zeros(3))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    (found.sum() * temperature).backward()
    assert q.grad is not None
    np.testing.assert_allclose(q.grad, np.array(slopes) * temperature, rtol=1e-4, atol=1e-6)
    assert q.grad.abs().max() <= 1


def test_nothing_taught_is_nothing_to_learn() -> None:
    q = torch.tensor([[1.0, -float("inf")]], requires_grad=True)
    loss = cross_entropy(q, torch.tensor([-1]), 0.1).sum()
    loss.backward()
    assert loss == 0
    assert q.grad is not None
    assert not q.grad.any()


def playing(name: str) -> tuple[tuple[games.Setting, ...], list[Any]]:
    settings = games.parse(name)
    return settings, [setting.batched(4, 1) for setting in settings]


def test_a_bot_teaches_every_setting() -> None:
    settings, batches = playing("hanabi:2,5@very-small")
    before = [game.state() for game in batches]
    teacher = find_teacher("bot:iggi", settings, batches)
    assert isinstance(teacher, Bot)
    for game, state in zip(batches, before, strict=True):
        for name, array in game.state().items():
            np.testing.assert_array_equal(array, state[name])


def test_an_agent_teaches_what_it_can_play(tmp_path: Path) -> None:
    settings, batches = playing("hanabi:2,3@very-small")
    reads = exported(tmp_path / "reads", games=("hanabi:2@very-small",))
    teacher = find_teacher(reads, settings, batches)
    memory = np.zeros((4, teacher.memory_size), np.float32)
    choices, _, _ = teacher.act(observe(batches[1]), memory)
    assert (choices < batches[1].choice_counts).all()
    blind = exported(tmp_path / "blind", {"encoder": "vector"}, games=("hanabi:2@very-small",))
    find_teacher(blind, settings[:1], batches[:1])
    refused = r"blind cannot teach hanabi:3@very-small: it reads no text"
    with pytest.raises(ValueError, match=refused):
        find_teacher(blind, settings, batches)
    with pytest.raises(ValueError, match="there is no agent 'nobody'"):
        find_teacher("nobody", settings, batches)
    with pytest.raises(ValueError, match="there is no bot 'plumber'"):
        find_teacher("bot:plumber", settings, batches)
