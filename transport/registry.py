"""The registry of a run: tells other machines where its parts are, and what run it is.

It reads what the parts have published in the run's folder. A machine that joins needs one address
and a key, and asks again and again, since a part that was started anew may be elsewhere::

    registry = Registry(run_dir, "tcp://0.0.0.0:5555", about={...}, keys=keys)
    while running:
        registry.poll(0.05)

    endpoints = RemoteEndpoints("tcp://head.example:5555", keys)
    Mirror(endpoints, FileEndpoints(own_folder)).update()
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transport.claim import life_in
from transport.client import Client, ClientConfig
from transport.closing import Closing
from transport.endpoints import Endpoint, FileEndpoints
from transport.keys import ClientKeys, ServerKeys
from transport.service import Service
from transport.wire import Array, tensor_text, text_tensor

ROLE = "registry"
"""Under which a registry is published itself."""

BELIEVED = 30.0
"""Seconds for which an endpoint may be believed that the registry has told."""


class Registry:
    """Answers who asks where the parts of a run are; belongs to the thread that made it.

    Args:
        run_dir: the run, in whose folder its parts publish their endpoints.
        address: where to listen (see ``transport.sockets``).
        about: plain values that tell who joins what run it is.
        keys: the server's keys, if other machines are to reach it; any key of theirs opens it.

    Raises:
        ValueError: if the address cannot be bound, or needs keys.
    """

    def __init__(
        self,
        run_dir: Path,
        address: str,
        *,
        about: Mapping[str, Any],
        keys: ServerKeys | None = None,
    ) -> None:
        self._files = FileEndpoints(run_dir, outside=True)
        self._about = json.dumps({**about, "life": life_in(run_dir)})
        functions = {"endpoints": self._endpoints, "about": self._tell}
        self._service = Service(functions, run_dir, name=ROLE, address=address, keys=keys)
        self.endpoint = self._service.endpoint

    def poll(self, timeout: float) -> None:
        """Answers what has been asked, after at most ``timeout`` seconds of waiting for it."""
        self._service.poll(timeout)

    def close(self) -> None:
        """Answers nobody any more."""
        self._service.close()

    def _endpoints(self, tensors: dict[str, Array]) -> dict[str, Array]:
        published = self._files.published()
        told = {role: (where.address, where.life, BELIEVED) for role, where in published.items()}
        return {"json": text_tensor(json.dumps(told))}

    def _tell(self, tensors: dict[str, Array]) -> dict[str, Array]:
        return {"json": text_tensor(self._about)}


class RemoteEndpoints(Closing):
    """The endpoints of a run as its registry tells them; belongs to the thread that made it.

    Args:
        address: of the registry.
        keys: of who asks, if the run has any.
        timeout: seconds to wait for an answer.

    Raises:
        ValueError: if it is no address, or needs keys.
    """

    def __init__(
        self, address: str, keys: ClientKeys | None = None, *, timeout: float = 1.0
    ) -> None:
        self._host = address.partition("://")[2].rpartition(":")[0]
        self._client = Client(
            address, config=ClientConfig(timeout=timeout, retry=timeout / 2), keys=keys
        )

    def close(self) -> None:
        """Asks no more."""
        self._client.close()

    def published(self) -> dict[str, Endpoint]:
        """All that are there now, by role, with addresses that can be reached from here.

        Raises:
            TimeoutError: if the registry does not answer.
            RefusedError: if it does not let us in.
        """
        told = self._ask("endpoints")
        return {
            role: Endpoint(seen_from_outside(address, self._host), life, float(seconds))
            for role, (address, life, seconds) in told.items()
        }

    def about(self) -> dict[str, Any]:
        """What run it is; ``life`` is that of the moment.

        Raises:
            TimeoutError: if the registry does not answer.
            RefusedError: if it does not let us in.
        """
        return self._ask("about")

    def _ask(self, what: str) -> dict[str, Any]:
        number = self._client.submit({}, what)
        try:
            reply = self._client.result(number)
        except TimeoutError:
            self._client.forget(number)
            raise
        return dict(json.loads(tensor_text(reply.tensors["json"])))


def seen_from_outside(address: str, host: str) -> str:
    """An address as another machine reaches it: who listens everywhere is found at ``host``."""
    scheme, _, rest = address.partition("://")
    bound, _, port = rest.rpartition(":")
    try:
        everywhere = ipaddress.ip_address(bound.strip("[]")).is_unspecified
    except ValueError:
        everywhere = False
    return f"{scheme}://{host}:{port}" if everywhere else address
