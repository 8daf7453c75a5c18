"""Methods over seeds: interquartile means and their intervals, from runs as they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from marl.compare.comparison import ALL, Question, compare, write
from marl.compare.figure import save
from marl.compare.methods import read_methods
from marl.compare.statistics import draw, estimate, interquartile_mean
from marl.runs.config import TrainConfig
from marl.runs.saving import write_config

Curve = Callable[[int], float]


def write_run(folder: Path, curves: dict[str, Curve], steps: range = range(100, 501, 100)) -> Path:
    """A run as it is on disk: entries with evaluations, and some without."""
    folder.mkdir(parents=True)
    lines = []
    for step in steps:
        entry = {"step": step, "seconds": step * 0.6, "time": 0.0, "act/env_steps": 50.0 * step}
        lines.append(entry | {"learn/loss": 0.1})
        for name, curve in curves.items():
            entry[f"evaluate/{name}/score"] = curve(step)
            entry[f"evaluate/{name}/lost"] = 0.5
        lines.append(entry)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


def rising(slope: float) -> Curve:
    return lambda step: slope * step


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Five seeds of two settings, that end at 1, 2, 3, 4 and 10 points, and at twice as many."""
    for seed, points in enumerate((1, 2, 3, 4, 10), start=1):
        curves = {"hanabi-2": rising(points / 500), "hanabi-3": rising(points / 250)}
        folder = write_run(tmp_path / "study" / f"seed-{seed}", curves)
        write_config(TrainConfig(games=("hanabi:2", "hanabi:3"), seed=seed), folder)
    return tmp_path / "study"


def test_the_interquartile_mean_leaves_out_the_outer_quarters() -> None:
    eight = np.array([100.0, 1, 2, 3, 4, 5, 6, -100])
    assert interquartile_mean(eight) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean(np.array([1.0, 2, 9])) == pytest.approx(4)
    columns = np.stack([eight, eight + 10], axis=1)
    assert interquartile_mean(columns) == pytest.approx([3.5, 13.5])
    absent = np.array([1.0, np.nan, 7, 3, np.nan, 5])
    assert interquartile_mean(absent) == pytest.approx(4)  # of 1, 3, 5, 7


def test_runs_are_drawn_within_their_stratum_only() -> None:
    drawn = draw([np.array([0, 2]), np.array([1, 3, 4])], 500)
    assert drawn.shape == (500, 5)
    assert {*drawn[:, :2].ravel()} == {0, 2}
    assert {*drawn[:, 2:].ravel()} == {1, 3, 4}


def test_intervals_hold_what_they_promise() -> None:
    """Of normal scores the 95 % interval covers the true IQM about as often as it says."""
    rng = np.random.default_rng(3)
    covered, strata = 0, [np.arange(20)]
    for _ in range(200):
        found = estimate(rng.normal(5, 2, (20, 1, 1)), strata, resamples=300)
        assert found.low[0] <= found.iqm[0] <= found.high[0]
        covered += bool(found.low[0] <= 5 <= found.high[0])
    assert 0.86 <= covered / 200 <= 0.99


def test_a_run_is_drawn_with_all_its_settings() -> None:
    """Settings that rise and fall together tell no more than one of them does."""
    rng = np.random.default_rng(0)
    skill = rng.normal(0, 1, (8, 1, 1))
    one = estimate(skill, [np.arange(8)])
    four = estimate(np.repeat(skill, 4, axis=1), [np.arange(8)])
    apart = np.full((32, 4, 1), np.nan)  # the same scores, by runs of one setting each
    for m in range(4):
        apart[8 * m : 8 * m + 8, m] = skill[:, 0]
    specialists = estimate(apart, [np.arange(8 * m, 8 * m + 8) for m in range(4)])
    width = [float(e.high[0] - e.low[0]) for e in (one, four, specialists)]
    assert width[1] == pytest.approx(width[0], rel=0.1)
    assert width[2] < 0.7 * width[0]


def test_one_seed_has_no_interval() -> None:
    found = estimate(np.array([[[3.0]]]), [np.array([0])])
    assert found.iqm == [3.0]
    assert np.isnan(found.low[0])


