"""One exporter a process: its figures over HTTP, in the text format of Prometheus.

The library ``prometheus_client`` serves and words them. Where each process is to be asked stands in
the run's folder, a file each in ``targets``, as Prometheus reads it by itself::

    scrape_configs:
      - job_name: troupe
        file_sd_configs:
          - files: [/path/to/runs/*/targets/*.json]

Every figure has the labels ``role``, ``number`` and ``host``.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transport.closing import Closing
from transport.metrics import Figures, Histogram, collect

PREFIX = "troupe_"

TARGETS = "targets"
"""Folder of a run directory: where its processes are to be asked, a file each."""

_WILDCARDS = ("", "0.0.0.0", "::")


@dataclass(frozen=True)
class Exporting:
    """Where the processes of a run offer their figures.

    Attributes:
        port: of the first process, the others have those behind it; 0: any that are free.
        host: the interface; this machine only by default. Figures hold no secret, but there is no
            key to them either.
    """

    port: int = 0
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ValueError(f"a port for metrics is from 0 to 65535, got {self.port}")

    def check(self, processes: int) -> None:
        """Makes sure that so many processes can have their ports.

        Raises:
            ValueError: if a port is taken, there are not so many, or the interface is not there.
        """
        if self.port + processes > 65536:
            raise ValueError(
                f"metrics of {processes} processes need as many ports from {self.port} on: choose "
                "a lower one, or 0 for any"
            )
        for number in range(processes if self.port else 1):
            port = self.port + number if self.port else 0
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.host, port))
                except OSError as error:
                    raise ValueError(
                        f"metrics cannot be served on {self.host}:{port} ({error.strerror}): "
                        "choose another port, or 0 for any that are free"
                    ) from None

    def of(self, index: int) -> dict[str, Any]:
        """The same for one of the processes, as JSON."""
        return asdict(Exporting(self.port + index if self.port else 0, self.host))


class Exporter(Closing):
    """Offers what this process measures, until it is closed.

    Args:
        where: to listen. A port that somebody has taken meanwhile is no reason for a process not to
            work: it takes any other, and publishes that.
        run_dir: where it is published.
        name: of the process.
        role: what it does.
        number: which of those that do.

    Attributes:
        port: where it listens.

    Raises:
        OSError: if there is no such interface.
    """

    def __init__(
        self, where: Exporting, run_dir: Path, name: str, role: str, number: int = 0
    ) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

        labels = {"role": role, "number": str(number), "host": platform.node()}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Labelled(_Ours(), labels))
        registry.register(_Labelled(ProcessCollector(registry=None), labels))
        try:
            server = start_http_server(where.port, where.host, registry)
        except OSError as error:
            if not where.port:
                raise
            print(f"no metrics on port {where.port} ({error.strerror}): on another", flush=True)
            server = start_http_server(0, where.host, registry)
        self._server, self._thread = server
        self.port: int = self._server.server_port
        self._file = run_dir / TARGETS / f"{name}.json"
        host = platform.node() if where.host in _WILDCARDS else where.host
        host = f"[{host}]" if ":" in host else host
        target = {"targets": [f"{host}:{self.port}"], "labels": {"process": name}}
        temporary = self._file.with_suffix(".tmp")  # Prometheus is to read it whole.
        with contextlib.suppress(OSError):  # A full disk ends no run.
            self._file.parent.mkdir(exist_ok=True)
            temporary.write_text(json.dumps([target]) + "\n")
            temporary.replace(self._file)

    def close(self) -> None:
        """Stops serving, and is published no more."""
        self._file.unlink(missing_ok=True)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def remove_targets(run_dir: Path) -> None:
    """Removes what processes of a run have published, those that were killed included."""
    shutil.rmtree(run_dir / TARGETS, ignore_errors=True)


class _Ours:
    """Figures of this process as families of the library."""

    def collect(self) -> Iterator[Any]:
        return map(_family, collect())


class _Labelled:
    """Families of a collector with further labels."""

    def __init__(self, collector: Any, labels: dict[str, str]) -> None:
        self._collector, self._labels = collector, labels

    def collect(self) -> Iterator[Any]:
        for family in self._collector.collect():
            family.samples = [
                sample._replace(labels=sample.labels | self._labels) for sample in family.samples
            ]
            yield family


def _family(figures: Figures) -> Any:
    from prometheus_client import core

    family, values = figures
    kinds = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    worded = kinds[family.kind](PREFIX + family.name, family.text, labels=family.labels)
    for labels, value in values.items():
        if isinstance(value, Histogram):
            worded.add_metric(labels, _buckets(value), value.sum)
        else:
            worded.add_metric(labels, value)
    return worded


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Bounds and how many values do not exceed them."""
    buckets, below = [], 0
    bounds = [f"{bound:g}" for bound in histogram.bounds]
    for bound, count in zip([*bounds, "+Inf"], histogram.counts(), strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets
