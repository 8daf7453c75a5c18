"""Ctrl-C while games are played: soon over, what is whole is kept, and one line says so."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.cli import main
from scripts.progress import GamesBar

pytestmark = pytest.mark.timeout(600)  # the first of them waits for players to be compiled

Interrupted = Callable[..., tuple[str, str]]
SOON = 10.0
"""Seconds in which a command ends beside other tests; three, on a quiet machine."""


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Interrupted:
    """Runs a command that is interrupted after so many games; returns what it says."""

    def run(after: int, *args: object) -> tuple[str, str]:
        advance, ended, sent = GamesBar.advance, list[int](), list[float]()

        def advance_and_interrupt(bar: GamesBar, games: int) -> None:
            ended.append(games)
            if sum(ended) >= after and not sent:
                sent.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)
            advance(bar, games)

        capsys.readouterr()
        handlers = signal.getsignal(signal.SIGINT)
        with monkeypatch.context() as patch:
            patch.setattr(GamesBar, "advance", advance_and_interrupt)
            assert main([str(arg) for arg in args]) == 130
        assert time.monotonic() - sent[0] < SOON
        assert signal.getsignal(signal.SIGINT) is handlers
        done = sum(ended)
        time.sleep(0.3)
        assert sum(ended) == done, "somebody plays on"
        assert threading.active_count() < 10
        out, err = capsys.readouterr()
        return out, err

    return run


def test_evaluate_reports_what_was_played(interrupted: Interrupted, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = ("evaluate", "bot:iggi", "hanabi:2-4@very-small", "--games", 20_000, "--json", file)
    out, err = interrupted(24_000, *command)
    first, second = json.loads(file.read_text())["settings"]
    assert (first["setting"], first["games"]) == ("hanabi:2@very-small", 20_000)
    games = second["games"]
    assert (second["setting"], games % 256) == ("hanabi:3@very-small", 0)
    assert 0 < games < 19_000
    assert f"{games:,} games" in out
    said = f"troupe evaluate: interrupted after {20_000 + games:,} of 60,000 games"
    assert err.splitlines()[-1] == said

    # Nothing is reported of no games.
    file.unlink()
    # (Whole games, so that many turns lie between the first game's end and the last one's.)
    command = ("evaluate", "bot:information", "hanabi:5", "--games", 60_000, "--json", file)
    out, err = interrupted(1, *command)
    assert out == ""
    assert err.splitlines() == ["troupe evaluate: interrupted after 0 of 60,000 games"]
    assert not file.exists()


def test_crossplay_keeps_whole_cells(interrupted: Interrupted, tmp_path: Path) -> None:
    bots = ("bot:iggi", "bot:piers")
    out, err = interrupted(
        2000 + 100, "crossplay", *bots, "--players", "2", "--games", 2000, "--out", tmp_path / "out"
    )
    files = [file.name for file in sorted((tmp_path / "out" / "cells").iterdir())]
    assert files == ["hanabi-2-00-00.json"]
    assert out == ""
    assert err.splitlines()[-1].startswith("troupe crossplay: stopped; troupe crossplay bot:iggi")
    assert err.splitlines()[-1].endswith("/out goes on")


def test_adhoc_shows_whole_meetings(interrupted: Interrupted, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    out, err = interrupted(
        900, "adhoc", "bot:outer", "--players", "2", "--games", 400, "--json", file
    )
    found = json.loads(file.read_text())
    assert not found["whole"]
    assert [meeting["games"] for meeting in found["meetings"]] == [400, 400]
    assert found["averages"] == []
    assert all(meeting["partner"].removeprefix("bot:") in out for meeting in found["meetings"])
    assert err.splitlines()[-1] == "troupe adhoc: interrupted after 2 meetings"
