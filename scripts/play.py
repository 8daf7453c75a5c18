"""``troupe play``: sit down at a table with agents, in a terminal."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from games.settings import Setting, complete
from games.settings import parse as parse_setting
from scripts import consoles
from scripts.arguments import parse
from scripts.outputs import check_file

if TYPE_CHECKING:
    from scripts.sitting import Seats

COMMAND = "troupe play"


@dataclass(frozen=True)
class Options:
    """Sits you down at a table with agents.

    You see what any agent in your seat would observe, in the same sentences.
    """

    game: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SETTING")] = "hanabi"
    """What is played: hanabi, hanabi:3@small, simple-reference; blocks and parcels on consoles,
    with the arrow keys."""
    partners: Annotated[
        tuple[str, ...], tyro.conf.arg(name="with", metavar="AGENT"), tyro.conf.UseAppendAction
    ] = ()
    """Who plays with you: an agent's folder or name. Once for all the others, or once for each of
    them in the order of turns after you."""
    watch: Annotated[str | None, tyro.conf.arg(metavar="AGENT")] = None
    """On consoles: an agent plays in all seats, and you watch. Without a terminal the game is only
    played and saved, for troupe replay."""
    players: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Number of players; without it, you and those that are named."""
    seat: int = 1
    """Your seat; seat 1 begins."""
    role: Annotated[str | None, tyro.conf.arg(name="as", metavar="ROLE")] = None
    """Your role, where seats differ in theirs: you take the first seat of it. As manager of a game
    that is named without options, you may ask and offer what your partners have learned to hear,
    and otherwise whatever the game declares."""
    name: str = "you"
    """What you are called in a saved game."""
    adviser: Annotated[str | None, tyro.conf.arg(metavar="AGENT")] = None
    """Who answers "?"; without it, the first of your partners."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Preset of the game's rules."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Of the game, such as its deck; a new one every time without it."""
    save: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for the game, written when it ends or you leave; GAME-SEED.json without it."""
    schedule: Annotated[
        Literal["sequential", "immediate", "max_time", "expected_time", "frame_clock"] | None,
        tyro.conf.arg(metavar="NAME"),
    ] = None
    """Lets an agent play a world that does not wait (parcels, tracking, blocks), in all seats and
    in real time, through a pool of processes: frame_clock, sequential, immediate, max_time or
    expected_time."""
    workers: int = 1
    """With --schedule: processes that infer."""
    pool: Annotated[str | None, tyro.conf.arg(metavar="WHERE")] = None
    """With --schedule: folder or endpoint of a pool that troupe serve has started with the same."""
    draft: Annotated[str | None, tyro.conf.arg(metavar="AGENT")] = None
    """With --schedule: a small agent beside the loop that foresees the choices on their way."""
    told: Literal["answered", "nothing"] = "answered"
    """With --schedule: what an agent is told of its choices on their way: those that are back, or
    nothing, for one that never learned what that means. A sequential schedule then asks it again
    only when its last choice has acted."""
    seconds: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """With --schedule: how long to play; without it, one game."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """With --schedule: file for the figures; nothing is shown meanwhile."""
    choices: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """With --schedule: file (CSV) for every choice of the games that end: the frame that it saw,
    the one that it was applied at, its age, the version of the weights, and what was done."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"--workers must be at least 1, got {self.workers}")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise ValueError(f"--seconds must be a positive number, got {self.seconds}")
        alone = {
            "--workers": self.workers > 1,
            "--pool": self.pool is not None,
            "--draft": self.draft is not None,
            "--told": self.told != "answered",
            "--seconds": self.seconds is not None,
            "--json": self.json is not None,
            "--choices": self.choices is not None,
        }
        for option, given in alone.items():
            if given and self.schedule is None:
                raise ValueError(f"{option} goes with --schedule, as in --schedule frame_clock")


def main(args: Sequence[str]) -> None:
    """Plays a game as the options say.

    Raises:
        ValueError: if there is no such agent, or an option is out of range.
    """
    from rich.console import Console

    options = parse(Options, COMMAND, args)
    if options.schedule is not None:
        _in_real_time(options)
        return
    if options.watch is not None or options.game in consoles.GAMES:
        _at_consoles(options)
        return
    if not options.partners:
        options = replace(options, partners=_usual_partner(options))
    setting = _setting(options)
    if not 1 <= options.seat <= setting.seats:
        raise ValueError(f"--seat must be from 1 to {setting.seats}, got {options.seat}")
    if options.seed is not None and options.seed < 0:
        raise ValueError(f"--seed cannot be negative, got {options.seed}")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    file = options.save or Path(f"{setting.game.replace('/', '-')}-{seed}.json")
    check_file(file, "--save")
    if file.exists():
        raise ValueError(f"{file} is there already: name another file with --save")
    roles = setting.batched(1).roles  # an odd option is refused before anybody is loaded
    if options.role is not None:
        if options.role not in roles:
            known = ", ".join(dict.fromkeys(roles))
            raise ValueError(f"{setting.name} has no {options.role}: choose from {known}")
        options = replace(options, seat=roles.index(options.role) + 1)
    seats = _seats(options, setting)
    # They import torch: not for --help.
    if setting.game == "hanabi":
        from scripts.hanabi_sitting import HanabiSitting as Sitting
    else:
        from scripts.sitting import Sitting  # type: ignore[assignment]
    Sitting(setting, seed, seats, file, Console()).run()


