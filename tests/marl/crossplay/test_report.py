"""The files of a cross-play: the same bytes again, the same figures everywhere, and legible."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from marl.crossplay import heatmap, report
from marl.crossplay.cells import Cell, Crossplay
from marl.crossplay.matrix import Matrix
from tests.marl.players import made_up, play_all

NAMES = ("runs/seed<1>", "runs/two", 'bot:"q"&a')
CHROMIUM = next(
    filter(
        None,
        map(
            shutil.which,
            ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell"),
        ),
    ),
    None,
)


def outcome(cell: Cell) -> tuple[list[float], list[int]]:
    rng = np.random.default_rng([cell.setting.players, cell.guest, cell.hosts])
    points = np.clip(rng.normal(8 + 5 * cell.guest + 2 * cell.hosts, 3, 40).round(), 0, 25)
    return points.tolist(), [0, 5]


@pytest.fixture(scope="module")
def crossplay(tmp_path_factory: pytest.TempPathFactory) -> Crossplay:
    folder = tmp_path_factory.mktemp("out") / "matrix"
    return made_up(folder, NAMES, ("hanabi:2-3",), 40, outcome, cannot=(("hanabi:3", "runs/two"),))


@pytest.fixture(scope="module")
def matrices(crossplay: Crossplay) -> list[Matrix]:
    return report.write(crossplay)


def test_a_rerun_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        report.write(play_all(tmp_path / name, "ab"))
    report.write(play_all(tmp_path / "two", "ab"))  # and once more where everything is there
    files = sorted(
        file.relative_to(tmp_path / "one")
        for file in (tmp_path / "one").rglob("*.*")
        if file.parent.name != "tensorboard"
    )
    assert {str(f) for f in files if f.parent == Path()} == {
        "agents.csv",
        "cells.csv",
        "crossplay-hanabi-2-small.png",
        "crossplay-hanabi-3-small.png",
        "crossplay.html",
        "crossplay.json",
        "settings.json",
    }
    assert len(files) == 7 + 3 + 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1


def test_the_tables(crossplay: Crossplay, matrices: list[Matrix]) -> None:
    two, three = matrices
    rows = list(csv.DictReader((crossplay.folder / "cells.csv").open(encoding="utf-8")))
    assert len(rows) == 6 + 9
    for row in rows:
        one = two if row["setting"] == "hanabi:2" else three
        key = NAMES.index(row["guest"]), NAMES.index(row["hosts"])
        if row["unable"]:
            assert key not in one.cells
            assert (row["games"], row["score"], row["lost_share"]) == ("0", "", "")
            continue
        cell = one.cells[key]
        for rule in ("score", "points"):
            found = [float(row[rule + end]) for end in ("", "_low", "_high")]
            estimate = cell.scores[rule]
            assert found == pytest.approx([estimate.mean, estimate.low, estimate.high], abs=1e-6)
        assert (float(row["lost_share"]), int(row["games"])) == (0.05, 40)
    assert {row["unable"] for row in rows} == {"", "runs/two: runs/two counts to 2 <only>"}
    agents = list(csv.DictReader((crossplay.folder / "agents.csv").open(encoding="utf-8")))
    assert [row["agent"] for row in agents] == [*NAMES, *NAMES]
    mean = two.agents[0].cross_play
    assert mean is not None
    assert float(agents[0]["cross_play_score"]) == pytest.approx(mean["score"].mean, abs=1e-6)
    assert agents[4]["self_play_score"] == ""


def test_the_json(crossplay: Crossplay, matrices: list[Matrix]) -> None:
    found = json.loads((crossplay.folder / "crossplay.json").read_text(encoding="utf-8"))
    assert (found["agents"], found["games"], found["confidence"]) == (list(NAMES), 40, 0.95)
    two, three = found["matrices"]
    assert (two["setting"], len(two["cells"]), len(three["cells"])) == ("hanabi:2", 6, 4)
    assert two["gap"]["score"]["mean"] == pytest.approx(
        two["self_play"]["score"]["mean"] - two["cross_play"]["score"]["mean"], abs=1e-5
    )
    cell = three["cells"][1]
    assert (cell["guest"], cell["hosts"]) == (NAMES[0], NAMES[2])
    assert cell["scores"]["points"]["mean"] == round(
        matrices[1].cells[0, 2].scores["points"].mean, 6
    )
    assert len(cell["by_turn"]["score"]) == 3
    assert three["agents"][1]["unable"] == "runs/two counts to 2 <only>"


def test_tensorboard_shows_the_picture(crossplay: Crossplay, matrices: list[Matrix]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(crossplay.folder / "tensorboard"))
    board.Reload()
    assert board.Tags()["images"] == ["crossplay/hanabi-2", "crossplay/hanabi-3"]
    (image,) = board.Images("crossplay/hanabi-2")
    assert image.width > 500
    (gap,) = board.Scalars("crossplay/hanabi-2/gap_score")
    assert matrices[0].gap is not None
    assert gap.value == pytest.approx(matrices[0].gap["score"].mean)


# --- the picture ------------------------------------------------------------------------------


def test_the_picture_says_all_it_should(
    matrices: list[Matrix], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot

    kept: list = []  # type: ignore[type-arg]
    monkeypatch.setattr(pyplot, "close", kept.append)
    heatmap.save(tmp_path / "a.png", matrices[0], 25)
    (figure,) = kept
    panel = figure.axes[0]
    said = [text.get_text() for text in panel.texts]
    for cell in matrices[0].cells.values():
        assert f"{cell.scores['score'].mean:.1f}" in said
    assert [t.get_text() for t in panel.get_yticklabels()] == ["seed<1>", "two", 'bot:"q"&a']
    assert panel.get_xticklabels()[-1].get_text() == "cross-play"
    around = " ".join(text.get_text() for text in figure.texts)
    assert "Cross-play of hanabi:2" in around
    assert f"self-play {matrices[0].self_play['score'].mean:.2f}" in around
    assert "40 games a cell" in around
    # Everything lies inside the picture: its edges are blank.
    pixels = pyplot.imread(tmp_path / "a.png")[..., :3]
    for edge in (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:]):
        assert (edge == 1).all()


def test_one_agent_makes_a_picture(tmp_path: Path) -> None:
    report.write(made_up(tmp_path / "one", ("alone",), ("hanabi:2",), 40, outcome))
    assert (tmp_path / "one" / "crossplay-hanabi-2.png").stat().st_size > 5000
    assert "gap</span>" not in (tmp_path / "one" / "crossplay.html").read_text(encoding="utf-8")


def luminance(rgb: tuple[int, int, int]) -> float:
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.array(rgb) / 255
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_colours_grow_darker_and_stay_legible() -> None:
    shades = [heatmap.colour(share) for share in np.linspace(0, 1, 200)]
    light = [luminance(shade) for shade in shades]
    assert (np.diff(light) < 0).all()
    ink = luminance((0x1D, 0x25, 0x30))
    for shade, level in zip(shades, light, strict=True):
        contrast = (
            1.05 / (level + 0.05) if heatmap.is_dark(shade) else (level + 0.05) / (ink + 0.05)
        )
        assert contrast > 3.8
    assert heatmap.colour(-1) == heatmap.colour(0)
    assert heatmap.colour(2) == heatmap.colour(1)


def test_labels_stay_apart() -> None:
    assert heatmap.labels(["runs/a", "b", "bot:smart"]) == ["a", "b", "bot:smart"]
    assert heatmap.labels(["x/last", "y/last", "z"]) == ["x/last", "y/last", "z"]
    (long,) = heatmap.labels(["runs/" + "n" * 40])
    assert len(long) == 26


# --- the page ---------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects what a page refers to, checks that tags are closed, and reads the heat maps."""

    def __init__(self) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.open: list[str] = []
        self.titles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.refers += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)
        if values.get("title"):
            self.titles.append(str(values["title"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(crossplay: Crossplay, matrices: list[Matrix]) -> None:
    text = (crossplay.folder / "crossplay.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert reader.refers == []
    assert not re.search(r"https?:|@import|url\(", text)
    assert "<1>" not in text  # names are escaped
    assert "&lt;only&gt;" in text
    cell = matrices[0].cells[0, 1].scores["score"]
    assert any(title.startswith(f"seed<1> with two: {cell.mean:.3f}") for title in reader.titles)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_page_in_a_browser(
    crossplay: Crossplay, matrices: list[Matrix], tmp_path: Path
) -> None:
    """Tabs, rules and sorting, as a person would use them."""
    text = (crossplay.folder / "crossplay.html").read_text(encoding="utf-8")
    probe = """
<script>
const state = () => ({
  shown: [...document.querySelectorAll("section")].filter((s) => s.offsetParent).map((s) => s.id),
  captions: [...new Set([...document.querySelectorAll("caption")].filter((c) => c.offsetParent)
    .map((c) => c.textContent))],
  order: [...[...document.querySelectorAll("section.shown .sortable")]
    .find((t) => t.offsetParent).tBodies[0].rows].map((row) => row.cells[0].textContent),
  nav: document.querySelector("nav").offsetParent !== null,
});
const said = [];
window.onerror = (message) => said.push({ error: message });
const finish = () => {
  const out = document.createElement("pre");
  out.id = "said";
  out.textContent = JSON.stringify(said);
  document.body.append(out);
};
const steps = [
  () => {},
  () => document.querySelector("section.shown .sortable th:nth-child(2)").click(),
  () => document.querySelector("section.shown .sortable th:nth-child(2)").click(),
  () => document.querySelector('nav [data-rule="points"]').click(),
  () => document.querySelector('nav [data-setting="hanabi-3"]').click(),
];
const next = (i) => {
  if (i === steps.length) return finish();
  steps[i]();
  setTimeout(() => { said.push(state()); next(i + 1); }, 50);
};
next(0);
</script></body>"""
    file = tmp_path / "probe.html"
    file.write_text(text.replace("</body>", probe), encoding="utf-8")
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout[-2000:] + done.stderr[-2000:]
    first, falling, rising, kept, three = json.loads(unescape(found[1]))
    assert first["nav"]
    assert first["shown"] == ["hanabi-2"]
    assert first["captions"] == ["score, a lost game counts 0"]
    labels = heatmap.labels(NAMES)
    assert first["order"] == labels
    own = [matrices[0].cells[i, i].scores["score"].mean for i in range(3)]
    by_score = [labels[i] for i in np.argsort(own)]
    assert falling["order"] == by_score[::-1]
    assert rising["order"] == by_score
    assert kept["captions"] == ["points, a lost game keeps them"]
    assert three["shown"] == ["hanabi-3"]
    assert three["captions"] == ["points, a lost game keeps them"]
