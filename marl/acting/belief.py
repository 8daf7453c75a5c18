"""What an agent believes of its own hand: the answers of its auxiliary head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from marl.core import Policy


@dataclass(frozen=True)
class Beliefs:
    """What an agent holds likely, in the words that it was asked with in training.

    Attributes:
        sentences: for each of K slots (in Hanabi, cards), what may be true of it, such as "my card
            1 is red one".
        chances: float32 [B, N] for each slot, how likely each is, for B seats. An agent that also
            knows a game of larger hands answers for cards that are not there, and one that knows
            other games for their slots as well.
    """

    sentences: list[list[str]]
    chances: list[NDArray[np.float32]]


def own_hand(
    policy: Policy, observations: Observations, memory: NDArray[np.float32]
) -> Beliefs | None:
    """What an agent believes of its own hand.

    Args:
        policy: who is asked.
        observations: what each seat sees on its own turn, B rows.
        memory: float32 [B, memory_size], as it was before that turn.

    Returns:
        its beliefs; None of a policy that has no such head, or was never asked.
    """
    if not isinstance(policy, R3D2Agent) or not policy.answers.slots:
        return None
    render = policy.phrasebook.render
    sentences = [render(slot) for sheet in policy.answers.sheets for slot in sheet]
    found = policy.believe(observations, memory)
    return Beliefs(sentences, [sheet[:, k] for sheet in found for k in range(sheet.shape[1])])
