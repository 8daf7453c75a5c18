"""Points with partners never met: who sits where, what is averaged, and what is left out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from games.settings import Setting, parse_all
from marl.acting.evaluate import evaluate
from marl.acting.table import play_many
from marl.crossplay import adhoc, adhoc_page, best_response
from marl.crossplay.adhoc import Adhoc
from marl.crossplay.partners import (
    CONVENTIONS,
    FRESH_LISTS,
    GUEST,
    HOSTS,
    RULE_LISTS,
    roles,
    seating,
)
from marl.runs import roster
from marl.runs.split import PARTS, TEST, Part
from scripts.cli import main

pytestmark = pytest.mark.timeout(600)  # the first of them waits for players to be compiled

GAMES = 24


@pytest.fixture(scope="module")
def found() -> Adhoc:
    return adhoc.measure(["hanabi-2p"], parse_all(("hanabi:2-3",)), games=GAMES, seed=3)


@pytest.mark.parametrize("players", [2, 3, 5])
def test_everybody_has_a_seat(players: int) -> None:
    guest = seating(players, 60, GUEST, 4)
    hosts = seating(players, 60, HOSTS, 4)
    assert ((guest == 0).sum(1) == 1).all()
    assert ((hosts == 0).sum(1) == players - 1).all()
    for seats in (guest, hosts):
        # Of several policies each meets the agent in every place, and no game has two of them.
        assert {len(set(row[row > 0])) for row in seats} == {1}
        places = {(row.max(), tuple(row == 0)) for row in seats}
        assert len(places) == 4 * players
    assert len(roles(Setting("hanabi", players))) == (1 if players == 2 else 2)


def test_meetings_are_the_games_that_they_say(found: Adhoc) -> None:
    """One of each role is played again, by hand."""
    agent, piers = (roster.load(name).policy for name in ("bot:iggi", "bot:piers"))
    for role, mine in ((GUEST, 0), (HOSTS, 1)):
        seats = np.full((GAMES, 3), 1 - mine)
        seats[np.arange(GAMES), np.arange(GAMES) % 3] = mine
        played = play_many(Setting("hanabi", 3), [agent, piers], GAMES, 3, seats)
        (one,) = (
            m
            for m in found.meetings
            if (m.agent, m.partner, m.setting, m.role)
            == ("bot:iggi", "bot:piers", "hanabi:3", role)
        )
        assert one.scores["score"].mean == pytest.approx(played.outcome["score"].mean())
        assert one.scores["points"].mean == pytest.approx(played.outcome["points"].mean())
        assert one.lost_share == pytest.approx(played.outcome["lost"].mean())
        assert one.scores["score"].low <= one.scores["score"].mean <= one.scores["score"].high


def test_references_stand_below_and_kinds_are_averaged_apart(found: Adhoc) -> None:
    assert [a.agent for a in found.averages[:6:2]] == ["hanabi-2p", "bot:piers", "bot:iggi"]
    for mean in found.averages:
        chosen = [
            m
            for m in found.meetings
            if (m.agent, m.kind, m.setting, m.role)
            == (mean.agent, mean.kind, mean.setting, mean.role)
            and not m.met
        ]
        names = {m.partner for m in chosen}
        if mean.kind == RULE_LISTS:
            assert names == {*TEST.rule_lists, FRESH_LISTS}
        else:
            # An agent is no stranger to itself.
            assert names == set(TEST.conventions) - {mean.agent}
        assert mean.partners == len(names)
        assert mean.scores is not None
        expected = np.mean([m.scores["score"].mean for m in chosen])
        assert mean.scores["score"].mean == pytest.approx(expected)
    piers = [m for m in found.averages if m.agent == "bot:piers" and m.kind == RULE_LISTS]
    lost = [m.lost_share for m in piers]
    assert max(share or 0 for share in lost) < 0.05
    assert (found.averages[0].lost_share or 0) > 0.3  # hanabi-2p has met nobody


def test_who_was_met_in_training_is_left_out() -> None:
    validated = adhoc.measure(["hanabi-2p-taught"], parse_all(("hanabi:2",)), part="train", games=4)
    marked = {(m.agent, m.partner) for m in validated.meetings if m.met}
    assert marked == {
        ("hanabi-2p-taught", "bot:smart"),
        ("hanabi-2p-taught", "hanabi-2p-taught"),
    }
    (mean,) = (
        a for a in validated.averages if (a.agent, a.kind) == ("hanabi-2p-taught", CONVENTIONS)
    )
    assert (mean.partners, mean.scores, mean.lost_share) == (0, None, None)


def test_intervals_of_random_lists_are_over_lists() -> None:
    """A hundred games of two lists are two lists, not a hundred."""
    setting = Setting("hanabi", 2)
    bots = [roster.load(f"bot:{name}").policy for name in ("iggi", "piers", "flawed")]
    played = play_many(setting, bots, 100, 1, seating(2, 100, GUEST, 2))
    width = {}
    for policies in (1, 2):
        estimate = adhoc._samples(played, 2, policies, 1)["score"].estimate()
        width[policies] = estimate.high - estimate.low
    assert width[2] > 2 * width[1]


def test_the_command_writes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "out" / name for name in ("found.json", "found.csv")]
    options = ["--players", "2", "--games", "4", "--json", str(files[0]), "--csv", str(files[1])]
    looks = [tmp_path / "out" / name for name in ("found.html", "found.png")]
    shown = ["--page", str(looks[0]), "--picture", str(looks[1])]
    assert main(["adhoc", "bot:outer", *options, *shown]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("outer", "piers", "iggi", "holmes", "random lists"))
    assert "…" not in said
    found = json.loads(files[0].read_text())
    lines = list(csv.DictReader(io.StringIO(files[1].read_text())))
    assert len(lines) == len(found["meetings"]) == 3 * (4 + 5)
    assert float(lines[0]["score_low"]) <= float(lines[0]["score"])
    assert looks[0].read_text().count('<section id="hanabi-2-guest"') == 1
    assert looks[1].read_bytes().startswith(b"\x89PNG")
    for wrong, why in (
        ([], "give agents to measure, or --best-responses FILE"),
        (["bot:outer", "--games", "4", "--page", "found.txt"], "--page takes a file that ends in"),
        (["clever"], "there is no agent 'clever'"),
        (["bot:outer", "--games", "1"], "games must be at least the 2 players of hanabi:2, got 1"),
        (["bot:outer", "--seed", "-1"], "the seed cannot be negative"),
        (["bot:outer", "--part", "all"], "--part"),
    ):
        assert main(["adhoc", *wrong, *([] if "--games" in wrong else options[:4])]) == 2
        assert why in capsys.readouterr().err


def test_the_best_response_is_the_best_of_all_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holmes is his own best partner; Internal has a better one than itself."""
    part = Part(("bot:internal",), 0, ("bot:holmes",))
    monkeypatch.setitem(PARTS, "test", part)
    monkeypatch.setattr(best_response, "FIXED", ("bot:iggi", "bot:flawed"))
    settings = parse_all(("hanabi:2-3",))
    found = best_response.find(["bot:piers"], settings, part="test", games=60, seed=1)
    assert best_response.count(["bot:piers"], settings, "test", 60) == 9 * 60 * 4
    best = {one.key[1:]: one for one in found}
    assert len(best) == len(found) == 3 * 3
    for setting, role in (("hanabi:2", GUEST), ("hanabi:3", GUEST), ("hanabi:3", HOSTS)):
        assert best["bot:holmes", setting, role].best == best_response.ITSELF
        internal = best["bot:internal", setting, role]
        assert internal.best in ("bot:piers", "bot:iggi")
        assert internal.score > internal.itself
        assert (FRESH_LISTS, setting, role) in best
    alone = evaluate(roster.load("bot:holmes").policy, settings[0], games=60, seed=1)
    assert best["bot:holmes", "hanabi:2", GUEST].itself == pytest.approx(alone.mean(), abs=1e-3)
    best_response.write(tmp_path / "best.json", found)
    read = [
        best_response.BestResponse(**one)
        for one in json.loads((tmp_path / "best.json").read_text())
    ]
    assert read == found


def test_everybody_of_the_test_has_a_best_response() -> None:
    """Kept in the package, for all settings and roles; nobody is above it by more than chance."""
    kept = best_response.known()
    for setting in parse_all(("hanabi:2-5",)):
        for role in roles(setting):
            for name in (*TEST.rule_lists, FRESH_LISTS, *TEST.conventions):
                one = kept["test", name, setting.name, role]
                assert one.score >= one.itself
                assert one.score > 5


def test_the_page_says_what_was_found(found: Adhoc) -> None:
    page = adhoc_page.render(found)
    assert page == adhoc_page.render(found)
    for name in ("hanabi:2, one guest", "hanabi:3, one guest", "hanabi:3, several hosts"):
        assert name in page
    one = next(m for m in found.meetings if (m.agent, m.partner) == ("bot:iggi", "bot:piers"))
    assert f"bot:iggi with bot:piers: {one.scores['score'].mean:.2f}" in page
    assert one.share is not None
    assert one.share == pytest.approx(one.scores["score"].mean / (one.best_score or 0))
    assert f">{one.share:.0%}</small>" in page
