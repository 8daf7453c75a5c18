"""LIO: whether incentives are learned through the others' next step, and towards what."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import games
from marl.lio.learn import LIO, LIOConfig
from marl.lio.players import Played, Players, advantages, returns
from scripts import cli


def by_deed(worth: Tensor) -> object:
    """An incentive function of two players that looks at nothing but what the other did."""

    def given(played: Played) -> Tensor:
        first = worth[0][played.acts[1]] * played.lasting
        second = worth[1][played.acts[0]] * played.lasting
        nothing = torch.zeros_like(first)
        return torch.stack([torch.stack([nothing, first]), torch.stack([second, nothing])])

    return given


def test_returns_and_advantages() -> None:
    rewards = torch.tensor([[1.0, 0.0], [2.0, 4.0]])
    assert returns(rewards, 0.5).tolist() == [[2.0, 2.0], [2.0, 4.0]]
    lasting = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert advantages(rewards, lasting).tolist() == [[0.5, -0.5], [0.0, 0.0]]


def test_the_gradient_runs_through_the_step_of_the_others() -> None:
    """Against finite differences, with the same games before and after."""
    run = LIO(games.setting("escape-room:2"), LIOConfig(games=32, learning_rate=0.05), 3)
    players, weights = run.players, run.players.policy_weights()
    before = players.play(run.game, weights, 0.1, 1)
    later = players.play(run.game, weights, 0.1, 2)

    def loss(worth: Tensor) -> Tensor:
        players.given = by_deed(worth)  # type: ignore[method-assign,assignment]
        return run.giving_loss(run.learned(weights, before, players.given(before)), later)

    worth = torch.full((2, 3), 0.7, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(worth), worth)
    for giver in range(2):
        for deed in range(3):
            step = torch.zeros(2, 3)
            step[giver, deed] = 0.5
            change = float((loss(worth + step) - loss(worth - step)).detach())
            assert change == pytest.approx(float(gradient[giver, deed]), rel=0.05, abs=2e-4)


def test_it_pays_to_have_the_lever_pulled() -> None:
    run = LIO(games.setting("escape-room:2"), LIOConfig(games=256, cost=0.0), 1)
    worth = torch.zeros(2, 3, requires_grad=True)
    run.players.given = by_deed(worth)  # type: ignore[method-assign,assignment]
    total = torch.zeros(2, 3)
    for seed in range(6):
        weights = run.players.policy_weights()
        played = run.players.play(run.game, weights, 0.1, seed)
        after = run.learned(weights, played, run.players.given(played))
        loss = run.giving_loss(after, run.players.play(run.game, after, 0.1, seed + 50))
        total -= torch.autograd.grad(loss, worth)[0]
    assert (total[:, 0] > 0).all()  # the lever
    assert (total[:, 1:] < 0).all()


def test_nobody_is_given_anything_without_incentives() -> None:
    """And the same seed gives the same weights."""
    config = LIOConfig(iterations=3, games=8, incentives=False)
    runs = [LIO(games.setting("prisoners-dilemma"), config, seed) for seed in (1, 1)]
    for run in runs:
        givers = [p.clone() for p in run.players.givers.parameters()]
        for _ in range(3):
            run.iterate()
        assert run.evaluate(20, 5)["payments"] == 0
        for old, new in zip(givers, run.players.givers.parameters(), strict=True):
            assert torch.equal(old, new)
    for one, two in zip(*(run.players.parameters() for run in runs), strict=True):
        assert torch.equal(one, two)


def test_games_of_turns_are_refused() -> None:
    with pytest.raises(ValueError, match="everybody moves at once"):
        Players(games.batched("hanabi:2", 2, restart=False), 8, 2.0)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brief = ["--iterations", "2", "--games", "8", "--evaluate-games", "8", "--seeds", "1"]
    assert cli.main(["lio", "escape-room:3", *brief, "--out", str(tmp_path / "lio")]) == 0
    assert (tmp_path / "lio" / "escape-room-3" / "seed-1" / "metrics.jsonl").exists()
    assert cli.main(["lio", "hanabi", *brief, "--out", str(tmp_path / "lio")]) == 2
    assert "moves at once" in capsys.readouterr().err
