"""Hyperparameters that suit a game when it is learned: how far ahead to look, how much to explore.

Every game names its own (``GameInfo.hyperparameters``), so that a run over several games needs no
options; a run may choose others, for all of its settings or for some.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Hyperparameters:
    """What suits a game; see ``marl.runs.config`` for how a run chooses otherwise.

    Attributes:
        gamma: discount of one unit of the game's time, in (0, 1].
        n_step: own turns whose rewards a target sums before it bootstraps, at least 1.
        epsilon: rate of random moves in the game that explores most, in (0, 1].
        epsilon_spread: of those that explore less; the least explores at
            ``epsilon ** (1 + epsilon_spread)``.
        temperature: of the softmax over values that moves are drawn from in the game that explores
            most, in points; 0 for the best move.
        temperature_spread: powers of ten between the highest temperature and the lowest.

    Raises:
        ValueError: if a value is out of range.
    """

    gamma: float = 0.999
    n_step: int = 3
    epsilon: float = 0.1
    epsilon_spread: float = 7.0
    temperature: float = 0.1
    temperature_spread: float = 2.0

    def __post_init__(self) -> None:
        check(vars(self))

    def updated(self, *parts: object) -> Hyperparameters:
        """With what some configurations say: their fields of the same names that are not None."""
        given = {
            name: value
            for part in parts
            for name in NAMES
            if (value := getattr(part, name, None)) is not None
        }
        return replace(self, **given)


NAMES = tuple(field.name for field in fields(Hyperparameters))


def check(values: Mapping[str, Any], prefix: str = "") -> None:
    """Refuses values that are out of range.

    Args:
        values: by name, those of ``Hyperparameters`` among others; None says nothing.
        prefix: what stands in front of a name in the message, such as "learner.".

    Raises:
        ValueError: if one is.
    """
    for name in NAMES:
        value = values.get(name)
        if value is None:
            continue
        if name == "n_step":
            if value < 1:
                raise ValueError(f"{prefix}{name} must be at least 1, got {value}")
        elif name in ("gamma", "epsilon"):
            if not 0 < value <= 1:
                raise ValueError(f"{prefix}{name} must be in (0, 1], got {value}")
        elif not math.isfinite(value):
            raise ValueError(f"{prefix}{name} must be a finite number, got {value}")
        elif value < 0:
            raise ValueError(f"{prefix}{name} cannot be negative, got {value}")
