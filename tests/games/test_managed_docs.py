"""What the manuals of managed games say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import games
from games.managed import SCORING, ManagerConfig
from games.manager import KINDS
from games.social import HarvestConfig
from games.social.harvest_optimum import bound

DOCS = Path(__file__).parents[2] / "docs"


def manual(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["supply-chain", "managed"])
def test_the_examples_run(name: str) -> None:
    (block, *_) = re.findall(r"```python\n(.*?)```", manual(name), re.DOTALL)
    known = {"games": games}
    exec(block, known)
    assert "game" in known


@pytest.mark.parametrize("name", ["supply-chain", "managed", "social"])
def test_every_setting_that_is_named_can_be_played(name: str) -> None:
    players = "|".join(games.GAMES)
    found = set(re.findall(rf"`((?:{players})[:@][^` ]+)`", manual(name)))
    assert found
    for setting in found:
        games.batched(setting, num_games=1)


def test_the_manager_is_told_whole() -> None:
    text = manual("managed")
    assert all(f"| `{kind}` |" in text for kind in KINDS)
    assert all(f"`{score}`" in text for score in SCORING)
    fields = set(ManagerConfig.__dataclass_fields__) - {"manager"}
    assert {f"manager_{field}" for field in fields} == set(
        re.findall(r"^\| `(manager_\w+)` \|", text, re.MULTILINE)
    )


def test_the_facts_of_the_manual_are_said() -> None:
    text = manual("supply-chain")
    table = text[text.index("## Facts") : text.index("## What can be had")]
    phrases = set(games.batched("supply-chain:3", num_games=1).phrasebook)
    said = re.findall(r"`([^`]+)`", table)
    assert len(said) > 8
    assert set(said) <= phrases


def test_the_bounds_of_the_manual() -> None:
    text = manual("social")
    for players, said in ((2, "50.78"), (3, "52.35"), (4, "52.89")):
        assert said in text
        assert bound(HarvestConfig(players=players)) == pytest.approx(float(said), abs=0.0051)
