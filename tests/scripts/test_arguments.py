"""Options are read into dataclasses; what is wrong with them comes back as one line."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from scripts.arguments import parse


@dataclass(frozen=True)
class Inner:
    """What lies within."""

    size: int = 4
    """How large."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"inner.size must be at least 1, got {self.size}")


@dataclass(frozen=True)
class Outer:
    """What lies around."""

    who: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WHO")]
    """Whose it is."""
    folder: Path
    """Where to put it."""
    rate: float = 0.5
    """How fast."""
    minutes: float | None = None
    """How long."""
    kind: Literal["plain", "fancy"] = "plain"
    """Of which kind."""
    inner: Inner = field(default_factory=Inner)
    """What lies within."""

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}: leave it out for 0.5")


def read(*args: str) -> Outer:
    return parse(Outer, "troupe test", args)


def test_options_are_read() -> None:
    options = read("me", "--folder", "here", "--inner.size", "7", "--kind", "fancy")
    assert options == Outer("me", Path("here"), 0.5, None, "fancy", Inner(7))


def test_later_options_win() -> None:
    assert read("me", "--folder", "here", "--rate", "1", "--rate", "2").rate == 2


def test_a_default_is_taken_over() -> None:
    default = Outer("me", Path("here"), rate=3.0)
    assert parse(Outer, "troupe test", ["you"], default=default) == Outer(
        "you", Path("here"), rate=3.0
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "missing WHO --folder PATH"),
        (["me"], "missing --folder PATH"),
        (["me", "--folder"], "missing value for argument '--folder'"),
        (["me", "--folder", "x", "--rate", "soon"], "--rate: 'soon' is no number"),
        (["me", "--folder", "x", "--inner.size", "2.5"], "--inner.size: '2.5' is no whole number"),
        (["me", "--folder", "x", "--inner.size", "0"], "inner.size must be at least 1, got 0"),
        (["me", "--folder", "x", "--rate", "0"], "rate must be positive, got 0.0: leave it out"),
        (["me", "--folder", "x", "--kind", "odd"], "invalid choice 'odd' for argument '--kind'"),
        (["me", "--folder", "x", "--inner.sise", "3"], "unrecognized options: --inner.sise"),
        (["me", "--folder", "x", "--inner.sise", "3"], ": did you mean --inner.size?"),
        (["me", "--folder", "x", "--inner.sise", "3", "--ratte", "1"], "--inner.size and --rate?"),
        (["me", "--folder", "x", "--kind", "fancyy"], ": did you mean fancy?"),
        (["me", "--folder", "x", "--minutes", "x"], "--minutes: 'x' is no number"),
        (["me", "you", "--folder", "x"], "unrecognized options: you"),
    ],
)
@pytest.mark.parametrize("columns", ["20", "80", None])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_mistake_is_said_in_one_line(
    args: list[str],
    said: str,
    columns: str | None,
    encoding: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is looked at below
        read(*args)
    message = str(error.value)
    assert said in message
    assert message.endswith("(see troupe test --help)")
    assert "\n" not in message
    assert not set(message) & set("╭╮╰╯│─\x1b")
    assert "---" not in message
    assert os.environ.get("COLUMNS") == columns


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_every_number_is_finite(value: str) -> None:
    with pytest.raises(ValueError, match=f"--rate must be a finite number, got {value}"):
        read("me", "--folder", "x", "--rate", value)


def test_help_shows_every_option_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read("--help")
    assert end.value.code == 0
    out = capsys.readouterr().out
    for text in ("What lies around.", "WHO", "--folder", "--inner.size", "How large.", "fancy"):
        assert text in out
