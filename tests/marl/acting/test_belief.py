"""What an agent believes of its hand is what its auxiliary head learns to answer."""

from __future__ import annotations

import numpy as np
import torch

import games
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from marl.acting.belief import own_hand
from marl.acting.table import observe
from tests.marl.players import Hashing

SHAPE = R3D2Config(text_hidden=32, hidden=16, own_hand=True)


def test_beliefs_are_probabilities_and_depend_on_what_went_before() -> None:
    game = games.batched("hanabi", 6, 1, players=3)
    agent = R3D2Agent(SHAPE, game.phrasebook, 1)
    fresh = np.zeros((6, agent.memory_size), np.float32)
    found = own_hand(agent, observe(game), fresh, game.label_phrases)
    assert found is not None
    assert found.shape == (6, 5, 25)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    assert np.ptp(found, axis=0).max() > 0  # the games look different
    used = np.random.default_rng(0).normal(size=fresh.shape).astype(np.float32)
    later = own_hand(agent, observe(game), used, game.label_phrases)
    assert later is not None
    assert np.abs(later - found).max() > 1e-6


def test_a_head_that_knows_a_card_says_so() -> None:
    """With its answers tied to one phrase, all of the belief is on that card."""
    game = games.batched("hanabi", 2, 1, players=2)
    agent = R3D2Agent(SHAPE, game.phrasebook, 1)
    agent.admit(game.fact_phrases.tolist(), game.choice_phrases.tolist(), game.label_phrases)
    agent.spread_out()
    with torch.no_grad():
        tables = agent.tables(agent.embed())
        target = tables.labels[1, 7].float()
        assert agent.network.answer is not None
        agent.network.answer.weight.zero_()
        agent.network.answer.bias.copy_(1e4 * (target - tables.labels.float().mean((0, 1))))
        logits = agent.network.answer.bias @ tables.labels.float().flatten(0, 1).mT
    memory = np.zeros((2, agent.memory_size), np.float32)
    found = own_hand(agent, observe(game), memory, game.label_phrases)
    assert found is not None
    best = logits.view(5, 25).argmax(-1).tolist()
    assert found[0].argmax(-1).tolist() == best


def test_who_has_no_such_head_has_no_opinion() -> None:
    game = games.batched("hanabi", 2, 1)
    without = R3D2Agent(R3D2Config(text_hidden=32, hidden=16), game.phrasebook, 1)
    memory = np.zeros((2, without.memory_size), np.float32)
    assert own_hand(without, observe(game), memory, game.label_phrases) is None
    assert (
        own_hand(Hashing(1), observe(game), np.zeros((2, 2), np.float32), game.label_phrases)
        is None
    )


def test_an_agent_of_larger_hands_answers_for_smaller_ones() -> None:
    two, four = (games.batched("hanabi", 2, 1, players=n) for n in (2, 4))
    agent = R3D2Agent(SHAPE, two.phrasebook, 1)
    agent.admit(labels=two.label_phrases)
    memory = np.zeros((2, agent.memory_size), np.float32)
    found = own_hand(agent, observe(four), memory, four.label_phrases)
    assert found is not None
    assert found.shape == (2, 4, 25)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
