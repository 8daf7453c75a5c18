"""The three seams: what an actor, a learner and an evaluator see of the rest.

Everything that could live in another process is reached through one of these protocols, and each
has a local side (in this process) and a remote side (behind sockets)::

    actor:      choices, values, memory = policy.act(observations, memory)
                replay.insert(episodes)
    learner:    sample = replay.sample(n)
                replay.update(sample.ids, priorities)
                weights.publish(version, tensors)
    evaluator:  version, tensors = weights.latest()

Nothing above this line of the house knows how many processes there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.text import Phrasebook

if TYPE_CHECKING:
    from marl.episodes import Episodes
    from marl.replay.prioritised import Sample

Array = NDArray[np.generic]


class Policy(Protocol):
    """Who plays: maps what B seats observe to what they do."""

    memory_size: int
    """Floats of recurrent memory a seat carries from one own turn to the next (0: none)."""

    version: int
    """Version of the weights that act (0 for players that do not learn)."""

    @property
    def phrasebook(self) -> Phrasebook | None:
        """The sentences behind the ids that it reads; None if it reads any game's as they are."""
        ...

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses greedily for B seats at once.

        Args:
            observations: what each seat sees, B rows.
            memory: float32 [B, memory_size], zeros at the start of an episode.

        Returns:
            choices int64 [B] (an index into each row's legal choices), values float32 [B, C] (the
            expected return of every choice, -inf where there is none), and the next memory
            float32 [B, memory_size].
        """
        ...


class Replay(Protocol):
    """What was played: filled by actors, read and weighted by the learner."""

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences; the oldest make room."""
        ...

    def sample(self, n: int) -> Sample:
        """Draws n sequences by priority; where episodes are drawn whole, about so many."""
        ...

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets the priorities of sampled sequences (those evicted since are ignored)."""
        ...


class Table(Replay, Protocol):
    """Replay as the run that learns from it sees it."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Live sequences, live steps, and whatever else is counted, of every setting."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that the live sequences take."""
        ...

    def __len__(self) -> int:
        """Live sequences."""
        ...

    def state(self) -> Mapping[str, Any]:
        """All that is needed to go on."""
        ...

    def load_state(self, state: Mapping[str, Any], /) -> None:
        """Takes over what ``state`` returned."""
        ...


class Weights(Protocol):
    """What was learned: published by the learner, read by whoever acts."""

    def publish(self, version: int, tensors: Mapping[str, Any]) -> None:
        """Makes a new version the latest; tensors or arrays by name."""
        ...

    def latest(self) -> tuple[int, Mapping[str, Any]]:
        """The newest version and its tensors."""
        ...