def test_a_study(study: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "other", {"hanabi-3": rising(0.01)}, range(100, 401, 100))
    methods = read_methods([str(study), f"single={tmp_path / 'other'}"])
    (panel,) = compare(methods, Question())
    assert (panel.setting, panel.outcome, panel.at) == ("hanabi-3", "score", 400)
    ours, single = panel.lines
    assert (ours.method, ours.seeds, single.method, single.seeds) == ("study", 5, "single", 1)
    # Of 2, 4, 6, 8 and 20 at update 500, the middle three.
    assert ours.curve.iqm[-1] == pytest.approx(6)
    assert list(ours.x) == [100, 200, 300, 400, 500]
    assert ours.final.iqm[0] == pytest.approx(6 * 400 / 500)
    assert ours.final.low[0] < ours.final.iqm[0] < ours.final.high[0]
    assert single.final.iqm[0] == pytest.approx(4)
    assert sorted(ours.scores.values()) == pytest.approx([1.6, 3.2, 4.8, 6.4, 16])


def test_all_settings_are_averaged_as_shares_of_the_best_score(study: Path) -> None:
    two, three, together = compare(read_methods([str(study)]), Question())
    assert [two.setting, three.setting, together.setting] == ["hanabi-2", "hanabi-3", ALL]
    # Of 1, 2, 3, 4, 10, 2, 4, 6, 8, 20 the middle six, of 25 points.
    assert together.lines[0].final.iqm[0] == pytest.approx((2 + 3 + 4 + 4 + 6 + 8) / 6 / 25)
    assert len(compare(read_methods([str(study)]), Question(("hanabi:2-3",)))) == 3
    (only,) = compare(read_methods([str(study)]), Question(("hanabi:3",)))
    assert only.setting == "hanabi-3"


def test_other_axes_and_places(study: Path) -> None:
    methods = read_methods([str(study)])
    for axis, end in (("env-steps", 25_000), ("minutes", 5)):
        assert compare(methods, Question(axis=axis))[0].at == end
    early = compare(methods, Question(at=250))[0]
    assert early.lines[0].final.iqm[0] == pytest.approx(1.5)
    (lost, *_) = compare(methods, Question(outcome="lost"))
    assert lost.lines[0].final.iqm[0] == 0.5
    for question, said in (
        (Question(at=900), "from 100 to 500 updates"),
        (Question(outcome="luck"), "choose from score, lost"),
        (Question(("hanabi:5",)), "study was not evaluated in hanabi:5"),
        (Question(("nothing",)), "unknown game"),
    ):
        with pytest.raises(ValueError, match=said):
            compare(methods, question)


def test_folders_of_one_name_are_one_method(study: Path, tmp_path: Path) -> None:
    one = write_run(tmp_path / "a" / "seed-1", {"hanabi-2": rising(1)})
    (method,) = read_methods([f"both={one.parent}", f"both={study}"])
    assert len(method.runs) == 6
    with pytest.raises(ValueError, match="seed-1 is named twice for both"):
        read_methods([f"both={study}", f"both={study}"])
    # Folders that are called alike are told apart by their whole path.
    again = write_run(tmp_path / "b" / "study", {"hanabi-2": rising(1)})
    assert [m.name for m in read_methods([str(study), str(again)])] == [str(study), str(again)]


def test_what_is_written(study: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "single", {"hanabi-2": rising(0.02)})
    panels = compare(read_methods([str(study), str(tmp_path / "single")]), Question())
    pictures = []
    for name in ("one", "two"):
        write(tmp_path / name, panels, Question())
        save(tmp_path / name / "compare.png", panels, "updates")
        files = sorted((tmp_path / name).iterdir())
        assert [f.name for f in files] == [
            "compare.json", "compare.png", "curves.csv", "scores.csv",
        ]  # fmt: skip
        pictures.append([file.read_bytes() for file in files])
    assert pictures[0] == pictures[1]
    rows = (tmp_path / "one" / "scores.csv").read_text().splitlines()
    assert rows[0] == "setting,outcome,method,seeds,updates,iqm,low,high,mean"
    assert rows[1].startswith("hanabi-2,score,study,5,500,3,")
    assert rows[2] == "hanabi-2,score,single,1,500,10,,,10"
    curves = (tmp_path / "one" / "curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 2 * 5
    found = json.loads((tmp_path / "one" / "compare.json").read_text())
    assert found["panels"][0]["methods"]["single"]["interval"] is None
    assert found["panels"][0]["methods"]["study"]["iqm"] == pytest.approx(3)
