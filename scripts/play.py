"""``troupe play``: sit down at a table with agents, in a terminal."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from scripts import consoles
from scripts.arguments import parse
from scripts.outputs import check_file

if TYPE_CHECKING:
    from rich.console import Console

    from agents.core import Observations
    from games.hanabi import HanabiConfig
    from games.hanabi.record import GameRecord
    from marl.core import Policy

COMMAND = "troupe play"

HELP = """\
a move     its number, or its sentence, or short: play 3, discard 1, tell A red, tell B 2
?          what the agent would do in your place, and what it expects of each move
facts      everything you know, sentence by sentence
table      the table again
save FILE  save the game so far, and go on
quit       save and leave"""


@dataclass(frozen=True)
class Options:
    """Sits you down at a table with agents.

    You see what any agent in your seat would observe, in the same sentences.
    """

    game: Annotated[Literal["hanabi", "blocks", "parcels"], tyro.conf.Positional] = "hanabi"
    """What is played; blocks and parcels on consoles, with the arrow keys."""
    partners: Annotated[
        tuple[str, ...], tyro.conf.arg(name="with", metavar="AGENT"), tyro.conf.UseAppendAction
    ] = ()
    """Who plays with you: an agent's folder or name. Once for all the others, or once for each of
    them in the order of turns after you."""
    players: int | None = None
    """Number of players; without it, you and those that are named."""
    seat: int = 1
    """Your seat; seat 1 begins."""
    name: str = "you"
    """What you are called in a saved game."""
    adviser: Annotated[str | None, tyro.conf.arg(metavar="AGENT")] = None
    """Who answers "?"; without it, the first of your partners."""
    variant: Annotated[str, tyro.conf.arg(metavar="NAME")] = "full"
    """Preset of the game's rules."""
    seed: int | None = None
    """Of the deck; a new one every time without it."""
    save: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for the game, written when it ends or you leave; hanabi-SEED.json without it."""


def main(args: Sequence[str]) -> None:
    """Plays a game as the options say.

    Raises:
        ValueError: if there is no such agent, or an option is out of range.
    """
    from rich.console import Console

    options = parse(Options, COMMAND, args)
    if options.game in consoles.GAMES:
        _at_consoles(options)
        return
    if not options.partners:
        raise ValueError("nobody to play with: name an agent, as in --with bot:smart")
    players = options.players or len(options.partners) + 1
    if len(options.partners) not in (1, players - 1):
        raise ValueError(
            f"{players} players are you and {players - 1} others, but {len(options.partners)} "
            "are named: name one for all, or one for each"
        )
    if not 1 <= options.seat <= players:
        raise ValueError(f"--seat must be from 1 to {players}, got {options.seat}")
    if options.seed is not None and options.seed < 0:
        raise ValueError(f"--seed cannot be negative, got {options.seed}")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    file = options.save or Path(f"hanabi-{seed}.json")
    check_file(file, "--save")
    if file.exists():
        raise ValueError(f"{file} is there already: name another file with --save")
    from games.hanabi import configure
    from games.hanabi.record import GameRecord
    from games.settings import Setting
    from marl.runs import roster  # it imports torch

    setting = Setting("hanabi", players, {"preset": options.variant})
    config = configure(options.variant, players=players)
    names = [*options.partners] * (1 if len(options.partners) == players - 1 else players - 1)
    adviser = options.adviser or names[0]
    known: dict[str, Policy] = {}
    for name in dict.fromkeys([*names, adviser]):
        member = roster.load(name)
        member.check(setting)
        known[name] = member.policy
    mine = options.seat - 1
    seats: list[str] = [""] * players
    for k, name in enumerate(names):
        seats[(mine + 1 + k) % players] = name
    seats[mine] = options.name
    policies = [None if s == mine else known[name] for s, name in enumerate(seats)]
    record = GameRecord.begin(config, tuple(seats), seed)
    session = Session(record, mine, policies, (adviser, known[adviser]), file, Console())
    session.run()


def _at_consoles(options: Options) -> None:
    if len(options.partners) > 1:
        raise ValueError(f"{options.game} seats one partner, and {len(options.partners)} are named")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    file = options.save or Path(f"{options.game}-{seed}.json")
    if seed < 0:
        raise ValueError(f"--seed cannot be negative, got {seed}")
    if file.exists():
        raise ValueError(f"{file} is there already: name another file with --save")
    consoles.play(options.game, next(iter(options.partners), None), seed, file)


class Session:
    """One game between a person and agents.

    Args:
        record: the game before its first move.
        seat: the person's.
        policies: of every seat, None for the person's.
        adviser: name and policy of whom the person can ask.
        file: where the game is saved.
        console: where the person sits.
    """

    def __init__(
        self,
        record: GameRecord,
        seat: int,
        policies: Sequence[Policy | None],
        adviser: tuple[str, Policy],
        file: Path,
        console: Console,
    ) -> None:
        self.record, self.seat, self.policies = record, seat, policies
        self.adviser, self.file, self.console = adviser, file, console
        self.batch = record.table()
        self.moves: list[str] = []
        self.memory = [np.zeros((1, (p or adviser[1]).memory_size), np.float32) for p in policies]
        n = len(policies)
        order = [record.players[(seat + k) % n] for k in range(n)]
        letters = [f"partner {'ABCD'[k - 1]}" for k in range(1, n)]
        self.names = [order[0], *(f"{a} ({b})" for a, b in zip(letters, order[1:], strict=True))]
        """For the person: itself first, then partners by letter and name."""

    @property
    def config(self) -> HanabiConfig:
        """The setting."""
        return self.record.config

    def run(self) -> None:
        """Plays until the game ends or the person leaves; saves either way."""
        from rich.markup import escape

        partners = escape(", ".join(self.names[1:]))
        self.console.print(f"[bold]Hanabi[/] with {partners}", highlight=False)
        self.console.print("[dim]help lists what you can type[/]")
        try:
            over = False
            while not over:
                if self.batch.seat[0] == self.seat:
                    choice = self._ask()
                    if choice is None:
                        break
                else:
                    choice = self._think()
                over = self._make(choice)
            if over:
                self._end()
        finally:
            self._save(self.file)

    def _observations(self) -> Observations:
        from marl.acting.table import observe

        return observe(self.batch)[np.arange(1)]

    def _think(self) -> int:
        """The choice of the agent whose turn it is."""
        seat = int(self.batch.seat[0])
        policy = self.policies[seat]
        assert policy is not None
        choice, _, self.memory[seat] = policy.act(self._observations(), self.memory[seat])
        return int(choice[0])

    def _make(self, choice: int) -> bool:
        """Makes a move; whether the game is over."""
        self.moves.append(self.batch.phrasebook[int(self.batch.choices[0, choice])])
        step = self.batch.step(np.array([choice]))
        return bool(step.over[0])

    def _ask(self) -> int | None:
        """The person's choice, None to leave."""
        observations = self._observations()
        before = self.memory[self.seat]
        # The adviser follows the game from the person's seat, asked or not.
        advice, values, self.memory[self.seat] = self.adviser[1].act(observations, before)
        choices = self.batch.phrasebook.render(self.batch.choices[0])
        self._show_table()
        self._show_moves(choices)
        while True:
            try:
                said = self.console.input("[bold]your move:[/] ").strip()
            except EOFError:
                self.console.print()
                return None
            word, _, rest = said.partition(" ")
            if said == "?":
                self._advise(int(advice[0]), values[0], choices, observations, before)
            elif word == "facts":
                self._show_facts()
            elif word == "table":
                self._show_table()
                self._show_moves(choices)
            elif word in ("help", "h"):
                self.console.print(HELP, highlight=False, markup=False)
            elif word == "save":
                self._save(Path(rest) if rest else self.file)
            elif word in ("quit", "q", "exit"):
                return None
            elif said:
                try:
                    return choice_of(said, choices)
                except ValueError as error:
                    self.console.print(str(error), markup=False, highlight=False)

    def _show_table(self) -> None:
        from games.hanabi.decode import decode
        from scripts.tabletop import table

        view = decode(self.batch.facts[0])
        points = f"{sum(view.fireworks)} of {self.config.max_score} points"
        title = f"turn {len(self.moves) + 1}, {points}"
        held = int((self.batch.labels[0] >= 0).sum())
        self.console.print(table(view, self.names, title, held))

    def _show_moves(self, choices: Sequence[str]) -> None:
        """The legal moves in a few lines: what is done, and the number of each."""
        from rich.table import Table
        from rich.text import Text

        groups: dict[str, list[str]] = {}
        for number, choice in enumerate(choices, 1):
            verb, what = short(choice)
            groups.setdefault(verb, []).append(f"{number} {what}")
        lines = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for verb, moves in groups.items():
            text = Text("  ").join(
                Text.assemble((move.split()[0], "bold"), " ", move.partition(" ")[2])
                for move in moves
            )
            lines.add_row(verb, text)
        self.console.print(lines)

    def _show_facts(self) -> None:
        from rich.columns import Columns

        facts = self.batch.phrasebook.render(self.batch.facts[0])
        self.console.print(Columns(facts, padding=(0, 3), column_first=True), highlight=False)

    def _advise(
        self,
        advice: int,
        values: NDArray[np.float32],
        choices: Sequence[str],
        observations: Observations,
        memory: NDArray[np.float32],
    ) -> None:
        """What the adviser would do, expects and believes."""
        from rich.table import Table

        name, policy = self.adviser
        self.console.print(
            f"{name} would say: {choices[advice]}", style="bold", markup=False, highlight=False
        )
        # Players by rules weigh no moves against each other.
        if hasattr(policy, "network"):
            expected = Table("move", "points to come", box=None, padding=(0, 2, 0, 0))
            for k in np.argsort(-values[: len(choices)], kind="stable").tolist():
                style = "bold" if k == advice else ""
                expected.add_row(f"{k + 1} {choices[k]}", f"{values[k]:+.2f}", style=style)
            self.console.print(expected)
        else:
            self.console.print("[dim]it plays by rules, and expects nothing of the others[/]")
        self._show_beliefs(policy, observations, memory)

    def _show_beliefs(
        self, policy: Policy, observations: Observations, memory: NDArray[np.float32]
    ) -> None:
        """What the adviser believes you hold, card by card, where it has an opinion."""
        from rich.table import Table
        from rich.text import Text

        from marl.acting.belief import own_hand
        from scripts.tabletop import coloured

        beliefs = own_hand(policy, observations, memory)
        if beliefs is None:
            return
        table = Table("it believes you hold", box=None, padding=(0, 2, 0, 0))
        held = self.batch.labels[0] >= 0
        for slot in np.flatnonzero(held).tolist():
            chances = beliefs.chances[0, slot]
            likely = np.argsort(-chances, kind="stable")[:4].tolist()
            said = [beliefs.sentences[slot][k].split(f"card {slot + 1} ")[1] for k in likely]
            cells = [
                Text.assemble(coloured(what.removeprefix("is ")), f" {chances[k]:.0%}")
                for k, what in zip(likely, said, strict=True)
            ]
            table.add_row(f"card {slot + 1}", *cells)
        self.console.print(table)

    def _end(self) -> None:
        """Shows the last position, and how it went."""
        from games.hanabi.decode import decode
        from scripts.tabletop import table

        *_, last = self._played().positions()
        view = decode(self.batch.observe(self.seat)[0][0])
        self.console.print(table(view, self.names, "the end", last.hands[self.seat]))
        how = "the last life is spent: " if last.lost else ""
        points = f"{how}{last.score} of {self.config.max_score} points"
        if last.lost:
            points += ", which count 0 under one rule and stay under the other"
        self.console.print(f"[bold]{points}[/]", highlight=False)

    def _played(self) -> GameRecord:
        return replace(self.record, moves=tuple(self.moves))

    def _save(self, file: Path) -> None:
        from games.hanabi.record import save

        save(self._played(), file)
        self.console.print(f"saved: troupe replay {file}", markup=False, highlight=False)


