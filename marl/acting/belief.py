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
        sentences: for each of K cards, the N that may be true, such as "my card 1 is red one".
        chances: float32 [B, K, N], how likely each is, for B seats. An agent that also knows a game
            of larger hands answers for cards that are not there.
    """

    sentences: list[list[str]]
    chances: NDArray[np.float32]


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
    if not isinstance(policy, R3D2Agent) or not policy.config.own_hand or not policy.labels.size:
        return None
    sentences = [policy.phrasebook.render(row) for row in policy.labels]
    return Beliefs(sentences, policy.believe(observations, memory))
