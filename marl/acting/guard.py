"""A guard of the last life: with few lives left, no card is played that might not fit.

It is for evaluation, around an agent that loses games with partners whose hints it reads wrongly,
and it changes what an agent is: wherever it is used it is part of the agent's name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.bots.core import DONE, STAMP
from agents.core import Observations
from games.hanabi.cards import hidden_pile, hinted, playable, present
from games.hanabi.phrases import PHRASEBOOK
from games.hanabi.view import VIEW, play_choice, read
from games.text import Phrasebook, Translation
from marl.core import Policy


@njit(cache=True, nogil=True)
def _risky(
    facts: NDArray[np.int16],
    fact_counts: NDArray[np.int16],
    choices: NDArray[np.int16],
    choice_counts: NDArray[np.int16],
    lives: int,
    found: NDArray[np.bool_],
    views: NDArray[np.void],
    stamp: Any,
) -> int:
    view = views.copy()[0]  # one for each call: calls may run at the same time
    for i in range(len(facts)):
        if not read(facts[i], fact_counts[i], choices[i], choice_counts[i], view):
            return i
        if view.lives > lives:
            continue
        fits, here = playable(view), present(hidden_pile(view, True))
        for n in range(choice_counts[i]):
            slot = np.int64(choices[i, n]) - play_choice(0)
            if 0 <= slot < view.sizes[0]:
                found[i, n] = hinted(view, 0, slot) & here & ~fits != 0
    return DONE


class Guard:
    """A player of Hanabi that does not risk its last life; a ``Policy`` of ``marl.core``.

    With at most so many lives left it takes the best of the choices that are left when every play
    is dropped whose card might not fit, by hints and by the cards in sight. Where nothing is left,
    it does as it would have done.

    Args:
        policy: who plays.
        lives: at which the guard begins, at least 1.

    Raises:
        ValueError: if ``lives`` is below 1.
    """

    phrasebook: Phrasebook | None = PHRASEBOOK

    def __init__(self, policy: Policy, lives: int = 1) -> None:
        if lives < 1:
            raise ValueError(f"a guard begins at 1 life or more, got {lives}")
        self.policy, self.lives = policy, lives
        self.memory_size, self.version = policy.memory_size, policy.version
        book = policy.phrasebook
        words = None if book is None else Translation(PHRASEBOOK, book)
        self._words = None if words is None or words.is_identity else words

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses for B seats at once.

        Args:
            observations: what each seat sees, B rows, in the words of Hanabi.
            memory: float32 [B, memory_size], zeros at the start of an episode.

        Returns:
            choices int64 [B]; values float32 [B, C] as the policy gave them, -inf for the plays
            that are dropped; the next memory, float32 [B, memory_size].

        Raises:
            ValueError: if the facts are not those of Hanabi.
        """
        risky = np.zeros(observations.choices.shape, np.bool_)
        wrong = _risky(
            _plain(observations.facts),
            _plain(observations.fact_counts),
            _plain(observations.choices),
            _plain(observations.choice_counts),
            self.lives,
            risky,
            np.zeros(1, VIEW),
            STAMP,
        )
        if wrong != DONE:
            raise ValueError(f"a guard is for players of Hanabi, and row {wrong} holds other facts")
        read = observations
        if self._words is not None:
            read = replace(read, facts=self._words(read.facts), choices=self._words(read.choices))
        choices, values, after = self.policy.act(read, memory)
        # Where every choice is a risk, so be it.
        risky[risky.sum(1) == observations.choice_counts] = False
        rows = np.arange(len(choices))
        guarded = np.where(risky, -np.inf, values).astype(np.float32)
        changed = risky[rows, choices]
        return np.where(changed, guarded.argmax(1), choices), guarded, after


def _plain(array: NDArray[Any]) -> NDArray[np.int16]:
    """The array in the one form that the kernel is compiled for."""
    return np.require(array, np.int16, ("C", "A", "W"))
