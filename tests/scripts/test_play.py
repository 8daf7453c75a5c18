"""A person at the table: what is shown, what may be typed, and what is kept."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import games
from games.hanabi import HanabiBatched, HanabiConfig
from games.hanabi.decode import decode
from games.hanabi.record import load
from scripts import tabletop
from scripts.cli import main
from scripts.moves import choice_of, command_of, short
from tests.marl.players import exported

Play = Callable[..., str]
CHOICES = HanabiBatched.phrasebook.render(
    HanabiBatched(HanabiConfig(players=5, information_tokens=8), 1, seed=2).choices[0]
)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> str:
    return exported(
        tmp_path_factory.mktemp("agents") / "tiny", {"own_hand": True, "core": "lstm"}, seed=4
    )


@pytest.fixture
def play(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """Plays with what is typed; returns all that was shown."""

    def run(typed: str, *args: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.chdir(tmp_path)
        assert main(["play", "--with", agent, "--seed", "7", *args]) == 0
        return str(capsys.readouterr().out)

    return run


# --- what may be typed ------------------------------------------------------------------------


def test_every_choice_can_be_said_in_full_in_short_and_by_number() -> None:
    assert len(CHOICES) > 20
    for index, choice in enumerate(CHOICES):
        verb, what = short(choice)
        for said in (choice, choice.lower(), str(index + 1), f"{verb} {what}", f"{verb} {what}s"):
            if said != f"{verb} {what}s" or "tell" in verb:
                assert choice_of(said, CHOICES) == index, said


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("play 3", "I play card 3"),
        ("  Play   card 3", "I play card 3"),
        ("tell a red", "I tell partner A which cards are red"),
        ("tell partner A reds", "I tell partner A which cards are red"),
        ("tell A 1", "I tell partner A which cards are rank one"),
        ("tell A rank 1s", "I tell partner A which cards are rank one"),
        ("tell A blues", "I tell partner A which cards are blue"),
    ],
)
def test_ways_to_say_a_move(said: str, choice: str) -> None:
    choices = [choice, "I play card 1", "I discard card 3", "I tell partner B which cards are red"]
    assert choice_of(said, choices) == 0


@pytest.mark.parametrize("said", ["0", "99", "play 9", "tell E red", "dance", "²"])
def test_what_is_no_move(said: str) -> None:
    with pytest.raises(ValueError, match=r"there is no move|is no move that can be made"):
        choice_of(said, CHOICES)


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("PLAY 3", "I play card 3"),
        ("pl 3", "I play card 3"),
        ("t a re", "I tell partner A which cards are red"),
        ("Tell b r", "I tell partner B which cards are red"),
        ("t c 2", "I tell partner C which cards are rank two"),
    ],
)
def test_beginnings_of_words_are_enough(said: str, choice: str) -> None:
    more = ["I tell partner C which cards are rank two", "I tell partner C which cards are blue"]
    choices = [*CHOICES, *(sentence for sentence in more if sentence not in CHOICES)]
    if choice not in choices:
        choices.append(choice)
    assert choices[choice_of(said, choices)] == choice


def test_what_may_mean_several_moves_is_not_guessed() -> None:
    with pytest.raises(ValueError, match=r"'pl' may mean play card 1, play card 2, .*: say more"):
        choice_of("pl", CHOICES)
    with pytest.raises(ValueError, match=r"'plya 3' is no move .*: did you mean play 3\?"):
        choice_of("plya 3", ["I play card 3", "I discard card 1"])


def test_a_number_keeps_its_meaning() -> None:
    """Whatever can be done at the moment, and in the order of the environment's actions."""
    game = HanabiBatched(HanabiConfig(players=2), 1, seed=2)
    numbered = game.phrasebook.render(game.choice_phrases)
    env = games.make("hanabi", players=2)
    env.reset(seed=2)
    meanings: dict[int, str] = {}
    rng = np.random.default_rng(3)
    for _ in env.agent_iter(40):
        observation, _, terminated, truncated, info = env.last()
        if terminated or truncated:
            break
        legal = info["legal_actions"]
        for action, sentence in zip(
            np.flatnonzero(observation["action_mask"]).tolist(), legal, strict=True
        ):
            assert legal[choice_of(str(action + 1), legal, numbered)] == sentence
            assert meanings.setdefault(action, sentence) == sentence
        for action in set(range(20)) - set(np.flatnonzero(observation["action_mask"]).tolist()):
            with pytest.raises(ValueError, match="which is no move that can be made now"):
                choice_of(str(action + 1), legal, numbered)
        env.step(int(rng.choice(np.flatnonzero(observation["action_mask"]))))
    assert len(meanings) == 20


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ("help", "help"),
        ("HELP", "help"),
        ("he", "help"),
        ("Facts", "facts"),
        ("ta", "table"),
        ("Q", "quit"),
        ("Exit", "quit"),
        ("sa", "save"),
        ("play", None),
        ("", None),
    ],
)
def test_commands_are_known_by_their_beginnings(said: str, command: str | None) -> None:
    assert command_of(said) == command


