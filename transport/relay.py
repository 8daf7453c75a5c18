"""Weights that cross the network once a host, however many of its processes follow them.

Processes of a host that is not the publisher's share a folder. One of them claims it and *relays*:
it follows the publisher, and publishes in that folder what comes, under the same life and version.
All of them, itself included, follow what is published there::

    publisher  ---- once a host ---->  relay, in one of the followers  ---- ipc ---->  followers

When the process that relays dies, another one takes its place. Until then nobody's weights are
renewed, and that is all; who comes late gets the newest version at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from transport import metrics
from transport.claim import Claim
from transport.connection import Published
from transport.endpoints import FileEndpoints
from transport.keys import ClientKeys
from transport.sockets import withdraw
from transport.weights import RECEIVED, Publisher, Subscriber
from transport.wire import Array

HOST_FOLDER = "host"
"""In the folder of a process that is away from its run: a folder that its host's others have, too;
where there is none, the process follows the publisher itself."""

ROLE = "weights"
_LOOK = 0.5  # Seconds between looks whether somebody relays.


class HostSubscriber(Subscriber):
    """Follows a publisher through the relay of its host, and is that where there is none.

    It belongs to the thread that made it.

    Args:
        run_dir: where the publisher's endpoint is published (mirrored, from another host).
        keys: this follower's, if the publisher has any.

    Raises:
        ValueError: if another process relays, and is not found.
    """

    def __init__(self, run_dir: Path, *, keys: ClientKeys | None = None) -> None:
        self._run_dir, self._upstream_keys = run_dir, keys
        self._host = (run_dir / HOST_FOLDER).resolve()
        self._relay: Relay | None = None
        self._look_at = 0.0
        self._relay_if_nobody_does()
        super().__init__(Published(self._host, ROLE))

    def poll(self) -> tuple[int, dict[str, Array]] | None:
        """The newest version and its tensors, if it is newer than the last one given.

        Raises:
            RefusedError: if the publisher does not let this host in.
        """
        self._relay_if_nobody_does()
        return super().poll()

    def close(self) -> None:
        """Stops following; another process of the host relays then."""
        super().close()
        if self._relay is not None:
            self._relay.close()

    def _relay_if_nobody_does(self) -> None:
        if self._relay is not None:
            self._relay.check()
        elif time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK
            with contextlib.suppress(ValueError):  # Another process does.
                self._relay = Relay(self._run_dir, self._host, self._upstream_keys)


class Relay:
    """Follows a publisher, and publishes what comes in the folder of a host.

    It has a thread of its own, so that a process that is busy keeps no other one waiting.

    Args:
        run_dir: where the publisher's endpoint is published.
        host: the folder of the host.
        keys: by which the publisher lets in.

    Raises:
        ValueError: if another process relays.
    """

    def __init__(self, run_dir: Path, host: Path, keys: ClientKeys | None) -> None:
        self._run_dir, self._keys = run_dir, keys
        self._claim = Claim(host)
        withdraw(host)  # What is left of one that was killed.
        self._publisher = Publisher(host, name=ROLE)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises what has ended it, if something has."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Leaves the host to others."""
        self._stop.set()
        self._thread.join()
        self._publisher.close()
        self._claim.close()

    def _run(self) -> None:
        """The thread's work."""
        try:
            while FileEndpoints(self._run_dir).address(ROLE) is None:
                if self._stop.wait(0.1):
                    return
            source = _Source(Published(self._run_dir, ROLE), keys=self._keys)
            with contextlib.closing(source):
                while not self._stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        version, tensors = source.latest(timeout=0.2)
                        self._publisher.publish(version, tensors, source.life)
        except BaseException as error:  # The follower's to raise.
            self._error = error


class _Source(Subscriber):
    """Whose versions are handed on."""

    def measured(self) -> Iterator[metrics.Figures]:
        """What it has received, apart from what this process uses."""
        yield RECEIVED.of({"relayed": self.counts["taken"]})
