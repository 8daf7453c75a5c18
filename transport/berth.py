"""The parent of a process that Ray has placed, on its machine (see ``transport.cluster``).

Beside the driver of the run the process has the run's folder. Anywhere else it has one of its own,
into which its configuration and its key are written, and the endpoints of the run are mirrored from
its registry, as on a machine that has joined.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transport.claim import Claim, is_claimed
from transport.endpoints import FileEndpoints, Mirror
from transport.keys import load_client_keys
from transport.processes import LocalProcess, spawn
from transport.registry import RemoteEndpoints
from transport.relay import HOST_FOLDER
from transport.sockets import withdraw

KEY = "key.json"
"""The file of keys in the folder of a process elsewhere."""

OWN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that Ray sets for its processes, and that are to be those of the driver."""

_LOOK = 0.1  # Seconds that a look waits for something to happen.
_MIRROR = 1.0  # Seconds between looks where the parts of the run are.
_TEXT = 1 << 18  # Bytes of a log that are told at once.
_YOUNG = 60.0  # Seconds in which a folder may not have been claimed yet.


class Berth:
    """A Ray actor: the parent of a process of the run, and of who takes its place, on a machine."""

    def __init__(self) -> None:
        self._process: LocalProcess | None = None
        self._folder: Path | None = None  # of its own
        self._host: Path | None = None  # what it shares with others of the run on this node
        self._stack = contextlib.ExitStack()
        self._mirror: Mirror | None = None
        self._mirrored = 0.0
        self._read = 0

    def start(self, name: str, task: str, given: str) -> tuple[int, str, str]:
        """Starts the process.

        Args:
            name: the process's.
            task: what it is told, as JSON.
            given: the run's folder and node, files by name, environment and version, as JSON.

        Returns:
            Its number, and the machine's address and node.

        Raises:
            ValueError: if this machine has another version of Troupe.
        """
        import ray

        context, outfit = ray.get_runtime_context(), json.loads(given)
        where = ray.util.get_node_ip_address()
        if outfit["troupe"] != version("troupe"):
            raise ValueError(
                f"the run is of Troupe {outfit['troupe']}, {where} has {version('troupe')}: "
                "install the same on all machines"
            )
        for name_of in OWN:
            os.environ.pop(name_of, None)
        os.environ.update(outfit["environment"])
        told, self._read = json.loads(task), 0
        if context.get_node_id() == outfit["node"]:
            folder = Path(outfit["run_dir"])
            claim, self._log = Claim.join(folder), None
        else:
            folder = self._folder = _own_folder(name)
            claim = Claim(folder)
            self._host = _host_folder(outfit["run_dir"], context.get_node_id())
            (folder / HOST_FOLDER).symlink_to(self._host)
            self._settle(folder, outfit["files"], told)
            self._log = folder / "logs" / f"{name}.log"
        self._stack.callback(claim.close)
        self._process = spawn(folder, name, told, outfit["own_environment"], claim)
        return self._process.pid, where, context.get_node_id()

    def look(self, registry: str | None) -> tuple[int | None, bytes]:
        """How the process is; waits a moment for something to happen.

        Args:
            registry: where the run's is.

        Returns:
            Its status, if it has ended; and what it has said.
        """
        assert self._process is not None
        if self._folder is not None and registry is not None:
            self._follow(registry)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LOOK)
        code, text = self._process.poll(), b""
        if self._log is not None:
            with self._log.open("rb") as file:
                file.seek(self._read)
                text = file.read(_TEXT)
            self._read += len(text)
        if len(text) == _TEXT:
            return None, text  # There is more, and then the status.
        if code is not None:
            self._leave()
        return code, text

    def terminate(self) -> None:
        """Tells the process to stop."""
        if self._process is not None:
            self._process.terminate()

    def _settle(self, folder: Path, files: Mapping[str, str], task: dict[str, Any]) -> None:
        """Makes a folder that of a process which is away from its run's."""
        (folder / "logs").mkdir(exist_ok=True)
        for name, content in files.items():
            file = folder / name
            file.touch(mode=0o600)
            file.write_text(content)
        if KEY in files:
            task["arguments"]["keys"] = str(folder / KEY)
        task["temporary"] = True

    def _follow(self, registry: str) -> None:
        """Mirrors the endpoints of the run."""
        assert self._folder is not None
        if self._mirror is None:
            key = self._folder / KEY
            keys = load_client_keys(key) if key.exists() else None
            remote = self._stack.enter_context(RemoteEndpoints(registry, keys, timeout=0.5))
            self._mirror = Mirror(remote, FileEndpoints(self._folder))
        if time.monotonic() - self._mirrored >= _MIRROR:
            self._mirror.update()
            self._mirrored = time.monotonic()

    def _leave(self) -> None:
        self._stack.close()
        if self._process is not None:
            self._process.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._host is not None and not is_claimed(self._host):  # The last one of its node.
            withdraw(self._host)
            shutil.rmtree(self._host, ignore_errors=True)


def _host_folder(run: str, node: str) -> Path:
    """The folder that the processes of a run share on a node."""
    digest = hashlib.sha256(f"{run} {node}".encode()).hexdigest()[:12]
    folder = _placed() / f"host-{digest}"
    folder.mkdir(exist_ok=True)
    return folder


def _own_folder(name: str) -> Path:
    """A new folder for a process that is away from its run's; those of killed ones are removed."""
    parent = _placed()
    for folder in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # Others remove them as well.
            # A young one may not have been claimed yet.
            if time.time() - folder.stat().st_mtime > _YOUNG and not is_claimed(folder):
                shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))


def _placed() -> Path:
    """The private folder of all that is placed on this machine."""
    parent = Path(tempfile.gettempdir()) / f"troupe-{os.getuid()}-placed"
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.stat().st_uid != os.getuid() or parent.stat().st_mode & 0o077:
        raise ValueError(f"{parent} belongs to someone else, or others may enter: remove it")
    return parent
