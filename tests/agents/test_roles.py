"""Networks by role: who is told apart by choices, and who learns from what."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

import games
from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from agents.r3d2.cores import Layout
from agents.r3d2.network import Tables
from agents.r3d2.roles import RoleNetworks
from marl.acting.table import admit, observe

APART = R3D2Config(hidden=32, memory=16, text_hidden=32, own_hand=False, roles=("^I ask",))
VECTOR = replace(APART, encoder="vector")
GAME = "supply-chain:2@manager=incentives"


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 throughout: bfloat16 would hide a mistake among its own."""
    monkeypatch.setattr(R3D2Agent, "autocast", lambda self: contextlib.nullcontext())


def seen(manager: bool) -> tuple[games.core.BatchedGame, Observations]:
    """What the manager observes first, or the factories when it has spoken."""
    game = games.batched(GAME, num_games=4, seed=3)
    if not manager:
        for k in range(2):
            game.step(np.full(4, k + 1))
    return game, observe(game)


def values(agent: R3D2Agent, rows: Observations) -> torch.Tensor:
    """Q-values of the rows, with gradients."""
    tables = agent.tables(agent.embed())
    starts = np.arange(len(rows), dtype=np.int64) * rows.facts.shape[1]
    inputs = agent.inputs(rows.facts.ravel(), starts, rows.fact_counts)
    memory = torch.zeros(len(rows), agent.memory_size)
    x = agent.network.perceive(agent.pool(inputs, tables))
    state, _ = agent.network.recur(x, Layout(np.ones(len(rows), np.int64)), memory)
    return agent.network.relevance(state, tables, *agent.legal(rows.choices, rows.choice_counts))


@pytest.mark.parametrize("manager", [False, True])
def test_a_role_learns_from_its_own_and_from_nothing_else(manager: bool) -> None:
    game, rows = seen(manager)
    agent = R3D2Agent(VECTOR, game.phrasebook, 1)
    admit(agent, game)
    q = values(agent, rows)
    q[torch.isfinite(q)].square().sum().backward()  # type: ignore[no-untyped-call]
    assert isinstance(agent.network, RoleNetworks)
    mine, other = agent.network.each[int(manager)], agent.network.each[1 - int(manager)]
    assert all((p.grad != 0).any() for p in (mine.query.weight, mine.value.bias, mine.mix.weight))
    assert all(p.grad is None or not p.grad.any() for p in other.parameters())
    embedding = next(agent.reader.parameters()).grad
    assert embedding is not None
    halves = embedding.chunk(2, 1)
    assert halves[int(manager)].any()
    assert not halves[1 - int(manager)].any()


def test_each_network_plays_as_it_would_alone() -> None:
    """With one language model for all, a role's values are those of an agent with its network."""
    for manager in (False, True):
        game, rows = seen(manager)
        both = R3D2Agent(APART, game.phrasebook, 1)
        admit(both, game)
        alone = R3D2Agent(replace(APART, roles=()), game.phrasebook, 2)
        admit(alone, game)
        assert isinstance(both.network, RoleNetworks)
        alone.reader.load_state_dict(both.reader.state_dict())
        alone.network.load_state_dict(both.network.each[int(manager)].state_dict())
        memory = np.zeros((len(rows), both.memory_size), np.float32)
        chosen, found, after = both.act(rows, memory)
        _, expected, remembered = alone.act(rows, memory[:, :16])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert (chosen == found.argmax(1)).all()
        own = slice(16, 32) if manager else slice(0, 16)
        np.testing.assert_allclose(after[:, own], remembered, rtol=1e-4, atol=1e-5)


def test_choices_of_an_open_book_are_told_apart_as_they_turn_up() -> None:
    game, rows = seen(True)
    open_book = games.text.Phrasebook(list(game.phrasebook), closed=False)
    agent = R3D2Agent(APART, open_book, 1)
    memory = np.zeros((len(rows), agent.memory_size), np.float32)
    agent.act(rows, memory)
    _, others = seen(False)
    agent.act(others, memory[:1].repeat(len(others), 0))
    assert isinstance(agent.network, RoleNetworks)
    said = [agent.phrasebook[int(id)].startswith("I ask ") for id in agent.choices.ids]
    assert agent.network.roles.tolist() == said
    assert {*said} == {True, False}


def test_nobody_has_two_roles() -> None:
    game, _ = seen(True)
    agent = R3D2Agent(replace(APART, roles=("^I ask", "nothing")), game.phrasebook, 1)
    with pytest.raises(ValueError, match=r"'I ask nothing of factory A' is of both '\^I ask' and"):
        admit(agent, game)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roles": ("(",)}, "no regular expression"),
        ({"own_hand": True}, "no auxiliary head"),
        ({"encoder": "paragraph"}, "keeps tables of phrases"),
    ],
)
def test_what_networks_by_role_cannot_do_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(APART, **options)  # type: ignore[arg-type]


def test_there_are_no_answers() -> None:
    game, _ = seen(True)
    network = R3D2Agent(VECTOR, game.phrasebook, 1).network
    nothing = torch.zeros(1, 64)
    with pytest.raises(NotImplementedError):
        network.answers(nothing, Tables(nothing, nothing, nothing))
