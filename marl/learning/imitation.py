"""Learning from a teacher's games first, and from one's own after that.

At first only the teacher plays, and what it chose is learned beside the values of what it did. Then
the agent plays in a growing share of the moves, while the weight of imitation falls to zero with
the teacher's share. What is left is self-play from a player that has something to improve on.

The *imitation loss* of a step is ``temperature * CE``, where CE is the cross-entropy of the
teacher's choice c under ``softmax(Q / temperature)``::

    temperature * log sum_a exp(Q(a) / temperature) - Q(c)

Its gradient by a value is a difference of probabilities: like that of the Huber loss beside it, it
is at most 1 in size, whatever the temperature. As the temperature goes to 0 it becomes
``max_a Q(a) - Q(c)``, the large-margin loss of Hester et al. 2018 ("Deep Q-learning from
Demonstrations", arXiv 1704.03732) with a margin of 0. At temperature 1 it is the regulariser of
Kumar et al. 2020 ("Conservative Q-Learning", arXiv 2006.04779), which keeps Q-learning on the games
of others from overestimating moves that nobody made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class ImitationConfig:
    """How a teacher is imitated, where there is one."""

    updates: int = 4_000
    """Updates from the teacher's games alone, before self-play; several settings take more."""
    anneal: int = 4_000
    """Updates after that, during which the teacher's share of the moves and the weight of the
    imitation loss fall linearly to zero."""
    weight: float = 10.0
    """Weight of the imitation loss at first, beside the TD loss."""
    temperature: float = 0.1
    """Points that a move has to be ahead of another to be taken e times as probable."""
    epsilon: float = 0.01
    """Rate of random moves in the teacher's games, so that they go where the agent will err to.
    What is imitated is what the teacher would have done."""

    def __post_init__(self) -> None:
        for name in ("updates", "anneal", "weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"imitation.{name} cannot be negative, got {getattr(self, name)}")
        if not self.updates + self.anneal:
            raise ValueError("imitation.updates and imitation.anneal cannot both be 0")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"imitation.temperature must be positive, got {self.temperature}")
        if not 0 <= self.epsilon < 1:
            raise ValueError(f"imitation.epsilon must be in [0, 1), got {self.epsilon}")

    def share(self, updates: int) -> float:
        """The teacher's share after so many updates: 1 at first, then falling to 0."""
        if updates < self.updates:
            return 1.0
        return max(0.0, 1 - (updates - self.updates) / self.anneal) if self.anneal else 0.0

    def weight_at(self, updates: int) -> float:
        """The weight of the imitation loss after so many updates."""
        return self.weight * self.share(updates)


def cross_entropy(q: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the teacher's choices under ``softmax(q / temperature)``.

    Args:
        q: float32 [S, C], -inf where not legal.
        taught: int64 [S], the teacher's choices; -1 where there was none.
        temperature: of the softmax.

    Returns:
        float32 [S], in nats; 0 where nothing was taught.
    """
    # Rows without a teacher are kept out of the softmax: 0 times infinity would be no number.
    rows = (taught >= 0).nonzero()[:, 0]
    logits = q[rows] / temperature
    chosen = logits.gather(1, taught[rows][:, None])[:, 0]
    return q.new_zeros(len(q)).index_add(0, rows, logits.logsumexp(1) - chosen)


def imitation_loss(
    q: Tensor,
    taught: Tensor,
    weights: NDArray[np.float32],
    config: ImitationConfig,
    updates: int,
) -> tuple[Tensor, dict[str, tuple[float, int]]]:
    """The imitation loss, summed over steps with their importance, at its weight of that moment.

    Args:
        q: float32 [S, C], -inf where not legal.
        taught: int64 [S], the teacher's choices; -1 where there was none.
        weights: float32 [S], importance of the steps.
        config: how a teacher is imitated.
        updates: made so far.

    Returns:
        the loss and metrics: by name, a sum and the number of things that it is over.
    """
    losses = cross_entropy(q, taught, config.temperature)
    factor = config.weight_at(updates) * config.temperature
    steps = int((taught >= 0).sum())
    found = int((q.detach().argmax(1) == taught).sum())
    return factor * (losses * torch.from_numpy(weights).to(q.device)).sum(), {
        "imitation_loss": (float(losses.detach().sum()), steps),
        "imitation_agreement": (float(found), steps),
    }
