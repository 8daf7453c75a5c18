"""The command line: it helps at once, and what is wrong it says in one line with status 2."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from games.settings import parse_all
from marl.remote import driver
from marl.runs import roster
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import load_config
from marl.runs.monitor import read_metrics
from marl.runs.state import unflatten
from scripts import cli
from scripts.presets import PRESETS
from scripts.train_options import Train, read
from tests.marl.players import exported
from transport.launch import ProcessDiedError

TROUPE = Path(sys.executable).with_name("troupe")

# The smallest game and network: an update takes milliseconds.
TINY = (
    *("hanabi", "--variant", "very-small", "--warm-up", "16", "--evaluate-games", "8"),
    *("--agent.text-hidden", "32", "--agent.hidden", "16", "--actor.num-games", "8"),
    *("--learner.batch", "8", "--replay.capacity", "500", "--replay.capacity-bytes", "4000000"),
)


def troupe(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few updates."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert troupe("train", *TINY, "--updates", 3, "--seed", 5, "--run-dir", folder) == 0
    return folder


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """Runs a command that must be refused; returns the one line that it says."""
    capsys.readouterr()
    status = troupe(*args)
    out, err = capsys.readouterr()
    assert (status, out) == (2, ""), (status, out, err)
    (line,) = err.splitlines()
    assert line.startswith("troupe")
    return line


# --- help -------------------------------------------------------------------------------------


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for call in ([], ["--help"], ["-h"], ["help"]):
        assert cli.main(call) == 0
        out = capsys.readouterr().out
        for name, what in cli.COMMANDS.items():
            assert f"  {name} " in out
            assert what in out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert troupe(command, "--help") == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: troupe {command}")
    assert err == ""
    doc = importlib.import_module(f"scripts.{command}").__doc__
    assert doc is not None


@pytest.mark.parametrize(
    "args", [["--help"], ["bench"], ["bench", "--help"], ["evaluate", "--help"], ["nonsense"]]
)
def test_help_does_not_wait_for_torch(args: list[str]) -> None:
    code = (
        "import sys; from scripts.cli import main; main(sys.argv[1:]);"
        "sys.exit(sorted({'torch', 'numba', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert troupe("--version") == 0
    assert capsys.readouterr().out == "troupe 0.1.0\n"


@pytest.mark.parametrize("package", ["agents", "games"])
def test_a_shadowed_package_is_named_in_one_line(tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    done = subprocess.run(
        [TROUPE, "evaluate", "hanabi-2p"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"troupe: {tmp_path / package} is taken for Troupe's own package")


def test_a_run_whose_processes_keep_dying_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object, **options: object) -> None:
        raise ProcessDiedError("process learner gave up: no sequences have come")

    monkeypatch.setattr(driver, "train_distributed", die)
    said = refused(capsys, "train", *TINY, "--workers", 1, "--run-dir", tmp_path / "r")
    assert said == "troupe train: process learner gave up: no sequences have come"


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("tain", "there is no command 'tain': did you mean train?"),
        ("xyzzy", "there is no command 'xyzzy': choose from train,"),
        ("--verbose", "there is no command '--verbose'"),
        ("train hanabi", "missing --run-dir PATH"),
        ("train chess --run-dir {tmp}/r", "unknown game 'chess'; there are "),
        ("train hanabi --run-dir {tmp}/r --players", "missing value for argument '--players'"),
        ("train hanabi --run-dir {tmp}/r --players two", "players must look like"),
        ("train hanabi --run-dir {tmp}/r --players 3-2", "write 2-3"),
        ("train hanabi --run-dir {tmp}/r --players 6", "hanabi is played by 2, 3, 4, 5 players"),
        ("train hanabi hanabi:2 --run-dir {tmp}/r", "hanabi:2 is named twice"),
        ("train hanabi:2@small@full --run-dir {tmp}/r", "write each option once"),
        ("train hanabi:2@speed=3 --run-dir {tmp}/r", "speed"),
        (
            "train hanabi --run-dir {tmp}/r --variant huge",
            "there are full, plain, small, very-small",
        ),
        ("train hanabi --run-dir {tmp}/r --minutes 0", "--minutes must be a positive number"),
        ("train hanabi --run-dir {tmp}/r --minutes nan", "--minutes must be a positive number"),
        ("train hanabi --run-dir {tmp}/r --minutes soon", "--minutes: 'soon' is no number (see "),
        ("train hanabi --run-dir {tmp}/r --patience nan", "--patience must be a positive number"),
        ("train hanabi --run-dir {tmp}/r --updates 0", "--updates must be at least 1, got 0"),
        ("train hanabi --run-dir {tmp}/r --preset best", "invalid choice 'best'"),
        ("train hanabi --run-dir {tmp}/r --device tpu", "invalid choice 'tpu'"),
        ("train hanabi --run-dir {tmp}/r --seed x", "--seed: 'x' is no whole number"),
        ("train hanabi --run-dir {tmp}/r --seed -1", "seed cannot be negative, got -1"),
        ("train hanabi --run-dir {tmp}/r --preset vectr", "did you mean vector? (see"),
        ("train hanabi --run-dir {tmp}/r --learner.bach 3", "did you mean --learner.batch?"),
        (
            "train hanabi --run-dir {tmp}/r --learner.clip inf",
            "learner.clip must be a finite number, got inf",
        ),
        ("train hanabi --run-dir /dev/null/r", "--run-dir: /dev/null is a file"),
        ("train hanabi --run-dir {tmp}/r --learner.batch 0", "learner.batch must be at least 1"),
        ("train hanabi --run-dir {tmp}/r --agent.hidden -1", "agent.hidden must be at least 1"),
        ("train hanabi --run-dir {tmp}/r --actor.epsilon 2", "actor.epsilon must be in (0, 1]"),
        ("train hanabi --run-dir {tmp}/r --agent.encoder bert", "'phrases', 'paragraph'"),
        ("train hanabi --run-dir {tmp}/r --learner.mixing qmix", "'iql', 'vdn'"),
        ("train hanabi --run-dir {tmp}/r --imitate bot:plumber", "there is no bot 'plumber'"),
        ("train hanabi --run-dir {tmp}/r --imitation.weight -1", "imitation.weight cannot be"),
        ("train hanabi --run-dir {tmp}/r --resume", "holds no run"),
        ("evaluate", "missing AGENT"),
        ("evaluate {tmp}", "holds no run"),
        ("evaluate {tmp}/nobody", "there is no agent"),
        ("evaluate hanabi-2p b", "unknown game 'b'; there are "),
        ("evaluate hanabi-2p hanabi:2,2-3 hanabi:3", "hanabi:3 is named twice"),
        ("evaluate hanabi-2p hanabi:3@ranks=9", "ranks must be a whole number from 1 to 5, got 9"),
        ("evaluate hanabi-2p --players 6", "hanabi is played by 2, 3, 4, 5 players, got 6"),
        ("evaluate bot:smart tracking", "bot:smart cannot play tracking: this player has no word"),
        ("evaluate x --games 0", "--games must be at least 1, got 0"),
        ("evaluate x --png {tmp}/x.txt", "--png takes a file that ends in .png, .pdf, .svg"),
        ("evaluate x --png {tmp}", "--png takes a file that ends in"),
        ("evaluate x --json {tmp}", "--json takes a file, and {tmp} is a folder"),
        ("evaluate x --json /dev/null/x", "--json: /dev/null is a file, and no folder can be made"),
        ("crossplay x --out /dev/null/x", "--out: /dev/null is a file"),
        ("export x /dev/null/x", "FOLDER: /dev/null is a file"),
        ("play --with x --save /dev/null/x", "--save: /dev/null is a file"),
        ("replay x --hanab-live /dev/null/x", "--hanab-live: /dev/null is a file"),
        ("bench engine --json /dev/null/x", "--json: /dev/null is a file"),
        ("evaluate x --seed -1", "--seed cannot be negative, got -1"),
        ("evaluate x --games many", "--games: 'many' is no whole number"),
        ("export", "missing AGENT FOLDER"),
        ("export nobody {tmp}/out", "there is no agent 'nobody'"),
        ("bench nothing", "there is no bench 'nothing'"),
        ("bench --seconds long", "--seconds: 'long' is no number"),
        ("bench --seconds nan", "--seconds must be a finite number, got nan"),
        ("bench --json rows.json", "--json takes the rows of one bench, and 0 are named"),
    ],
)
def test_bad_input_is_refused(
    args: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said.replace("{tmp}", str(tmp_path))
    assert said in refused(capsys, *args.format(tmp=tmp_path).split())
    # Nothing is left behind that would stand in the way of a second try.
    assert not list(tmp_path.iterdir())


def test_the_console_script() -> None:
    done = subprocess.run([TROUPE, "evaluate"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "troupe evaluate: missing AGENT (see troupe evaluate --help)\n"


@pytest.mark.parametrize(
    ("body", "worded"),
    [
        ("raise ValueError('three is odd:\\n take four')", True),
        ("raise ValueError(\n        'three is odd: take four'\n    ) from None", True),
        (
            "try: int('x')\n    except ValueError as e: raise ValueError('odd') from e",
            True,
        ),
        ("int('x')", False),
        ("__import__('numpy').zeros(3).reshape(2, 2)", False),
        ("__import__('json').loads('{')", False),
        ("raise KeyError('a slip')", False),
    ],
)
def test_only_errors_that_we_word_lose_their_traceback(
    body: str, worded: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("scripts.some")
    exec(f"def main(args):\n    {body}", module.__dict__)
    monkeypatch.setitem(sys.modules, "scripts.some", module)
    monkeypatch.setitem(cli.COMMANDS, "some", "does something")
    if worded:
        assert "odd" in refused(capsys, "some")
    else:
        with pytest.raises((ValueError, KeyError)):
            cli.main(["some"])


def test_ctrl_c_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(args: list[str]) -> None:
        raise KeyboardInterrupt

    module = ModuleType("scripts.interrupted")
    module.main = interrupted  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scripts.interrupted", module)
    monkeypatch.setitem(cli.COMMANDS, "interrupted", "stops")
    assert cli.main(["interrupted"]) == 130
    assert capsys.readouterr().err == "troupe interrupted: interrupted\n"


# --- train, evaluate, export ------------------------------------------------------------------


def test_presets_are_options_that_can_be_overridden() -> None:
    from scripts.arguments import parse

    for name, preset in PRESETS.items():
        given = [*preset.options, "--preset", name, "--run-dir", "x", "--seed", "9"]
        assert parse(Train, "troupe train", given).seed == 9
    paper = parse(Train, "troupe train", [*PRESETS["paper"].options, "--run-dir", "x"])
    assert paper.agent.encoder == "paragraph"
    assert paper.learner.n_step == 1


def test_presets_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert troupe("train", "--help") == 0
    help = " ".join(capsys.readouterr().out.replace("│", " ").split())
    manual = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.what}" in help
        options = f"`{' '.join(preset.options)}`" if preset.options else ""
        assert f"| `{name}` | {preset.what} | {options} |" in manual


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_all_numbers_of_players_at_once(preset: str, tmp_path: Path) -> None:
    """With a curve for each, and moves shared equally among them."""
    folder = tmp_path / "run"
    tiny = ["small" if arg == "very-small" else arg for arg in TINY]  # with colours to exchange
    options = ("--players", "2-5", "--evaluate-interval", 2, "--updates", 3, "--run-dir", folder)
    assert troupe("train", *tiny, "--preset", preset, *options) == 0
    names = {
        name
        for line in (folder / "metrics.jsonl").read_text().splitlines()
        for name in json.loads(line)
    }
    assert {f"evaluate/hanabi-{players}-small/score" for players in (2, 3, 4, 5)} <= names
    actors = unflatten(*CheckpointStore(folder / "checkpoints").load())["actors"]
    moves = [actor["env_steps"] for actor in actors.values()]
    assert len(moves) == 4
    assert max(moves) - min(moves) <= 2, "not more than one move in each game of a setting"


@pytest.mark.timeout(300)
def test_a_run_goes_through_a_pool_and_on(tmp_path: Path) -> None:
    """With workers, and resumed with them."""
    options = ["--run-dir", tmp_path / "run", "--workers", 1]
    assert troupe("train", *TINY, *options, "--updates", 3) == 0
    first = roster.load(str(tmp_path / "run")).updates
    assert first >= 3
    assert troupe("train", "--resume", *options, "--updates", first + 3) == 0
    assert roster.load(str(tmp_path / "run")).updates >= first + 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "-1"], "--workers cannot be negative, got -1"),
        (["--actors", "0"], "--actors must be at least 1, got 0"),
        (["--actors", "2"], "give both"),
    ],
)
def test_processes_that_make_no_sense(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert troupe("train", *TINY, "--run-dir", tmp_path / "run", "--updates", 1, *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_begins_with_imitation(tmp_path: Path) -> None:
    schedule = ("--imitation.updates", 2, "--imitation.anneal", 2)
    options = (*schedule, "--updates", 6, "--run-dir", tmp_path / "run")
    assert troupe("train", *TINY, "--imitate", "bot:iggi", *options) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    entry = json.loads(lines[-1])
    assert 0 < entry["act/taught_steps"] < entry["act/env_steps"]
    assert entry["learn/imitation_loss"] > 0


def test_the_preset_comes_before_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import scripts.train_run

    seen = []

    class Done(Exception):
        pass

    def train(config: object, *args: object, **kwargs: object) -> None:
        seen.append(config)
        raise Done

    monkeypatch.setattr(scripts.train_run, "train", train)
    for preset in (["--preset", "paper"], ["--preset=paper"]):
        with pytest.raises(Done):
            troupe("train", "--learner.n-step", 5, *preset, "--run-dir", tmp_path / "r")
    for config in seen:
        assert (config.agent.encoder, config.learner.n_step) == ("paragraph", 5)


def test_a_run_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds a run already" in refused(
        capsys, "train", *TINY, "--updates", 1, "--run-dir", run
    )


def test_a_run_is_resumed_as_it_began(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "config.json").read_text()
    line = refused(
        capsys, "train", "--resume", "--run-dir", run, "--updates", 9, "--learner.batch", 16
    )
    assert "it began with --learner.batch 8, not 16" in line
    for asked, said in (
        (["hanabi:3@very-small"], "hanabi:3@very-small"),
        (["--players", "3"], "--players 3"),
        (["--variant", "small"], "--variant small"),
        (["--preset", "small"], "--variant small"),
    ):
        line = refused(capsys, "train", "--resume", "--run-dir", run, "--updates", 9, *asked)
        assert f"it began with hanabi:2@very-small, not with {said}" in line
    again = ("hanabi:2@very-small", "--players", "2", "--variant", "very-small")
    assert troupe("train", "--resume", "--run-dir", run, "--updates", 4) == 0
    assert troupe("train", "--resume", *again, "--run-dir", run, "--updates", 5) == 0
    assert (run / "config.json").read_text() == before
    assert json.loads(before)["seed"] == 5


def test_a_manager_that_is_asked_for_comes_with_what_suits_it(tmp_path: Path) -> None:
    def asked(*args: str) -> Train:
        return read([*args, "--run-dir", str(tmp_path / "run")])

    options = asked("supply-chain:2@periods=3", "--manager")
    (setting,) = options.config.settings()
    assert setting.options["manager_together"] is True
    assert setting.options["manager_every"] == 30
    assert options.agent.roles == ("^I speak to",)
    assert options.actor.idle_manager == 6000
    (setting,) = asked("supply-chain@manager_every=2", "--manager").config.settings()
    assert set(setting.options) == {"manager", "manager_every"}
    (setting,) = asked("stag-hunt", "--manager=incentives").config.settings()
    assert set(setting.options) == {"manager"}
    # A control is learned as its manager is, and a preset that is named counts.
    options = asked("supply-chain", "--manager", "none")
    assert set(options.config.settings()[0].options) == {"manager"}
    assert options.agent.hidden == 64
    assert asked("supply-chain", "--manager", "--preset", "default").agent.hidden == 128


def test_a_manager_is_trained_beside_the_players(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    brief = (*TINY[3:], "--run-dir", run)
    plain = "supply-chain:3@manager=incentives@periods=3"
    assert troupe("train", plain, *brief, "--updates", 3) == 0
    assert load_config(run).games == (plain,)
    entries = read_metrics(run)
    last = {name: value for entry in entries for name, value in entry.items()}
    slug = "supply-chain-3-manager-incentives-periods-3"
    for name in ("raw", "agents", "manager", "payments", "taxes", "gap"):
        assert f"evaluate/{slug}/{name}" in last
    told = {name: share for name, share in last.items() if name.startswith(f"asked/{slug}/")}
    assert f"asked/{slug}/factory-B/large-supplier+0.4" in told
    of_each = [sum(v for k, v in told.items() if f"/factory-{x}/" in k) for x in "ABC"]
    assert of_each == pytest.approx([1, 1, 1])
    again = ("--resume", "--run-dir", run, "--updates", 4)
    assert troupe("train", "--manager", *again) == 0
    said = refused(capsys, "train", "--manager", "shared", *again)
    assert "not with --manager shared" in said


def test_evaluate_reports_what_it_found(run: Path, tmp_path: Path) -> None:
    reports = []
    for name in ("one", "two"):
        file, picture = tmp_path / f"{name}.json", tmp_path / f"{name}.png"
        files = ("--json", file, "--png", picture)
        assert troupe("evaluate", run, "--games", 50, "--seed", 3, *files) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        reports.append(json.loads(file.read_text()))
    (setting,) = reports[0]["settings"]
    assert (setting["games"], setting["seed"]) == (50, 3)
    assert setting["setting"] == "hanabi:2@very-small"
    outcomes = setting["outcomes"]
    assert list(outcomes) == ["score", "points", "lost"]
    assert sum(outcomes["score"]["distribution"].values()) == 50
    assert 0 <= outcomes["score"]["mean"] <= outcomes["points"]["mean"] <= 5
    # The same seed gives the same games.
    assert outcomes == reports[1]["settings"][0]["outcomes"]


def test_evaluate_writes_where_it_is_told_and_into_runs_only(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert troupe("evaluate", "bot:iggi", "hanabi:2@very-small", "--games", 2) == 0
    exported = tmp_path / "exported"
    assert troupe("export", run, exported) == 0
    assert troupe("evaluate", exported, "--games", 2, "--json", "found.json") == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["exported", "found.json"]
    assert len(list(exported.iterdir())) == 2
    (run / "scores.png").unlink(missing_ok=True)
    capsys.readouterr()
    assert troupe("evaluate", run, "--games", 1) == 0
    out = capsys.readouterr().out
    assert (run / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert "1 game, seed 1" in out
    assert "±" not in out
    assert "nan" not in out


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_evaluate_puts_the_headline_first_and_fits_the_screen(
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """However many outcomes the games have, none is left out or cut."""
    games = ("supply-chain:2@manager=incentives", "harvest", "hanabi:2@very-small")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert troupe("evaluate", exported(tmp_path / "a", games=games), "--games", 2) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= min(columns, 100)
    assert "…" not in out
    for setting in parse_all(games):
        headline, *others = setting.batched(1).scoring
        assert re.search(rf"│ {setting.game[:9]}.*│ +{headline} -?[0-9.]+ ± [0-9.]+ │", out)
        for name in others:
            assert re.search(rf"\b{name} -?[0-9.]+( ± [0-9.]+|%)", out)
    assert "score, a lost game counts 0" in out

    assert troupe("evaluate", "bot:iggi", "hanabi:2-3@very-small", "--games", 2) == 0
    out = capsys.readouterr().out
    assert "score" in out.splitlines()[2], "what all have in common stands at the head"
    assert "lost" in out


def test_evaluate_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.progress.LINE_SECONDS", 0.0)
    assert troupe("evaluate", "bot:iggi", "hanabi:2-3@very-small", "--games", 5) == 0
    assert "10 of 10 games, 0 s left" in capsys.readouterr().err


def test_an_agent_that_reads_no_text_is_refused_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--preset", "vector", "--updates", 1, "--run-dir", tmp_path / "r")
    assert troupe("train", *TINY, *options) == 0
    said = "it reads no text, and knows only what it was trained on (hanabi:2@very-small)"
    for asked in (("--players", 3), ("--variant", "small"), ("hanabi:3@very-small",)):
        assert said in refused(capsys, "evaluate", tmp_path / "r", "--games", 1, *asked)
    for asked in (("--players", 3, "--variant", "very-small"), ("--variant", "small")):
        assert said in refused(capsys, "play", "--with", tmp_path / "r", *asked)


def test_evaluate_other_settings(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    command = ("evaluate", run, "--players", "2-5", "--variant", "small", "--games", 4)
    assert troupe(*command, "--json", file) == 0
    report = json.loads(file.read_text())
    names = [f"hanabi:{players}@small" for players in (2, 3, 4, 5)]
    assert [setting["setting"] for setting in report["settings"]] == names
    assert troupe("evaluate", run, "hanabi:2-5@small", "--games", 4, "--json", file) == 0
    again = json.loads(file.read_text())
    for one, other in zip(report["settings"], again["settings"], strict=True):
        assert one["outcomes"] == other["outcomes"]


def test_an_exported_agent_plays_the_same(run: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    assert troupe("export", run, exported) == 0
    assert sorted(file.name for file in exported.iterdir()) == ["agent.safetensors", "config.json"]
    settings = []
    for agent in (run, exported):
        file = tmp_path / f"{agent.name}.json"
        assert troupe("evaluate", agent, "--games", 40, "--json", file) == 0
        settings.append(json.loads(file.read_text())["settings"][0]["outcomes"])
    assert settings[0] == settings[1]


def test_export_overwrites_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is there already" in refused(capsys, "export", run, tmp_path)


def test_damaged_files_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "exported"
    troupe("export", run, exported)
    (exported / "agent.safetensors").write_bytes(b"not weights")
    assert "agent.safetensors is damaged" in refused(capsys, "evaluate", exported)
    (exported / "config.json").write_text("{")
    assert "config.json is damaged" in refused(capsys, "evaluate", exported)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is damaged: Expecting property name"),
        ("[]", "a configuration has names and values, this is []"),
        ('{"seed": "x"}', "is not one of this version of Troupe"),
        ('{"learner": {"gamma": NaN}}', "learner.gamma must be in (0, 1], got nan"),
        ("\udcff", "is damaged: 'utf-8' codec can't decode"),
    ],
)
def test_a_broken_configuration_is_named(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    for command in (("train", "--resume", "--run-dir", tmp_path), ("evaluate", tmp_path)):
        line = refused(capsys, *command)
        assert f"{tmp_path}/config.json" in line
        assert said in line


def test_an_exported_folder_is_not_trained_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "exported"
    assert troupe("export", run, folder) == 0
    before = {file: file.read_bytes() for file in folder.iterdir()}
    for options in (["--resume"], ["--resume", "--workers", 1], [*TINY], [*TINY, "--workers", 1]):
        line = refused(capsys, "train", *options, "--run-dir", folder, "--updates", 9)
        assert f"troupe train --start {folder} --run-dir OTHER" in line
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in folder.iterdir())


def test_learning_that_runs_away_is_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ("--learner.learning-rate", 30, "--learner.text-learning-rate", 30)
    options = (*rates, "--updates", 500, "--run-dir", tmp_path / "r")
    assert troupe("train", *TINY, *options) == 2
    err = capsys.readouterr().err
    assert "learning has diverged: after" in err
    assert "begin another run with less than --learner.learning-rate 30" in err
    assert "Traceback" not in err
