"""The local side of the ``Weights`` seam: the newest version, by reference."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


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
