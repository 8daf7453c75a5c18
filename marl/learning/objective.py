"""The objective: what is made small, and its gradients over a part of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.network import Tables
from games.hyperparameters import Hyperparameters
from marl.episodes import Episodes
from marl.learning.batch import Batch
from marl.learning.config import LearnerConfig
from marl.learning.imitation import ImitationConfig, imitation_loss
from marl.learning.losses import (
    Told,
    forward,
    insight,
    own_hand_loss,
    td_by_partner,
    td_loss,
)
from marl.learning.mixing import MIXINGS, Mixing
from marl.learning.returns import Returns, n_step, sequence_priorities, shape, stored

Term = Callable[[Tensor, Batch, NDArray[np.float32], int], tuple[Tensor, Told]]
"""A loss beside the TD loss: from Q-values float32 [S, C], -inf where not legal, the steps, their
importance float32 [S] and the updates so far, to the sum over the steps and metrics."""


@dataclass(frozen=True)
class Part:
    """What a lane found out about its part of a batch.

    Attributes:
        gradients: of the loss, by the tables and then by the parameters; None where it has none.
        priorities: float32 [U], new ones of the units.
        told: metrics: by name, the sum over the part, and the number of things that it is over.
    """

    gradients: tuple[Tensor | None, ...]
    priorities: NDArray[np.float32]
    told: Told


class Objective:
    """The TD loss, and beside it that of imitation and of guessing the own hand, where asked for.

    Args:
        agent: what learns.
        target: the network that says what comes after.
        learned: parameters to differentiate by, beside the agent's tables.
        config: how it learns.
        eta: weight of the largest error in a sequence's priority.
        imitation: how the choices of a teacher are imitated; None where there is no teacher.
        terms: further losses, which are added.
        hyperparameters: of each setting, by ``Episodes.setting``; or one for all.
    """

    def __init__(
        self,
        agent: R3D2Agent,
        target: R3D2Agent,
        learned: Sequence[Tensor],
        config: LearnerConfig,
        eta: float,
        imitation: ImitationConfig | None,
        terms: Sequence[Term] = (),
        hyperparameters: Sequence[Hyperparameters] = (),
    ) -> None:
        self.agent, self.target, self.learned = agent, target, learned
        self.config, self.eta, self.imitation = config, eta, imitation
        self.terms = terms
        self.mixing = MIXINGS[config.mixing]
        chosen = hyperparameters or (Hyperparameters().updated(config),)
        self.n_step = np.array([one.n_step for one in chosen])
        self.gamma = np.array([one.gamma for one in chosen])

    def part(
        self,
        episodes: Episodes,
        weights: NDArray[np.float32],
        steps: int,
        updates: int,
        tables: Tables,
        target_tables: Tables,
    ) -> Part:
        """Gradients of a part of a batch. Changes nothing, so that lanes can run side by side.

        Args:
            episodes: the sequences of U units (see ``marl.learning.mixing``).
            weights: float32 [U], their importance.
            steps: in the whole batch; the loss is a mean over them.
            updates: made so far.
            tables: of the agent.
            target_tables: of the target network.
        """
        config = self.config
        mixed = self.mixing(episodes)
        batch = Batch(episodes, self.agent)
        of_steps = np.repeat(weights, mixed.steps)
        leaves = tables.leaves()
        with self.agent.autocast():
            target_q = None
            if not config.off_belief:
                with torch.no_grad():
                    target_q, _ = forward(self.target, target_tables, batch)
            q, state = forward(self.agent, leaves, batch)
            if target_q is None:
                target_q = q.detach()  # of no account where targets were stored
            answers = None
            if self.agent.answers.slots:
                logits = self.agent.network.answers(state, leaves)[: batch.steps]
                answers = self.agent.answers.split(logits)
            returns = self._returns(mixed, batch, answers)
            loss, errors, told = td_loss(q, target_q, batch, mixed, returns, weights, config.huber)
            told |= td_by_partner(errors, returns.learned, mixed.lengths, mixed.partner)
            if self.imitation:
                term, of_term = imitation_loss(q, batch.taught, of_steps, self.imitation, updates)
                loss, told = loss + term, told | of_term
            if answers is not None:
                term, of_term = own_hand_loss(answers, batch.labels, of_steps)
                loss, told = loss + config.aux_weight * term, told | of_term
            for further in self.terms:
                term, of_term = further(q, batch, of_steps, updates)
                loss, told = loss + term, told | of_term
        gradients = torch.autograd.grad(loss / steps, [*leaves, *self.learned], allow_unused=True)
        priorities = sequence_priorities(mixed.lengths, errors, returns.learned, self.eta)
        return Part(gradients, priorities, told)

    def _returns(self, mixed: Mixing, batch: Batch, answers: Sequence[Tensor] | None) -> Returns:
        """What targets are made of: rewards in their scale, and shaped where that is asked for."""
        config = self.config
        if config.off_belief:
            return stored(mixed.rewards)
        setting = mixed.setting if len(self.n_step) > 1 else 0
        gamma = self.gamma[setting]
        rewards = mixed.rewards * np.float32(config.reward_scale)
        if config.aux_shaping and answers is not None:
            guessed = mixed.total(insight(answers, batch.labels)).cpu().numpy()
            potential = np.float32(config.aux_shaping) * guessed
            rewards = shape(mixed.lengths, mixed.terminal, rewards, mixed.elapsed, potential, gamma)
        return n_step(
            mixed.lengths,
            mixed.terminal,
            rewards,
            mixed.elapsed,
            mixed.fresh,
            n=self.n_step[setting],
            gamma=gamma,
            burn_in=config.burn_in,
        )
