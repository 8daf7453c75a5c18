"""The network: phrases to table, facts to recurrent state, choices to relevance.

R3D2 (arXiv 2503.14555) embeds the observation and every action's sentence with a language model,
runs an LSTM over the observations, and scores an action by its relevance to the recurrent state
(DRRN, arXiv 1511.04636). Here an observation is a *set of phrases*, so the language model runs once
per phrase: its output is a table, and an observation is one row of a multi-hot matrix times the
table. Nothing depends on the number of facts, choices or players.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.r3d2.config import R3D2Config


@dataclass(frozen=True)
class Tables:
    """Phrase tables of one parameter version.

    Attributes:
        facts: [P, hidden], what each fact adds to an observation (empty with whole paragraphs).
        choices: [Q, hidden], what the recurrent state is compared with for each choice.
        labels: [K, N, hidden], likewise for the answers of the auxiliary loss (empty without).
    """

    facts: Tensor
    choices: Tensor
    labels: Tensor


class R3D2Network(nn.Module):
    """Everything above the language model.

    Args:
        config: shape of the network.
        text_width: width of the phrase embeddings that it is given.
    """

    def __init__(self, config: R3D2Config, text_width: int) -> None:
        super().__init__()
        hidden = config.hidden
        self.hidden, self.lstm_hidden, self.layers = hidden, config.lstm_hidden, config.layers
        self.memory_size = 2 * config.layers * config.lstm_hidden
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
        self.lstm = nn.LSTM(hidden, config.lstm_hidden, config.layers)
        self.recall = nn.Linear(config.lstm_hidden, hidden)
        self.value = nn.Linear(hidden, 1)
        self.query = nn.Linear(hidden, hidden)
        self.answer = nn.Linear(hidden, hidden) if config.own_hand else None

    def tables(self, facts: Tensor, choices: Tensor, labels: Tensor) -> Tables:
        """Maps phrase embeddings to tables.

        Args:
            facts: [P, text_width].
            choices: [Q, text_width].
            labels: [K, N, text_width].
        """
        return Tables(self.fact(facts), self.choice(choices), self.choice(labels))

    def perceive(self, pooled: Tensor) -> Tensor:
        """Pooled facts [..., hidden] (sums of table rows) to the core's inputs [..., hidden]."""
        x = F.relu(self.pooled(pooled))
        return F.relu(self.mix(x))

    def recur(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the LSTM over T own turns of B seats.

        Args:
            x: [T, B, hidden].
            memory: float32 [B, memory_size], hidden and cell states, flat.

        Returns:
            outputs [T, B, hidden] and the memory after the last step.
        """
        batch = x.shape[1]
        state = memory.view(batch, 2, self.layers, self.lstm_hidden).permute(1, 2, 0, 3)
        y, (h, c) = self.lstm(x, (state[0].contiguous(), state[1].contiguous()))
        after = torch.stack([h, c]).permute(2, 0, 1, 3).reshape(batch, -1)
        return x + self.recall(y), after.float()

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
        advantage = scores.float().gather(1, choices)
        mean = (advantage * legal).sum(1, keepdim=True) / legal.sum(1, keepdim=True)
        q = self.value(state).float() + advantage - mean
        return q.masked_fill(~legal, -torch.inf)

    def answers(self, state: Tensor, tables: Tables) -> Tensor:
        """Logits of the auxiliary answers: [S, hidden] -> float32 [S, K, N]."""
        assert self.answer is not None
        slots, answers, _ = tables.labels.shape
        logits = self.answer(state) @ tables.labels.flatten(0, 1).mT * self.hidden**-0.5
        return logits.float().view(-1, slots, answers)
