"""A pool's figures for Prometheus, if ``prometheus_client`` is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Exporter:
    """Serves figures over HTTP, as they are when they are asked for.

    Args:
        figures: returns them, by name; called from a thread of the server.
        port: where to listen (0: any free port, see ``port``).
        address: on which interface.
        prefix: of the names.

    Raises:
        ValueError: if ``prometheus_client`` is missing or the port is taken.
    """

    def __init__(
        self,
        figures: Callable[[], Mapping[str, float]],
        port: int,
        address: str = "127.0.0.1",
        prefix: str = "troupe_pool",
    ) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise ValueError(
                "Prometheus metrics need prometheus_client: pip install prometheus_client"
            ) from None
        registry = prometheus_client.CollectorRegistry()
        registry.register(_Collector(figures, prefix))
        try:
            self._server, self._thread = prometheus_client.start_http_server(
                port, address, registry
            )
        except OSError as error:
            raise ValueError(f"cannot serve metrics on {address}:{port}: {error}") from None
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Collector:
    def __init__(self, figures: Callable[[], Mapping[str, float]], prefix: str) -> None:
        self._figures, self._prefix = figures, prefix

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for name, value in self._figures().items():
            yield GaugeMetricFamily(
                f"{self._prefix}_{name}", name.replace("_", " "), value=float(value)
            )
