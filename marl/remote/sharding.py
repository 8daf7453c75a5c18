"""The learner's side of a replay in shards: it draws from all of them, and has them saved."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl.episodes import Episodes
from marl.remote.replay import episodes_in, tensors_of
from marl.remote.shard import LEDGER, draws
from marl.replay.limiter import Limiter
from marl.replay.plan import Drawn, Figures
from marl.replay.prioritised import ReplayConfig
from marl.replay.sharded import ShardedReplay, ShardGoneError
from transport.client import Client, ClientConfig, RemoteError
from transport.endpoints import FileEndpoints
from transport.keys import ClientKeys
from transport.wire import Array, Tensors

PATIENCE = 5.0
"""Seconds without an answer after which a shard counts as gone, until it answers again."""

_SAVING = 60.0  # The same while it saves.
_LOOK = 0.25  # Seconds between attempts to reach a shard that is gone.


class RemoteShard:
    """A shard in a process of its own, for who draws; belongs to the thread that made it.

    Args:
        run_dir: where it is published.
        number: the shard's.
        description: what ``open`` is called with.
        keys: of the learner, if the run has any.
        patience: seconds without an answer after which it counts as gone.

    Attributes:
        limiter: int64 [3] minimal size, insertions and samples as it told last; zeros if gone.
        ledger: counts of its ledger as it told last, gone or not.
        balance: of its ledger.
        lost: sequences that it held when it went and did not when it was back.
    """

    def __init__(
        self,
        run_dir: Path,
        number: int,
        description: Callable[[], Tensors],
        keys: ClientKeys | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.number, self.ledger, self.balance, self.lost = number, Counter[str](), 0, 0
        self.limiter = np.zeros(3, np.int64)
        self._endpoints, self._keys, self._patience = FileEndpoints(run_dir), keys, patience
        self._describe = description
        self._client: Client | None = None
        self._figures: Figures | None = None
        self._held = 0  # sequences when it was there last
        self._life = -1
        self._opening: int | None = None
        self._look = 0.0

    def figures(self) -> Figures | None:
        """What it told last, taken in just now; None if it is gone."""
        self._harvest()
        return self._figures

    def tend(self) -> None:
        """Takes in what it has said, and tries to reach it where it is gone; waits for nothing."""
        now = time.monotonic()
        if self._client is None:
            if now < self._look:
                return
            self._look = now + _LOOK
            if (address := self._endpoints.address(draws(self.number))) is None:
                return
            config = ClientConfig(timeout=self._patience, retry=1.0)
            self._client = Client(address, config=config, keys=self._keys)
        if self._figures is None and self._opening is None:
            with contextlib.suppress(TimeoutError):
                self._opening = self._client.submit(self._describe(), "open")
        elif self._figures is not None and now >= self._look:
            self._look = now + _LOOK
            self._client.submit({}, "figures")
        self._client.wait(0.0)
        self._harvest()

    def start(
        self, subtrees: NDArray[np.int64], fractions: NDArray[np.float64], credit: int
    ) -> Callable[[], Drawn]:
        """Begins to draw; see ``marl.replay.sharded.Shard``."""
        points: Tensors = {
            "subtrees": subtrees,
            "fractions": fractions,
            "credit": np.array(credit),
        }
        number = self._submit(points, "draw")

        def wait() -> Drawn:
            tensors = self._result(number, self._patience)
            episodes = episodes_in(tensors)
            return Drawn(tensors["ids"], tensors["priorities"], tensors["totals"], episodes)

        return wait

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences.

        Raises:
            ShardGoneError: if it does not answer.
        """
        self._result(self._submit(tensors_of(episodes), "add"), self._patience)

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets priorities, without waiting until it is done; where it has gone, nothing."""
        tensors: Tensors = {"ids": ids, "priorities": priorities, "life": np.array(self._life)}
        self._submit(tensors, "update")

    def ask(self, function: str, tensors: Tensors | None = None) -> Callable[[], bool]:
        """Calls a function of it.

        Returns:
            what waits until it is done, and says whether it was.
        """
        number = self._submit(tensors or {}, function)

        def wait() -> bool:
            with contextlib.suppress(ShardGoneError):
                self._result(number, _SAVING)
                return True
            return False

        return wait

    def close(self) -> None:
        """Leaves it."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _submit(self, tensors: Tensors, function: str) -> int:
        """Sends a call; -1 if it has gone."""
        if self._client is None or self._figures is None:
            return -1
        self._harvest()
        try:
            return self._client.submit(tensors, function)
        except TimeoutError as error:
            self._go(str(error))
            return -1

    def _result(self, number: int, timeout: float) -> dict[str, Array]:
        """What came of a call.

        Raises:
            ShardGoneError: if it does not answer, or was started anew.
        """
        if self._client is None or number < 0:
            raise ShardGoneError
        try:
            tensors = self._client.result(number, timeout).tensors
        except (TimeoutError, RemoteError, ValueError) as error:
            self._go(str(error))
            raise ShardGoneError(str(error)) from None
        self._note(tensors)
        return tensors

    def _harvest(self) -> None:
        """Takes in the answers that nobody waits for."""
        for reply in self._client.arrived() if self._client is not None else ():
            if reply.error or reply.dropped:  # It was started anew, and knows of nothing.
                self._go(reply.error or reply.dropped)
                return
            if reply.number == self._opening:
                self._opening = None
            self._note(reply.tensors)

    def _note(self, tensors: Mapping[str, Array]) -> None:
        """Remembers how it stands."""
        if "masses" not in tensors:
            return
        counts = np.array(tensors["counts"])
        if (life := int(tensors["life"])) != self._life:
            self.lost += max(0, self._held - int(counts[:, 0].sum()))
            self._life = life
        self._held = int(counts[:, 0].sum())
        self._figures = Figures(counts, np.array(tensors["masses"]), int(tensors["nbytes"]))
        self.limiter = np.array(tensors["limiter"])
        *counted, self.balance = tensors["ledger"].tolist()
        self.ledger = Counter(dict(zip(LEDGER, counted, strict=True)))

    def _go(self, why: str) -> None:
        """It is gone: what was asked of it will not be answered."""
        if self._figures is not None:
            print(f"shard {self.number} of replay is gone: {why}", file=sys.stderr, flush=True)
        self.close()
        self._figures, self._opening = None, None
        self.limiter = np.zeros(3, np.int64)
        self._look = time.monotonic() + _LOOK


