"""Networks by role: who is told apart by facts, and who learns from what."""

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

APART = R3D2Config(hidden=32, memory=16, text_hidden=32, own_hand=False, roles=("^I speak to",))
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


def stack(parts: list[Observations]) -> Observations:
    """Observations one below the other."""
    names = Observations.__annotations__
    return Observations(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


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
        _, expected, remembered = alone.act(rows, memory)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert (chosen == found.argmax(1)).all()
        np.testing.assert_allclose(after, remembered, rtol=1e-4, atol=1e-5)


def test_rows_of_all_roles_go_together() -> None:
    """A batch of several roles is what each of them makes of its own rows, sequences and all."""
    (_, first), (game, second) = seen(True), seen(False)
    both = stack([first, second, first])
    agent = R3D2Agent(APART, game.phrasebook, 1)
    admit(agent, game)
    memory = np.random.default_rng(1).random((len(both), agent.memory_size)).astype(np.float32)
    _, found, after = agent.act(both, memory)
    edges = np.cumsum([0, len(first), len(second), len(first)])
    for rows, start, end in zip((first, second, first), edges, edges[1:], strict=False):
        _, expected, remembered = agent.act(rows, memory[start:end])
        np.testing.assert_allclose(found[start:end], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(after[start:end], remembered, rtol=1e-4, atol=1e-5)


def test_sequences_of_several_roles_are_their_steps_one_by_one() -> None:
    """Packed with surplus rows, as the learner has them."""
    (_, first), (game, second) = seen(True), seen(False)
    agent = R3D2Agent(APART, game.phrasebook, 1)
    admit(agent, game)
    # Three sequences of two turns each: a manager's, and two of factories.
    turns = stack([first[:2], second[:4]])
    memory = np.zeros((3, agent.memory_size), np.float32)
    layout = Layout(np.array([2, 2, 2]), 8)
    starts = np.arange(len(turns), dtype=np.int64) * turns.facts.shape[1]
    with torch.no_grad():
        tables = agent.current()
        inputs = agent.inputs(turns.facts.ravel(), starts, turns.fact_counts)
        inputs = torch.cat([inputs, inputs.new_zeros(2, inputs.shape[1])])
        x = agent.network.perceive(agent.pool(inputs, tables))
        state, after = agent.network.recur(x, layout, torch.from_numpy(memory))
        rows, legal = agent.legal(turns.choices, turns.choice_counts)
        q = agent.network.relevance(state[:6], tables, rows, legal)
    for step in range(2):
        now = turns[np.arange(step, 6, 2)]
        _, values, memory = agent.act(now, memory)
        np.testing.assert_allclose(q[step::2], values[:, : q.shape[1]], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after, memory, rtol=1e-4, atol=1e-5)


def test_facts_of_an_open_book_show_who_reads_them_as_they_turn_up() -> None:
    game, rows = seen(True)
    open_book = games.text.Phrasebook(list(game.phrasebook), closed=False)
    agent = R3D2Agent(APART, open_book, 1)
    agent.act(rows, np.zeros((len(rows), agent.memory_size), np.float32))
    _, others = seen(False)
    agent.act(others, np.zeros((len(others), agent.memory_size), np.float32))
    assert isinstance(agent.network, RoleNetworks)
    said = [agent.phrasebook[int(id)].startswith("I speak to ") for id in agent.facts.ids]
    assert agent.network.shows[: len(said), 0].tolist() == said
    assert {*said} == {True, False}
    assert not agent.network.shows[len(said) :].any()


def test_nobody_has_two_roles() -> None:
    game, rows = seen(True)
    agent = R3D2Agent(replace(APART, roles=("^I speak", "factory A now")), game.phrasebook, 1)
    with pytest.raises(ValueError, match=r"'I speak to factory A now' is of both '\^I speak' and"):
        admit(agent, game)
    other = R3D2Agent(replace(APART, roles=("^I speak", "is asked")), game.phrasebook, 1)
    admit(other, game)
    with pytest.raises(ValueError, match="reads facts of two roles"):
        other.act(rows, np.zeros((len(rows), other.memory_size), np.float32))


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
