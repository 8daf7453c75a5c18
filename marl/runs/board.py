"""TensorBoard's files of a run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """TensorBoard's files. A writer that found no room has ended, and another one is tried.

    Args:
        folder: where they lie; its name is the run's.
        resume_step: step of the checkpoint that the run continues from; None for a new run.
    """

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        # TensorBoard hides what earlier processes wrote from this step on.
        self._folder = folder
        self._purge = None if resume_step is None else resume_step + 1
        self._writer: SummaryWriter | None = None
        # The thread that writes shows its traceback; that there is no room is said in a line.
        self._hook, threading.excepthook = threading.excepthook, self._in_thread
        with contextlib.suppress(OSError):
            self._open()

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Adds a point to each curve.

        Raises:
            OSError: if there is no room for an earlier one.
        """
        try:
            writer = self._writer or self._open()
            for name, value in values.items():
                writer.add_scalar(name, value, step)
        except OSError:
            self._drop()
            raise

    def describe(self, config: Mapping[str, Any]) -> None:
        """Shows a configuration, nested dicts of plain values, as a table in the tab for text.

        Raises:
            OSError: if there is no room.
        """
        lines = [f"| {name} | {value} |" for name, value in _flat(config)]
        text = "\n".join(["| option | value |", "|---|---|", *lines])
        (self._writer or self._open()).add_text("configuration", text, 0)

    def close(self) -> None:
        """Writes what is left. Calling it again does nothing."""
        self._drop()
        threading.excepthook = self._hook

    def _open(self) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=self._purge, flush_secs=15)
        self._purge = None
        return self._writer

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            if self._writer is not None:
                self._writer.close()
        self._writer = None

    def _in_thread(self, args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, OSError):
            self._hook(args)


def _flat(config: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of a configuration, those of its parts with a dot in between."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value