class RemoteShards(ShardedReplay):
    """A replay in the shards of a run, as its learner sees it.

    Args:
        run_dir: the run.
        count: of shards.
        config: what each of them holds, and how it draws.
        shape: memory size, label size, number of settings, whether episodes are whole, seed.
        phrases: text of the phrasebook, and whether it is closed.
        keys: the learner's, if the run has any.
        patience: see ``RemoteShard``.
    """

    shards: list[RemoteShard]  # type: ignore[assignment]

    def __init__(
        self,
        run_dir: Path,
        count: int,
        config: ReplayConfig,
        shape: tuple[int, int, int, bool, int],
        phrases: Callable[[], Tensors],
        keys: ClientKeys | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._shape, self._phrases = shape, phrases
        self._moment = -1
        shards = [RemoteShard(run_dir, k, self._open, keys, patience) for k in range(count)]
        _, _, settings, whole, seed = shape
        super().__init__(shards, config, num_settings=settings, whole_episodes=whole, seed=seed)

    def tend(self, timeout: float) -> None:
        """Hears how the shards stand, and reaches those that are back.

        Args:
            timeout: seconds to listen, where no shard has told of anything new.
        """
        before, deadline = self._inserts(), time.monotonic() + timeout
        while True:
            for shard in self.shards:
                shard.tend()
            if self._inserts() != before or time.monotonic() >= deadline:
                return
            time.sleep(0.005)

    def count(self, limiter: Limiter) -> None:
        """Makes a limiter's counts those of the shards that are there, taken together.

        Each lets in what its own part allows; together one side can always go on.
        """
        told = np.array([shard.limiter for shard in self.shards])
        size, limiter.inserts, limiter.samples = told.sum(0).tolist()
        limiter.min_size = max(size, 1)

    def ledger(self) -> tuple[Counter[str], int]:
        """The counts of all ledgers, and their balance."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.ledger)
        return total, sum(shard.balance for shard in self.shards)

    def metrics(self) -> dict[str, float]:
        """How many shards are there, and what those that went have cost."""
        return {
            "replay/shards": len(self._there()),
            "replay/shard_failures": self.failures,
            "replay/lost_with_shards": sum(shard.lost for shard in self.shards),
        }

    def state(self) -> dict[str, Any]:
        """Saves all shards as they stand at one moment; returns what a checkpoint says of them."""
        there = [shard for shard in self.shards if shard.figures() is not None]
        self._moment += 1
        _all([shard.ask("hold") for shard in there])
        moment = {"moment": np.array(self._moment)}
        _all([shard.ask("save", moment) for shard in there])
        _all([shard.ask("release") for shard in there])
        return {"shards": len(self.shards), "moment": self._moment}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Has shards that begin load what they saved at the moment of a checkpoint.

        Those that are there already, since only the learner was started anew, go on as they are.

        Raises:
            ValueError: if it is not the state of so many shards.
        """
        if state.get("shards") != len(self.shards):
            saved = state.get("shards", 0)
            raise ValueError(
                f"the saved replay lies in {saved} shards and this run has {len(self.shards)}: "
                f"resume with --replay-shards {saved}"
            )
        self._moment = int(state["moment"])

    def close(self) -> None:
        """Leaves the shards."""
        for shard in self.shards:
            shard.close()

    def _inserts(self) -> int:
        return sum(int(shard.limiter[1]) for shard in self.shards)

    def _open(self) -> Tensors:
        return {"shape": np.array([*self._shape, self._moment], np.int64), **self._phrases()}


def _all(waiting: Sequence[Callable[[], bool]]) -> None:
    """Waits for everything that has begun."""
    for wait in waiting:
        wait()
