"""A training run in one process: the serial mode, deterministic and resumable bit for bit.

The loop that everything else exists for::

    while within budget:
        actor.step()                      # one move in every game of one setting
        while limiter.can_sample():
            learner.update()

The same configuration gives the same bits, whatever the wall clock does: nothing that is learned
depends on time. Checkpoints hold all that the next step depends on, replay included.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from agents.r3d2.agent import R3D2Agent
from games.core import BatchedGame
from games.text import Phrasebook, joined
from marl.acting.actor import Actor
from marl.acting.evaluate import Evaluation, evaluate
from marl.acting.table import admit, never
from marl.core import Table
from marl.episodes import Episodes
from marl.learning.group import Alone, Group
from marl.learning.learner import Learner
from marl.learning.weights import LaggedWeights, LocalWeights
from marl.replay.limiter import Limiter
from marl.replay.prioritised import PrioritisedReplay
from marl.runs import by_partner
from marl.runs.actors import Exploration, explorations, make_actors, make_games
from marl.runs.config import TrainConfig
from marl.runs.roster import find_partners, find_teacher

EVALUATION_SEED = 2**40
"""Of the games that are played to watch a run. Training's seeds lie beyond all that anybody would
give an evaluation, so no evaluation plays a game that was trained on."""


class SerialRun:
    """Actors, replay and learner in one process.

    Args:
        config: of the run.
        device: where the network learns.
    """

    group: Group = Alone()
    """With whom it learns."""

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        self.config = config
        self.settings = config.settings()
        seeds = np.random.SeedSequence(config.seed).generate_state(2 + 2 * len(self.settings))
        agent_seed, replay_seed, *seeds_of_settings = (int(seed) for seed in seeds)
        playing = make_games(config, seeds_of_settings[::2])
        if config.learner.mixing == "vdn":
            _refuse_cuts(playing, config.replay.max_length)
        book = self._book([game.phrasebook for game in playing])
        self.agent = R3D2Agent(config.agent, book, agent_seed)
        self.player = R3D2Agent(config.agent, book, agent_seed)
        for agent in (self.agent, self.player):
            for game in playing:
                admit(agent, game)
            agent.to(device)
        self.replay = self._table(self.agent.answers.slots, replay_seed)
        self.limiter = Limiter(config.warm_up, config.samples_per_insert)
        lag = config.actor.lag
        self.weights = LaggedWeights(lag) if lag else LocalWeights()
        self.learner = Learner(
            self.agent,
            self.replay,
            self.weights,
            config.learner,
            config.replay.eta,
            config.imitation if config.imitate else None,
            hyperparameters=config.hyperparameters(),
            group=self.group,
        )
        self.player.load(*self.weights.latest())
        self.critic: R3D2Agent | None = None
        if config.learner.off_belief:
            self.critic = copy.deepcopy(self.player)
            self.critic.version = -1  # It gets the target network's weights when it is needed.
        self._played: list[Episodes] = []
        self._metrics: list[dict[str, float]] = []
        self.actors = make_actors(
            config,
            playing,
            self.player,
            self._played.append,
            explorations(config, [game.num_games for game in playing]),
            seeds_of_settings[1::2],
            answers=self.agent.answers,
            book=book,
            partners=find_partners(config.partners, self.settings, playing, device),
            critic=self.critic,
        )
        self.teachers = self._teachers(config.imitate, device) if config.imitate else []
        # Moves that the teacher is owed: it makes its share of them without being left to chance.
        self._owed = 0.0
        # Of the processes of the run, if it had any before it went on in this one.
        self._ledger: dict[str, Any] = {}

    @property
    def env_steps(self) -> int:
        """Moves made in all games."""
        before = int(self._ledger.get("counts", {}).get("moves", 0))
        return before + sum(actor.env_steps for actor in (*self.actors, *self.teachers))

    def step(self) -> int:
        """The update that is due, or else one move in every game of the setting that is behind.

        Where the moves are due next, they are made while the update changes the weights.

        Returns:
            the number of updates.
        """
        version, tensors = self.weights.latest()
        if version != self.player.version:
            self.player.load(version, tensors)
        target = self.learner.target
        if self.critic and self.critic.version != target.version:
            # A copy, as the target network changes while others move.
            self.critic.load(target.version, target.state_dict())
        if not self.limiter.can_sample():
            self._next().step()
            self._hand_over()
            return 0
        self.limiter.sampled(self.config.learner.batch)
        meanwhile = None if self.limiter.can_sample() else self._next().step
        before = self.learner.updates
        self._metrics.append(self.learner.update(meanwhile))
        self._hand_over()
        return self.learner.updates - before

    def _next(self) -> Actor:
        """Who is to move next, the teacher or the agent, in the setting that is behind."""
        teaching = False
        if self.teachers:
            self._owed += self.config.imitation.share(self.learner.updates)
            teaching = self._owed >= 1
            self._owed -= teaching
        # Balanced by transitions: settings differ in how long their games are.
        actors = self.teachers if teaching else self.actors
        return min(actors, key=lambda actor: (actor.env_steps, actor.setting))

    def _hand_over(self) -> None:
        """Inserts what was played, at a moment that does not depend on which thread was faster."""
        for episodes in self._played:
            self.replay.insert(episodes)
            self.limiter.inserted(len(episodes))
        self._played.clear()

    def evaluate(
        self, games_each: int, seed: int = EVALUATION_SEED, stop: Callable[[], bool] = never
    ) -> list[Evaluation]:
        """Greedy play of the running mean of the weights, in every setting.

        Raises:
            StoppedError: if ``stop()`` said so before all games had ended.
        """
        average = self.learner.averaged()
        return [
            evaluate(average, setting, games_each, seed, stop=stop) for setting in self.settings
        ]

    def learning_metrics(self) -> dict[str, float]:
        """How learning went since the last call, by the names of docs/metrics.md."""
        recent, self._metrics = self._metrics, []
        # Of an update that was not made, since all was too old, there is only that.
        names = dict.fromkeys(name for entry in recent for name in entry)
        told = {name: [m[name] for m in recent if name in m] for name in names}
        labels = self.config.partners.labels()
        return {
            **by_partner.learned(told, labels),
            "replay/sequences": len(self.replay),
            "replay/steps": int(self.replay.counts[:, 1].sum()),
            "replay/mib": self.replay.nbytes / 2**20,
            "replay/samples_per_insert": self.limiter.measured,
            "act/env_steps": self.env_steps,
            "act/episodes": sum(actor.episodes for actor in (*self.actors, *self.teachers)),
            "act/taught_steps": sum(actor.env_steps for actor in self.teachers),
            "act/epsilon": float(np.mean([actor.epsilons.mean() for actor in self.actors])),
            **dict(by_partner.outcomes(self.settings, self.actors, labels)),
            **dict(by_partner.shares(self.settings, self.replay, labels)),
            **self._asked(),
        }

    def _asked(self) -> dict[str, float]:
        """Who was asked for what by the manager of training games since the last call, if any."""
        return {
            f"asked/{setting.slug}/{name}": share
            for setting, actor in zip(self.settings, self.actors, strict=True)
            if hasattr(actor.game, "asked")
            for name, share in actor.game.asked().items()
        }

    def evaluation_metrics(self, stop: Callable[[], bool] = never) -> dict[str, float]:
        """What greedy play came to in every setting, under every name of its scoring.

        Raises:
            StoppedError: if ``stop()`` said so before all games had ended.
        """
        results = self.evaluate(self.config.evaluate_games, stop=stop)
        metrics = self.learning_metrics()
        for result in results:
            metrics |= {
                f"evaluate/{result.setting.slug}/{name}": result.mean(name)
                for name in result.scoring
            }
        return metrics

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as nested dicts of arrays and plain values."""
        return {
            "learner": self.learner.state(),
            "player": {
                "version": self.player.version,
                "weights": self.player.state_dict(),
                "phrases": self.player.phrases_state(),
            },
            "replay": self.replay.state(),
            "limiter": self.limiter.state(),
            "actors": {str(i): actor.state() for i, actor in enumerate(self.actors)},
            "teachers": {str(i): actor.state() for i, actor in enumerate(self.teachers)},
            "owed": self._owed,
            "ledger": self._ledger,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, bit for bit, or from that of a run in several processes.

        Where it holds no replay, that is filled anew.
        """
        self.learner.load_state(state["learner"])
        self.limiter.load_state(state["limiter"])
        if "replay" in state:
            self.replay.load_state(state["replay"])
        if not len(self.replay):
            self.limiter.refill()
        self._ledger = state.get("ledger", {})
        if "actors" not in state:  # They were processes, whose games ended with them.
            self.player.load(*self.weights.latest())
            return
        self.player.load_phrases(state["player"]["phrases"])
        self.player.load(state["player"]["version"], state["player"]["weights"])
        for i, actor in enumerate(self.actors):
            actor.load_state(state["actors"][str(i)])
        for i, actor in enumerate(self.teachers):
            actor.load_state(state["teachers"][str(i)])
        self._owed = state["owed"]

    def _table(self, label_size: int, seed: int) -> Table:
        """What was played."""
        return PrioritisedReplay(
            self.config.replay,
            memory_size=self.agent.memory_size,
            label_size=label_size,
            num_settings=len(self.settings),
            whole_episodes=self.config.learner.mixing == "vdn",
            seed=seed,
        )

    def _book(self, books: Sequence[Phrasebook]) -> Phrasebook:
        """The phrasebook of the agent that plays some games."""
        return joined(books)

    def _teachers(self, name: str, device: str) -> list[Actor]:
        """Actors that play as the teacher does, as many games as there are for self-play."""
        config = self.config
        sequence = np.random.SeedSequence([config.seed, 1])
        seeds = [int(seed) for seed in sequence.generate_state(2 * len(self.settings))]
        playing = make_games(config, seeds[::2])
        return make_actors(
            config,
            playing,
            find_teacher(name, self.settings, playing, device),
            self._played.append,
            [
                Exploration(np.full(game.num_games, config.imitation.epsilon), None)
                for game in playing
            ],
            seeds[1::2],
            answers=self.agent.answers,
            book=self.agent.phrasebook,
            teaching=True,
        )


def _refuse_cuts(playing: Sequence[BatchedGame], max_length: int) -> None:
    """Raises ValueError where an episode may be longer than a sequence."""
    for game in playing:
        if game.max_turns is None or game.max_turns > max_length:
            raise ValueError(
                "learner.mixing=vdn needs whole episodes, of up to "
                f"{game.max_turns or 'any number of'} own turns here: raise replay.max_length "
                f"from {max_length}"
            )
