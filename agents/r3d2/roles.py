"""Networks of their own for some of those who play: a manager beside the players, say.

Who somebody is shows in what may be chosen, and that is text: a regular expression for each such
role is found in its choices. Each role has a network, and of the reader its own share where that is
a free embedding (a language model is everybody's). All of them read everything, side by side in one
tensor; whose values count is decided where choices are scored. So a role learns from nothing but
its own sequences, and whatever holds an agent (replay, learner, checkpoints, pools) holds all roles
at once, at the price of as many small products.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from agents.r3d2.config import R3D2Config
from agents.r3d2.cores import Layout
from agents.r3d2.network import R3D2Network, Tables


class RoleNetworks(nn.Module):
    """A network for each role; in the place of one :class:`agents.r3d2.network.R3D2Network`.

    Widths that its methods are given, and give, are those of all networks side by side. The first
    network is that of whoever has no role by itself.

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
        self.memory_size = sum(network.memory_size for network in self.each)
        self.roles = torch.zeros(0, dtype=torch.int64)

    @property
    def each(self) -> Sequence[R3D2Network]:
        """The networks, in the order of the roles."""
        return [network for network in self.networks if isinstance(network, R3D2Network)]

    @property
    def value(self) -> nn.Linear:
        """The value head of the first network."""
        return self.each[0].value

    def assign(self, choices: Iterable[str]) -> None:
        """Notes whose choices there are, in the order of their rows in the tables.

        Raises:
            ValueError: if a choice is one of several roles.
        """
        roles = []
        for choice in choices:
            found = [k for k, pattern in enumerate(self._patterns, 1) if pattern.search(choice)]
            if len(found) > 1:
                one, other = (self._patterns[k - 1].pattern for k in found[:2])
                raise ValueError(f"agent.roles: {choice!r} is of both {one!r} and {other!r}")
            roles.append(found[0] if found else 0)
        self.roles = torch.tensor(roles, dtype=torch.int64, device=self.value.weight.device)

    def fact(self, embeddings: Tensor) -> Tensor:
        """What facts add to an observation: [n, text_width] -> [n, hidden]."""
        return self._beside(embeddings, "fact")

    def choice(self, embeddings: Tensor) -> Tensor:
        """What states are compared with for choices: [n, text_width] -> [n, hidden]."""
        return self._beside(embeddings, "choice")

    def tables(self, facts: Tensor, choices: Tensor, labels: Tensor) -> Tables:
        """Maps phrase embeddings to tables; see ``R3D2Network.tables``."""
        return Tables(self.fact(facts), self.choice(choices), self.choice(labels))

    def perceive(self, pooled: Tensor) -> Tensor:
        """Pooled facts to the cores' inputs; see ``R3D2Network.perceive``."""
        parts = pooled.chunk(len(self.each), -1)
        return torch.cat([n.perceive(x) for n, x in zip(self.each, parts, strict=True)], -1)

    def recur(self, x: Tensor, layout: Layout, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the recurrent cores; see ``R3D2Network.recur``."""
        number = len(self.each)
        parts = zip(self.each, x.chunk(number, -1), memory.chunk(number, -1), strict=True)
        states, after = zip(
            *(n.recur(own, layout, before) for n, own, before in parts), strict=True
        )
        return torch.cat(states, -1), torch.cat(after, -1)

    def relevance(self, state: Tensor, tables: Tables, choices: Tensor, legal: Tensor) -> Tensor:
        """Q-values of the legal choices, by the network of whose they are.

        See ``R3D2Network.relevance``.
        """
        number = len(self.each)
        role = self.roles.to(state.device)[choices[:, 0]][:, None]
        parts = zip(state.chunk(number, -1), tables.choices.chunk(number, -1), strict=True)
        out = torch.zeros(())
        for k, (own, table) in enumerate(parts):
            q = self.each[k].relevance(own, tables._replace(choices=table), choices, legal)
            out = q if k == 0 else torch.where(role == k, q, out)
        return out

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
