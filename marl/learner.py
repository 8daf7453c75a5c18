"""The learner: recurrent double-Q over sequences of own turns."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.network import Tables
from marl.core import Replay, Weights
from marl.episodes import Episodes
from marl.returns import n_step, sequence_priorities

ROUND_STEPS = 256


@dataclass(frozen=True)
class LearnerConfig:
    """How the agent learns."""

    batch: int = 64
    """Sequences an update learns from."""
    n_step: int = 3
    """Own turns whose rewards a target sums before it bootstraps."""
    gamma: float = 0.999
    """Discount of one own turn."""
    burn_in: int = 0
    """Steps of a mid-episode sequence that only warm the memory up."""
    learning_rate: float = 2.5e-4
    """Adam's step size for everything above the language model."""
    text_learning_rate: float = 1e-4
    """Adam's step size for the language model, once a refresh."""
    adam_eps: float = 1.5e-5
    """Adam's epsilon."""
    clip: float = 5.0
    """Largest norm of a gradient."""
    target_interval: int = 500
    """Updates between copies of the weights into the target network."""
    refresh_interval: int = 4
    """Updates that share one run of the language model over the phrases. Its gradient is their
    mean, and the phrase embeddings stay as they are in between."""
    publish_interval: int = 10
    """Updates between publications of the weights."""
    average: float = 0.99
    """Decay, a publication, of the running mean of the weights that is evaluated and shipped."""
    aux_weight: float = 0.25
    """Weight of the own-hand loss where the agent has that head."""

    def __post_init__(self) -> None:
        for name in ("batch", "n_step", "target_interval", "refresh_interval", "publish_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"learner.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "text_learning_rate", "adam_eps", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"learner.{name} must be positive, got {getattr(self, name)}")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"learner.gamma must be in (0, 1], got {self.gamma}")
        if not 0 <= self.average < 1:
            raise ValueError(f"learner.average must be in [0, 1), got {self.average}")
        for name in ("burn_in", "aux_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"learner.{name} cannot be negative, got {getattr(self, name)}")


class Learner:
    """Updates an agent from replay and publishes its weights.

    Double Q-learning (arXiv 1509.06461) with n-step returns over a seat's own turns, Huber loss
    and importance weights; priorities as in R2D2. The language model takes part in every
    ``refresh_interval``-th update only: between refreshes the phrase embeddings are leaves that
    collect gradients, and a refresh hands their mean to the language model.

    Args:
        agent: what learns; its active set of phrases must be complete.
        replay: where sequences come from.
        weights: where new versions go.
        config: how it learns.
        eta: weight of the largest error in a sequence's priority.
    """

    def __init__(
        self,
        agent: R3D2Agent,
        replay: Replay,
        weights: Weights,
        config: LearnerConfig,
        eta: float = 0.9,
    ) -> None:
        self.agent, self.replay, self.weights = agent, replay, weights
        self.config, self.eta = config, eta
        self.updates = 0
        self.target = copy.deepcopy(agent)
        self.average = copy.deepcopy(agent)
        for frozen in (self.target, self.average):
            frozen.requires_grad_(False)
        agent.train()
        # The paragraph encoder reads every observation anew: nothing to put off there.
        self.refresh = config.refresh_interval if agent.config.encoder != "paragraph" else 1
        self.reader = [p for p in agent.reader.parameters() if p.requires_grad]
        self.network = list(agent.network.parameters())
        fused: dict[str, Any] = {"eps": config.adam_eps, "fused": True}
        self.optimiser = torch.optim.Adam(self.network, lr=config.learning_rate, **fused)
        self.text_optimiser = (
            torch.optim.Adam(self.reader, lr=config.text_learning_rate, **fused)
            if self.reader
            else None
        )
        self._embed()
        self._embed_target()
        self.publish()

    def update(self) -> dict[str, float]:
        """Learns from one batch.

        Returns:
            metrics of the update: loss, td_error, q, gradient_norm, staleness and so on.
        """
        config = self.config
        sample = self.replay.sample(config.batch)
        episodes = sample.episodes
        returns = n_step(
            episodes.lengths,
            episodes.terminal,
            episodes.rewards,
            episodes.memory,
            n=config.n_step,
            gamma=config.gamma,
            burn_in=config.burn_in,
        )
        self._meet(episodes)
        batch = Batch(episodes, self.agent)
        with self.agent.autocast():
            with torch.no_grad():
                target_q, _ = self._forward(self.target, self._target_tables, batch)
            tables = self.agent.tables(self._leaf)
            q, state = self._forward(self.agent, tables, batch)
            device = q.device
            successor = torch.from_numpy(returns.successor).to(device)
            discount = torch.from_numpy(returns.discount).to(device)
            learned = torch.from_numpy(returns.learned).to(device)
            best = q.detach().argmax(1)[successor]
            future = target_q[successor].gather(1, best[:, None])[:, 0]
            goal = torch.from_numpy(returns.rewards).to(device) + discount * future
            taken = q.gather(1, batch.actions[:, None])[:, 0]
            weights = torch.from_numpy(np.repeat(sample.weights, episodes.lengths)).to(device)
            losses = F.smooth_l1_loss(taken, goal, reduction="none") * learned
            loss = (losses * weights).sum() / config.batch
            metrics = {"loss": loss.detach()}
            if self.agent.config.own_hand:
                aux = self._aux_loss(state, tables, batch)
                metrics["aux_loss"] = aux.detach()
                loss = loss + config.aux_weight * aux
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        metrics["gradient_norm"] = torch.nn.utils.clip_grad_norm_(self.network, config.clip)
        self.optimiser.step()
        errors = (taken - goal).detach().float().cpu().numpy()
        self.replay.update(
            sample.ids, sequence_priorities(episodes.lengths, errors, returns.learned, self.eta)
        )
        self.updates += 1
        self._maintain()
        metrics["q"] = taken.detach().mean()
        return {name: float(value) for name, value in metrics.items()} | {
            "td_error": float(np.abs(errors[returns.learned]).mean()),
            "staleness": float(self.updates - 1 - episodes.version.mean()),
            "steps": float(episodes.steps),
        }

    def publish(self) -> None:
        """Makes the current weights the latest version, and moves the running mean."""
        tensors = {k: v.detach().clone() for k, v in self.agent.state_dict().items()}
        self.weights.publish(self.updates, tensors)
        keep = min(self.config.average, self.updates / (self.updates + 100.0))
        for mean, new in zip(self.average.parameters(), self.agent.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - keep)

    def averaged(self) -> R3D2Agent:
        """The agent with the running mean of the weights, which plays better than the newest."""
        self.average.calibrate()
        return self.average

    def state(self) -> dict[str, Any]:
        """Weights, target, running mean, optimisers, collected text gradients and counters."""
        return {
            "updates": self.updates,
            "agent": self.agent.state_dict(),
            "target": self.target.state_dict(),
            "average": self.averaged().state_dict(),
            "optimiser": _optimiser_state(self.optimiser),
            "text_optimiser": _optimiser_state(self.text_optimiser),
            "text_gradient": self._leaf.grad,
            "published": self.weights.latest()[1],
            "version": self.weights.latest()[0],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, bit for bit."""
        self.updates = state["updates"]
        for name in ("agent", "target", "average"):
            getattr(self, name).load(self.updates, state[name])
        _load_optimiser(self.optimiser, state["optimiser"])
        _load_optimiser(self.text_optimiser, state["text_optimiser"])
        self.weights.publish(state["version"], state["published"])
        self._embed()
        self._embed_target()
        gradient = state["text_gradient"]
        if gradient is not None:
            self._leaf.grad = torch.as_tensor(gradient).to(self._leaf, copy=True)

    def _maintain(self) -> None:
        """What is due after an update: refresh, target, publication."""
        if self.updates % self.refresh == 0:
            self._learn_text()
            self._embed()
        if self.updates % self.config.target_interval == 0:
            self.target.load_state_dict(self.agent.state_dict())
            self._embed_target()
        if self.updates % self.config.publish_interval == 0:
            self.publish()

    def _forward(self, agent: R3D2Agent, tables: Tables, batch: Batch) -> tuple[Tensor, Tensor]:
        """Q-values float32 [S, C] and recurrent states [S, hidden]."""
        x = agent.network.perceive(agent.pool(batch.inputs, tables))
        places = batch.time * batch.size
        # Row `places` is where the surplus steps go; the LSTM does not see it.
        padded = x.new_zeros(places + 1, x.shape[1]).index_copy(0, batch.places, x)
        y, _ = agent.network.recur(padded[:-1].view(batch.time, batch.size, -1), batch.memory)
        state = y.flatten(0, 1).index_select(0, batch.places.clamp_max(places - 1))
        q = agent.network.relevance(state, tables, batch.choices, batch.legal)
        return q[: batch.steps], state[: batch.steps]

    def _aux_loss(self, state: Tensor, tables: Tables, batch: Batch) -> Tensor:
        """Cross-entropy of the own hand, summed over steps, a sequence."""
        logits = self.agent.network.answers(state, tables)
        return (
            F.cross_entropy(
                logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-1, reduction="sum"
            )
            / batch.size
        )

    def _meet(self, episodes: Episodes) -> None:
        """Admits phrases that no network has a row for yet (in games without a closed book)."""
        if self.agent.meet(episodes.facts, episodes.choices):
            for other in (self.target, self.average):
                other.meet(episodes.facts, episodes.choices)
            self._learn_text()
            self._embed()
            self._embed_target()

    def _embed(self) -> None:
        """Runs the language model over the phrases; updates until the next refresh reuse it."""
        with self.agent.autocast():
            self._embedded = self.agent.embed().float()
        self._leaf = self._embedded.detach().requires_grad_()

    def _learn_text(self) -> None:
        """Hands the gradients collected since the last refresh to the language model."""
        if self.text_optimiser is None:
            return
        if self._leaf.grad is not None:
            self._embedded.backward(self._leaf.grad / self.refresh)
        torch.nn.utils.clip_grad_norm_(self.reader, self.config.clip)
        self.text_optimiser.step()
        self.text_optimiser.zero_grad(set_to_none=True)

    def _embed_target(self) -> None:
        with torch.no_grad(), self.target.autocast():
            self._target_tables = self.target.tables(self.target.embed())


def _optimiser_state(optimiser: torch.optim.Optimizer | None) -> dict[str, Any]:
    """Moments and step counts by parameter number; the settings are the configuration's."""
    if optimiser is None:
        return {}
    return {str(i): dict(moments) for i, moments in optimiser.state_dict()["state"].items()}


def _load_optimiser(optimiser: torch.optim.Optimizer | None, state: Mapping[str, Any]) -> None:
    if optimiser is not None:
        groups = optimiser.state_dict()["param_groups"]
        moments = {
            int(i): {name: torch.as_tensor(value) for name, value in values.items()}
            for i, values in state.items()
        }
        optimiser.load_state_dict({"state": moments, "param_groups": groups})


class Batch:
    """Sequences as tensors: steps packed for whatever works step by step, places for the LSTM.

    Matrix kernels are compiled for every new shape, which takes longer than they run. So the number
    of steps is rounded up; the surplus steps are empty, and all results are cut to ``steps``.

    Args:
        episodes: the sequences.
        agent: whose phrase table rows are meant, and on whose device the tensors are.
    """

    def __init__(self, episodes: Episodes, agent: R3D2Agent) -> None:
        device = agent.device
        lengths = episodes.lengths
        self.steps = episodes.steps
        self.size, self.time = len(lengths), int(lengths.max())
        surplus = -self.steps % ROUND_STEPS
        first = np.cumsum(lengths) - lengths
        sequence = np.repeat(np.arange(self.size), lengths)
        time = np.arange(self.steps) - first[sequence]
        # Row of each step in a padded [time, size] batch.
        places = np.pad(
            time * self.size + sequence, (0, surplus), constant_values=self.time * self.size
        )
        self.places = torch.from_numpy(places).to(device)
        self.memory = torch.from_numpy(episodes.memory).to(device)
        self.actions = torch.from_numpy(episodes.actions.astype(np.int64)).to(device)
        self.labels = torch.from_numpy(episodes.labels.astype(np.int64)).to(device)
        facts = np.pad(episodes.fact_counts, (0, surplus))
        starts = np.cumsum(facts, dtype=np.int64) - facts
        self.inputs = agent.inputs(episodes.facts, starts, facts)
        counts = np.pad(episodes.choice_counts, (0, surplus), constant_values=1)
        choices = np.full((len(counts), int(counts.max())), episodes.choices[0])
        within = np.arange(choices.shape[1]) < episodes.choice_counts[:, None]
        choices[: self.steps][within] = episodes.choices
        self.choices, self.legal = agent.legal(choices, counts)
