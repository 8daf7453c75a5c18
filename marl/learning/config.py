"""How the agent learns: the settings of a learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from games.hyperparameters import check
from marl.learning.mixing import MIXINGS


@dataclass(frozen=True)
class LearnerConfig:
    """How the agent learns."""

    batch: int = 64
    """Sequences an update learns from."""
    mixing: Literal["iql", "vdn"] = "iql"
    """iql: every seat learns for itself; vdn: the values of all seats of a round add up to what the
    team is to earn."""
    n_step: int | None = None
    """Own turns whose rewards a target sums before it bootstraps. Without one, the game's own."""
    gamma: float | None = None
    """Discount of one unit of the game's time, which is an own turn in most games. Without one, the
    game's own."""
    reward_scale: float = 1.0
    """Factor of rewards before they are learned from, so that values come to about ten in any game;
    values, errors and temperatures are in points times it."""
    huber: float = 2.0
    """Points of TD error from which the loss grows linearly. A larger one prices rare losses of
    many points in full; a smaller one learns faster what is common."""
    off_belief: bool = False
    """Off-belief learning: what a move is worth is asked in worlds drawn afresh from what its seat
    may believe, as if all moves so far had been random (docs/adhoc.md). It needs
    --agent.core feedforward."""
    burn_in: int = 0
    """Steps of a mid-episode sequence that only warm the memory up."""
    learning_rate: float = 5e-4
    """Adam's step size for everything above the language model."""
    text_learning_rate: float = 1e-4
    """Adam's step size for the language model, once a refresh."""
    adam_eps: float = 1e-6
    """Adam's epsilon."""
    clip: float = 5.0
    """Largest norm of a gradient; see docs/metrics.md for what is normal."""
    target_interval: int = 250
    """Updates between copies of the weights into the target network."""
    refresh_interval: int = 8
    """Updates that share one run of the language model over the phrases. Its gradient is their
    mean, and the phrase embeddings stay as they are in between."""
    publish_interval: int = 10
    """Updates between publications of the weights."""
    max_staleness: int = 0
    """Updates that a sequence's weights may be old for it to be learned from; 0 for no bound. Older
    ones are skipped and counted."""
    average: float = 0.99
    """Decay, a publication, of the running mean of the weights that is evaluated and shipped."""
    aux_weight: float = 0.25
    """Weight of the own-hand loss, a mean over the cards held, where the agent has that head."""
    aux_shaping: float = 0.0
    """Scaled points that are earned while everybody's guesses come to be right, and paid back when
    they cease to be: what the seats say to each other is then rewarded as soon as it is understood,
    and what is best to do stays so. It needs mixing=vdn and the own-hand head."""
    lanes: int = 2
    """Threads that learn from a part of each batch each. The number of lanes changes the order in
    which gradients are summed, so it belongs to the run and not to the machine."""

    def __post_init__(self) -> None:
        if self.mixing not in MIXINGS:
            raise ValueError(
                f"learner.mixing must be one of {', '.join(MIXINGS)}, got {self.mixing!r}"
            )
        for name in (
            "batch",
            "target_interval",
            "refresh_interval",
            "publish_interval",
            "lanes",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"learner.{name} must be at least 1, got {getattr(self, name)}")
        if 0 < self.max_staleness < self.publish_interval:
            raise ValueError(
                f"learner.max_staleness={self.max_staleness} is less than "
                f"learner.publish_interval={self.publish_interval}: what was just played would be "
                "too old; choose a larger one, or 0 for no bound"
            )
        for name in (
            "reward_scale",
            "huber",
            "learning_rate",
            "text_learning_rate",
            "adam_eps",
            "clip",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"learner.{name} must be positive, got {getattr(self, name)}")
        check(vars(self), "learner.")
        if not 0 <= self.average < 1:
            raise ValueError(f"learner.average must be in [0, 1), got {self.average}")
        for name in ("burn_in", "aux_weight", "aux_shaping", "max_staleness"):
            if getattr(self, name) < 0:
                raise ValueError(f"learner.{name} cannot be negative, got {getattr(self, name)}")
