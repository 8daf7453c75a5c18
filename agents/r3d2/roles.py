"""Networks of their own for some of those who play: a manager beside the players, say.

Who somebody is shows in what is read: a manager reads "I speak to factory A now", and a player who
is named "I am factory B". A regular expression for each role is found in such a fact, and nobody
reads those of two. Each role has a network, and of the reader its own share where that is a free
embedding (a language model is everybody's). Rows of a batch go to the network of their role, so
that a role learns from nothing but its own sequences, while whatever holds an agent (replay,
learner, checkpoints, pools) holds all roles at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.r3d2.config import R3D2Config
from agents.r3d2.cores import Layout
from agents.r3d2.network import R3D2Network, Tables

ROUND_ROWS = 128
"""Larger parts are filled up to a multiple of so many rows: kernels are made for every shape."""


class RoleNetworks(nn.Module):
    """A network for each role; in the place of one :class:`agents.r3d2.network.R3D2Network`.

    The first network is that of whoever has no role by itself. What comes out of ``mark`` stands
    behind the pooled facts, and behind all states after them, as one more column.

    Args:
        config: shape of each network, and the roles.
        text_width: width of the phrase embeddings; of a free embedding, all roles' together.
    """

    def __init__(self, config: R3D2Config, text_width: int) -> None:
        super().__init__()
        self._patterns = [re.compile(pattern) for pattern in config.roles]
        self._free = config.encoder == "vector"
        number = 1 + len(config.roles)
        width = text_width // number if self._free else text_width
        self.networks = nn.ModuleList(R3D2Network(config, width) for _ in range(number))
        self.hidden, self.memory_size = config.hidden, self.each[0].memory_size
        self.shows = torch.zeros(0, number - 1)

    @property
    def each(self) -> Sequence[R3D2Network]:
        """The networks, in the order of the roles."""
        return [network for network in self.networks if isinstance(network, R3D2Network)]

    @property
    def value(self) -> nn.Linear:
        """The value head of the first network."""
        return self.each[0].value

    def assign(self, facts: Iterable[str], rows: int) -> None:
        """Notes which facts show a role, in the order of their rows in a table of so many.

        Raises:
            ValueError: if one of them shows two.
        """
        shows = np.zeros((rows, len(self._patterns)), np.float32)
        for row, fact in enumerate(facts):
            shows[row] = [pattern.search(fact) is not None for pattern in self._patterns]
            if shows[row].sum() > 1:
                one, other = (self._patterns[k].pattern for k in np.flatnonzero(shows[row])[:2])
                raise ValueError(f"agent.roles: {fact!r} is of both {one!r} and {other!r}")
        self.shows = torch.from_numpy(shows).to(self.value.weight.device)

    def mark(self, inputs: Tensor) -> Tensor:
        """Whose each observation is: multi-hot [S, P] -> [S, 1], the number of the network.

        Raises:
            ValueError: if somebody reads facts of two roles.
        """
        shown = (inputs.float() @ self.shows.to(inputs.device)) > 0
        if (shown.sum(1) > 1).any():
            raise ValueError("agent.roles: somebody reads facts of two roles")
        numbers = torch.arange(1, shown.shape[1] + 1, device=inputs.device)
        return (shown * numbers).sum(1, keepdim=True)

    def fact(self, embeddings: Tensor) -> Tensor:
        """What facts add to an observation: [n, text_width] -> [n, hidden of all networks]."""
        return self._beside(embeddings, "fact")

    def choice(self, embeddings: Tensor) -> Tensor:
        """What states are compared with: [n, text_width] -> [n, hidden of all networks]."""
        return self._beside(embeddings, "choice")

    def tables(self, facts: Tensor, choices: Tensor, labels: Tensor) -> Tables:
        """Maps phrase embeddings to tables; see ``R3D2Network.tables``."""
        return Tables(self.fact(facts), self.choice(choices), self.choice(labels))

    def perceive(self, pooled: Tensor) -> Tensor:
        """Pooled facts and marks to the cores' inputs and marks: [S, ...] -> [S, hidden + 1]."""
        parts = []
        for k, rows, number in self._parts(pooled[:, -1]):
            own = slice(k * self.hidden, (k + 1) * self.hidden)
            parts.append((rows[:number], self.each[k].perceive(pooled[rows, own])[:number]))
        return torch.cat([_gathered(parts, len(pooled)), pooled[:, -1:].to(parts[0][1].dtype)], 1)

    def recur(self, x: Tensor, layout: Layout, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the recurrent cores; see ``R3D2Network.recur``."""
        starts = torch.from_numpy(layout.ends - layout.lengths).to(x.device)
        whose = x[starts, -1].detach().float().cpu().numpy()
        _, sequence = layout.times()
        states, after = [], []
        for k, network in enumerate(self.each):
            mine = np.flatnonzero(whose == k)
            if not len(mine):
                continue
            rows = np.flatnonzero((whose == k)[sequence])
            number, rows = len(rows), _filled(rows)
            at = torch.from_numpy(rows).to(x.device)
            units = torch.from_numpy(mine).to(x.device)
            own = Layout(layout.lengths[mine], len(rows))
            y, remembered = network.recur(x[at, :-1], own, memory[units])
            states.append((at[:number], y[:number]))
            after.append((units, remembered))
        state = _gathered(states, len(x))
        return torch.cat([state, x[:, -1:].to(state.dtype)], 1), _gathered(after, len(memory))

    def relevance(self, state: Tensor, tables: Tables, choices: Tensor, legal: Tensor) -> Tensor:
        """Q-values of the legal choices; see ``R3D2Network.relevance``."""
        parts = []
        for k, rows, number in self._parts(state[:, -1]):
            table = tables.choices[:, k * self.hidden : (k + 1) * self.hidden]
            own = tables._replace(choices=table)
            q = self.each[k].relevance(state[rows, :-1], own, choices[rows], legal[rows])
            parts.append((rows[:number], q[:number]))
        return _gathered(parts, len(state))

    def answers(self, state: Tensor, tables: Tables) -> Tensor:
        """There is no auxiliary head; see ``R3D2Config``.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("networks by role have no auxiliary head")

    def _beside(self, embeddings: Tensor, name: str) -> Tensor:
        """What a layer of each network makes of embeddings, side by side."""
        number = len(self.each)
        parts = embeddings.chunk(number, -1) if self._free else [embeddings] * number
        return torch.cat([getattr(n, name)(x) for n, x in zip(self.each, parts, strict=True)], -1)

    def _parts(self, marks: Tensor) -> list[tuple[int, Tensor, int]]:
        """Networks that have rows: its number, the rows, filled up, and how many of them count."""
        whose = marks.detach().float().cpu().numpy()
        found = []
        for k in range(len(self.each)):
            rows = np.flatnonzero(whose == k)
            if len(rows):
                at = torch.from_numpy(_filled(rows)).to(marks.device)
                found.append((k, at, len(rows)))
        return found


def _filled(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows up to a multiple of ``ROUND_ROWS``, by the first of them, where there are so many."""
    surplus = -len(rows) % ROUND_ROWS if len(rows) > ROUND_ROWS else 0
    return np.pad(rows, (0, surplus), constant_values=rows[0])


def _gathered(parts: Sequence[tuple[Tensor, Tensor]], rows: int) -> Tensor:
    """Parts in one tensor of so many rows; zeros where there are none."""
    out = parts[0][1].new_zeros(rows, parts[0][1].shape[1])
    for at, values in parts:
        out = out.index_copy(0, at, values)
    return out
