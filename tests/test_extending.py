"""The page about extending Troupe: what it shows works, block by block."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import games
from marl.runs.monitor import read_metrics

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = {
    title: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for title, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of somebody's own, with the game of the page in a file."""
    place = tmp_path_factory.mktemp("own")
    (place / "whisper.py").write_text(BLOCKS["A game"][0], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        patch.chdir(place)
        patch.setitem(games.GAMES, "whisper", games.settings.GameInfo("whisper", (2,), 2))
        yield place
    sys.modules.pop("whisper", None)


ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/extending.md", "docs/comparing.md"])
def test_what_pages_point_to_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert "://" in link or (ROOT / name).parent.joinpath(link).is_file(), link
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\S+)|`make (\S+)`", text, re.MULTILINE):
        assert f"\n{''.join(target)}:" in makefile
    for file in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        # The page about extending says where a game of its own would go.
        assert (ROOT / file).is_file() or file == "games/whisper.py", file


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    (version,) = re.findall(r"^version = (\S+)$", setup, re.MULTILINE)
    assert f"\nversion: {version}\n" in citation
    for key in ("cff-version", "message", "title", "authors"):
        assert re.search(rf"^{key}:", citation, re.MULTILINE)


def execute(*blocks: str) -> dict[str, Any]:
    known: dict[str, Any] = {"games": games}
    for block in blocks:
        exec(compile(block, "extending.md", "exec"), known)
    return known


def test_every_part_is_there() -> None:
    assert list(BLOCKS) == ["A game", "An agent", "A loss", "A schedule"]
    assert [len(blocks) for blocks in BLOCKS.values()] == [4, 1, 2, 2]


def test_a_game(folder: Path) -> None:
    """The kit has it (``check_all`` is called on the page), and it is learned."""
    _, register, conformance, learning = BLOCKS["A game"]
    assert "testing.check_all(make, decode=decode, truth=truth, scramble=scramble)" in conformance
    known = execute(register, conformance)
    (seen,) = (seen for agent, seen in known["observations"].items() if "teller" in agent)
    assert "is wanted" in seen["text"]
    execute(learning)
    assert read_metrics(folder / "runs" / "whisper")[-1]["step"] == 20


def test_the_kit_would_notice(folder: Path) -> None:
    """A hearer who is told the fruit, and a game that forgets what was said, are found out."""
    _, register, conformance, _ = BLOCKS["A game"]
    source = BLOCKS["A game"][0]
    for right, wrong, said in (
        ("4 + self.said if seat else", "4 + (self.said + self.wanted) % 4 if seat else", "reads"),
        ('"said": self.said.copy(),', '"said": self.said * 0,', "after load_state"),
        ("default_rng(int(seed))", "default_rng()", "played twice|alone"),
    ):
        assert right in source
        module = type(sys)("whisper")
        exec(source.replace(right, wrong), module.__dict__)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "whisper", module)
            with pytest.raises(AssertionError, match=said):
                execute(register, conformance)


def test_an_agent(folder: Path) -> None:
    known = execute(*BLOCKS["An agent"])
    assert len(known["perfect"]) == 200


def test_a_loss(folder: Path) -> None:
    known = execute(*BLOCKS["A loss"])
    told = [metrics["conservative_loss"] for metrics in known["metrics"]]
    assert all(np.isfinite(told))
    # Without being made small it stays near log(4), the value of four equal choices.
    assert 0 < told[-1] < told[0]


def test_a_schedule() -> None:
    """Six workers that are kept apart act on every frame, and on every sixth if they are not."""
    found = execute(*BLOCKS["A schedule"])["found"]
    assert found["Immediate"]["coverage"] == pytest.approx(1 / 6, abs=0.01)
    assert found["Metronome"]["coverage"] == 1
