"""A training run in several processes, any of which may die.

======== ==========================================================================================
process  what it does
======== ==========================================================================================
learner  holds replay and takes in what was played, updates, saves, and publishes weights
broker   hands what actors observe to workers, and their answers back (``transport.broker``)
worker   holds the newest weights and answers; several share the work
actor    plays two halves of its games: while one waits for its moves, the other is stepped
driver   starts the others, starts again what has died, and shows what the learner says
======== ==========================================================================================

Actor, learner, limiter, monitor and checkpoints are those of ``marl.runs.serial``, with the remote
sides of the seams between them. What is learned now depends on the clock: which weights chose a
move, and when a sequence arrived. All else is as in one process: run directory, configuration,
curves and resume.

A learner that was killed goes on from its last checkpoint, replay included. What its actors had
inserted since is counted as rolled back; the ledger shows that nothing was lost and nothing
inserted twice (``marl.remote.replay``). Games that were being played begin anew with their actor.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.r3d2.agent import R3D2Agent
from games.other_play import OtherPlay
from games.text import joined
from marl.acting.actor import Actor, exploration_spectrum, temperature_spectrum
from marl.episodes import Episodes
from marl.learning.lanes import prepare_process
from marl.remote.policy import (
    PublishedWeights,
    RemotePolicy,
    serve_policy,
    wait_for,
    warm_up,
)
from marl.remote.replay import Ledger, RemoteReplay, replay_functions
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import TrainConfig, load_config
from marl.runs.monitor import METRICS_FILE, Monitor, read_metrics
from marl.runs.roster import admit, starting_weights
from marl.runs.serial import (
    TRAINING_SEED,
    SerialRun,
    drive,
    interrupts,
    is_spent,
    refuse_second,
    restore,
    write_config,
)
from transport.client import Client, ClientConfig
from transport.launch import Role, Supervisor
from transport.service import Service
from transport.weights import Subscriber

AHEAD = 8
"""Batches by which learning may be ahead of playing or behind it, so that neither waits for the
other at every step."""

CALLS = 8
"""Insertions taken in between two updates, at most."""

SAVING = 2.5
"""Seconds that the learner has to save when the run is interrupted; what does not fit in there is
kept by the checkpoint before."""

HALVES = 2


@dataclass(frozen=True)
class Trained:
    """How far a run has come, by its newest checkpoint."""

    updates: int
    env_steps: int


def train_distributed(
    config: TrainConfig,
    run_dir: Path,
    *,
    workers: int,
    actors: int = 1,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    device: str = "cpu",
    lease: float = 10.0,
) -> Trained:
    """Trains like ``marl.runs.serial.train``, in processes of its own.

    Args:
        config: of the run; with ``resume``, that of the run resumed.
        run_dir: where configuration, checkpoints, curves and logs go.
        workers: processes that infer.
        actors: processes that play; the games are shared among them.
        minutes: wall-clock budget of this call, start-up included.
        updates: update count at which to stop.
        resume: continue from the newest checkpoint in ``run_dir``.
        device: where the network learns; workers are on the processor.
        lease: seconds that a worker has to answer, before another is asked.

    Raises:
        ValueError: if there is no budget or an argument is out of range, or ``run_dir`` holds a run
            and ``resume`` is not set, or holds none and it is.
        ProcessDiedError: if a process keeps dying.
    """
    began = time.monotonic()
    if minutes is None and updates is None:
        raise ValueError("training needs a budget: give minutes, updates or both")
    for name, count in (("workers", workers), ("actors", actors)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    for setting in config.settings():
        setting.batched(1)  # Refuses what cannot be played.
    if not resume:
        refuse_second(run_dir)
    elif load_config(run_dir) != config:
        raise ValueError(f"the run in {run_dir} was started with another configuration")
    if config.imitate and config.imitation.share(progress(run_dir).updates) > 0:
        raise ValueError(
            f"{config.imitate} is imitated in one process: begin without workers, and resume with "
            "them once the agent plays by itself"
        )
    if not resume:
        if config.start:
            starting_weights(config)  # Refuses before anything is begun.
        write_config(config, run_dir)
    single = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    options = {
        "until": None if minutes is None else began + 60 * minutes,
        "updates": updates,
        "device": device,
    }
    roles = [
        Role("broker", "transport.broker:run_broker", {"workers": workers, "lease": lease}),
        Role("worker", f"{__name__}:infer", count=workers, environment=single),
        Role("actor", f"{__name__}:play", {"actors": actors}, actors, environment=single),
        Role("learner", f"{__name__}:learn", options, restart="until_done", patience=SAVING),
    ]
    log = run_dir / "logs" / "learner.log"
    shown = log.stat().st_size if log.exists() else 0
    with interrupts() as interrupted, Supervisor(run_dir, roles) as crew:
        restarts = 0
        while not interrupted and not crew.done("learner"):
            crew.check()
            shown = _show(log, shown)
            if restarts != (restarts := crew.restarts.total()):
                counts = ", ".join(f"{name} {n}" for name, n in crew.restarts.items())
                print(f"started again after they died: {counts}", file=sys.stderr)
            time.sleep(0.05)
    _show(log, shown)
    return progress(run_dir)


def progress(run_dir: Path) -> Trained:
    """How far the run in a directory has come."""
    updates = CheckpointStore(run_dir / "checkpoints").latest() or 0
    env_steps = 0.0
    for entry in read_metrics(run_dir):
        if entry["step"] <= updates:
            env_steps = entry.get("act/env_steps") or env_steps
    return Trained(updates, int(env_steps))


class LearnerRun(SerialRun):
    """The learner's side of a run: learns from what others play.

    Args:
        config: of the run.
        run_dir: where its endpoints are published.
        device: where the network learns.
    """

    def __init__(self, config: TrainConfig, run_dir: Path, device: str = "cpu") -> None:
        # Its own games only tell which phrases there are.
        few = replace(config.actor, num_games=len(config.settings()))
        super().__init__(replace(config, actor=few, imitate=None), device)
        self.config = config
        self.ledger = Ledger()
        self.limiter.error_buffer = AHEAD * config.learner.batch
        functions = replay_functions(self.replay, self.ledger, self._take)
        self.service = Service(functions, run_dir, name="replay")
        self.published = PublishedWeights(run_dir)

    def close(self) -> None:
        """Takes in and publishes nothing more."""
        self.service.close()
        self.published.close()

    @property
    def env_steps(self) -> int:
        """Moves made in all games whose sequences have arrived."""
        return self.ledger.counts["moves"]

    def step(self) -> int:
        """Takes in what has been played, if learning is not far behind, and makes an update.

        Returns:
            the number of updates.
        """
        version, tensors = self.weights.latest()
        if version != self.published.latest()[0]:
            self.published.publish(version, tensors)
        hungry = not self.limiter.can_sample()
        if hungry or self.limiter.can_insert():
            self.service.poll(0.05 if hungry else 0.0, CALLS)
        if not self.limiter.can_sample():
            return 0
        self.limiter.sampled(self.config.learner.batch)
        self._metrics.append(self.learner.update())
        return 1

    def learning_metrics(self) -> dict[str, float]:
        """As in one process, and what the ledger says."""
        counts, actor = self.ledger.counts, self.config.actor
        spectrum = exploration_spectrum(actor.num_games, actor.epsilon, actor.epsilon_spread)
        return super().learning_metrics() | {
            "act/env_steps": counts["moves"],
            "act/episodes": counts["games"],
            "act/epsilon": float(spectrum.mean()),
            "ledger/insertions": counts["insertions"],
            "ledger/repeated": counts["repeated"],
            "ledger/rolled_back": counts["rolled_back"],
            "ledger/lost": counts["lost"],
            "ledger/balance": self.ledger.balance(),
        }

    def state(self) -> dict[str, Any]:
        """All that the learner's next step depends on; games in play are not part of it."""
        return {
            "learner": self.learner.state(),
            "replay": self.replay.state(),
            "limiter": self.limiter.state(),
            "ledger": self.ledger.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, or from that of a run in one process."""
        self.learner.load_state(state["learner"])
        self.replay.load_state(state["replay"])
        self.limiter.load_state(state["limiter"])
        if "ledger" in state:
            self.ledger.load_state(state["ledger"])
        for actor in state.get("actors", {}).values():
            self.ledger.counts.update(moves=actor["env_steps"], games=actor["episodes"])

    def _take(self, episodes: Episodes) -> None:
        self.replay.insert(episodes)
        self.limiter.inserted(len(episodes))


def learn(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    until: float | None,
    updates: int | None,
    device: str,
) -> None:
    """The learner's process: goes on from the newest checkpoint until the budget is spent.

    Args:
        run_dir: the run.
        number: ignored; there is one.
        stop: asked between updates.
        until: when to stop (seconds of the monotonic clock, which all processes share).
        updates: update count at which to stop.
        device: where the network learns.
    """
    prepare_process()
    config = load_config(run_dir)
    store = CheckpointStore(run_dir / "checkpoints", keep=config.keep_checkpoints)
    follows = (run_dir / METRICS_FILE).exists()

    with contextlib.closing(LearnerRun(config, run_dir, device)) as run:
        step = restore(run, store)

        def over() -> bool:
            return stop() or is_spent(run, until, updates)

        with Monitor(run_dir, resume_step=step if follows else None) as monitor:
            drive(run, store, monitor, over)


def infer(run_dir: Path, number: int, stop: Callable[[], bool]) -> None:
    """A worker's process: answers with the newest weights that the learner has published.

    Args:
        run_dir: the run.
        number: the worker's.
        stop: asked several times a second.
    """
    prepare_process()
    config = load_config(run_dir)
    playing = [setting.batched(1) for setting in config.settings()]
    agent = R3D2Agent(config.agent, joined([game.phrasebook for game in playing]), config.seed)
    for game in playing:
        admit(agent, game)
    endpoint = wait_for(run_dir, "weights", stop)
    if endpoint is None:
        return
    with contextlib.closing(Subscriber(endpoint)) as weights:
        while not stop():
            with contextlib.suppress(TimeoutError):  # The learner has to get ready, too.
                agent.load(*weights.latest(timeout=0.5))
                break
        else:
            return
        warm_up(agent, playing[-1])
        serve_policy(
            agent,
            agent.phrasebook,
            run_dir,
            stop,
            number=number,
            about={"games": config.games},
            weights=weights,
            load=agent.load,
        )


def play(run_dir: Path, number: int, stop: Callable[[], bool], *, actors: int) -> None:
    """An actor's process: a thread for each half of its games.

    Args:
        run_dir: the run.
        number: the actor's.
        stop: asked at every move.
        actors: how many such processes there are.

    Raises:
        Exception: whatever ended one of the threads before it was time.
    """
    config = load_config(run_dir)
    errors: list[BaseException] = []

    def play_half(half: int) -> None:
        try:
            _Half(config, run_dir, number * HALVES + half, actors * HALVES, stop).run()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=play_half, args=(half,), name=f"half-{half}", daemon=True)
        for half in range(HALVES)
    ]
    for thread in threads:
        thread.start()
    while not stop() and not errors and all(thread.is_alive() for thread in threads):
        time.sleep(0.05)
    for thread in threads if stop() else []:
        thread.join(1.0)
    if errors and not stop():
        raise errors[0]


class _Half:
    """Plays a share of the games, every setting in turn.

    Args:
        config: of the run.
        run_dir: where pool and replay are published.
        share: which share.
        shares: how many there are.
        stop: asked at every move.
    """

    def __init__(
        self, config: TrainConfig, run_dir: Path, share: int, shares: int, stop: Callable[[], bool]
    ) -> None:
        self.config, self.run_dir, self.stop = config, run_dir, stop
        self.share, self.shares = share, shares
        self.moves = self.games = 0  # as told to the learner

    def run(self) -> None:
        """Plays until it is to stop."""
        pool = wait_for(self.run_dir, "pool", self.stop)
        table = wait_for(self.run_dir, "replay", self.stop)
        if pool is None or table is None:
            return
        # A learner that evaluates or saves is silent for a while.
        patient = ClientConfig(timeout=600.0, retry=5.0)
        with (
            contextlib.closing(Client(table, config=patient)) as replay_client,
            RemotePolicy(Client(pool, config=ClientConfig(timeout=120.0))) as policy,
        ):
            self.replay = RemoteReplay(replay_client, stop=self.stop)
            self.actors = self._actors(policy)
            while not self.stop():
                min(self.actors, key=lambda actor: (actor.env_steps, actor.setting)).step()

    def _actors(self, policy: RemotePolicy) -> list[Actor]:
        config, settings = self.config, self.config.settings()
        num_games = max(config.actor.num_games // (len(settings) * self.shares), 1)
        spectrum = exploration_spectrum(
            num_games * self.shares, config.actor.epsilon, config.actor.epsilon_spread
        )
        temperatures = temperature_spectrum(
            num_games * self.shares, config.actor.temperature, config.actor.temperature_spread
        )
        # An actor that takes the place of one that died is to play other games.
        entropy = np.random.SeedSequence([config.seed, self.share, secrets.randbits(32)])
        seeds = [int(seed >> np.uint64(2)) for seed in entropy.generate_state(8, np.uint64)]
        playing = [
            setting.batched(num_games, TRAINING_SEED + seeds[0] + i * 2**40)
            for i, setting in enumerate(settings)
        ]
        book = joined([game.phrasebook for game in playing])
        policy.require(book)
        hand = max(game.labels.shape[1] for game in playing)
        return [
            Actor(
                OtherPlay(game, seeds[1]) if config.actor.other_play else game,
                policy,
                self._insert,
                spectrum[self.share :: self.shares],
                seeds[2] + setting,
                setting=setting,
                max_length=config.replay.max_length,
                overlap=config.learner.burn_in,
                label_size=hand if config.agent.own_hand else 0,
                temperatures=temperatures[self.share :: self.shares],
                book=book,
            )
            for setting, game in enumerate(playing)
        ]

    def _insert(self, episodes: Episodes) -> None:
        moves = sum(actor.env_steps for actor in self.actors)
        games_over = sum(actor.episodes for actor in self.actors)
        self.replay.insert(episodes, moves - self.moves, games_over - self.games)
        self.moves, self.games = moves, games_over


def _show(log: Path, shown: int) -> int:
    """Passes on what was added to a log; returns how far it has been shown."""
    if not log.exists():
        return shown
    with log.open("rb") as file:
        file.seek(shown)
        text = file.read()
    if text:
        sys.stderr.write(text.decode(errors="replace"))
        sys.stderr.flush()
    return shown + len(text)
