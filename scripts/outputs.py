"""Where a command writes is looked at before its work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

PICTURES = (".png", ".pdf", ".svg")
"""Endings of the pictures that can be written."""


def check_file(path: Path | None, option: str, endings: Sequence[str] = ()) -> None:
    """Refuses a file that could not be written, before anything is done for it.

    Args:
        path: the file, which may be there; None where none was asked for. Nothing is made.
        option: what it was named with, such as "--json".
        endings: those that its name may have; any without.

    Raises:
        ValueError: if it could not be written.
    """
    if path is None:
        return
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"{option} takes a file that ends in {', '.join(endings)}, got {path}")
    if path.is_dir():
        raise ValueError(f"{option} takes a file, and {path} is a folder")
    if path.exists() and not os.access(path, os.W_OK):
        raise ValueError(f"{option}: {path} may not be written to")
    if not path.exists():
        check_folder(path.parent, option)


def check_folder(path: Path, option: str) -> None:
    """Refuses a folder that could not be made or written into, before anything is done for it.

    Args:
        path: the folder, which may be there. Nothing is made.
        option: what it was named with.

    Raises:
        ValueError: if it, or the folder in which it would have to be made, could not be written to.
    """
    there = path
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"{option}: {there} is a file, and no folder can be made in it")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{option}: nothing may be written into {there}")
