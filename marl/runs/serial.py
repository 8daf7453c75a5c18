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

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agents.r3d2.agent import R3D2Agent
from games.core import BatchedGame
from games.text import Phrasebook, joined
from marl.acting.actor import Actor
from marl.acting.evaluate import Evaluation, evaluate
from marl.acting.table import StoppedError, admit, never
from marl.episodes import Episodes
from marl.lanes import prepare_process
from marl.learning.learner import Learner
from marl.learning.weights import LocalWeights
from marl.replay.limiter import Limiter
from marl.replay.prioritised import PrioritisedReplay
from marl.runs.actors import Exploration, explore, games_each, make_actors, make_games
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import CONFIG_FILE, TrainConfig, load_config, to_dict
from marl.runs.curve import CURVE_FILE, save_curve
from marl.runs.monitor import Monitor
from marl.runs.roster import find_partners, find_teacher, refuse_export, starting_weights
from marl.runs.state import flatten, unflatten
from transport.claim import Claim
from transport.signals import StopFlag

EVALUATION_SEED = 2**40
"""Of the games that are played to watch a run. Training's seeds lie beyond all that anybody would
give an evaluation, so no evaluation plays a game that was trained on."""

LOG_SECONDS = 5.0


class SerialRun:
    """Actors, replay and learner in one process.

    Args:
        config: of the run.
        device: where the network learns.
    """

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
        self.replay = PrioritisedReplay(
            config.replay,
            memory_size=self.agent.memory_size,
            label_size=self.agent.answers.slots,
            num_settings=len(self.settings),
            whole_episodes=config.learner.mixing == "vdn",
            seed=replay_seed,
        )
        self.limiter = Limiter(config.warm_up, config.samples_per_insert)
        self.weights = LocalWeights()
        self.learner = Learner(
            self.agent,
            self.replay,
            self.weights,
            config.learner,
            config.replay.eta,
            config.imitation if config.imitate else None,
            hyperparameters=config.hyperparameters(),
        )
        self.player.load(*self.weights.latest())
        self._played: list[Episodes] = []
        self._metrics: list[dict[str, float]] = []
        self.actors = make_actors(
            config,
            playing,
            self.player,
            self._played.append,
            [
                explore(chosen, games_each(config), game.num_games)
                for chosen, game in zip(config.hyperparameters(), playing, strict=True)
            ],
            seeds_of_settings[1::2],
            answers=self.agent.answers,
            book=book,
            partners=find_partners(config.partners, self.settings, playing, device),
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
        if not self.limiter.can_sample():
            self._next().step()
            self._hand_over()
            return 0
        self.limiter.sampled(self.config.learner.batch)
        meanwhile = None if self.limiter.can_sample() else self._next().step
        self._metrics.append(self.learner.update(meanwhile))
        self._hand_over()
        return 1

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
        return {
            **{f"learn/{k}": float(np.mean([m[k] for m in recent])) for k in (recent or [{}])[0]},
            "replay/sequences": len(self.replay),
            "replay/steps": int(self.replay.counts[:, 1].sum()),
            "replay/mib": self.replay.nbytes / 2**20,
            "replay/samples_per_insert": self.limiter.measured,
            "act/env_steps": self.env_steps,
            "act/episodes": sum(actor.episodes for actor in (*self.actors, *self.teachers)),
            "act/taught_steps": sum(actor.env_steps for actor in self.teachers),
            "act/epsilon": float(np.mean([actor.epsilons.mean() for actor in self.actors])),
            **self._outcomes(),
            **self._asked(),
        }

    def _outcomes(self) -> dict[str, float]:
        """Mean headline outcome of the training games since the last call, by partner."""
        metrics = {}
        labels = np.array(self.config.partners.labels())
        for setting, actor in zip(self.settings, self.actors, strict=True):
            if actor.seating is None:
                continue
            outcomes = actor.outcomes()
            for label in dict.fromkeys(labels.tolist()):
                games, total = outcomes[labels == label].sum(0)
                if games:
                    name = f"partners/{setting.slug}/{label}/{actor.game.scoring[0]}"
                    metrics[name] = float(total / games)
        return metrics

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


def train(
    config: TrainConfig,
    run_dir: Path,
    *,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> SerialRun:
    """Trains until the budget is spent or somebody interrupts, and leaves a resumable run.

    Args:
        config: of the run; with ``resume``, that of the run resumed (see ``load_config``).
        run_dir: where configuration, checkpoints and curves go.
        minutes: wall-clock budget of this call, start-up and compilation included.
        updates: update count at which to stop; with both, whichever comes first.
        resume: continue from the newest checkpoint in ``run_dir``.
        device: where the network learns.

    Returns:
        the run as it stands, its checkpoint saved.

    Raises:
        ValueError: if there is no budget, or ``run_dir`` holds a run and ``resume`` is not set, or
            holds none and it is.
    """
    start = time.monotonic()
    prepare_process()
    if minutes is None and updates is None:
        raise ValueError("training needs a budget: give minutes, updates or both")
    store = CheckpointStore(run_dir / "checkpoints", keep=config.keep_checkpoints)
    refuse_export(run_dir)
    if not resume:
        refuse_second(run_dir)
    elif load_config(run_dir) != config:
        raise ValueError(
            f"the run in {run_dir} was started with another configuration than it is to be "
            f"continued with: resume with what its {CONFIG_FILE} says"
        )
    with contextlib.ExitStack() as stack:
        if resume:
            stack.enter_context(Claim(run_dir))
            store.sweep()
        run = SerialRun(config, device)
        step = restore(run, store)
        if not resume:  # Nothing is left behind by a run that cannot be.
            stack.enter_context(Claim(run_dir))
            refuse_second(run_dir)
            write_config(config, run_dir)
        stopped = stack.enter_context(StopFlag())
        monitor = stack.enter_context(
            Monitor(
                run_dir,
                seconds=None if minutes is None else minutes * 60,
                resume_step=step if resume else None,
            )
        )
        if resume:
            say_resumed(monitor, step)
        if updates is not None and step >= updates:
            monitor.say(f"it has {step:,} updates already: nothing is left to do")
        monitor.say(
            f"{sum(p.numel() for p in run.agent.parameters()):,} parameters, "
            f"{len(run.agent.facts.ids):,} facts and {len(run.agent.choices.ids)} choices in "
            f"{len(run.settings)} setting{'s' * (len(run.settings) > 1)}; "
            f"curves: {run_dir / CURVE_FILE}, tensorboard --logdir {run_dir.parent}"
        )
        if not resume:
            monitor.describe(to_dict(config))
        end = None if minutes is None else start + minutes * 60

        def over() -> bool:
            return stopped() or is_spent(run, end, updates)

        drive(run, store, monitor, over, stopped)
        if stopped():
            monitor.say(f"interrupted; go on with --resume --run-dir {run_dir}")
    return run


def is_spent(run: SerialRun, end: float | None, updates: int | None) -> bool:
    """Whether a budget is: a time of the monotonic clock, a count of updates, or both."""
    return (end is not None and time.monotonic() >= end) or (
        updates is not None and run.learner.updates >= updates
    )


def drive(
    run: SerialRun,
    store: CheckpointStore,
    monitor: Monitor,
    over: Callable[[], bool],
    stopped: Callable[[], bool],
) -> None:
    """Steps a run until it is over; evaluates, logs and saves whenever it is time, and at the end.

    A new run is evaluated before its first step as well, and one that is stopped not at its end. An
    evaluation that somebody interrupts is given up. A budget that is spent while the run is
    evaluated makes that evaluation its last one; before the first step, there is none.

    Where there is no room for a checkpoint the run goes on, and the next one is tried in time.

    Args:
        run: as it stands.
        store: where checkpoints go.
        monitor: what shows and writes the metrics.
        over: asked before every step.
        stopped: whether somebody wants the run to end at once.

    Raises:
        OSError: if there is no room for the last checkpoint.
    """
    config = run.config
    save = partial(_save, run, store, Interval(config.replay_minutes * 60))
    unsaved = moved = store.latest() is None
    logged = saved = time.monotonic()
    scored = -1  # the update of the newest evaluation
    evaluated = run.learner.updates // config.evaluate_interval
    if unsaved and not run.learner.updates:  # what it begins from
        scored = _score(run, monitor, over)
        moved = scored >= 0
    while not over():
        moves = run.env_steps
        learned = run.step()
        unsaved = moved = True
        monitor.count(env_steps=run.env_steps - moves, updates=learned)
        step, now = run.learner.updates, time.monotonic()
        if step // config.evaluate_interval > evaluated:
            evaluated = step // config.evaluate_interval
            scored = _score(run, monitor, stopped)
        elif now - logged >= LOG_SECONDS:
            logged = now
            monitor.log(step, run.learning_metrics())
        if now - saved >= config.checkpoint_minutes * 60:
            saved = now
            try:
                save()
            except OSError as error:
                monitor.say(
                    f"the checkpoint of update {step:,} could not be saved ({error.strerror}); "
                    f"the run goes on, and the next is due in {config.checkpoint_minutes:g} min"
                )
            else:
                unsaved = False
    if unsaved:  # A checkpoint that is there already would only push out an older one.
        save()
    ended = stopped() or scored == run.learner.updates
    if moved and (ended or _score(run, monitor, stopped) < 0):
        monitor.log(run.learner.updates, run.learning_metrics())


def _score(run: SerialRun, monitor: Monitor, stop: Callable[[], bool]) -> int:
    """Evaluates a run as it stands, and draws its curve anew.

    Returns:
        the update that it stands at, or -1 if it was to stop before the games had ended.
    """
    try:
        metrics = run.evaluation_metrics(stop)
    except StoppedError:
        monitor.say(f"the evaluation of update {run.learner.updates:,} was not played to its end")
        return -1
    monitor.log(run.learner.updates, metrics)
    with contextlib.suppress(OSError):  # That there is no room, the monitor has said.
        save_curve(monitor.run_dir, run.settings)
    return run.learner.updates


def say_resumed(monitor: Monitor, step: int) -> None:
    """Says from where a run goes on, and what of its curves goes because it is made again."""
    said = f"goes on from update {step:,}"
    if not step:
        said = "no update was saved before this run ended: it begins again at update 0"
    if monitor.dropped:
        said += f"; its curves are cut there, they had reached update {monitor.dropped:,}"
    monitor.say(said)


def refuse_second(run_dir: Path) -> None:
    """Raises ValueError where a folder holds a run already."""
    if (run_dir / CONFIG_FILE).exists():
        raise ValueError(
            f"{run_dir} holds a run already: continue it with --resume, or choose another --run-dir"
        )


def write_config(config: TrainConfig, run_dir: Path) -> None:
    """Makes a folder a run's."""
    run_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_dict(config), indent=2) + "\n"
    # Whole or absent: a run whose configuration cannot be read cannot be resumed.
    temporary = run_dir / f"{CONFIG_FILE}.tmp"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(run_dir / CONFIG_FILE)


def restore(run: SerialRun, store: CheckpointStore) -> int:
    """Loads the newest checkpoint and returns its step; 0 where the run has none yet.

    Raises:
        ValueError: if a run without a checkpoint is to start from weights that it cannot have.
    """
    try:
        saved = store.load()
    except FileNotFoundError:
        # Nothing was ever saved; damaged checkpoints are an error, not a fresh start.
        if run.config.start:
            run.learner.start_from(starting_weights(run.config))
            run.player.load(*run.weights.latest())
    else:
        state = unflatten(*saved)
        if "replay" not in state:
            with contextlib.suppress(FileNotFoundError):
                state["replay"] = unflatten(*_replay_store(store).load())
        run.load_state(state)
    return run.learner.updates


def _save(run: SerialRun, store: CheckpointStore, replay_due: Interval) -> None:
    state = run.state()
    if replay_due.seconds:
        # Replay lies beside the checkpoints, which would carry it away when they are removed.
        replay = state.pop("replay")
        if len(run.replay) and replay_due():
            _replay_store(store).save(run.learner.updates, *flatten(replay))
    store.save(run.learner.updates, *flatten(state))


def _replay_store(store: CheckpointStore) -> CheckpointStore:
    """Where replay is saved by itself, beside the checkpoints."""
    return CheckpointStore(store.folder.with_name("replay"), keep=1)


class Interval:
    """Says when something is due again; at first it is.

    Args:
        seconds: between two times.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._next = -math.inf

    def __call__(self) -> bool:
        """Whether it is due; it counts as done then."""
        if (now := time.monotonic()) < self._next:
            return False
        self._next = now + self.seconds
        return True
