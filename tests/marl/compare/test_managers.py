"""Managers beside their controls: one game under several names, and what was gained."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from marl.compare.managers import tabulate, unmanaged
from marl.compare.methods import read_methods
from marl.runs.config import TrainConfig
from marl.runs.saving import write_config
from scripts import cli

PLAIN = "stag-hunt-2"


def write_study(folder: Path, kind: str, raws: list[float], paid: float, config: bool) -> str:
    """Runs of one kind, as networks (each with its configuration) or as tables leave them."""
    name = f"stag-hunt@manager={kind}"
    slug = f"stag-hunt-2-manager-{kind}"
    for seed, raw in enumerate(raws, 1):
        run = folder / f"seed-{seed}"
        if config:
            write_config(TrainConfig(games=(name,)), run)
        run.mkdir(parents=True, exist_ok=True)
        scores = {"raw": raw, "agents": raw + paid, "manager": raw - paid, "payments": paid}
        lines = [
            {"step": step, **{f"evaluate/{slug}/{k}": v * step / 100 for k, v in scores.items()}}
            for step in (50, 100)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if not config:
        (folder / "study.json").write_text(json.dumps({"setting": name}))
    return str(folder)


def test_gains_are_measured_against_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = write_study(tmp_path / "none", "none", [39.0, 41.0], 0.0, config=False)
    paid = write_study(tmp_path / "paid", "incentives", [58.0, 60.0, 62.0], 4.0, config=True)
    methods = unmanaged(read_methods([none, paid]))
    assert [method.slugs for method in methods] == [[PLAIN], [PLAIN]]
    first, second = tabulate(methods, PLAIN, resamples=200, level=0.95)
    assert first.gains["raw"].iqm[0] == pytest.approx(0)
    assert first.cost is None
    assert second.gains["raw"].iqm[0] == pytest.approx(50)
    assert second.gains["agents"].iqm[0] == pytest.approx(60)
    assert second.gains["manager"].iqm[0] == pytest.approx(40)
    assert second.cost == pytest.approx(4 / 20)
    assert 44.9 < second.gains["raw"].low[0] < 50 < second.gains["raw"].high[0] < 55.1

    assert cli.main(["compare", none, paid, "--out", str(tmp_path / "out")]) == 2
    assert "no evaluation in common" in capsys.readouterr().err
    assert cli.main(["compare", "--managers", none, paid, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "gains over none in %" in out
    assert "+50.0" in out
    with (tmp_path / "out" / f"{PLAIN}-managers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"payments", "gain of manager, %"} <= {row["what"] for row in rows}
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000


def test_one_run_under_several_managers_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    games = ("stag-hunt@manager=none", "stag-hunt@manager=shared")
    write_config(TrainConfig(games=games), run)
    scores = {f"evaluate/stag-hunt-2-manager-{kind}/raw": 1.0 for kind in ("none", "shared")}
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, **scores}) + "\n")
    with pytest.raises(ValueError, match="under several managers"):
        unmanaged(read_methods([str(run)]))
