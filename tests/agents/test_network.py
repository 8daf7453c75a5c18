"""The network against formulas written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.r3d2.config import R3D2Config
from agents.r3d2.cores import Layout, gated_memory, scan
from agents.r3d2.network import R3D2Network, Tables

TEXT, HIDDEN, MEMORY = 6, 8, 4


def make(layers: int = 1, own_hand: bool = False, core: str = "gated") -> R3D2Network:
    torch.manual_seed(1)
    config = R3D2Config(
        hidden=HIDDEN,
        memory=MEMORY,
        layers=layers,
        own_hand=own_hand,
        core=core,  # type: ignore[arg-type]
    )
    return R3D2Network(config, TEXT)


def make_tables(network: R3D2Network, facts: int = 5, choices: int = 7) -> Tables:
    texts = torch.randn(facts, TEXT), torch.randn(choices, TEXT), torch.randn(6, TEXT)
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


def test_large_values_keep_their_small_differences() -> None:
    """At 12 points bfloat16 has steps of a sixteenth; the value of a state must have finer ones."""
    network = make()
    tables, state = make_tables(network), torch.randn(200, HIDDEN)
    choices, legal = torch.zeros(200, 1, dtype=torch.int64), torch.ones(200, 1, dtype=torch.bool)
    with torch.no_grad():
        network.value.bias.fill_(12.3)
        exact = network.relevance(state, tables, choices, legal)
        with torch.autocast("cpu", torch.bfloat16):
            fast = network.relevance(state, tables, choices, legal)
    assert fast.dtype == torch.float32
    assert (fast - exact).abs().max() < 0.01


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("core", ["gated", "lstm"])
def test_a_sequence_at_once_is_its_steps_one_by_one(core: str, layers: int) -> None:
    """The memory between steps holds all there is, in an order that recur itself understands."""
    network = make(layers, core=core)
    assert network.memory_size == (2 if core == "lstm" else 1) * layers * MEMORY
    x = torch.randn(3, 6, HIDDEN)
    memory = torch.randn(3, network.memory_size)
    whole, last = network.recur(x.flatten(0, 1), Layout(np.full(3, 6)), memory)
    whole = whole.unflatten(0, (3, 6))
    for t in range(6):
        step, memory = network.recur(x[:, t], Layout(np.ones(3, int)), memory)
        torch.testing.assert_close(step, whole[:, t])
    torch.testing.assert_close(memory, last)
    assert last.dtype == torch.float32


@pytest.mark.parametrize("core", ["gated", "lstm"])
def test_memories_are_not_mixed_up(core: str) -> None:
    """A sequence's result depends on its own memory and inputs, wherever it stands."""
    network = make(layers=2, core=core)
    lengths = np.array([4, 1, 7, 2, 3])
    xs = [torch.randn(n, HIDDEN) for n in lengths]
    memory = torch.randn(5, network.memory_size)
    y = network.recur(torch.cat(xs), Layout(lengths), memory)[0].split(lengths.tolist())
    order = [3, 0, 4, 1, 2]
    shuffled = network.recur(
        torch.cat([xs[i] for i in order]), Layout(lengths[order]), memory[order]
    )[0].split(lengths[order].tolist())
    for place, i in enumerate(order):
        torch.testing.assert_close(shuffled[place], y[i])
    changed = memory.clone()
    changed[2] += 1
    other = network.recur(torch.cat(xs), Layout(lengths), changed)[0].split(lengths.tolist())
    for i in range(5):
        assert torch.allclose(other[i], y[i]) == (i != 2)


@pytest.mark.parametrize("core", ["gated", "lstm"])
def test_surplus_rows_have_no_part(core: str) -> None:
    """Rows beyond the last sequence change no result and receive no gradient."""
    network = make(layers=2, core=core)
    lengths, x = np.array([3, 2]), torch.randn(9, HIDDEN, requires_grad=True)
    memory = torch.randn(2, network.memory_size)
    y, after = network.recur(x, Layout(lengths, 9), memory)
    exact, exact_after = network.recur(x[:5], Layout(lengths), memory)
    torch.testing.assert_close(y[:5], exact)
    if core == "gated":
        torch.testing.assert_close(after, exact_after)
    (gradient,) = torch.autograd.grad(y[:5].square().sum(), x)
    assert (gradient.abs().sum(1) > 0).tolist() == [True] * 5 + [False] * 4


def test_the_loops_of_the_gated_core_are_what_torch_makes_of_it() -> None:
    """Values and gradients of the compiled loops against a recurrence written out."""
    torch.manual_seed(0)
    lengths = np.array([5, 1, 8])
    layout = Layout(lengths, 16)
    gates = torch.rand(16, 3 * 4, requires_grad=True)
    before = torch.randn(3, 4)
    out, cells = gated_memory(gates, layout, before)
    fresh, keep, gate = gates.chunk(3, 1)
    row, written, kept = 0, [], []
    for b, n in enumerate(lengths):
        c = before[b]
        for _ in range(n):
            c = keep[row] * c + (1 - keep[row]) * (2 * fresh[row] - 1)
            kept.append(c)
            written.append(gate[row] * c)
            row += 1
    torch.testing.assert_close(out[:row], torch.stack(written))
    torch.testing.assert_close(cells[:row], torch.stack(kept).detach())
    assert not out[row:].any()
    weights = torch.randn(row, 4)
    (ours,) = torch.autograd.grad((out[:row] * weights).sum(), gates)
    (theirs,) = torch.autograd.grad((torch.stack(written) * weights).sum(), gates)
    torch.testing.assert_close(ours, theirs)
    # What devices without the loops use.
    doubled = scan(keep, (1 - keep) * (2 * fresh - 1), layout, before)
    torch.testing.assert_close(doubled[:row].detach(), torch.stack(kept).detach())


def test_tables_map_every_phrase_by_itself() -> None:
    network = make()
    texts = torch.randn(5, TEXT), torch.randn(7, TEXT), torch.randn(6, TEXT)
    tables = network.tables(*texts)
    assert tables.facts.shape == (5, HIDDEN)
    assert tables.choices.shape == (7, HIDDEN)
    assert tables.labels.shape == (6, HIDDEN)
    alone = network.tables(texts[0][3:4], texts[1][:1], texts[2][3:4])
    torch.testing.assert_close(alone.facts[0], tables.facts[3])
    torch.testing.assert_close(alone.choices[0], tables.choices[0])
    torch.testing.assert_close(alone.labels[0], tables.labels[3])


def test_answers_compare_the_state_with_every_label() -> None:
    network = make(own_hand=True)
    assert network.answer is not None
    tables = make_tables(network)
    state = torch.randn(4, HIDDEN)
    logits = network.answers(state, tables)
    assert logits.shape == (4, 6)
    asked = network.answer(state[3])
    for n in range(6):
        expected = dot(asked, tables.labels[n]) / math.sqrt(HIDDEN)
        assert logits[3, n].item() == pytest.approx(expected, abs=1e-5)
