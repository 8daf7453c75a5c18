"""What an agent believes of its hand is what its auxiliary head learns to answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import games
from agents.r3d2.agent import R3D2Agent
from agents.r3d2.config import R3D2Config
from marl.acting.belief import own_hand
from marl.acting.table import observe
from marl.runs import roster
from tests.marl.players import Hashing, exported

SHAPE = R3D2Config(text_hidden=32, hidden=16, own_hand=True)


def test_beliefs_are_probabilities_and_depend_on_what_went_before() -> None:
    game = games.batched("hanabi", 6, 1, players=3, answers="cards")
    agent = R3D2Agent(SHAPE, game.phrasebook, 1)
    fresh = np.zeros((6, agent.memory_size), np.float32)
    assert own_hand(agent, observe(game), fresh) is None, "it was never asked"
    agent.admit(labels=game.label_phrases)
    beliefs = own_hand(agent, observe(game), fresh)
    assert beliefs is not None
    assert beliefs.sentences[1][5] == "my card 2 is yellow one"
    found = beliefs.chances
    assert [card.shape for card in found] == [(6, 25)] * 5
    np.testing.assert_allclose(np.sum(found, -1), 1, rtol=1e-5)
    assert np.ptp(found[0], axis=0).max() > 0  # the games look different
    used = np.random.default_rng(0).normal(size=fresh.shape).astype(np.float32)
    later = own_hand(agent, observe(game), used)
    assert later is not None
    assert np.abs(np.subtract(later.chances, found)).max() > 1e-6


def test_a_head_that_knows_a_card_says_so() -> None:
    """With its answers tied to one phrase, all of the belief is on that card."""
    game = games.batched("hanabi", 2, 1, players=2, answers="cards")
    agent = R3D2Agent(SHAPE, game.phrasebook, 1)
    agent.admit(game.fact_phrases.tolist(), game.choice_phrases.tolist(), game.label_phrases)
    agent.spread_out()
    with torch.no_grad():
        tables = agent.tables(agent.embed())
        target = tables.labels[25 + 7].float()
        assert agent.network.answer is not None
        agent.network.answer.weight.zero_()
        agent.network.answer.bias.copy_(1e4 * (target - tables.labels.float().mean(0)))
        logits = agent.network.answer.bias @ tables.labels.float().mT
    memory = np.zeros((2, agent.memory_size), np.float32)
    found = own_hand(agent, observe(game), memory)
    assert found is not None
    best = logits.view(5, 25).argmax(-1).tolist()
    assert [card[0].argmax() for card in found.chances] == best


def test_who_has_no_such_head_has_no_opinion() -> None:
    game = games.batched("hanabi", 2, 1)
    without = R3D2Agent(replace(SHAPE, own_hand=False), game.phrasebook, 1)
    memory = np.zeros((2, without.memory_size), np.float32)
    without.admit(labels=game.label_phrases)
    assert own_hand(without, observe(game), memory) is None
    assert own_hand(Hashing(1), observe(game), np.zeros((2, 2), np.float32)) is None


def test_an_agent_is_asked_as_it_was_in_training(tmp_path: Path) -> None:
    """Of as many cards as the largest hand has, and what they are or what can be done with them."""
    name = exported(tmp_path / "uses", {"own_hand": True}, games=("hanabi:4,2",))
    agent = roster.load(name).policy
    four = games.batched("hanabi", 2, 1, players=4)
    found = own_hand(agent, observe(four), np.zeros((2, agent.memory_size), np.float32))
    assert found is not None
    assert [card.shape for card in found.chances] == [(2, 3)] * 5
    np.testing.assert_allclose(np.sum(found.chances, -1), 1, rtol=1e-5)
    assert found.sentences[4][1] == "I know card 5 is useless"
