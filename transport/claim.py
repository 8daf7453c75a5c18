"""One run at a time in a folder.

Whoever runs there holds a lock, so a second run is refused at once, and its *life* stands in the
lock's file: a number drawn anew for every run. What a run publishes carries its life, so that
nobody takes the addresses of an earlier run, or of the run that a folder was copied from, for its
own.

Processes of a run whose parent was killed need a moment to go. They hold a second lock, and the
next run waits for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import Self

from transport.closing import Closing

_LOCK = ".lock"  # Held by who runs here; what it says is the run's life.
_CHILDREN = ".lock-children"  # Held by that one's processes, too.
_GONE = 10.0  # Seconds for the processes of a killed parent to go.


class Claim(Closing):
    """A folder's, for as long as this process lives or until it is closed.

    Args:
        run_dir: the folder; made if it is not there.

    Attributes:
        life: of this run; of the other one for who has joined it.
        inherited: a file descriptor; processes that inherit it hold the folder, too.

    Raises:
        ValueError: if another run lives in the folder, or processes of one.
    """

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        refusal = f"another run lives in {run_dir}: stop it first, or choose another folder"
        self.life = secrets.token_hex(8)
        self._lock = os.open(run_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        self.inherited = os.open(run_dir / _CHILDREN, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(self._lock, 0.0) or not _lock(self.inherited, _GONE):
                raise ValueError(refusal)
            # Those who join it hold this one, too.
            fcntl.flock(self.inherited, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # Lives are of one length: a reader sees the old one or the new one.
            os.pwrite(self._lock, self.life.encode(), 0)
        except BaseException:
            self.close()
            raise

    @classmethod
    def join(cls, run_dir: Path) -> Self:
        """Belongs to the run of a folder, as its processes do, without being a child of it.

        Raises:
            OSError: if no run lives there.
        """
        claim = cls.__new__(cls)
        claim.life, claim._lock = life_in(run_dir), -1
        claim.inherited = os.open(run_dir / _CHILDREN, os.O_RDWR)
        fcntl.flock(claim.inherited, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return claim

    def close(self) -> None:
        """Leaves the folder to others. Calling it again does nothing."""
        locks, self._lock, self.inherited = (self._lock, self.inherited), -1, -1
        for lock in locks:
            if lock >= 0:
                os.close(lock)


def is_claimed(run_dir: Path) -> bool:
    """Whether a run lives in a folder, or processes of one."""
    for name in (_LOCK, _CHILDREN):
        with contextlib.suppress(FileNotFoundError), (run_dir / name).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def life_in(run_dir: Path) -> str:
    """The life of the run that claimed a folder last; empty if none ever has."""
    with contextlib.suppress(FileNotFoundError):
        return (run_dir / _LOCK).read_text()
    return ""


def _lock(lock: int, patience: float) -> bool:
    """Takes a lock, if it becomes free in so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True
