"""What an agent believes of its own hand: the answers of its auxiliary head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from agents.r3d2.agent import R3D2Agent
from marl.core import Policy


def own_hand(
    policy: Policy,
    observations: Observations,
    memory: NDArray[np.float32],
    label_phrases: NDArray[np.int16],
) -> NDArray[np.float32] | None:
    """How likely an agent holds what to be, for B seats.

    Args:
        policy: who is asked.
        observations: what each seat sees on its own turn, B rows.
        memory: float32 [B, memory_size], as it was before that turn.
        label_phrases: int16 [K, N] of the game, the sentences behind the answers.

    Returns:
        float32 [B, K, N], for each of K slots the probabilities of N answers; None of a policy
        that has no such head.
    """
    if not isinstance(policy, R3D2Agent) or not policy.config.own_hand:
        return None
    policy.admit(labels=label_phrases)
    answers = policy.believe(observations, memory)
    slots, options = label_phrases.shape
    # An agent that also knows a game of larger hands answers for slots that are not there.
    return answers[:, :slots, :options]
