"""Figures of a process: what parts measure, added up, and offered to Prometheus."""

from __future__ import annotations

import gc
import importlib
import json
import re
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.transport.parts import client, pool, rows, until
from transport import metrics
from transport.exporter import TARGETS, Exporter, Exporting
from transport.launch import Role, Supervisor
from transport.metrics import Histogram, collect, counter, histogram, watch

DOCS = Path(__file__).parents[2] / "docs"
WHO = ("me", "tester", 3)


def page(port):
    """Samples of an exporter: (name, labels) and values."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("host")
            found[sample.name, *sorted(sample.labels.items())] = sample.value
    return found


class Part:
    def __init__(self, made, *seconds):
        self.made, self.seconds = made, Histogram((0.1, 1.0))
        for value in seconds:
            self.seconds.observe(value)
        watch(self)

    def measured(self):
        yield MADE.of({"cakes": self.made}, "oven")
        yield TOOK.is_(self.seconds)


MADE = counter("made_for_test", "Cakes.", "by", "what")
TOOK = histogram("took_for_test_seconds", "Time of a cake.")


def test_parts_that_measure_the_same_add_up_while_they_live(tmp_path):
    parts = [Part(2, 0.05, 0.1, 0.5), Part(3, 7.0)]
    with Exporter(Exporting(), tmp_path, *WHO) as exporter:
        own = [("number", "3"), ("role", "tester")]
        found = page(exporter.port)
        assert found["troupe_made_for_test_total", ("by", "oven"), *own, ("what", "cakes")] == 5
        name = "troupe_took_for_test_seconds"
        counts = {bound: found[f"{name}_bucket", ("le", bound), *own] for bound in ("0.1", "1")}
        assert counts == {"0.1": 2, "1": 3}  # A value on a bound does not exceed it.
        assert found[f"{name}_count", *own] == 4
        assert found[f"{name}_sum", *own] == pytest.approx(7.65)
        del parts[1]
        gc.collect()
        found = page(exporter.port)
        assert found["troupe_made_for_test_total", ("by", "oven"), *own, ("what", "cakes")] == 2
        (target,) = json.loads((tmp_path / TARGETS / "me.json").read_text())
        assert target == {
            "targets": [f"127.0.0.1:{exporter.port}"],
            "labels": {"process": "me"},
        }
    assert not list((tmp_path / TARGETS).iterdir())


def test_two_families_of_one_name_are_refused():
    assert counter("made_for_test", "Cakes.", "by", "what") == MADE
    with pytest.raises(ValueError, match="two families of figures are called made_for_test"):
        counter("made_for_test", "Pies.", "by", "what")


def test_a_pool_is_measured_at_all_its_ends(tmp_path):
    with pool(tmp_path) as _, client(tmp_path) as asker:
        for _ in range(5):
            asker.call(rows(1.0, 2.0))
        with Exporter(Exporting(), tmp_path, *WHO) as exporter:
            until(lambda: page(exporter.port)[name("pool", what="workers")] == 1)
            found = page(exporter.port)
        assert found[name("requests_total", outcome="reply")] == 5
        assert found[name("pool_events_total", event="rows")] == 10
        assert found[name("lease_rows_sum")] == 10
        for histogram in ("inference", "waiting", "answer"):
            assert found[name(f"{histogram}_seconds_count")] == 5
            assert 0 < found[name(f"{histogram}_seconds_sum")] < 5
        assert found[name("calls_total", outcome="answered", to="endpoint")] == 5
        assert found[name("call_seconds_sum", to="endpoint")] >= found[name("waiting_seconds_sum")]


def name(family, **labels):
    return (f"troupe_{family}", *sorted({"number": "3", "role": "tester", **labels}.items()))


def test_every_process_of_a_crew_has_an_exporter(tmp_path):
    role = Role("sleeper", "tests.transport.roles:sleeper", count=2)
    with Supervisor(tmp_path, [role], metrics=Exporting()):
        files = {f"{name}.json" for name in ("driver", "sleeper-0", "sleeper-1")}
        until(lambda: {file.name for file in (tmp_path / TARGETS).glob("*.json")} == files)
        ports = {}
        for file in (tmp_path / TARGETS).iterdir():
            (target,) = json.loads(file.read_text())
            ports[target["labels"]["process"]] = int(target["targets"][0].rpartition(":")[2])
        own = page(ports["sleeper-1"])
        memory = own["process_resident_memory_bytes", ("number", "1"), ("role", "sleeper")]
        assert memory > 1 << 20
        driver = (("number", "0"), ("of", "sleeper"), ("role", "driver"))
        assert page(ports["driver"])["troupe_processes", *driver] == 2
        assert page(ports["driver"])["troupe_restarts_total", *driver] == 0
    assert not (tmp_path / TARGETS).exists()


def test_ports_follow_each_other_and_a_taken_one_is_said(tmp_path, capsys):
    assert [Exporting(9100, "h").of(k)["port"] for k in range(3)] == [9100, 9101, 9102]
    assert Exporting(0).of(2)["port"] == 0
    with pytest.raises(ValueError, match="from 0 to 65535, got -1"):
        Exporting(-1)
    with pytest.raises(ValueError, match="need as many ports from 65530 on"):
        Exporting(65530).check(10)
    with pytest.raises(ValueError, match=r"cannot be served on 192.0.2.1:0"):
        Exporting(0, "192.0.2.1").check(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"on 127.0.0.1:{port} .*: choose another port"):
            Exporting(port).check(1)
        # Taken between the check and the start: the process works all the same.
        with Exporter(Exporting(port), tmp_path, *WHO) as exporter:
            assert exporter.port != port
            assert page(exporter.port)
    assert f"no metrics on port {port}" in capsys.readouterr().out


def exported():
    """Names of all samples that processes of Troupe can export."""
    for module in (
        *(f"transport.{name}" for name in ("broker", "client", "launch", "service", "weights")),
        *(f"transport.{name}" for name in ("worker",)),
        *("marl.remote.actor", "marl.remote.shard", "marl.remote.learner", "marl.runs.monitor"),
    ):
        importlib.import_module(module)
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    for family in metrics.FAMILIES.values():
        yield from (f"troupe_{family.name}{ending}" for ending in endings[family.kind])


def test_the_dashboard_shows_what_is_exported(tmp_path):
    """Every name in it is exported, with the labels that it asks for; and nothing is left out."""
    board = json.loads((DOCS / "grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(asked) > 20
    names = {found for text in asked for found in re.findall(r"\b(?:troupe|process)_\w+", text)}
    with Exporter(Exporting(), tmp_path, *WHO) as exporter:
        process = {found[0] for found in page(exporter.port) if found[0].startswith("process_")}
    assert names <= {*exported(), *process}
    shown = {re.sub("_(total|bucket|sum|count)$", "", found) for found in names}
    ours = {family for family in metrics.FAMILIES if not family.endswith("_for_test_seconds")}
    assert {f"troupe_{family}" for family in ours - {"made_for_test"}} <= shown
    labels = {"role", "number", "host", "le"}
    for text in asked:
        for found in re.findall(r"\btroupe_\w+", text):
            family = re.sub("^troupe_|_(total|bucket|sum|count)$", "", found)
            known = labels | set(metrics.FAMILIES[family].labels)
            by = re.findall(r"by \(([^)]*)\)", text) + re.findall(r"\{(\w+)[!=]", text)
            assert {label.strip() for part in by for label in part.split(",")} <= known, text


def test_the_manual_tells_of_every_family():
    text = (DOCS / "metrics.md").read_text()
    list(exported())
    for family in metrics.FAMILIES.values():
        if "for_test" not in family.name:
            assert f"`troupe_{family.name}`" in text, family.name
            for label in family.labels:
                assert f"`{label}`" in text, label


def test_asking_does_not_disturb_who_counts():
    """Parts are asked from another thread while their counts change."""
    part = Part(1, *[0.5] * 100)
    (took,) = (values for family, values in collect() if family is TOOK)
    total = took[()]
    part.seconds.observe(0.5)
    assert sum(total.counts()) == 100
