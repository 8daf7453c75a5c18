"""The bench of training: both sides learn, and end when they are told to."""

from __future__ import annotations

import pytest

from scripts.bench import training


@pytest.mark.slow
def test_both_sides_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TURNS", 1)
    rows = list(training.run(2))
    assert [(row.what, row.unit) for row in rows[::2]] == [
        ("updates", "updates/s"),
        ("moves", "moves/s"),
        ("to end after Ctrl-C", "s"),
    ]
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        assert ours.value
        assert theirs.value
        better = ours.value / theirs.value if ours.unit != "s" else theirs.value / ours.value
        assert theirs.ratio == pytest.approx(better)
        assert (ours.against, theirs.against) == (None, training.PEER)


def test_a_run_that_does_not_learn_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SIDES", {"one": ("--players", "7")})
    with pytest.raises(RuntimeError, match=r"did not begin to learn: .*players"):
        list(training.run(1))
