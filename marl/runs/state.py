"""Nested state to what a checkpoint holds, and back: arrays by path, and plain values as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def flatten(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Takes nested dicts apart.

    Args:
        state: dicts of dicts; leaves are arrays, tensors or plain values. Keys have no "/".

    Returns:
        the arrays and tensors by path ("learner/agent/bias"), and the rest, nested as it was.
    """
    tensors: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            inner, plain[key] = flatten(value)
            tensors.update({f"{key}/{path}": array for path, array in inner.items()})
        elif isinstance(value, np.ndarray | torch.Tensor):
            tensors[key] = value
        else:
            plain[key] = value
    return tensors, plain


def unflatten(tensors: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``flatten``; tensors come back as whatever they were stored as."""
    state: dict[str, Any] = {
        key: unflatten({}, value) if isinstance(value, Mapping) else value
        for key, value in plain.items()
    }
    for path, array in tensors.items():
        *parents, leaf = path.split("/")
        node = state
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = array
    return state
