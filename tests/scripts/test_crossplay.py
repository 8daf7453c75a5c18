"""``troupe crossplay`` from the command line: it plays, goes on, repeats itself, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marl.crossplay.cells import Crossplay
from scripts.cli import main
from tests.marl.players import exported


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("agents")
    return [
        exported(folder / "text", games=("hanabi:2-3",)),
        exported(folder / "vector", {"encoder": "vector"}, games=("hanabi:2",), seed=2),
    ]


def crossplay(agents: list[str], out: Path, *args: object) -> int:
    options = ["--players", "2", "3", "--games", "6", "--out", str(out), *map(str, args)]
    return main(["crossplay", *agents, *options])


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.parent.name != "tensorboard"
    }


def test_it_plays_goes_on_and_repeats_itself(
    agents: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert crossplay(agents, tmp_path / "one") == 0
    out, err = capsys.readouterr()
    assert "24 games" in err
    assert "not able: it reads no text, and knows only what it was trained on (hanabi:2)" in out
    assert "crossplay.html" in out
    for heading in ("self-play", "cross-play", "gap"):
        assert heading in out
    report = json.loads((tmp_path / "one" / "crossplay.json").read_text())
    assert report["agents"] == agents
    assert report["settings"] == ["hanabi:2", "hanabi:3"]
    assert [len(m["cells"]) for m in report["matrices"]] == [3, 1]

    play = Crossplay.play
    calls = []

    def interrupted(self: Crossplay, *args: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        play(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Crossplay, "play", interrupted)
        assert crossplay(agents, tmp_path / "two") == 130
    assert f"--out {tmp_path / 'two'} goes on\n" in capsys.readouterr().err
    assert len(list((tmp_path / "two" / "cells").iterdir())) == 2
    assert crossplay(agents, tmp_path / "two") == 0
    assert "2 cells have been played already, 2 are to be played" in capsys.readouterr().err
    assert files(tmp_path / "one") == files(tmp_path / "two")

    # Once more, with everything there: nothing is played, and nothing changes.
    assert crossplay(agents, tmp_path / "two") == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert crossplay(agents, tmp_path / "two", "--seed", 2) == 2
    assert "seed was 1, now 2" in capsys.readouterr().err


def test_nobody_can_play(
    agents: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["crossplay", agents[1], "--players", "3-4", "--out", str(tmp_path / "out")]
    assert main(call) == 2
    assert "nobody can play hanabi:3: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("", "missing"),
        ("nobody-at-all --out {tmp}/out", "there is no agent 'nobody-at-all'"),
        ("{agent} {agent} --out {tmp}/out", "is named twice"),
        ("{agent} {agent}/ --out {tmp}/out", "is named twice"),
        ("{agent} --players 1 --out {tmp}/out", "hanabi is played by 2, 3, 4, 5 players, got 1"),
        ("{agent} --players 6 --out {tmp}/out", "hanabi is played by 2, 3, 4, 5 players, got 6"),
        ("{agent} --settings tracking:1 --out {tmp}/out", "needs 2 players or more"),
        ("{agent} --settings chess --out {tmp}/out", "unknown game 'chess'"),
        ("{agent} --settings hanabi hanabi:2 --out {tmp}/out", "hanabi:2 is named twice"),
        ("{agent} --settings hanabi:2@ranks=9 --out {tmp}/out", "ranks must be a whole number"),
        ("{agent} --players two --out {tmp}/out", "players must look like"),
        ("{agent} --games 0 --out {tmp}/out", "games must be at least 1"),
        ("{agent} --seed -1 --out {tmp}/out", "cannot be negative"),
        ("{agent} --variant huge --out {tmp}/out", "there are full, plain, small, very-small"),
        ("{agent} --out {agent}", "holds other files"),
    ],
)
def test_bad_input(
    args: str, said: str, agents: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = args.format(agent=agents[0], tmp=tmp_path).split()
    assert main(["crossplay", *call]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_without_a_setting_what_all_were_made_for_is_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the first; one seat is no cross-play; rules go along with the learned."""
    several = exported(tmp_path / "a", games=("tracking", "simple-spread:2", "hanabi:3,2@small"))
    two = exported(tmp_path / "b", games=("hanabi:2@small", "simple-spread:2"), seed=2)

    def played(*agents: str) -> list[str]:
        out = tmp_path / "out" / str(len(list(tmp_path.glob("out/*"))))
        assert main(["crossplay", *agents, "--games", "2", "--out", str(out)]) == 0
        report = json.loads((out / "crossplay.json").read_text())
        assert isinstance(report["settings"], list)
        return report["settings"]

    assert played(several, two) == ["simple-spread:2", "hanabi:2@small"]
    assert played(two, "bot:piers") == ["hanabi:2@small"]
    assert played("bot:piers", "bot:iggi") == ["hanabi:2", "hanabi:3", "hanabi:4", "hanabi:5"]

    capsys.readouterr()
    third = exported(tmp_path / "c", games=("escape-room", "tracking"))
    assert main(["crossplay", two, third, "--out", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert "nothing in common that two can play" in said
    assert f"{third} was made for escape-room:2, tracking" in said
    assert len(said.splitlines()) == 1
    assert main(["adhoc", third, "--games", "6"]) == 2
    assert "no Hanabi is among what they were made for: give --players" in capsys.readouterr().err
