"""A batch as tensors, and how it is cut into the parts that lanes learn from."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.cores import Layout
from marl.episodes import Episodes

ROUND_STEPS = 128


class Batch:
    """Sequences as tensors: steps packed one after the other.

    Matrix kernels are compiled for every new shape, which takes longer than they run. So the number
    of steps is rounded up; the surplus steps are empty, and all results are cut to ``steps``.

    Args:
        episodes: the sequences.
        agent: whose phrase table rows are meant, and on whose device the tensors are.
    """

    def __init__(self, episodes: Episodes, agent: R3D2Agent) -> None:
        device = agent.device
        self.steps = episodes.steps
        surplus = -self.steps % ROUND_STEPS
        self.layout = Layout(episodes.lengths, self.steps + surplus)
        self.memory = torch.from_numpy(episodes.memory).to(device)
        self.actions = torch.from_numpy(episodes.actions.astype(np.int64)).to(device)
        self.labels = torch.from_numpy(episodes.labels.astype(np.int64)).to(device)
        self.taught = torch.from_numpy(episodes.taught.astype(np.int64)).to(device)
        facts = np.pad(episodes.fact_counts, (0, surplus))
        starts = np.cumsum(facts, dtype=np.int64) - facts
        self.inputs = agent.inputs(episodes.facts, starts, facts)
        counts = np.pad(episodes.choice_counts, (0, surplus), constant_values=1)
        choices = np.full((len(counts), int(counts.max())), episodes.choices[0])
        within = np.arange(choices.shape[1]) < episodes.choice_counts[:, None]
        choices[: self.steps][within] = episodes.choices
        self.choices, self.legal = agent.legal(choices, counts)


def ranges(lengths: NDArray[np.int64], parts: int) -> list[tuple[int, int]]:
    """Ranges of units, of so many steps each, with about as many steps each, none of them empty."""
    ends = np.cumsum(lengths)
    n = len(lengths)
    parts = min(parts, n)
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts) + 1
    for i in range(parts - 1):
        cuts[i] = min(max(cuts[i], i + 1, cuts[i - 1] + 1 if i else 1), n - (parts - 1 - i))
    edges = [0, *cuts.tolist(), n]
    return list(itertools.pairwise(edges))
