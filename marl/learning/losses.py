"""What is made small: the TD loss, and the loss of guessing the own hand.

Losses are sums over the steps of a part of a batch, each step weighted by the importance of its
sequence; the learner divides by the steps of the whole batch. They come with their metrics: by
name, a sum and the number of things that it is over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.network import Tables
from marl.learning.batch import Batch
from marl.learning.mixing import Mixing
from marl.learning.returns import Returns

Told = dict[str, tuple[float, int]]
"""Metrics: sum and count by name."""


def forward(agent: R3D2Agent, tables: Tables, batch: Batch) -> tuple[Tensor, Tensor]:
    """Runs an agent over a batch.

    Returns:
        Q-values float32 [S, C], -inf where not legal, and recurrent states of all rows [rows,
        hidden], surplus ones too.
    """
    x = agent.network.perceive(agent.pool(batch.inputs, tables))
    state, _ = agent.network.recur(x, batch.layout, batch.memory)
    q = agent.network.relevance(state, tables, batch.choices, batch.legal)
    return q[: batch.steps], state


def td_loss(
    q: Tensor,
    target_q: Tensor,
    batch: Batch,
    mixed: Mixing,
    returns: Returns,
    weights: NDArray[np.float32],
    huber: float,
) -> tuple[Tensor, NDArray[np.float32], Told]:
    """Huber loss of n-step double Q-learning (arXiv 1509.06461).

    Args:
        q: float32 [S, C], values by the network that learns.
        target_q: float32 [S, C], by the target network.
        batch: the steps.
        mixed: which of them each of the R errors is about.
        returns: what the R targets are made of.
        weights: float32 [U], importance of the units.
        huber: points of error from which the loss grows linearly.

    Returns:
        the loss, the errors float32 [R], and metrics.
    """
    device = q.device
    successor = torch.from_numpy(returns.successor).to(device)
    discount = torch.from_numpy(returns.discount).to(device)
    best = q.detach().argmax(1)
    future = mixed.total(target_q.gather(1, best[:, None])[:, 0])[successor]
    goal = torch.from_numpy(returns.rewards).to(device) + discount * future
    taken = mixed.total(q.gather(1, batch.actions[:, None])[:, 0])
    importance = np.repeat(weights, mixed.lengths) * returns.learned
    losses = F.huber_loss(taken, goal, reduction="none", delta=huber)
    loss = (losses * torch.from_numpy(importance).to(device)).sum()
    errors = (taken - goal).detach().float().cpu().numpy()
    told = {
        "loss": (float(loss.detach()), batch.steps),
        "q": (float(taken.detach().sum()), len(taken)),
        "td_error": (float(np.abs(errors[returns.learned]).sum()), int(returns.learned.sum())),
    }
    return loss, errors, told


def td_by_partner(
    errors: NDArray[np.float32],
    learned: NDArray[np.bool_],
    lengths: NDArray[np.int32],
    partner: NDArray[np.int16],
) -> Told:
    """Absolute TD errors by whom a sequence was played with; nothing where nobody is a partner.

    Args:
        errors: float32 [S].
        learned: bool [S], which of them count.
        lengths: int32 [E].
        partner: int16 [E], see ``Episodes.partner``.

    Returns:
        metrics ``td_error/K`` of partner K.
    """
    if not partner.any():
        return {}
    of_steps = np.repeat(partner, lengths)[learned]
    sizes = np.abs(errors[learned])
    return {
        f"td_error/{k}": (float(sizes[of_steps == k].sum()), int((of_steps == k).sum()))
        for k in np.unique(of_steps).tolist()
    }


def own_hand_loss(
    answers: Sequence[Tensor], labels: Tensor, weights: NDArray[np.float32]
) -> tuple[Tensor, Told]:
    """Cross-entropy of the own hand, a mean over the cards held at a step.

    The auxiliary task of Hu & Foerster 2020 ("Simplified Action Decoder for Deep Multi-Agent
    Reinforcement Learning", arXiv 1912.02288, section 4.3). Several games have a sheet each, and a
    step has answers in that of its own game only.

    Args:
        answers: float32 [S, K, N] for each sheet, logits.
        labels: int64 [S, slots], the right ones in the slots of all sheets, -1 where there is
            nothing to answer.
        weights: float32 [S], importance of the steps.

    Returns:
        the loss and metrics.
    """
    of_sheets = labels.split([sheet.shape[1] for sheet in answers], 1)
    losses = torch.cat(
        [
            F.cross_entropy(
                sheet.flatten(0, 1), mine.flatten(), ignore_index=-1, reduction="none"
            ).view(mine.shape)
            for sheet, mine in zip(answers, of_sheets, strict=True)
        ],
        1,
    )
    held = labels >= 0
    means = losses.sum(1) / held.sum(1).clamp_min(1)
    best = torch.cat([sheet.detach().argmax(2) for sheet in answers], 1)
    right = (best == labels) & held
    told = {
        "own_hand_loss": (float(losses.detach().sum()), int(held.sum())),
        "own_hand_accuracy": (float(right.sum()), int(held.sum())),
    }
    return (means * torch.from_numpy(weights).to(means.device)).sum(), told


def insight(answers: Sequence[Tensor], labels: Tensor) -> Tensor:
    """How much of what it cannot see a seat has guessed: the potential for ``returns.shape``.

    Args:
        answers: float32 [S, K, N] for each sheet, logits.
        labels: int64 [S, slots], the right ones, -1 where there is nothing to answer.

    Returns:
        float32 [S], the probability of the right answer, a mean over those that there are; 0 where
        there are none. Not differentiated.
    """
    of_sheets = labels.split([sheet.shape[1] for sheet in answers], 1)
    chances = torch.cat(
        [
            sheet.detach().softmax(2).gather(2, mine.clamp_min(0)[:, :, None])[:, :, 0]
            for sheet, mine in zip(answers, of_sheets, strict=True)
        ],
        1,
    )
    held = labels >= 0
    return (chances * held).sum(1) / held.sum(1).clamp_min(1)
