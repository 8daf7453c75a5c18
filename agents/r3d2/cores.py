"""Recurrent cores: what carries memory from one own turn of a seat to its next.

A core reads packed steps: all steps of the first sequence in order of time, then those of the
second, and so on. The steps may be followed by surplus rows that belong to no sequence.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LONGEST_MEMORY = 64.0


class Layout:
    """Where each sequence lies among packed steps.

    Args:
        lengths: int [B], steps of each sequence, at least 1.
        rows: how many rows there are, surplus included; as many as steps if not given.
    """

    def __init__(self, lengths: NDArray[np.integer[Any]], rows: int | None = None) -> None:
        self.lengths = lengths.astype(np.int64)
        self.ends = np.cumsum(self.lengths)
        self.steps = int(self.ends[-1])
        self.rows = self.steps if rows is None else rows

    def __len__(self) -> int:
        """Number of sequences, B."""
        return len(self.lengths)

    def times(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each step: its place in its sequence, and which sequence that is: int64 [S] each."""
        sequence = np.repeat(np.arange(len(self)), self.lengths)
        return np.arange(self.steps) - (self.ends - self.lengths)[sequence], sequence


class GatedCore(nn.Module):
    """Memory that gates mix, element by element, with what is new.

    A quasi-recurrent layer with fo-pooling (arXiv 1611.01576, equation 4): all gates are functions
    of the input, so that the matrix products are over all steps at once, and only an
    element-wise recurrence goes from step to step.

    Args:
        width: of the input.
        memory: width of the memory.
        layers: how many there are; each reads what the one below put out.
    """

    def __init__(self, width: int, memory: int, layers: int) -> None:
        super().__init__()
        self.width, self.memory_size = memory, memory * layers
        gates = [nn.Linear(memory if i else width, 3 * memory) for i in range(layers)]
        self.gates = nn.ModuleList(gates)
        for layer in gates:
            # Half-lives between one step and a whole game, as in arXiv 1804.11188.
            spans = torch.logspace(0, math.log10(LONGEST_MEMORY), memory)
            with torch.no_grad():
                layer.bias[memory : 2 * memory] = spans.log()

    def forward(self, x: Tensor, layout: Layout, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Maps packed steps [rows, width] and float32 [B, memory_size] to the same after them."""
        after = []
        last = torch.from_numpy(layout.ends - 1).to(x.device)
        for layer, before in zip(self.gates, memory.chunk(len(self.gates), 1), strict=True):
            x, cells = gated_memory(layer(x).float().sigmoid(), layout, before)
            after.append(cells[last])
        return x, torch.cat(after, 1)


class LSTMCore(nn.Module):
    """The LSTM of the paper.

    Args:
        width: of the input.
        memory: width of its hidden state and of its cell state.
        layers: how many there are.
    """

    def __init__(self, width: int, memory: int, layers: int) -> None:
        super().__init__()
        self.width, self.memory_size = memory, 2 * layers * memory
        self.lstm = nn.LSTM(width, memory, layers)

    def forward(self, x: Tensor, layout: Layout, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Maps packed steps [rows, width] and float32 [B, memory_size] to the same after them."""
        batch = len(layout)
        state = memory.view(batch, 2, self.lstm.num_layers, self.width).permute(1, 2, 0, 3)
        time, sequence = layout.times()
        longest = int(layout.lengths.max())
        surplus = layout.rows - layout.steps
        # Row of each step in a padded [time, batch]; surplus goes to one row more, which is cut.
        places = torch.from_numpy(
            np.pad(time * batch + sequence, (0, surplus), constant_values=longest * batch)
        ).to(x.device)
        padded = x.new_zeros(longest * batch + 1, x.shape[1]).index_copy(0, places, x)
        y, (h, c) = self.lstm(
            padded[:-1].view(longest, batch, -1), (state[0].contiguous(), state[1].contiguous())
        )
        after = torch.stack([h, c]).permute(2, 0, 1, 3).reshape(batch, -1)
        # Only true of sequences as long as the longest; shorter ones go on over empty steps.
        return y.flatten(0, 1)[places.clamp_max(longest * batch - 1)], after.float()


class FeedForwardCore(nn.Module):
    """Layers that remember nothing.

    Args:
        width: of the input.
        memory: width of the layers.
        layers: how many there are.
    """

    def __init__(self, width: int, memory: int, layers: int) -> None:
        super().__init__()
        self.width, self.memory_size = memory, 0
        self.layers = nn.ModuleList(
            nn.Linear(memory if i else width, memory) for i in range(layers)
        )

    def forward(self, x: Tensor, layout: Layout, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Maps packed steps [rows, width] to as many, and hands the empty memory back."""
        for layer in self.layers:
            x = layer(x).relu()
        return x, memory


CORES: dict[str, type[GatedCore] | type[LSTMCore] | type[FeedForwardCore]] = {
    "gated": GatedCore,
    "lstm": LSTMCore,
    "feedforward": FeedForwardCore,
}


def gated_memory(gates: Tensor, layout: Layout, before: Tensor) -> tuple[Tensor, Tensor]:
    """Runs memory through gates: ``c[t] = f[t] c[t - 1] + (1 - f[t]) (2 z[t] - 1)``.

    Args:
        gates: float32 [rows, 3 H] in (0, 1): z, f and the output gates.
        layout: of the rows.
        before: float32 [B, H], ``c`` before each first step; not differentiated.

    Returns:
        the output gates times ``c``, and ``c`` (not differentiated): float32 [rows, H] each.
    """
    if gates.device.type == "cpu":
        out, cells = _GatedMemory.apply(gates, layout, before)
        return out, cells
    fresh, keep, gate = gates.chunk(3, 1)
    cells = scan(keep, (1 - keep) * (2 * fresh - 1), layout, before)
    return gate * cells, cells.detach()


def scan(keep: Tensor, fresh: Tensor, layout: Layout, before: Tensor) -> Tensor:
    """``c[t] = keep[t] * c[t - 1] + fresh[t]`` along each sequence, ``c[-1]`` being ``before``.

    Works on all rows at once in log2(longest) steps (Hillis and Steele 1986), which suits devices
    that are slow to start and quick to run.

    Args:
        keep: float32 [rows, H].
        fresh: float32 [rows, H].
        layout: of the rows.
        before: float32 [B, H].

    Returns:
        float32 [rows, H].
    """
    time = torch.from_numpy(np.pad(layout.times()[0], (0, layout.rows - layout.steps)))
    time = time.to(keep.device)[:, None]
    first = torch.from_numpy(layout.ends - layout.lengths).to(keep.device)
    fresh = fresh.index_add(0, first, keep[first] * before)
    shift = 1
    while shift < layout.lengths.max():
        fresh = torch.where(time >= shift, fresh + keep * fresh.roll(shift, 0), fresh)
        keep = torch.where(time >= shift, keep * keep.roll(shift, 0), keep)
        shift *= 2
    return fresh


class _GatedMemory(torch.autograd.Function):
    """``gated_memory`` as two loops that stay in the cache."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, layout: Layout, before: Tensor) -> tuple[Tensor, Tensor]:
        before = before.contiguous()
        cells = gates.new_zeros(len(gates), before.shape[1])
        out = torch.zeros_like(cells)
        _forward(gates.numpy(), layout.ends, before.numpy(), cells.numpy(), out.numpy())
        ctx.save_for_backward(gates, before, cells)
        ctx.mark_non_differentiable(cells)
        ctx.layout = layout
        return out, cells

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gates, before, cells = (tensor.detach().numpy() for tensor in ctx.saved_tensors)
        to_gates = np.zeros_like(gates)
        to_out = gradients[0].contiguous().numpy()
        _backward(gates, ctx.layout.ends, before, cells, to_out, to_gates)
        return torch.from_numpy(to_gates), None, None


@numba.njit(cache=True, nogil=True, fastmath=True)
def _forward(gates, ends, before, cells, out):
    width = cells.shape[1]
    start = 0
    for b in range(len(ends)):
        previous = before[b]
        for t in range(start, ends[b]):
            fresh, keep, gate = gates[t, :width], gates[t, width : 2 * width], gates[t, 2 * width :]
            for h in range(width):
                z = np.float32(2) * fresh[h] - np.float32(1)
                c = z + keep[h] * (previous[h] - z)
                cells[t, h] = c
                out[t, h] = gate[h] * c
            previous = cells[t]
        start = ends[b]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _backward(gates, ends, before, cells, to_out, to_gates):
    width = cells.shape[1]
    carry = np.empty(width, np.float32)
    start = 0
    for b in range(len(ends)):
        carry[:] = 0
        for t in range(ends[b] - 1, start - 1, -1):
            fresh, keep, gate = gates[t, :width], gates[t, width : 2 * width], gates[t, 2 * width :]
            previous = cells[t - 1] if t > start else before[b]
            for h in range(width):
                to_cell = to_out[t, h] * gate[h] + carry[h]
                to_gates[t, h] = np.float32(2) * to_cell * (np.float32(1) - keep[h])
                z = np.float32(2) * fresh[h] - np.float32(1)
                to_gates[t, width + h] = to_cell * (previous[h] - z)
                to_gates[t, 2 * width + h] = to_out[t, h] * cells[t, h]
                carry[h] = to_cell * keep[h]
        start = ends[b]
