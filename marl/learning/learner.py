"""The learner: recurrent double-Q over sequences of own turns."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.cores import Layout
from agents.r3d2.network import Tables
from marl.core import Replay, Weights
from marl.episodes import Episodes
from marl.learning.imitation import ImitationConfig, cross_entropy
from marl.learning.lanes import Lanes
from marl.learning.mixing import MIXINGS, Mixing
from marl.learning.returns import Returns, n_step, sequence_priorities

ROUND_STEPS = 128


@dataclass(frozen=True)
class LearnerConfig:
    """How the agent learns."""

    batch: int = 64
    """Sequences an update learns from."""
    mixing: Literal["iql", "vdn"] = "iql"
    """iql: every seat learns for itself; vdn: the values of all seats of a round add up to what the
    team is to earn."""
    n_step: int = 3
    """Own turns whose rewards a target sums before it bootstraps."""
    gamma: float = 0.999
    """Discount of one own turn."""
    burn_in: int = 0
    """Steps of a mid-episode sequence that only warm the memory up."""
    learning_rate: float = 5e-4
    """Adam's step size for everything above the language model."""
    text_learning_rate: float = 1e-4
    """Adam's step size for the language model, once a refresh."""
    adam_eps: float = 1.5e-5
    """Adam's epsilon."""
    clip: float = 5.0
    """Largest norm of a gradient."""
    target_interval: int = 250
    """Updates between copies of the weights into the target network."""
    refresh_interval: int = 8
    """Updates that share one run of the language model over the phrases. Its gradient is their
    mean, and the phrase embeddings stay as they are in between."""
    publish_interval: int = 10
    """Updates between publications of the weights."""
    average: float = 0.99
    """Decay, a publication, of the running mean of the weights that is evaluated and shipped."""
    aux_weight: float = 0.25
    """Weight of the own-hand loss where the agent has that head."""
    lanes: int = 2
    """Threads that learn from a part of each batch each. The number of lanes changes the order in
    which gradients are summed, so it belongs to the run and not to the machine."""

    def __post_init__(self) -> None:
        if self.mixing not in MIXINGS:
            raise ValueError(
                f"learner.mixing must be one of {', '.join(MIXINGS)}, got {self.mixing!r}"
            )
        for name in (
            "batch",
            "n_step",
            "target_interval",
            "refresh_interval",
            "publish_interval",
            "lanes",
        ):
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
        imitation: how the choices of a teacher are imitated; None where there is no teacher.
    """

    def __init__(
        self,
        agent: R3D2Agent,
        replay: Replay,
        weights: Weights,
        config: LearnerConfig,
        eta: float = 0.9,
        imitation: ImitationConfig | None = None,
    ) -> None:
        self.agent, self.replay, self.weights = agent, replay, weights
        self.config, self.eta, self.imitation = config, eta, imitation
        self.mixing = MIXINGS[config.mixing]
        self.updates = 0
        agent.spread_out()
        self.target = copy.deepcopy(agent)
        self.average = copy.deepcopy(agent)
        for frozen in (self.target, self.average):
            frozen.requires_grad_(False)
        agent.train()
        # The paragraph encoder reads every observation anew: nothing to put off there.
        self.refresh = config.refresh_interval if agent.config.encoder != "paragraph" else 1
        self.reader = [p for p in agent.reader.parameters() if p.requires_grad]
        self.network = list(agent.network.parameters())
        # What a lane differentiates: the paragraph encoder reads observations there as well.
        reads = self.reader if agent.config.encoder == "paragraph" else []
        self.learned = [*self.network, *reads]
        self.lanes = Lanes(config.lanes)
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

    def update(self, meanwhile: Callable[[], object] | None = None) -> dict[str, float]:
        """Learns from one batch.

        Args:
            meanwhile: called on another thread while weights change here; it must not touch the
                learner, its agent or its replay.

        Returns:
            metrics of the update: loss, td_error, q, gradient_norm, staleness and so on.
        """
        sample = self.replay.sample(self.config.batch)
        episodes = sample.episodes
        self._meet(episodes)
        with self.agent.autocast():
            tables = self.agent.tables(self._leaf)
        edges = self.mixing.edges(episodes)
        steps = np.add.reduceat(episodes.lengths, edges[:-1])
        scale = 1 / len(steps)
        parts = [
            (episodes.part(edges[first], edges[last]), sample.weights[first:last], scale, tables)
            for first, last in _ranges(steps, self.config.lanes)
        ]
        work = self.lanes.start(self._learn_part, parts)
        elsewhere = self.lanes.start_one(meanwhile) if meanwhile else None
        done = work()
        self._step(tables, done)
        self.replay.update(sample.ids, np.concatenate([part.priorities for part in done]))
        self.updates += 1
        self._maintain()
        if elsewhere:
            elsewhere()
        metrics = {
            **{name: sum(part.sums[name] for part in done) for name in done[0].sums},
            **{name: _mean([part.means[name] for part in done]) for name in done[0].means},
            "gradient_norm": self._gradient_norm,
            "staleness": _staleness(episodes, self.updates - 1),
            "steps": float(episodes.steps),
        }
        if self.imitation:
            metrics["imitation_weight"] = self.imitation.weight_at(self.updates - 1)
        return metrics

    def _learn_part(
        self, episodes: Episodes, weights: NDArray[np.float32], scale: float, tables: Tables
    ) -> Part:
        """Gradients of a part of a batch. Changes nothing, so that lanes can run side by side.

        Args:
            episodes: the sequences of U units (see ``marl.learning.mixing``).
            weights: float32 [U], their importance.
            scale: one over the number of units in the whole batch.
            tables: of the agent.
        """
        config = self.config
        mixed = self.mixing(episodes)
        returns = n_step(
            mixed.lengths,
            mixed.terminal,
            mixed.rewards,
            mixed.memory,
            n=config.n_step,
            gamma=config.gamma,
            burn_in=config.burn_in,
        )
        batch = Batch(episodes, self.agent)
        leaves = tables.leaves()
        with self.agent.autocast():
            with torch.no_grad():
                target_q, _ = self._forward(self.target, self._target_tables, batch)
            q, state = self._forward(self.agent, leaves, batch)
            taken, goal = self._compare(q, target_q, batch, mixed, returns)
            learned = torch.from_numpy(returns.learned).to(q.device)
            losses = F.smooth_l1_loss(taken, goal, reduction="none") * learned
            importance = torch.from_numpy(np.repeat(weights, mixed.lengths)).to(q.device)
            loss = (losses * importance).sum() * scale
            errors = (taken - goal).detach().float().cpu().numpy()
            sums = {"loss": float(loss.detach())}
            means = {
                "q": (float(taken.detach().sum()), len(taken)),
                "td_error": (
                    float(np.abs(errors[returns.learned]).sum()),
                    int(returns.learned.sum()),
                ),
            }
            if self.imitation:
                imitation, measured = self._imitate(q, batch, np.repeat(weights, mixed.steps))
                loss = loss + imitation * scale
                means |= measured
            if self.agent.config.own_hand:
                aux = self._aux_loss(state, leaves, batch) * scale
                sums["aux_loss"] = float(aux.detach())
                loss = loss + config.aux_weight * aux
        gradients = torch.autograd.grad(loss, [*leaves, *self.learned], allow_unused=True)
        priorities = sequence_priorities(mixed.lengths, errors, returns.learned, self.eta)
        return Part(gradients, priorities, sums, means)

    def _compare(
        self, q: Tensor, target_q: Tensor, batch: Batch, mixed: Mixing, returns: Returns
    ) -> tuple[Tensor, Tensor]:
        """Values of the moves taken, and what n-step double Q-learning says they are: [R] each."""
        successor = torch.from_numpy(returns.successor).to(q.device)
        discount = torch.from_numpy(returns.discount).to(q.device)
        best = q.detach().argmax(1)
        future = mixed.total(target_q.gather(1, best[:, None])[:, 0])[successor]
        goal = torch.from_numpy(returns.rewards).to(q.device) + discount * future
        return mixed.total(q.gather(1, batch.actions[:, None])[:, 0]), goal

    def _imitate(
        self, q: Tensor, batch: Batch, weights: NDArray[np.float32]
    ) -> tuple[Tensor, dict[str, tuple[float, int]]]:
        """The imitation loss, summed over steps with their weights, and what is told of it."""
        assert self.imitation
        losses = cross_entropy(q, batch.taught, self.imitation.temperature)
        factor = self.imitation.weight_at(self.updates) * self.imitation.temperature
        taught = int((batch.taught >= 0).sum())
        agreed = int((q.detach().argmax(1) == batch.taught).sum())
        return factor * (losses * torch.from_numpy(weights).to(q.device)).sum(), {
            "imitation_loss": (float(losses.detach().sum()), taught),
            "imitation_agreement": (float(agreed), taught),
        }

    def _step(self, tables: Tables, parts: Sequence[Part]) -> None:
        """Adds the parts' gradients up, in their order, and takes the optimiser's step."""
        sums = list(parts[0].gradients)
        for part in parts[1:]:
            sums = [_add(a, b) for a, b in zip(sums, part.gradients, strict=True)]
        self.optimiser.zero_grad(set_to_none=True)
        outputs = list(tables)
        for parameter, gradient in zip(self.learned, sums[len(outputs) :], strict=True):
            if gradient is not None:
                parameter.grad = _add(parameter.grad, gradient)
        reached = [(t, g) for t, g in zip(outputs, sums, strict=False) if g is not None]
        torch.autograd.backward([t for t, _ in reached], [g for _, g in reached])
        self._gradient_norm = float(torch.nn.utils.clip_grad_norm_(self.network, self.config.clip))
        self.optimiser.step()

    def publish(self) -> None:
        """Makes the current weights the latest version, and moves the running mean."""
        tensors = {k: v.detach().clone() for k, v in self.agent.state_dict().items()}
        self.weights.publish(self.updates, tensors)
        keep = min(self.config.average, self.updates / (self.updates + 100.0))
        for mean, new in zip(self.average.parameters(), self.agent.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - keep)

    def start_from(self, tensors: Mapping[str, Any]) -> None:
        """Takes on somebody's weights before the first update.

        Args:
            tensors: by the names of the agent's ``state_dict()``; they are copied.
        """
        for agent in (self.agent, self.target, self.average):
            agent.load(0, tensors)
        self._embed()
        self._embed_target()
        self.publish()

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
        """Q-values float32 [S, C], and recurrent states of all rows, surplus ones too."""
        x = agent.network.perceive(agent.pool(batch.inputs, tables))
        state, _ = agent.network.recur(x, batch.layout, batch.memory)
        q = agent.network.relevance(state, tables, batch.choices, batch.legal)
        return q[: batch.steps], state

    def _aux_loss(self, state: Tensor, tables: Tables, batch: Batch) -> Tensor:
        """Cross-entropy of the own hand, summed over steps."""
        logits = self.agent.network.answers(state, tables)[: batch.steps]
        return F.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-1, reduction="sum"
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


@dataclass(frozen=True)
class Part:
    """What a lane found out about its part of a batch.

    Attributes:
        gradients: of the loss, by the tables and then by the parameters; None where it has none.
        priorities: float32 [U], new ones of the units.
        sums: metrics to be added up over the parts.
        means: metrics to be averaged over all that they are about: sum over the part, and count.
    """

    gradients: tuple[Tensor | None, ...]
    priorities: NDArray[np.float32]
    sums: dict[str, float]
    means: dict[str, tuple[float, int]]


def _mean(parts: Sequence[tuple[float, int]]) -> float:
    """The mean of everything in some parts, of each of which the sum and the count are given."""
    return sum(total for total, _ in parts) / max(sum(count for _, count in parts), 1)


def _staleness(episodes: Episodes, updates: int) -> float:
    """Updates since the weights that began to play the agent's own sequences; 0 without any."""
    own = episodes.taught[np.cumsum(episodes.lengths) - 1] < 0
    return float(updates - episodes.version[own].mean()) if own.any() else 0.0


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _ranges(lengths: NDArray[np.int32], parts: int) -> list[tuple[int, int]]:
    """Ranges of units, of so many steps each, with about as many steps each, none of them empty."""
    ends = np.cumsum(lengths)
    n = len(lengths)
    parts = min(parts, n)
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts) + 1
    for i in range(parts - 1):
        cuts[i] = min(max(cuts[i], i + 1, cuts[i - 1] + 1 if i else 1), n - (parts - 1 - i))
    edges = [0, *cuts.tolist(), n]
    return list(itertools.pairwise(edges))


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
