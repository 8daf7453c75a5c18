"""The bench harness: what it finds, measures and writes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import games
from scripts import bench
from scripts.bench import busy, engine, scale, soak, traffic
from scripts.cli import main

FAKE = '''"""Counts sheep, beside a shepherd.

More text that the list leaves out.
"""

from scripts.bench import Row


def run(seconds):
    yield Row("sheep", 1234.5, "sheep/s")
    yield Row("sheep", 0.5, "sheep/s", against="shepherd", ratio=2469.0)
    yield Row("goats", None, "not installed", against="goatherd")
'''


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bench of its own, found like the others."""
    (tmp_path / "sheep_for_test.py").write_text(FAKE)
    monkeypatch.setattr(bench, "__path__", [*bench.__path__, str(tmp_path)])
    return "sheep-for-test"


def test_every_bench_says_what_it_measures() -> None:
    found = bench.benches()
    assert all(len(line) > 10 and line.endswith(".") for line in found.values()), found


def test_the_list(fake: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.split()[0] == fake and line.endswith("Counts sheep, beside a shepherd.")
        for line in lines
    )


def test_the_table(fake: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", fake]) == 0
    out = capsys.readouterr().out
    for text in ("sheep/s", "1,234", "shepherd", "2,469x", "not installed"):
        assert text in out


def test_the_json(fake: str, tmp_path: Path) -> None:
    file = tmp_path / "new" / "rows.json"
    assert main(["bench", fake, "--json", str(file), "--seconds", "3"]) == 0
    report = json.loads(file.read_text())
    assert report["bench"] == fake
    assert report["command"] == f"troupe bench {fake} --seconds 3"
    assert report["rows"] == [
        {"what": "sheep", "value": 1234.5, "unit": "sheep/s", "against": None, "ratio": None},
        {"what": "sheep", "value": 0.5, "unit": "sheep/s", "against": "shepherd", "ratio": 2469.0},
        {
            "what": "goats",
            "value": None,
            "unit": "not installed",
            "against": "goatherd",
            "ratio": None,
        },
    ]
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["processor"]
    assert report["machine"]["memory_gib"] > 0
    assert {"python", "numpy", "torch", "troupe"} <= set(report["versions"])


def test_a_bench_that_fails_half_way_keeps_its_rows_and_says_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    goats = '    yield Row("goats"'
    source = FAKE.replace(goats, f"    raise TimeoutError()\n{goats}")
    (tmp_path / "broken_for_test.py").write_text(source)
    monkeypatch.setattr(bench, "__path__", [*bench.__path__, str(tmp_path)])
    file = tmp_path / "rows.json"
    assert main(["bench", "broken-for-test", "--json", str(file)]) == 2
    said = capsys.readouterr()
    assert said.err == "troupe bench: broken-for-test failed after 2 rows (TimeoutError)\n"
    assert "2,469x" in said.out
    report = json.loads(file.read_text())
    assert len(report["rows"]) == 2
    assert report["failure"] == "broken-for-test failed after 2 rows (TimeoutError)"


@pytest.mark.parametrize("work", [0.0003, 0.01, 3.0])
def test_rate_counts_calls_per_second(work: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    calls = [0]

    def call() -> None:
        clock[0] += work
        calls[0] += 1

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert bench.rate(call, seconds=2.0) == pytest.approx(1 / work)
    # It stops in time: within a few per cent, or one call, of what was asked for.
    assert calls[0] * work <= max(2.0 * 1.05, 2 * work + 1e-9)


def test_the_engines_of_all_games_are_measured() -> None:
    peers = engine.peers()
    # What needs a cartridge of one's own cannot be started by its name.
    assert {name.partition(":")[0] for name in peers} == set(games.GAMES) - {"gameboy"}
    played = {name: [peer.name for peer in others] for name, others in peers.items()}
    for name in ("simple-reference", "simple-speaker-listener", "simple-spread"):
        assert played[name] == ["mpe2", "JaxMARL"]
        engine.ours(name)()
        pytest.importorskip("mpe2")
        peers[name][0].subject.make()()


def test_worlds_are_drawn_beside_copies_of_games() -> None:
    drawn, copied, whole = engine._worlds(2, 0.3)
    assert {row.unit for row in (drawn, copied, whole)} == {"us"}
    assert drawn.value is not None
    assert copied.value is not None
    assert whole.value is not None
    assert 0 < copied.value < whole.value
    assert 0 < drawn.value < whole.value


def test_the_busy_processes_are_busy_and_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside them, what counts gets less of the machine, and no less done in its own time."""

    def count(seconds: float) -> float:
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            done += 1
        return done / seconds

    alone, beside = busy._figure(count, 0.5, 0), busy._figure(count, 0.5, 2 * busy.available())
    assert alone.busy == 0
    assert beside.busy > 0.1
    assert beside.rate < 0.9 * alone.rate or alone.others > 0.2
    assert beside.each > 0.5 * alone.each

    monkeypatch.setattr(busy.sys, "executable", "/bin/true")
    with pytest.raises(RuntimeError, match=r"the busy processes ran for 0\.00 s"):
        busy._figure(count, 0.3, 1)


def test_what_a_slow_inference_costs_is_measured_and_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from scripts.bench import delay

    monkeypatch.setattr(delay, "DELAYS", (8,))
    monkeypatch.setattr(delay, "PAPER", {"100 M": 8, "1 B": 596})
    monkeypatch.setattr(delay, "SIZES", dict.fromkeys(("55 K", "1 M")))
    monkeypatch.setattr(delay, "PLOTS", tmp_path)
    rows = [*delay.run(1, ["parcels@pace=4@every=2@parcels=1=bot:sorter"])]
    found = {(row.what.partition(", ")[2], row.against): row.value for row in rows}
    assert found["bot:sorter: lockstep", None] == 2
    assert found["bot:sorter: 8 frames", "frame_clock, known"] == 2
    assert found["bot:sorter: 8 frames", "sequential"] < 2
    assert sum(row.what.endswith("in frames") for row in rows) == 2
    assert (tmp_path / "parcels.png").stat().st_size > 10_000


@pytest.mark.timeout(300)
def test_a_load_of_clients_and_workers_is_answered() -> None:
    load = scale.Load(clients=6, window=4, workers=3, brokers=2, max_rows=2, silent=5)
    figures = scale.measure(load, 1.0)
    assert figures["rate"] > 1  # However busy the machine is.
    assert figures["per_core"] >= figures["rate"] / 2  # Two brokers take two cores at most.
    assert figures["cores"] * figures["per_core"] == pytest.approx(figures["rate"])
    assert 1 <= figures["rows"] <= 2
    assert figures["memory"] > 10


def test_what_travels_weighs_what_the_docs_reckon_with() -> None:
    rows = {row.what: row for row in traffic.run(0.2)}
    bytes_ = {what: row.value for what, row in rows.items() if row.unit == "bytes"}
    assert bytes_["an observation that is asked about"] == pytest.approx(679, rel=0.1)
    assert bytes_["its answer"] == pytest.approx(596, rel=0.1)
    assert bytes_["an own turn in replay"] < bytes_["an own turn in a sequence"]
    assert bytes_["an own turn in a sequence"] == pytest.approx(202, rel=0.2)
    assert rows["a version of the weights"].value == pytest.approx(2.0, rel=0.1)
    # A move costs a fraction of what it costs to think about it.
    playing, inference = rows["playing"].value, rows["inference"].value
    assert playing is not None
    assert inference is not None
    assert 0 < playing < inference < 1000


def test_a_line_through_the_memory_of_all_lives_of_a_role() -> None:
    """Each life has a level of its own, and how it began does not count."""

    def life(began: float, level: float, growth: float) -> soak.Memory:
        times = [began + 2.0 * k for k in range(60)]
        settled = [max(0.0, time - began - 20.0) for time in times]
        values = [level + growth * seconds for seconds in settled]
        values[:5] = [0.1 * level] * 5
        return soak.Memory(times, [int(value) for value in values])

    lives = {
        ("worker-0", 1): life(0.0, 4e8, 1000.0),
        ("worker-0", 2): life(200.0, 2e8, 1000.0),
        ("worker-1", 3): life(0.0, 3e8, 1000.0),
        ("broker", 4): life(0.0, 1e8, 0.0),
        ("shard", 5): soak.Memory([0.0, 2.0], [1, 2]),  # It was killed before it had settled.
    }
    found = soak._slopes(lives, 20.0)
    assert set(found) == {"worker", "broker"}
    assert found["worker"][1] == pytest.approx(1000.0, rel=1e-3)
    assert found["worker"][0] == pytest.approx(3e8, rel=1e-2)
    assert found["broker"] == (1e8, 0.0)
