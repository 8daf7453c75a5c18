"""Optimisers: how they are made, and what of them a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def make_optimiser(
    parameters: Sequence[Tensor], learning_rate: float, eps: float
) -> torch.optim.Optimizer | None:
    """Adam; None where there is nothing to learn."""
    if not parameters:
        return None
    return torch.optim.Adam(parameters, lr=learning_rate, eps=eps, fused=True)


def optimiser_state(optimiser: torch.optim.Optimizer | None) -> dict[str, Any]:
    """Moments and step counts by parameter number; the settings are the configuration's."""
    if optimiser is None:
        return {}
    return {str(i): dict(moments) for i, moments in optimiser.state_dict()["state"].items()}


def load_optimiser_state(optimiser: torch.optim.Optimizer | None, state: Mapping[str, Any]) -> None:
    """Takes over an ``optimiser_state()``."""
    if optimiser is not None:
        groups = optimiser.state_dict()["param_groups"]
        moments = {
            int(i): {name: torch.as_tensor(value) for name, value in values.items()}
            for i, values in state.items()
        }
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