def _usual_partner(options: Options) -> tuple[str, ...]:
    """The agent that comes with the package for a game that has its name.

    Raises:
        ValueError: if there is none.
    """
    from marl.runs import roster

    name = parse_setting(options.game)[0].game
    if options.role is None or name not in roster.shipped():
        raise ValueError("nobody to play with: name an agent, as in --with bot:smart")
    return (name,)


def _learned_setting(options: Options) -> Setting | None:
    """What the first partner has learned with a seat of your role; None if a setting is named."""
    if "@" in options.game or ":" in options.game or options.players or options.variant:
        return None
    from marl.runs import roster

    for setting in roster.load(options.partners[0]).config.settings():
        if setting.game == options.game and options.role in setting.batched(1).roles:
            return setting
    return None


def _setting(options: Options) -> Setting:
    """What is played.

    Raises:
        ValueError: if there is no such game, or not for so many.
    """
    others = len(options.partners)
    named = ":" in options.game.partition("@")[0]
    players = options.players or (None if named or options.role else others + 1)
    manager = "incentives" if options.role == "manager" else None
    (name,) = complete((options.game,), players and str(players), options.variant, manager)  # type: ignore[arg-type]
    learned = _learned_setting(options) if options.role else None
    found = (learned,) if learned else parse_setting(name)
    if len(found) > 1:
        raise ValueError(f"{name} means {len(found)} settings: name one number of players")
    seats = found[0].seats
    if seats < 2:
        raise ValueError(f"{found[0].game} is played alone: there is nobody to sit down with")
    if others not in (1, seats - 1):
        raise ValueError(
            f"{seats} players are you and {seats - 1} others, but {others} "
            "are named: name one for all, or one for each"
        )
    return found[0]


def _seats(options: Options, setting: Setting) -> Seats:
    """Everybody in their seats.

    Raises:
        ValueError: if there is no such agent, or it cannot play.
    """
    from marl.runs import roster
    from scripts.sitting import Seats

    players, mine = setting.seats, options.seat - 1
    partners = options.partners
    names = [*partners] * (1 if len(partners) == players - 1 else players - 1)
    adviser = options.adviser or names[0]
    known = {}
    for name in dict.fromkeys([*names, adviser]):
        member = roster.load(name)
        member.check(setting)
        known[name] = member
    after = {(mine + 1 + k) % players: name for k, name in enumerate(names)}
    return Seats(
        mine,
        tuple(after.get(seat, options.name) for seat in range(players)),
        tuple(known[after.get(seat, adviser)].policy for seat in range(players)),
        adviser,
        known[adviser].config.learner.reward_scale,
    )


def _in_real_time(options: Options) -> None:
    from scripts import realtime

    assert options.schedule is not None
    if len(options.partners) > 1:
        raise ValueError(f"one agent plays all seats, and {len(options.partners)} are named")
    if options.seed is not None and options.seed < 0:
        raise ValueError(f"--seed cannot be negative, got {options.seed}")
    check_file(options.json, "--json")
    check_file(options.choices, "--choices")
    realtime.play(
        realtime.Plan(
            options.game,
            next(iter(options.partners), None),
            options.schedule,
            options.workers,
            options.seconds,
            options.pool,
            options.draft,
            options.told,
            secrets.randbelow(10**6) if options.seed is None else options.seed,
            options.json,
            options.choices,
        )
    )


def _at_consoles(options: Options) -> None:
    if len(options.partners) > 1:
        raise ValueError(f"{options.game} seats one partner, and {len(options.partners)} are named")
    game = options.game.partition("@")[0]
    if options.watch is not None and (game not in consoles.GAMES or options.partners):
        raise ValueError(
            f"--watch has an agent play {' or '.join(consoles.GAMES)} in all seats, without --with"
        )
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    file = options.save or Path(f"{game}-{seed}.json")
    if seed < 0:
        raise ValueError(f"--seed cannot be negative, got {seed}")
    check_file(file, "--save")
    if file.exists():
        raise ValueError(f"{file} is there already: name another file with --save")
    if options.watch is not None:
        (setting,) = parse_setting(options.game)
        consoles.watch(setting, options.watch, seed, file)
        return
    consoles.play(options.game, next(iter(options.partners), None), seed, file)
