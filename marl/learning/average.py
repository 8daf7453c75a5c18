"""The running mean of the weights, which plays better than the newest."""

from __future__ import annotations

import copy

from agents.r3d2.agent import R3D2Agent

BEGINNING = 100.0
"""Updates after which the beginning counts for half of what a new version leaves of the mean."""


class RunningMean:
    """An exponential mean of an agent's weights.

    Args:
        agent: where it begins.
        decay: what a new version leaves of the mean so far, in [0, 1).

    Attributes:
        agent: has the mean for its weights.
    """

    def __init__(self, agent: R3D2Agent, decay: float) -> None:
        self.agent, self.decay = copy.deepcopy(agent), decay
        self.agent.requires_grad_(False)

    def move(self, agent: R3D2Agent, updates: int) -> None:
        """Takes a new version in, which has seen so many updates."""
        keep = min(self.decay, updates / (updates + BEGINNING))
        for mean, new in zip(self.agent.parameters(), agent.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - keep)

    def calibrated(self) -> R3D2Agent:
        """The agent, ready to play."""
        self.agent.calibrate()
        return self.agent
