"""The actor's side of a replay in shards: sequences go to any of them that has room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from marl.episodes import Episodes
from marl.remote.replay import RemoteReplay


class SpreadReplay:
    """Several replays that an actor fills, each insertion going to one that has room.

    Args:
        replays: the shards.
        stop: whether to give up waiting.
    """

    def __init__(self, replays: Sequence[RemoteReplay], stop: Callable[[], bool]) -> None:
        self._replays, self._stop, self._next = list(replays), stop, 0

    def insert(self, episodes: Episodes, moves: int = 0, games: int = 0) -> None:
        """Hands sequences over to the next shard in turn; one that does not answer is passed over.

        Raises:
            RemoteError: if a shard refused this or an earlier insertion.
        """
        while not self._stop():
            for replay in self._replays:
                replay.settle()
            turn = [*self._replays[self._next :], *self._replays[: self._next]]
            for replay in turn:
                if replay.has_room:
                    self._next = (self._replays.index(replay) + 1) % len(self._replays)
                    replay.insert(episodes, moves, games)
                    return
            time.sleep(0.005)

    def close(self) -> None:
        """Leaves them."""
        for replay in self._replays:
            replay.close()
