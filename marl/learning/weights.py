"""The local side of the ``Weights`` seam: the newest version, by reference."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from torch import Tensor

KEPT = 64
"""Versions that ``LaggedWeights`` holds, at most, beside the one that it gives."""


class LocalWeights:
    """Weights in this process."""

    def __init__(self) -> None:
        self._latest: tuple[int, Mapping[str, Tensor]] = (-1, {})

    def publish(self, version: int, tensors: Mapping[str, Tensor]) -> None:
        """Makes a new version the latest; the tensors must not change afterwards."""
        self._latest = (version, tensors)

    def latest(self) -> tuple[int, Mapping[str, Tensor]]:
        """The newest version (-1: none yet) and its tensors."""
        return self._latest

    def state(self) -> dict[str, Any]:
        """The newest version and its tensors."""
        version, tensors = self._latest
        return {"version": version, "published": tensors}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``."""
        self._latest = state["version"], state["published"]


class LaggedWeights(LocalWeights):
    """Weights that reach whoever acts a number of updates late, to see what staleness costs.

    The first version is there at once. Of the others no more are held than are needed: the lag is
    exact to a sixty-fourth of itself, or to the interval of publications.

    Args:
        lag: updates by which the latest version is older than the newest, at least.
    """

    def __init__(self, lag: int) -> None:
        super().__init__()
        self._lag = lag
        self._waiting: deque[tuple[int, Mapping[str, Tensor]]] = deque()

    def publish(self, version: int, tensors: Mapping[str, Tensor]) -> None:
        """Has a version wait for its time; the tensors must not change afterwards."""
        if version <= max(self._latest[0], 0):  # What it all begins from.
            self._latest = version, tensors
            return
        newest = self._waiting[-1][0] if self._waiting else self._latest[0]
        if version - newest >= max(1, self._lag // KEPT):
            self._waiting.append((version, tensors))
        while self._waiting and self._waiting[0][0] <= version - self._lag:
            self._latest = self._waiting.popleft()

    def state(self) -> dict[str, Any]:
        """The latest version, and those that wait."""
        return super().state() | {"waiting": {str(k): tensors for k, tensors in self._waiting}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a ``state()``, also from that of a run without a lag."""
        super().load_state(state)
        waiting = state.get("waiting", {})
        self._waiting = deque((k, waiting[str(k)]) for k in sorted(map(int, waiting)))