_FILLERS = {"i", "card", "cards", "which", "are", "is", "partner", "rank", "the"}
_WORDS = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}


def short(choice: str) -> tuple[str, str]:
    """A choice in two parts, what is done and with what: ("play", "card 3"), ("tell A", "red")."""
    words = choice.split()
    if words[1] == "tell":
        return f"tell {words[3]}", words[-1]
    return words[1], " ".join(words[2:])


def choice_of(said: str, choices: Sequence[str]) -> int:
    """The choice that a person means.

    Args:
        said: a number from 1, a choice's sentence, or the words of it that matter: "play 3",
            "tell A red", "tell b twos".
        choices: the sentences.

    Raises:
        ValueError: if it is none of them.
    """
    if said.isdecimal():
        if not 1 <= int(said) <= len(choices):
            raise ValueError(f"there is no move {said}: choose from 1 to {len(choices)}")
        return int(said) - 1
    meant = _essence(said)
    for index, choice in enumerate(choices):
        if _essence(choice) == meant:
            return index
    raise ValueError(f"{said!r} is no move that can be made now (help lists what you can type)")


def _essence(sentence: str) -> list[str]:
    """The words of a sentence that tell it from others."""
    words = [word for word in sentence.lower().replace(",", " ").split() if word not in _FILLERS]
    if words[:1] == ["tell"] and len(words) > 2:
        value = words[-1].removesuffix("s")
        words[-1] = _WORDS.get(value, value)
    return words
