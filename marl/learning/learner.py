"""The learner: recurrent double-Q over sequences of own turns."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.r3d2.agent import R3D2Agent
from agents.r3d2.network import Tables
from games.hyperparameters import Hyperparameters
from marl.core import Replay
from marl.episodes import Episodes
from marl.lanes import Lanes
from marl.learning.average import RunningMean
from marl.learning.batch import ranges
from marl.learning.config import LearnerConfig
from marl.learning.divergence import Watch
from marl.learning.group import Alone, Group
from marl.learning.imitation import ImitationConfig
from marl.learning.objective import Objective, Part, Term
from marl.learning.optimisers import load_optimiser_state, make_optimiser, optimiser_state
from marl.learning.staleness import mean_age, split
from marl.learning.text import TextLearner
from marl.learning.weights import LocalWeights
from marl.replay.prioritised import Sample
from transport import metrics

UPDATES = metrics.counter("updates", "Updates made.")
UPDATE_SECONDS = metrics.histogram("update_seconds", "Seconds of an update.")


class Learner:
    """Updates an agent from replay and publishes its weights.

    Double Q-learning (arXiv 1509.06461) with n-step returns over a seat's own turns, Huber loss
    and importance weights; priorities as in R2D2. The loss is a mean over the steps of the batch.
    The language model takes part in every ``refresh_interval``-th update only (see
    ``marl.learning.text``).

    Args:
        agent: what learns; its active set of phrases must be complete, or its phrasebook open.
        replay: where sequences come from.
        weights: where new versions go.
        config: how it learns.
        eta: weight of the largest error in a sequence's priority.
        imitation: how the choices of a teacher are imitated; None where there is no teacher.
        terms: losses beside these, which are added; see ``marl.learning.objective.Term``.
        hyperparameters: discount and n of each setting, by ``Episodes.setting``; without, what
            ``config`` says is for all.
        group: with whom it learns, each from a part of every batch; None for alone.
    """

    def __init__(
        self,
        agent: R3D2Agent,
        replay: Replay,
        weights: LocalWeights,
        config: LearnerConfig,
        eta: float = 0.9,
        imitation: ImitationConfig | None = None,
        terms: Sequence[Term] = (),
        hyperparameters: Sequence[Hyperparameters] = (),
        group: Group | None = None,
    ) -> None:
        self.group = group or Alone()
        if config.batch % self.group.size:
            raise ValueError(
                f"learner.batch={config.batch} cannot be shared by {self.group.size} learners: "
                "choose a multiple"
            )
        if self.group.size > 1 and not agent.phrasebook.closed:
            raise ValueError("a game whose phrasebook grows is learned by one learner")
        self.agent, self.replay, self.weights = agent, replay, weights
        self.config, self.imitation = config, imitation
        self.updates = 0
        if agent.phrasebook.closed:
            agent.spread_out()
        self.target = copy.deepcopy(agent)
        self.target.requires_grad_(False)
        self.average = RunningMean(agent, config.average)
        agent.train()
        paragraphs = agent.config.encoder == "paragraph"
        self.text = TextLearner(
            agent,
            learning_rate=config.text_learning_rate,
            eps=config.adam_eps,
            clip=config.clip,
            # The paragraph encoder reads every observation anew: nothing to put off there.
            interval=1 if paragraphs else config.refresh_interval,
        )
        self.network = list(agent.network.parameters())
        # What a lane differentiates: the paragraph encoder reads observations there as well.
        self.learned = [*self.network, *(self.text.parameters if paragraphs else [])]
        self.objective = Objective(
            agent, self.target, self.learned, config, eta, imitation, terms, hyperparameters
        )
        self.lanes = Lanes(config.lanes)
        self.watch = Watch(config)
        self.optimiser = make_optimiser(self.network, config.learning_rate, config.adam_eps)
        self.seconds = metrics.Histogram()
        metrics.watch(self)
        self.publish()

    def measured(self) -> Iterator[metrics.Figures]:
        """Its figures, for an exporter."""
        yield UPDATES.is_(self.updates)
        yield UPDATE_SECONDS.is_(self.seconds)

    def update(self, meanwhile: Callable[[], object] | None = None) -> dict[str, float]:
        """Learns from one batch.

        Args:
            meanwhile: called on another thread while weights change here; it must not touch the
                learner, its agent or its replay.

        Where all that is drawn is too old to be learned from, no update is made.

        Returns:
            metrics of the update: loss, td_error, q, gradient_norm, staleness and so on.

        Raises:
            DivergedError: if the errors are beyond all measure; nothing has changed then.
        """
        began = time.perf_counter()
        try:
            sample, skipped = self._draw()
        except BaseException:
            self.group.all(False)
            raise
        if not self.group.all(sample is not None) or sample is None:
            if meanwhile:
                meanwhile()
            return {"skipped": skipped}
        episodes = sample.episodes
        self._meet(episodes)
        with self.agent.autocast():
            tables = self.agent.tables(self.text.leaf)
        target_tables = self.target.current()
        edges = self.objective.mixing.edges(episodes)
        lengths = np.add.reduceat(episodes.lengths, edges[:-1])
        common = (self.group.total(episodes.steps), self.updates, tables, target_tables)
        parts = [
            (episodes.part(edges[first], edges[last]), sample.weights[first:last], *common)
            for first, last in ranges(lengths, self.config.lanes)
        ]
        work = self.lanes.start(self.objective.part, parts)
        elsewhere = self.lanes.start_one(meanwhile) if meanwhile else None
        done = work()
        names = dict.fromkeys(name for part in done for name in part.told)
        told = {name: _mean([p.told[name] for p in done if name in p.told]) for name in names}
        self.watch.check(self.updates, episodes, told["loss"], told["td_error"])
        norm = self._step(tables, done)
        self.replay.update(sample.ids, np.concatenate([part.priorities for part in done]))
        self.updates += 1
        self._maintain()
        if elsewhere:
            elsewhere()
        self.seconds.observe(time.perf_counter() - began)
        figures = {
            **told,
            "gradient_norm": norm,
            "clipped": float(norm > self.config.clip),
            "staleness": mean_age(episodes, self.updates - 1),
            "skipped": skipped,
            "steps": float(episodes.steps),
        }
        if self.imitation:
            figures["imitation_weight"] = self.imitation.weight_at(self.updates - 1)
        return figures

    def publish(self) -> None:
        """Makes the current weights the latest version, and moves the running mean."""
        tensors = {k: v.detach().clone() for k, v in self.agent.state_dict().items()}
        self.weights.publish(self.updates, tensors)
        self.average.move(self.agent, self.updates)

    def start_from(self, tensors: Mapping[str, Any]) -> None:
        """Takes on somebody's weights before the first update.

        Args:
            tensors: by the names of the agent's ``state_dict()``; they are copied.
        """
        for agent in (self.agent, self.target, self.average.agent):
            agent.load(0, tensors)
        self.text.embed()
        self.publish()

    def averaged(self) -> R3D2Agent:
        """The agent with the running mean of the weights, which plays better than the newest."""
        return self.average.calibrated()

    def state(self) -> dict[str, Any]:
        """Weights, target, running mean, optimisers, phrases of an open book, and counters."""
        return {
            "updates": self.updates,
            "phrases": self.agent.phrases_state(),
            "agent": self.agent.state_dict(),
            "target": self.target.state_dict(),
            "average": self.averaged().state_dict(),
            "optimiser": optimiser_state(self.optimiser),
            **self.text.state(),
            **self.weights.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, bit for bit."""
        self.updates = state["updates"]
        agents = {"agent": self.agent, "target": self.target, "average": self.average.agent}
        for name, agent in agents.items():
            agent.load_phrases(state.get("phrases", {}))
            agent.load(self.updates, state[name])
        load_optimiser_state(self.optimiser, state["optimiser"])
        self.text.load_state(state)
        self.weights.load_state(state)

    def _draw(self) -> tuple[Sample | None, float]:
        """A batch that may be learned from, None if all of it is too old; and the share skipped."""
        sample: Sample | None = self.replay.sample(self.config.batch // self.group.size)
        assert sample
        if not self.config.max_staleness:
            return sample, 0.0
        drawn, edges = len(sample.ids), self.objective.mixing.edges(sample.episodes)
        sample, stale = split(sample, edges, self.updates, self.config.max_staleness)
        if len(stale):
            self.replay.update(stale, np.zeros(len(stale), np.float32))
        if sample is None and self.weights.latest()[0] < self.updates:
            self.publish()  # What is played next is fresh.
        return sample, len(stale) / drawn

    def _step(self, tables: Tables, parts: Sequence[Part]) -> float:
        """Adds the parts' gradients up, in their order, and takes the optimiser's step.

        Returns:
            the norm of the gradient before it was clipped.
        """
        sums = list(parts[0].gradients)
        for part in parts[1:]:
            sums = [_add(a, b) for a, b in zip(sums, part.gradients, strict=True)]
        outputs = list(tables)
        sums = self.group.add(sums, [*outputs, *self.learned])
        assert self.optimiser
        self.optimiser.zero_grad(set_to_none=True)
        for parameter, gradient in zip(self.learned, sums[len(outputs) :], strict=True):
            if gradient is not None:
                parameter.grad = _add(parameter.grad, gradient)
        reached = [(t, g) for t, g in zip(outputs, sums, strict=False) if g is not None]
        torch.autograd.backward([t for t, _ in reached], [g for _, g in reached])
        norm = float(torch.nn.utils.clip_grad_norm_(self.network, self.config.clip))
        self.optimiser.step()
        return norm

    def _maintain(self) -> None:
        """What is due after an update: refresh, target, publication."""
        if self.updates % self.text.interval == 0:
            self.text.refresh()
        if self.updates % self.config.target_interval == 0:
            self.target.load(self.updates, self.agent.state_dict())
        if self.updates % self.config.publish_interval == 0:
            self.publish()

    def _meet(self, episodes: Episodes) -> None:
        """Makes room for phrases that no network has a row for yet (in games with an open book)."""
        others = (self.target, self.average.agent)
        new = self.agent.meet(episodes.facts, episodes.choices)
        for other in others if new else ():
            other.meet(episodes.facts, episodes.choices)
        if not self.updates and not self.agent.is_spread_out:
            # Only now is it known what is said in the game.
            self.agent.spread_out()
            for other in others:
                other.load(0, self.agent.state_dict())
            self.text.embed()
        elif new:
            self.text.grow()


def _mean(parts: Sequence[tuple[float, int]]) -> float:
    """The mean of everything in some parts, of each of which the sum and the count are given."""
    return sum(total for total, _ in parts) / max(sum(count for _, count in parts), 1)


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
