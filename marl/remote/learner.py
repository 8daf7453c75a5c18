"""The learner's process: holds replay, learns, saves, and publishes weights."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from games.text import Phrasebook, shared
from marl.core import Table
from marl.episodes import Episodes
from marl.lanes import prepare_process
from marl.learning.divergence import DivergedError
from marl.learning.group import STOP, UPDATE, Alone, Group, LearnerGoneError, Learners
from marl.remote.policy import PublishedWeights
from marl.remote.replay import Ledger, replay_functions
from marl.remote.shard import AHEAD
from marl.remote.sharding import RemoteShards
from marl.replay.sharded import ShardGoneError
from marl.runs.actors import explorations, games_each
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import PHRASES_FILE, TrainConfig, load_config, to_dict
from marl.runs.loop import drive, is_spent, say_resumed
from marl.runs.monitor import METRICS_FILE, Monitor
from marl.runs.partners import PartnersConfig
from marl.runs.saving import restore
from marl.runs.serial import SerialRun
from marl.runs.state import flatten
from transport.binding import Binding, client_keys, server_keys
from transport.child import FatalError, before_hard_end
from transport.client import Client, ClientConfig
from transport.endpoints import find_endpoints
from transport.service import Service
from transport.wire import Tensors, text_tensor

CALLS = 8
"""Insertions taken in between two updates, at most."""

_TURN = 0.05  # Seconds that the learner waits for insertions before it looks around.


class LearnerRun(SerialRun):
    """The learner's side of a run: learns from what others play.

    Args:
        config: of the run.
        run_dir: where its endpoints are published.
        device: where the network learns.
        binding: where it listens; on this machine only, by default.
        shards: processes that hold replay; 0 for this one.
        group: with whom it learns; only rank 0 takes sequences in and publishes weights.

    Attributes:
        hungry: seconds for which it has waited for a sequence, and none came.
    """

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        device: str = "cpu",
        binding: Binding = Binding(),  # noqa: B008 - it is frozen
        shards: int = 0,
        group: Group | None = None,
    ) -> None:
        self.group = group or Alone()
        self._phrases = run_dir / PHRASES_FILE
        self._run_dir, self._binding, self._count = run_dir, binding, shards
        self._shards: RemoteShards | None = None
        # Its own games only tell which phrases there are.
        few = replace(config.actor, num_games=len(config.settings()))
        alone = replace(config, actor=few, imitate=None, partners=PartnersConfig())
        super().__init__(alone, device)
        self.config = config
        self.ledger = Ledger()
        self.limiter.error_buffer = AHEAD * config.learner.batch
        self.hungry = 0.0
        self._balance = 0  # of the ledgers of shards
        keys = server_keys(binding.server)
        self.service: Service | None = None
        if self._shards is None:
            functions = replay_functions(
                self.replay, self.ledger, self._take, phrases=self.agent.phrasebook
            )
            self.service = Service(
                functions,
                run_dir,
                name="replay",
                address=binding.address("replay"),
                keys=keys,
                admits=frozenset({"actor"}),
            )
        self.published: PublishedWeights | None = None
        if self.group.rank == 0:
            address = binding.address("weights")
            self.published = PublishedWeights(run_dir, address=address, keys=keys)

    def close(self) -> None:
        """Takes in and publishes nothing more."""
        if self.service is not None:
            self.service.close()
        if self._shards is not None:
            self._shards.close()
        if self.published is not None:
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
        if self.published is not None and version != self.published.latest()[0]:
            self.published.publish(version, tensors)
        if not self.limiter.can_sample():
            began = time.monotonic()
            self.hungry += _TURN  # At most: this process may be stopped for a while.
            self._take_in(_TURN)
            self.hungry += min(time.monotonic() - began - _TURN, 0.0)
        elif self._shards is not None or self.limiter.can_insert():
            self._take_in(0.0)
        if not self.limiter.can_sample():
            return 0
        before = self.learner.updates
        if isinstance(self.group, Learners):
            self.group.say(UPDATE)
        try:
            metrics = self.learner.update()
        except ShardGoneError:  # It will be back.
            return 0
        self.limiter.sampled(self.config.learner.batch)
        self._metrics.append(metrics)
        return self.learner.updates - before

    def _take_in(self, timeout: float) -> None:
        """Takes in what was played, or hears what the shards of replay have taken in."""
        if self.service is not None:
            self.service.poll(timeout, CALLS)
        self.hear_shards(timeout)

    def hear_shards(self, timeout: float = 0.0) -> None:
        """Hears how the shards of replay stand, if it has any."""
        if self._shards is None:
            return
        inserts = self.limiter.inserts
        self._shards.tend(timeout)
        self._shards.count(self.limiter)
        self.ledger.counts, self._balance = self._shards.ledger()
        if self.limiter.inserts > inserts:
            self.hungry = 0.0

    def learning_metrics(self) -> dict[str, float]:
        """As in one process, and what the ledger says."""
        counts, settings = self.ledger.counts, len(self.settings)
        spectra = explorations(self.config, [games_each(self.config)] * settings)
        return super().learning_metrics() | {
            "act/env_steps": counts["moves"],
            "act/episodes": counts["games"],
            "act/epsilon": float(np.mean([one.epsilons for one in spectra])),
            "ledger/insertions": counts["insertions"],
            "ledger/repeated": counts["repeated"],
            "ledger/rolled_back": counts["rolled_back"],
            "ledger/lost": counts["lost"],
            "ledger/balance": self._balance if self._shards is not None else self.ledger.balance(),
            **(self._shards.metrics() if self._shards is not None else {}),
        }

    def state(self) -> dict[str, Any]:
        """All that the learner's next step depends on; games in play are not part of it."""
        return {
            "learner": self.learner.state(),
            "replay": self.replay.state(),
            "limiter": self.limiter.state(),
            # Shards save their own.
            "ledger": {} if self._shards is not None else self.ledger.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, or from that of a run in one process."""
        self.learner.load_state(state["learner"])
        self.limiter.load_state(state["limiter"])
        if "replay" in state:
            self.replay.load_state(state["replay"])
        if self._shards is None and not len(self.replay):
            self.limiter.refill()
        if state.get("ledger"):
            self.ledger.load_state(state["ledger"])
        for actor in state.get("actors", {}).values():
            self.ledger.counts.update(moves=actor["env_steps"], games=actor["episodes"])

    def _table(self, label_size: int, seed: int) -> Table:
        """What was played: here, or in shards."""
        if not self._count:
            return super()._table(label_size, seed)
        whole, own = self.config.learner.mixing == "vdn", client_keys(self._binding.own)
        shape = (self.agent.memory_size, label_size, len(self.settings), whole, seed)
        self._shards = RemoteShards(
            self._run_dir, self._count, self.config.replay, shape, self._told_phrases, own
        )
        self._shards.reseed(self.group.rank)
        return self._shards

    def _told_phrases(self) -> Tensors:
        """What shards have to know to tell a phrase from none."""
        book = self.agent.phrasebook
        return {
            "phrases": text_tensor("\n".join(book)),
            "closed": np.array(book.closed),
        }

    def _book(self, books: Sequence[Phrasebook]) -> Phrasebook:
        return shared(books, self._phrases)

    def _take(self, episodes: Episodes) -> None:
        self.replay.insert(episodes)
        self.limiter.inserted(len(episodes))
        self.hungry = 0.0


def learn(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    until: float | None,
    updates: int | None,
    device: str,
    patience: float,
    addresses: Mapping[str, str] | None = None,
    keys: str | None = None,
    shards: int = 0,
    learners: int = 1,
    rendezvous: str = "",
) -> None:
    """The learner's process: goes on from the newest checkpoint until the budget is spent.

    Args:
        run_dir: the run.
        number: ignored; there is one.
        stop: asked between updates.
        until: when to stop (seconds of this process's monotonic clock).
        updates: update count at which to stop.
        device: where the network learns.
        patience: seconds to wait for a sequence.
        addresses: where replay and weights listen, by role; on this machine only, by default.
        keys: folder of the server's keys, if other machines may join.
        shards: processes that hold replay; 0 for this one.
        learners: how many learn together; the others are its helpers.
        rendezvous: where it waits for them (see ``marl.learning.group.Learners``).

    Raises:
        FatalError: if none comes, learning diverges, or the last checkpoint cannot be saved.
    """
    prepare_process()
    config = load_config(run_dir)
    store = CheckpointStore(run_dir / "checkpoints", keep=config.keep_checkpoints)
    store.sweep()
    before_hard_end(store.sweep)
    follows = (run_dir / METRICS_FILE).exists()

    binding = Binding(addresses or {}, folder=None if keys is None else Path(keys))
    group = Learners(0, learners, rendezvous, device) if learners > 1 else None
    with contextlib.closing(LearnerRun(config, run_dir, device, binding, shards, group)) as run:
        try:
            step = restore(run, store)
        except ValueError as error:  # Another learner would not read it either.
            raise FatalError(str(error)) from error
        if group is not None:
            group.share(*flatten(run.learner.state()))

        def over() -> bool:
            return stop() or is_spent(run, until, updates) or run.hungry > patience

        with Monitor(run_dir, resume_step=step if follows else None) as monitor:
            if follows:
                say_resumed(monitor, step)
            else:
                monitor.describe(to_dict(config))
            try:
                drive(run, store, monitor, over, stop)
            except DivergedError as error:
                raise FatalError(str(error)) from error
            except LearnerGoneError as error:  # Begun again, all go on from the last checkpoint.
                raise SystemExit(str(error)) from error
            except OSError as error:  # It has no room, and would have none if it began again.
                raise FatalError(f"{error.filename}: {error.strerror}") from error
    if group is not None:
        with contextlib.suppress(LearnerGoneError):  # They were told to stop, too.
            group.say(STOP)
    if run.hungry > patience:
        raise FatalError(
            f"no sequences have come for {patience:g} s: {missing(run_dir, binding.own)}"
        )


def missing(run_dir: Path, keys: str | None = None) -> str:
    """Who of a run has to be looked at where nobody hands over sequences."""
    logs = run_dir / "logs"
    try:
        workers = clients = 0
        for endpoint in find_endpoints(run_dir, "pool", 0.0):
            with Client(endpoint, config=ClientConfig(timeout=2.0), keys=client_keys(keys)) as pool:
                figures = pool.stats()
            workers, clients = workers + int(figures["workers"]), clients + int(figures["clients"])
    except ValueError:
        return f"no broker has published a pool ({logs}/broker.log)"
    except TimeoutError:
        return f"the broker does not answer ({logs}/broker.log)"
    if not workers:
        return f"no worker has joined the pool ({logs}/worker*.log)"
    return (
        f"the pool has {workers} worker(s) and {clients} client(s), "
        f"but no actor has finished a game ({logs}/actor*.log)"
    )
