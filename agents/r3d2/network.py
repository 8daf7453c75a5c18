"""The network: phrases to table, facts to recurrent state, choices to relevance.

R3D2 (arXiv 2503.14555) embeds the observation and every action's sentence with a language model,
runs an LSTM over the observations, and scores an action by its relevance to the recurrent state
(DRRN, arXiv 1511.04636). Here an observation is a *set of phrases*, so the language model runs once
per phrase: its output is a table, and an observation is one row of a multi-hot matrix times the
table. Nothing depends on the number of facts, choices or players.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.r3d2.config import R3D2Config
from agents.r3d2.cores import CORES, Layout


class Tables(NamedTuple):
    """Phrase tables of one parameter version.

    Attributes:
        facts: [P, hidden], what each fact adds to an observation (empty with whole paragraphs).
        choices: [Q, hidden], what the recurrent state is compared with for each choice.
        labels: [A, hidden], likewise for the answers of the auxiliary loss (empty without).
    """

    facts: Tensor
    choices: Tensor
    labels: Tensor

    def grown(self, facts: int, choices: int) -> Tables:
        """The same with so many rows; new ones are 0."""
        return Tables(
            F.pad(self.facts, (0, 0, 0, facts - len(self.facts))),
            F.pad(self.choices, (0, 0, 0, choices - len(self.choices))),
            self.labels,
        )

    def leaves(self) -> Tables:
        """The same values, cut off from what they were computed from, to be differentiated by."""
        return Tables(*(table.detach().requires_grad_() for table in self))


class R3D2Network(nn.Module):
    """Everything above the language model.

    Args:
        config: shape of the network.
        text_width: width of the phrase embeddings that it is given.
    """

    def __init__(self, config: R3D2Config, text_width: int) -> None:
        super().__init__()
        hidden = config.hidden
        self.hidden = hidden
        # A hidden layer between phrase embedding and table: with a linear map the table's rank,
        # and so what a sum of facts can tell apart, would be capped at the text's width.
        self.fact = nn.Sequential(
            nn.Linear(text_width, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden)
        )
        self.choice = nn.Sequential(
            nn.Linear(text_width, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )
        self.pooled = nn.LayerNorm(hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.core = CORES[config.core](hidden, config.memory, config.layers)
        self.memory_size = self.core.memory_size
        self.recall = nn.Linear(self.core.width, hidden)
        self.value = nn.Linear(hidden, 1)
        self.query = nn.Linear(hidden, hidden)
        self.answer = nn.Linear(hidden, hidden) if config.own_hand else None

    def tables(self, facts: Tensor, choices: Tensor, labels: Tensor) -> Tables:
        """Maps phrase embeddings to tables.

        Args:
            facts: [P, text_width].
            choices: [Q, text_width].
            labels: [A, text_width].
        """
        return Tables(self.fact(facts), self.choice(choices), self.choice(labels))

    def perceive(self, pooled: Tensor) -> Tensor:
        """Pooled facts [..., hidden] (sums of table rows) to the core's inputs [..., hidden]."""
        x = F.relu(self.pooled(pooled))
        return F.relu(self.mix(x))

    def recur(self, x: Tensor, layout: Layout, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the recurrent core over sequences of own turns.

        Args:
            x: [rows, hidden], packed steps (see ``agents.r3d2.cores``).
            layout: where the sequences lie among them.
            memory: float32 [B, memory_size], before each sequence's first step.

        Returns:
            outputs [rows, hidden] and the memory after each sequence's last step.
        """
        y, after = self.core(x, layout, memory)
        return x + self.recall(y), after

    def relevance(self, state: Tensor, tables: Tables, choices: Tensor, legal: Tensor) -> Tensor:
        """Q-values of the legal choices: a state value plus centred relevance (dueling).

        Args:
            state: [S, hidden], recurrent outputs.
            tables: the phrase tables.
            choices: int64 [S, C], rows of ``tables.choices`` (anything valid where not legal).
            legal: bool [S, C], at least one true a row.

        Returns:
            float32 [S, C], -inf where not legal.
        """
        scores = self.query(state) @ tables.choices.mT * self.hidden**-0.5
        # Gathered first: a table may have many more rows than there are choices.
        advantage = scores.gather(1, choices).float()
        mean = (advantage * legal).sum(1, keepdim=True) / legal.sum(1, keepdim=True)
        # In float32 whatever the rest is in: at 12 points bfloat16 has steps of a sixteenth.
        with torch.autocast(state.device.type, enabled=False):
            value = self.value(state.float())
        q = value + advantage - mean
        return q.masked_fill(~legal, -torch.inf)

    def answers(self, state: Tensor, tables: Tables) -> Tensor:
        """Logits of the auxiliary answers: [S, hidden] -> float32 [S, A]."""
        assert self.answer is not None
        return (self.answer(state) @ tables.labels.mT * self.hidden**-0.5).float()
