"""A shard's process: a part of replay, with its ledger and its part of the limiter.

It has two doors. Actors hand sequences over at ``replay-K``, as they would to a learner that holds
all of replay; they are let in while its part of the limiter allows it. The learner comes in at
``replay-K-draws``: it opens the table (which it alone can describe), draws, sets priorities, and
saves. Every answer there says how the table stands.

A checkpoint is of all shards at one moment: the learner first *holds* all of them, so that none
takes in another sequence, then has each *save* itself, and lets them go on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from games.text import Phrasebook
from marl.episodes import Episodes
from marl.remote.replay import Ledger, episodes_in, replay_functions, tensors_of
from marl.replay.limiter import Limiter
from marl.replay.packing import DTYPES
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import PHRASES_FILE, load_config
from marl.runs.state import flatten, unflatten
from transport.binding import server_keys
from transport.metrics import Figures, gauge, watch
from transport.service import Service
from transport.wire import Array, tensor_text

HELD = gauge("replay", "Sequences, steps and bytes that a shard of replay holds.", "what")

LEDGER = ("insertions", "sequences", "moves", "games", "repeated", "rolled_back", "lost", "refused")
"""The order in which a shard tells the counts of its ledger; its balance comes last."""

AHEAD = 8
"""Batches by which learning may be ahead of playing or behind it, over all shards, so that neither
waits for the other at every step."""

_STAYS = 0.5  # Seconds without a word from the learner after which a shard that is to stop does.
_HELD = 60.0  # Seconds that a hold lasts at most: whoever asked for it may have been killed.


def role(number: int) -> str:
    """Where actors find a shard."""
    return f"replay-{number}"


def draws(number: int) -> str:
    """Where the learner finds a shard."""
    return f"replay-{number}-draws"


def hold(
    run_dir: Path,
    number: int,
    stop: Callable[[], bool],
    *,
    shards: int,
    addresses: Mapping[str, str] | None = None,
    keys: str | None = None,
) -> None:
    """A shard's process.

    Args:
        run_dir: the run.
        number: the shard's.
        stop: asked several times a second.
        shards: how many there are.
        addresses: where its doors listen, by role; on this machine only, by default.
        keys: folder of the server's keys, if other machines may join.
    """
    part = HeldShard(run_dir, number, shards, addresses or {}, keys)
    try:
        # Told to stop, it stays while the learner still wants something, to be saved once more.
        while not stop() or time.monotonic() - part.asked < _STAYS:
            part.poll(0.02)
    finally:
        part.close()


class HeldShard:
    """A shard, with its doors.

    Args:
        run_dir: the run.
        number: the shard's.
        shards: how many there are.
        addresses: where its doors listen, by role.
        keys: folder of the server's keys.

    Attributes:
        life: names this process.
        asked: when the learner has asked something last (of the monotonic clock).
    """

    def __init__(
        self,
        run_dir: Path,
        number: int,
        shards: int,
        addresses: Mapping[str, str],
        keys: str | None,
    ) -> None:
        self._run_dir, self._number, self._shards = run_dir, number, shards
        self._addresses, self._keys = addresses, keys
        self._config = load_config(run_dir)
        # One more than the learner keeps: this is saved before the learner's own.
        self._store = CheckpointStore(
            run_dir / "replay" / f"shard-{number}", keep=self._config.keep_checkpoints + 1
        )
        self.life = secrets.randbits(62)
        self.asked = 0.0
        self.table: PrioritisedReplay | None = None
        self.ledger = Ledger()
        self._held_until, self._busy = 0.0, False
        spi, batch = self._config.samples_per_insert, self._config.learner.batch
        self.limiter = Limiter(-(-self._config.warm_up // shards), spi, AHEAD * batch / shards)
        functions = {
            "open": self._open,
            "figures": lambda tensors: self._figures(),
            "draw": self._draw,
            "update": self._update,
            "add": self._add,
            "hold": self._hold,
            "save": self._save,
            "release": self._release,
        }
        # Nobody's key but a host's opens this door.
        self._door = self._listen(draws(number), functions, frozenset())
        self._actors: Service | None = None
        watch(self)

    def measured(self) -> Iterator[Figures]:
        """Its figures, for an exporter."""
        if self.table is not None:
            sequences, steps = self.table.counts[:, :2].sum(0).tolist()
            held = {"sequences": sequences, "steps": steps, "bytes": self.table.nbytes}
            yield HELD.of(held)

    def poll(self, timeout: float) -> None:
        """Does what has been asked: what the learner wants first, then what actors bring."""
        # Where actors keep coming, nobody waits for the learner.
        if self._door.poll(0.0 if self._busy else timeout, 4):
            self.asked = time.monotonic()
        self._busy = False
        if self._actors is None or time.monotonic() < self._held_until:
            return
        for _ in range(8):
            if not self.limiter.can_insert() or not self._actors.poll(0.0, 1):
                return
            self._busy = True

    def close(self) -> None:
        """Closes its doors."""
        self._door.close()
        if self._actors is not None:
            self._actors.close()

    def _listen(
        self,
        name: str,
        functions: Mapping[str, Callable[[dict[str, Array]], Mapping[str, Array]]],
        admits: frozenset[str],
    ) -> Service:
        return Service(
            functions,
            self._run_dir,
            name=name,
            address=self._addresses.get(name, "ipc"),
            keys=server_keys(self._keys),
            admits=admits,
        )

    def _open(self, tensors: dict[str, Array]) -> dict[str, Array]:
        """Makes the table, as the learner describes it, and loads what was saved of it."""
        if self.table is not None:  # The learner was started anew; nothing is lost here.
            return self._figures()
        memory, labels, settings, whole, seed, moment = tensors["shape"].tolist()
        table = PrioritisedReplay(
            self._config.replay,
            memory_size=memory,
            label_size=labels,
            num_settings=settings,
            whole_episodes=bool(whole),
            seed=seed + self._number,
        )
        book = Phrasebook(tensor_text(tensors["phrases"]).split("\n"), bool(tensors["closed"]))
        if not book.closed:
            book.share(self._run_dir / PHRASES_FILE)
        if moment >= 0:
            self._load(table, moment)
        warm_up_table(table.config)
        functions = replay_functions(table, self.ledger, self._take, phrases=book)
        self.table = table
        self._actors = self._listen(
            role(self._number), {"insert": functions["insert"]}, frozenset({"actor"})
        )
        return self._figures()

    def _load(self, table: PrioritisedReplay, moment: int) -> None:
        """Loads what was saved at a moment, or else last; where nothing was, it begins empty."""
        self._store.sweep()
        saved = self._store.latest()
        if saved is None:
            print(f"begins empty: nothing was saved at moment {moment}", flush=True)
            return
        try:
            state = unflatten(*self._store.load(moment))
        except (FileNotFoundError, ValueError) as error:
            # It was away when the others were saved.
            print(f"begins with what it saved last: {error}", flush=True)
            state = unflatten(*self._store.load())
        table.load_state(state["replay"])
        self.limiter.load_state(state["limiter"])
        self.ledger.load_state(state["ledger"])

    def _take(self, episodes: Episodes) -> None:
        assert self.table is not None
        self.table.insert(episodes)
        self.limiter.inserted(len(episodes))

    def _figures(self) -> dict[str, Array]:
        """How it stands."""
        limiter, counts = self.limiter, self.ledger.counts
        told = {
            "life": np.array(self.life),
            "limiter": np.array([limiter.min_size, limiter.inserts, limiter.samples]),
            "ledger": np.array([*(counts[name] for name in LEDGER), self.ledger.balance()]),
        }
        if self.table is not None:
            figures = self.table.figures()
            told |= {
                "counts": figures.counts,
                "masses": figures.masses,
                "nbytes": np.array(figures.nbytes),
            }
        return told

    def _table(self) -> PrioritisedReplay:
        if self.table is None:
            raise ValueError("this shard has not been opened")
        return self.table

    def _draw(self, tensors: dict[str, Array]) -> dict[str, Array]:
        # Copies: of arrays that cannot be written to, compiled code would be another.
        points = np.array(tensors["subtrees"]), np.array(tensors["fractions"])
        drawn = self._table().draw(*points)
        self.limiter.sampled(int(tensors["credit"]))
        return {
            "ids": drawn.ids,
            "priorities": drawn.priorities,
            "totals": drawn.masses,
            **tensors_of(drawn.episodes),
            **self._figures(),
        }

    def _update(self, tensors: dict[str, Array]) -> dict[str, Array]:
        if int(tensors["life"]) == self.life:  # Ids of another life name other sequences.
            self._table().update(np.array(tensors["ids"]), np.array(tensors["priorities"]))
        return self._figures()

    def _add(self, tensors: dict[str, Array]) -> dict[str, Array]:
        self._table()
        self._take(episodes_in(tensors))
        return self._figures()

    def _hold(self, tensors: dict[str, Array]) -> dict[str, Array]:
        self._held_until = time.monotonic() + _HELD
        return self._figures()

    def _release(self, tensors: dict[str, Array]) -> dict[str, Array]:
        self._held_until = 0.0
        return self._figures()

    def _save(self, tensors: dict[str, Array]) -> dict[str, Array]:
        """Saves all of it under the number of a moment."""
        state = {
            "replay": self._table().state(),
            "limiter": self.limiter.state(),
            "ledger": self.ledger.state(),
        }
        self._store.save(int(tensors["moment"]), *flatten(state))
        return self._figures()


def warm_up_table(config: ReplayConfig) -> None:
    """Draws once from a small table like that: compiled code is there when it is needed."""
    config = replace(config, capacity=2, capacity_bytes=1 << 16, balanced=False)
    small = PrioritisedReplay(config, memory_size=0, label_size=0)
    one = {name: np.zeros(1, dtype) for name, dtype in DTYPES.items()}
    one |= {name: np.ones(1, one[name].dtype) for name in ("lengths", "choice_counts")}
    one |= {"memory": np.zeros((1, 0), np.float32), "labels": np.zeros((1, 0), np.int8)}
    one |= {"facts": np.zeros(0, np.int16)}
    small.insert(Episodes(**one))
    drawn = small.sample(1)
    small.update(drawn.ids, np.ones(1, np.float32))
