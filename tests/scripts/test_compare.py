"""``troupe compare``: from several seeds by one command to a picture by another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts.test_cli import TINY, refused, troupe


def test_from_training_to_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, out = tmp_path / "study", tmp_path / "comparison"
    options = ("--evaluate-interval", 2, "--updates", 4, "--run-dir", study)
    assert troupe("train", *TINY, "--seeds", "1-2", *options) == 0
    capsys.readouterr()
    assert troupe("compare", f"ours={study}", "--out", out) == 0
    said = capsys.readouterr().out
    assert "hanabi-2-very-small: score at 4 updates" in said
    assert f"picture: {out / 'compare.png'}" in said
    assert (out / "compare.png").read_bytes()[:4] == b"\x89PNG"
    (panel,) = json.loads((out / "compare.json").read_text())["panels"]
    assert panel["methods"]["ours"]["seeds"] == 2

    assert "--at 9: " in refused(capsys, "compare", study, "--at", "9", "--out", out)
    said = refused(capsys, "compare", study, "--settings", "hanabi:5", "--out", out)
    assert "study was not evaluated in hanabi:5: choose from hanabi-2-very-small" in said


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, slug in (("a", "hanabi-2"), ("b", "hanabi-3")):
        (tmp_path / name).mkdir()
        entry = {"step": 1, "seconds": 1.0, f"evaluate/{slug}/score": 1.0}
        (tmp_path / name / "metrics.jsonl").write_text(json.dumps(entry) + "\n")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "metrics.jsonl").write_text('{"step": 1, "seconds": 1.0}\n')
    (tmp_path / "empty").mkdir()
    for names, said in (
        (["nowhere"], "there is no run"),
        (["x=nowhere"], "there is no run"),
        (["empty"], "holds no run"),
        (["new"], "has no evaluation yet"),
        (["a", "b"], "no evaluation in common (a: hanabi-2; b: hanabi-3)"),
        ([], "at least one run"),
        (["a", "--resamples", "9"], "--resamples must be at least 100"),
        (["a", "--axis", "env-steps"], "says nothing of env-steps"),
    ):
        places = [str(tmp_path / name) if (tmp_path / name).is_dir() else name for name in names]
        out = tmp_path / "out"
        assert said in refused(capsys, "compare", *places, "--out", out)
        assert not out.exists()
