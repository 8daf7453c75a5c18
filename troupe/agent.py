"""A player that remembers: what is shown to it in text or ids goes in, what it does comes out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.text import Phrasebook
from marl.runs import roster

Ids = NDArray[np.integer[Any]]


class Agent:
    """One player, or several that play alike: every seat has a memory of its own.

    Made by :func:`load`.

    Args:
        member: who plays.

    Attributes:
        member: likewise; ``member.policy`` plays for many seats at once, ``member.config`` is what
            it was trained with.
    """

    def __init__(self, member: roster.Member) -> None:
        self.member = member
        self._memory: dict[Hashable, NDArray[np.float32]] = {}

    @property
    def name(self) -> str:
        """What it was loaded by."""
        return self.member.name

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that it was made for."""
        return self.member.config.games

    @property
    def phrasebook(self) -> Phrasebook:
        """The sentences behind the ids that it reads."""
        book = self.member.policy.phrasebook
        assert book is not None  # of everybody in the roster
        return book

    @overload
    def act(
        self, observation: Mapping[str, Any], choices: Mapping[str, Any], seat: Hashable = 0
    ) -> int: ...

    @overload
    def act(
        self, observation: str | Sequence[str], choices: Sequence[str], seat: Hashable = 0
    ) -> str: ...

    @overload
    def act(self, observation: Ids, choices: Ids, seat: Hashable = 0) -> int: ...

    def act(self, observation: Any, choices: Any, seat: Hashable = 0) -> int | str:
        """Chooses for a seat whose turn it is, and remembers the turn.

        Args:
            observation: what the seat sees. From a PettingZoo environment of Troupe's, what
                ``env.last()`` returns; or sentences, or lines of text; or ids into ``phrasebook``,
                integers [F].
            choices: what it may do: the ``info`` of ``env.last()``; or sentences; or ids,
                integers [C].
            seat: whose turn it is. Seats differ in what they remember, so each needs a name of its
                own, such as ``env.agent_selection``.

        Returns:
            the number of an action for ``env.step``; or a sentence out of ``choices``; or an id
            out of ``choices``.

        Raises:
            ValueError: if there is nothing to choose from, or a sentence that it cannot read.
        """
        if isinstance(observation, Mapping):
            facts = self._read(observation["text"].splitlines())
            index = self._choose(facts, self._read(choices["legal_actions"]), seat)
            return int(np.flatnonzero(observation["action_mask"])[index])
        if isinstance(observation, str):
            observation = observation.splitlines()
        if isinstance(observation, np.ndarray):
            return int(choices[self._choose(observation, np.asarray(choices), seat)])
        chosen: str = choices[self._choose(self._read(observation), self._read(choices), seat)]
        return chosen

    def reset(self, seat: Hashable | None = None) -> None:
        """Forgets what has happened: a new episode begins.

        Args:
            seat: for which seat only; None for all.
        """
        if seat is None:
            self._memory.clear()
        else:
            self._memory.pop(seat, None)

    def _read(self, sentences: Sequence[str]) -> Ids:
        book = self.phrasebook
        for sentence in sentences:
            if not book.takes(sentence):
                raise ValueError(f"{self.name} has no word for {sentence!r}: it plays other games")
        return np.array([book.intern(sentence) for sentence in sentences], np.int16)

    def _choose(self, facts: Ids, choices: Ids, seat: Hashable) -> int:
        """The index of a choice."""
        if not len(choices):
            raise ValueError(f"seat {seat!r} has nothing to choose from: it is not its turn")
        policy = self.member.policy
        memory = self._memory.get(seat)
        if memory is None:
            memory = np.zeros((1, policy.memory_size), np.float32)
        counts = (np.array([len(ids)], np.int16) for ids in (facts, choices))
        rows = (np.asarray(ids, np.int16)[None] for ids in (facts, choices))
        (shown, number), (legal, of_legal) = zip(rows, counts, strict=True)
        found, _, self._memory[seat] = policy.act(
            Observations(shown, number, legal, of_legal), memory
        )
        return int(found[0])


def load(name: str, device: str = "cpu") -> Agent:
    """Finds an agent by its name.

    Args:
        name: a run's folder, an exported folder, or one of :func:`names`.
        device: where it is to play, if it is a network: "cpu" or "cuda".

    Raises:
        ValueError: if there is no such agent, it has no weights yet, or its files are damaged.
    """
    return Agent(roster.load(name, device))


def names() -> list[str]:
    """Everybody who comes with the package: trained agents, then players by rules."""
    return roster.known_names()
