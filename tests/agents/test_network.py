"""The network against formulas written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agents.r3d2.config import R3D2Config
from agents.r3d2.network import R3D2Network, Tables

TEXT, HIDDEN, LSTM = 6, 8, 4


def make(layers: int = 1, own_hand: bool = False) -> R3D2Network:
    torch.manual_seed(1)
    config = R3D2Config(hidden=HIDDEN, lstm_hidden=LSTM, layers=layers, own_hand=own_hand)
    return R3D2Network(config, TEXT)


def make_tables(network: R3D2Network, facts: int = 5, choices: int = 7) -> Tables:
    texts = torch.randn(facts, TEXT), torch.randn(choices, TEXT), torch.randn(2, 3, TEXT)
    return network.tables(*texts)


def dot(a: Tensor, b: Tensor) -> float:
    return math.fsum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def test_relevance_is_value_plus_centred_dot_product() -> None:
    network = make()
    tables = make_tables(network)
    state = torch.randn(4, HIDDEN)
    choices = torch.randint(7, (4, 5))
    legal = torch.rand(4, 5) < 0.6
    legal[torch.arange(4), torch.arange(4)] = True
    q = network.relevance(state, tables, choices, legal)
    for s in range(4):
        query, value = network.query(state[s]), network.value(state[s]).item()
        scores = {
            c: dot(query, tables.choices[choices[s, c]]) / math.sqrt(HIDDEN)
            for c in range(5)
            if legal[s, c]
        }
        mean = math.fsum(scores.values()) / len(scores)
        for c in range(5):
            expected = value + scores[c] - mean if c in scores else -math.inf
            assert q[s, c].item() == pytest.approx(expected, abs=1e-5)
        assert q[s][legal[s]].mean().item() == pytest.approx(value, abs=1e-5)


def test_what_is_not_legal_has_no_part() -> None:
    """Neither in the values of the rest, nor in any gradient."""
    network = make()
    texts = torch.randn(7, TEXT, requires_grad=True)
    tables = Tables(torch.zeros(0, HIDDEN), network.choice(texts), torch.zeros(0, 0, HIDDEN))
    state = torch.randn(3, HIDDEN)
    legal = torch.tensor([[True, True, False, False]]).expand(3, 4)
    choices = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 0], [1, 0, 0, 0]])
    other = torch.tensor([[0, 1, 6, 6], [4, 5, 0, 1], [1, 0, 3, 2]])
    q = network.relevance(state, tables, choices, legal)
    assert torch.equal(q, network.relevance(state, tables, other, legal))
    q[legal].square().sum().backward()
    assert texts.grad is not None
    assert texts.grad.isfinite().all()
    assert (texts.grad.abs().sum(1) > 0).tolist() == [True, True, False, False, True, True, False]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_sequence_at_once_is_its_steps_one_by_one(layers: int) -> None:
    """The memory between steps holds all there is, in an order that recur itself understands."""
    network = make(layers)
    assert network.memory_size == 2 * layers * LSTM
    x = torch.randn(6, 3, HIDDEN)
    memory = torch.randn(3, network.memory_size)
    whole, last = network.recur(x, memory)
    for t in range(6):
        step, memory = network.recur(x[t : t + 1], memory)
        torch.testing.assert_close(step[0], whole[t])
    torch.testing.assert_close(memory, last)
    assert last.dtype == torch.float32


def test_memories_are_not_mixed_up() -> None:
    """A sequence's result depends on its own memory and inputs, wherever it stands."""
    network = make(layers=2)
    x, memory = torch.randn(4, 5, HIDDEN), torch.randn(5, network.memory_size)
    order = torch.tensor([3, 0, 4, 1, 2])
    y, after = network.recur(x, memory)
    moved, moved_after = network.recur(x[:, order], memory[order])
    torch.testing.assert_close(moved, y[:, order])
    torch.testing.assert_close(moved_after, after[order])
    changed = memory.clone()
    changed[2] += 1
    y_changed, _ = network.recur(x, changed)
    rest = [0, 1, 3, 4]
    torch.testing.assert_close(y_changed[:, rest], y[:, rest])
    assert not torch.allclose(y_changed[:, 2], y[:, 2])


def test_tables_map_every_phrase_by_itself() -> None:
    network = make()
    texts = torch.randn(5, TEXT), torch.randn(7, TEXT), torch.randn(2, 3, TEXT)
    tables = network.tables(*texts)
    assert tables.facts.shape == (5, HIDDEN)
    assert tables.choices.shape == (7, HIDDEN)
    assert tables.labels.shape == (2, 3, HIDDEN)
    alone = network.tables(texts[0][3:4], texts[1][:1], texts[2][1:, :1])
    torch.testing.assert_close(alone.facts[0], tables.facts[3])
    torch.testing.assert_close(alone.choices[0], tables.choices[0])
    torch.testing.assert_close(alone.labels[0, 0], tables.labels[1, 0])


def test_answers_compare_the_state_with_every_label() -> None:
    network = make(own_hand=True)
    assert network.answer is not None
    tables = make_tables(network)
    state = torch.randn(4, HIDDEN)
    logits = network.answers(state, tables)
    assert logits.shape == (4, 2, 3)
    asked = network.answer(state[3])
    for k in range(2):
        for n in range(3):
            expected = dot(asked, tables.labels[k, n]) / math.sqrt(HIDDEN)
            assert logits[3, k, n].item() == pytest.approx(expected, abs=1e-5)