# --- a game -----------------------------------------------------------------------------------


def test_a_whole_game(play: Play, tmp_path: Path) -> None:
    out = play("play 1\n" * 80, "--players", "3", "--save", "out/game.json")
    record = load(tmp_path / "out" / "game.json")
    *_, last = record.positions()
    assert last.over
    assert record.players[0] == "you"
    assert f"{last.score} of 25 points" in out
    assert "troupe replay out/game.json" in out
    # The agents play their best, and the deck is the seed's: the same again.
    play("play 1\n" * 80, "--players", "3", "--save", "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "out/game.json").read_bytes()


@pytest.mark.parametrize("players", [2, 3, 5])
def test_a_person_sees_everything_but_its_own_cards(
    players: int, play: Play, tmp_path: Path
) -> None:
    out = play("play 1\nplay 2\nfacts\nquit\n", "--players", str(players), "--save", "game.json")
    record = load(tmp_path / "game.json")
    assert len(record.moves) == 2 * players
    *_, last = record.positions()
    shown = out[out.rindex("╭─ turn") :]
    for offset in range(1, players):
        for colour, rank in last.view.hands[offset]:
            assert f"{tabletop.COLOURS[colour]} {tabletop.RANKS[rank]}" in shown
    facts = HanabiBatched.phrasebook.render(record.table().facts[0])
    for fact in facts:
        assert fact in shown
    # The rows of the person's own hand hold no card.
    mine = next(line for line in shown.splitlines() if re.match(r"│ you\b", line))
    assert not any(rank in mine for rank in tabletop.RANKS)
    numbered = re.findall(
        r"\b(\d+) (?:card|red|yellow|green|white|blue|one|two|three|four|five)", shown
    )
    table = record.table()
    everything, legal = table.choice_phrases.tolist(), table.choices[0, : table.choice_counts[0]]
    assert {int(n) for n in numbered} >= {everything.index(id) + 1 for id in legal.tolist()}


def test_the_agent_is_asked(play: Play, agent: str, tmp_path: Path) -> None:
    out = play("?\nquit\n", "--players", "2", "--save", "game.json")
    would = re.search(r"would say: (.+)", out)
    assert would is not None
    choices = HanabiBatched.phrasebook.render(load(tmp_path / "game.json").table().choices[0])
    assert would[1].strip() in choices
    table = out[out.index("points to come") :]
    values = [float(v) for v in re.findall(r"([+-]\d+\.\d\d)\s*$", table, re.MULTILINE)]
    assert len(values) == len(choices)
    assert values == sorted(values, reverse=True)
    assert table.splitlines()[1].split(maxsplit=1)[1].startswith(would[1].strip())
    beliefs = table[table.index("it believes you hold") :]
    assert len(re.findall(r"card \d .*\d+%", beliefs)) == 5


def test_advice_follows_the_game(play: Play) -> None:
    """The adviser's memory goes on from turn to turn, asked or not."""
    asked = play("?\n7\n?\n7\n?\nquit\n", "--save", "a.json")
    unasked = play("7\n7\n?\nquit\n", "--save", "b.json")
    last = asked[asked.rindex("would say") :].replace("a.json", "b.json")
    assert last == unasked[unasked.rindex("would say") :]


def test_leaving_and_saving(play: Play, tmp_path: Path) -> None:
    out = play("7\nsave early.json\nnonsense\nhelp\n", "--name", "Ann")  # the input ends: it leaves
    assert "'nonsense' is no move that can be made now" in out
    assert "save FILE" in out
    early, late = load(tmp_path / "early.json"), load(tmp_path / "hanabi-7.json")
    assert early == late
    assert early.players[0] == "Ann"
    assert len(early.moves) == 2


def test_an_interruption_saves(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    def interrupt(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Console, "input", interrupt)
    with pytest.raises(AssertionError):  # the status is 130
        play("", "--players", "2")
    assert load(tmp_path / "hanabi-7.json").moves == ()


def test_any_seat(play: Play, tmp_path: Path) -> None:
    play("7\nquit\n", "--players", "4", "--seat", "3", "--save", "game.json")
    record = load(tmp_path / "game.json")
    assert record.players[2] == "you"
    assert record.players.count("you") == 1
    assert len(record.moves) == 2 + 4
    assert [p.seat for p in record.positions()] == [0, 1, 2, 3, 0, 1, 2]


def test_partners_sit_in_the_order_they_are_named(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = exported(tmp_path / "other")
    monkeypatch.setattr("sys.stdin", io.StringIO("quit\n"))
    file = tmp_path / "game.json"
    call = ["play", "--with", agent, "--with", other, "--seat", "2", "--save", str(file)]
    assert main(call) == 0
    assert load(file).players == (other, "you", agent)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "nobody to play with: name an agent"),
        (["--with", "nobody-at-all"], "there is no agent 'nobody-at-all'"),
        (["--with", "a", "--with", "b", "--players", "2"], "2 players are you and 1 others, but 2"),
        (["--with", "a", "--with", "b", "--players", "5"], "5 players are you and 4 others, but 2"),
        (["--with", "a", "--players", "6"], "hanabi is played by 2, 3, 4, 5 players, got 6"),
        (["--with", "a", "--seat", "3"], "--seat must be from 1 to 2, got 3"),
        (["--with", "a", "--seed", "-1"], "--seed cannot be negative"),
        (["--with", "a", "--save", "/dev/null"], "/dev/null is there already"),
        (["--with", "a", "--variant", "huge"], "there are full, plain, small, very-small"),
        (["chess", "--with", "a"], "unknown game 'chess'; there are "),
        (["hanbi", "--with", "a"], "unknown game 'hanbi': did you mean hanabi?"),
        (["hanabi:2-3", "--with", "a"], "hanabi:2-3 means 2 settings: name one number of players"),
        (["tracking:1", "--with", "a"], "tracking is played alone"),
        (["--with", "bot:smrt"], "there is no bot 'smrt': did you mean bot:smart?"),
        (["--with", "hanabi2p"], "there is no agent 'hanabi2p': did you mean hanabi-2p?"),
        (["simple-reference", "--with", "bot:smart"], "bot:smart cannot play simple-reference"),
    ],
)
def test_bad_input(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


# --- other games ------------------------------------------------------------------------------


def test_a_game_of_simultaneous_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By facts and choices as sentences; both move at once, and the agent as it would."""
    other = exported(tmp_path / "other", games=("simple-reference",))
    monkeypatch.chdir(tmp_path)
    typed = "?\nsave SOME/early.json\nnothing like it\n3\n" + "3\n" * 40
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    call = ["play", "simple-reference", "--with", other, "--seed", "7", "--seat", "2"]
    assert main(call) == 0
    out = capsys.readouterr().out
    assert "would say: " in out
    assert "is no move that can be made now" in out
    early = json.loads((tmp_path / "SOME" / "early.json").read_text())
    game = json.loads((tmp_path / "simple-reference-7.json").read_text())
    assert (early["moves"], early["players"]) == ([], [other, "you"])
    assert game["setting"] == "simple-reference"
    batch = games.batched("simple-reference", 1, seed=7, restart=False)
    assert batch.phrasebook.render(batch.facts[1])[-1] in out
    numbered = batch.phrasebook.render(batch.choice_phrases)
    moves = iter(game["moves"])
    over = False
    while not over:
        index = []
        for row, seat in enumerate(batch.due_seat.tolist()):
            mover, sentence = next(moves)
            assert mover == seat
            if seat == 1:
                assert sentence == numbered[2]
            index.append(batch.phrasebook.render(batch.choices[row]).index(sentence))
        step = batch.step(np.array(index))
        over = bool(step.over[0])
    assert next(moves, None) is None
    headline = batch.scoring[0]
    assert f"{headline} {float(step.outcome[headline][0]):g}" in out


def test_a_person_is_the_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is asked once for each factory and round, and what it says is heard."""
    monkeypatch.setenv("COLUMNS", "200")
    other = exported(tmp_path / "other", games=("supply-chain:3@manager=incentives",))
    monkeypatch.chdir(tmp_path)
    large = "I ask {} to order from the large supplier and offer 0.4 for each part"
    typed = "".join(large.format(f"factory {name}") + "\n" for name in "ABC") * 3 + "quit\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    game = "supply-chain@periods=3"
    assert main(["play", game, "--as", "manager", "--with", other, "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "you are manager" in out
    assert "I speak to factory C now" in out
    assert "raw " in out
    saved = json.loads((tmp_path / "supply-chain-7.json").read_text())
    assert saved["setting"] == "supply-chain:3@manager=incentives@periods=3"
    assert saved["players"] == [other, other, other, "you"]
    seats = [seat for seat, _ in saved["moves"]]
    assert seats == [3, 3, 3, 0, 1, 2] * 3
    # Where only the game is named, what the others have learned is played.
    monkeypatch.setattr("sys.stdin", io.StringIO("quit\n"))
    learned = "supply-chain:3@manager=incentives@manager_offers=0.3@periods=2"
    hearing = exported(tmp_path / "hearing", games=(learned,))
    assert main(["play", "supply-chain", "--as", "manager", "--with", hearing, "--seed", "8"]) == 0
    assert json.loads((tmp_path / "supply-chain-8.json").read_text())["setting"] == learned
    assert main(["play", game, "--as", "boss", "--with", other]) == 2
    assert "choose from factory" in capsys.readouterr().err
    assert main(["play", "stag-hunt", "--as", "manager"]) == 2
    assert "nobody to play with" in capsys.readouterr().err


def test_a_manager_comes_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what it would offer, and what it expects of that, in the points of the game."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin", io.StringIO("?\nI ask nothing of everybody\n"))
    assert main(["play", "supply-chain", "--as", "manager", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "supply-chain would say: I ask everybody to order from the large supplier" in out
    values = [float(v) for v in re.findall(r"\+(\d+\.\d\d)\s*$", out, re.MULTILINE)]
    assert len(values) == 4
    assert 40 < max(values) < 73.58  # discounted; what it learned from was scaled by 0.3
    assert "payments 0" in out


# --- looking at it again ----------------------------------------------------------------------


@pytest.fixture
def game(play: Play, tmp_path: Path) -> Path:
    play("1\n16\n17\n18\n11\n" * 40, "--players", "3", "--save", "game.json")
    return tmp_path / "game.json"


def test_the_whole_game_is_printed(game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = load(game)
    assert main(["replay", str(game), "--all"]) == 0
    out = capsys.readouterr().out
    numbers = re.findall(r"^ *(\d+)  \S", out, re.MULTILINE)
    assert [int(n) for n in numbers] == list(range(1, len(record.moves) + 1))
    *_, last = record.positions()
    assert ("lost" if last.lost else "the end") + f", {last.score} points" in out
    plays = sum(move.startswith("I play") for move in record.moves)
    assert len(re.findall(r"which (?:fitted|misfired)", out[: out.index("╭")])) == plays


def test_step_by_step(
    game: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\nb\n9\n999\n\n"))
    assert main(["replay", str(game)]) == 0
    titles = re.findall(r"╭─ (turn \d+|lost|the end)", capsys.readouterr().out)
    assert titles[:5] == ["turn 1", "turn 2", "turn 3", "turn 2", "turn 9"]
    assert titles[5] in ("lost", "the end")
    assert len(titles) == 6
    for typed in ("", "q\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        assert main(["replay", str(game)]) == 0


def test_export(game: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "live.json"
    assert main(["replay", str(game), "--hanab-live", str(out)]) == 0
    exported = json.loads(out.read_text())
    assert len(exported["actions"]) == len(load(game).moves)
    assert str(out) in capsys.readouterr().out


def test_no_game_to_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "none.json")]) == 2
    (tmp_path / "some.json").write_text("{}")
    assert main(["replay", str(tmp_path / "some.json")]) == 2
    err = capsys.readouterr().err
    assert "No such file" in err
    assert "is no recorded game" in err


# --- words ------------------------------------------------------------------------------------


def test_what_hints_tell_of_a_card() -> None:
    def mask(*places: int) -> np.ndarray:
        return np.isin(np.arange(5), places)

    everything = mask(0, 1, 2, 3, 4)
    assert tabletop.known(everything, everything) == "?"
    assert tabletop.known(mask(0), everything) == "red"
    assert tabletop.known(mask(0), mask(2)) == "red; three"
    assert tabletop.known(mask(1, 2, 3), mask(0, 1, 2, 3)) == "not red, blue, five"
    assert tabletop.known(mask(4), mask(0, 1)) == "blue; not three, four, five"


def test_moves_in_words_name_the_right_player() -> None:
    """Whoever tells, and whoever looks: the names are those of teller and told."""
    game = HanabiBatched(HanabiConfig(players=3), 1, seed=1, restart=False)
    names = ["Ann", "Bo", "Cy"]
    for teller in range(3):
        choices = game.phrasebook.render(game.choices[0])
        index = next(k for k, c in enumerate(choices) if c.startswith("I tell partner B"))
        game.step(np.array([index]))
        told = names[(teller + 2) % 3]
        for viewer in range(3):
            view = decode(game.observe(viewer)[0][0])
            seen = tabletop.latest(view, names[viewer:] + names[:viewer]).plain
            assert f"{names[teller]} told {told} which cards are" in seen
