"""The language model's part in learning: now and then, for all phrases at once.

Between two *refreshes* the phrase embeddings are a leaf that collects gradients; a refresh hands
their mean to the language model and runs it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agents.r3d2.agent import R3D2Agent
from marl.learning.optimisers import load_optimiser_state, make_optimiser, optimiser_state


class TextLearner:
    """Phrase embeddings that learn.

    Args:
        agent: whose language model it is.
        learning_rate: Adam's step size, once a refresh.
        eps: Adam's epsilon.
        clip: largest norm of a gradient.
        interval: updates between refreshes.

    Attributes:
        leaf: float32 [rows, width], the embeddings that updates differentiate by.
    """

    def __init__(
        self, agent: R3D2Agent, *, learning_rate: float, eps: float, clip: float, interval: int
    ) -> None:
        self.agent, self.clip, self.interval = agent, clip, interval
        self.parameters = [p for p in agent.reader.parameters() if p.requires_grad]
        self.optimiser = make_optimiser(self.parameters, learning_rate, eps)
        self.embed()

    def embed(self) -> None:
        """Runs the language model over the phrases; updates until the next refresh reuse it."""
        with self.agent.autocast():
            self._embedded = self.agent.embed().float()
        self._rows = self.agent.rows
        self._growth = [self._rows.counts]
        self.leaf = self._embedded.detach().requires_grad_()

    def refresh(self) -> None:
        """Hands over the gradients collected since the last refresh, and embeds anew."""
        if self.optimiser is not None:
            if self.leaf.grad is not None:
                self._embedded.backward(self.leaf.grad / self.interval)
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
        self.embed()

    def grow(self) -> None:
        """Embeds what the agent has met since; what was collected for the rest stays."""
        with self.agent.autocast():
            self._embedded = self.agent.embed_new(self._embedded, self._rows)
        collected, rows = self.leaf.grad, self.agent.rows
        self.leaf = self._embedded.detach().requires_grad_()
        if collected is not None:
            new = sum(rows.counts) - sum(self._rows.counts)
            nothing = collected.new_zeros(new, collected.shape[1])
            self.leaf.grad = rows.place(nothing, collected, self._rows)
        self._rows = rows
        self._growth.append(rows.counts)

    def state(self) -> dict[str, Any]:
        """The optimiser's moments, the gradients collected so far, and how the rows came to be."""
        return {
            "text_optimiser": optimiser_state(self.optimiser),
            "text_gradient": self.leaf.grad,
            "text_growth": np.array(self._growth, np.int64),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, once the agent's weights are those of that moment."""
        load_optimiser_state(self.optimiser, state["text_optimiser"])
        # Phrases are standardised over those that there were at the refresh, and what was met since
        # was embedded as it came: to the last bit, that is done again in the same steps.
        facts, choices = self.agent.facts, self.agent.choices
        every_fact, every_choice = facts.ids, choices.ids
        for step, (known_facts, known_choices, _) in enumerate(state["text_growth"].tolist()):
            facts.ids, choices.ids = every_fact[:known_facts], every_choice[:known_choices]
            if step:
                self.grow()
            else:
                self.embed()
        gradient = state["text_gradient"]
        if gradient is not None:
            self.leaf.grad = torch.as_tensor(gradient).to(self.leaf, copy=True)
