"""``troupe play --schedule``: an agent plays a world that does not wait, through a pool."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from games.settings import Setting
    from games.world import World
    from marl.acting.recorder import Recorder
    from marl.episodes import Episodes
    from marl.remote.realtime import Played
    from transport.launch import Role, Supervisor

ROOM = 64
"""Turns of choices on their way that a game on consoles has room to tell of."""


@dataclass(frozen=True)
class Plan:
    """What is played, by whom, and how.

    Attributes:
        setting: its name, such as parcels@pace=4.
        agent: who plays all seats; None for the player by rules of that game.
        schedule: a name of ``transport.schemes``.
        workers: processes that infer.
        seconds: to play after a first one; None for one game.
        pool: folder or endpoint of a pool that is served elsewhere; None for one of our own.
        draft: who foresees what is on its way; None for nobody.
        told: what is told of it without a draft.
        seed: of the first game.
        json: file for the figures.
        choices: file for a line of every choice, as CSV.
    """

    setting: str
    agent: str | None
    schedule: str
    workers: int
    seconds: float | None
    pool: str | None
    draft: str | None
    told: Literal["answered", "nothing"]
    seed: int
    json: Path | None
    choices: Path | None


def play(plan: Plan) -> None:
    """Plays, and says what came of it.

    Raises:
        ValueError: if there is no such game, agent or pool, or the game cannot be played so.
    """
    from games.world import World
    from marl.remote.policy import connect
    from marl.remote.realtime import play_in_real_time
    from transport.client import ClientConfig
    from transport.schemes import find_scheme
    from transport.signals import StopFlag

    scheme = find_scheme(plan.schedule)
    if scheme.sequential and plan.workers > 1:
        raise ValueError("a sequential schedule has one worker: leave --workers out")
    setting = find_setting(plan.setting)
    world = World(setting.batched(1, plan.seed))
    agent = plan.agent or _player_by_rules(setting)
    draft = None if plan.draft is None else _check(plan.draft, setting)
    if plan.pool is None:
        _check(agent, setting)
    stop = StopFlag()
    with contextlib.ExitStack() as stack:
        crew = None
        where: str | Path | None = plan.pool
        if where is None:
            where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="troupe-")))
            roles = pool_roles(scheme.schedule, plan.workers, serve_agent(agent, plan.workers))
            crew = stack.enter_context(_supervised(where, roles))
        wait_for_pool(where, plan.workers if crew else 1, crew, stop)
        policy = stack.enter_context(connect(where, config=ClientConfig(patience=1.0)))
        show, leave = stack.enter_context(_shown(world, plan.json is not None))
        played = play_in_real_time(
            world,
            policy.client,
            policy,
            scheme,
            seconds=plan.seconds,
            games=1 if plan.seconds is None else None,
            told=plan.told if draft is None else "foreseen",
            draft=draft,
            show=show,
            stop=lambda: bool(stop()) or leave(),
            on_turn=lambda turn: tend(crew),
            recorder=stack.enter_context(_written(world, plan.choices)),
        )
        about = policy.about.get("agent", "an agent")
    _report(plan, setting, about, played)


def find_setting(name: str) -> Setting:
    """One setting, with room to tell of what is on its way.

    Raises:
        ValueError: if there is no such game, or it waits for whoever chooses.
    """
    from games.settings import Setting, parse

    setting, *more = parse(name)
    if more:
        raise ValueError(f"{name} means {len(more) + 1} settings: name one number of players")
    options = dict(setting.options)
    if setting.game == "blocks":
        options.setdefault("choose", "buttons")
    if setting.game in ("parcels", "blocks") and options.get("choose", "buttons") == "buttons":
        options.setdefault("told", ROOM)
    return Setting(setting.game, setting.players, options)


def _player_by_rules(setting: Setting) -> str:
    from agents.bots import sentences

    for bot, game in sentences.GAMES.items():
        if game.partition("@")[0] == setting.game:
            return f"bot:{bot}"
    raise ValueError(f"nobody plays {setting.game} by rules: name an agent, as in --with runs/mine")


def _check(name: str, setting: Setting) -> Any:
    """An agent that can play a setting."""
    from marl.runs import roster

    member = roster.load(name)
    member.check(setting)
    return member.policy


def serve_agent(agent: str, workers: int) -> Role:
    """The processes that infer."""
    from transport.launch import Role

    return Role(
        "worker",
        "marl.remote.policy:serve_agent",
        {"agent": agent},
        count=workers,
        environment={"OMP_NUM_THREADS": "1"},
    )


def pool_roles(schedule: str, workers: int, serving: Role) -> list[Role]:
    """A pool's processes."""
    from transport.launch import Role

    broker = {"schedule": schedule, "workers": workers, "lease": 1.0}
    return [Role("broker", "transport.broker:run_broker", broker), serving]


@contextlib.contextmanager
def _supervised(run_dir: Path, roles: list[Role]) -> Iterator[Supervisor]:
    """Starts processes; one that keeps dying is an error of the person's."""
    from transport.launch import ProcessDiedError, Supervisor

    try:
        with Supervisor(run_dir, roles) as crew:
            yield crew
    except ProcessDiedError as error:
        raise ValueError(str(error)) from error


def wait_for_pool(
    where: str | Path, workers: int, crew: Supervisor | None, stop: Callable[[], bool]
) -> None:
    """Waits until so many workers have joined.

    Raises:
        ValueError: if there is no pool there.
        TimeoutError: if nobody answers.
    """
    from transport.client import Client
    from transport.endpoints import find_endpoint

    endpoint = str(where) if "://" in str(where) else find_endpoint(Path(where), "pool")
    with Client(endpoint) as client:
        while not stop() and client.stats()["workers"] < workers:
            if crew is not None:
                crew.check()
            time.sleep(0.05)


def tend(crew: Supervisor | None, silent: bool = False) -> None:
    """Starts again what has died."""
    if crew is not None:
        for news in crew.check():
            if not silent:
                print(news, flush=True)


@contextlib.contextmanager
def _shown(
    world: World, hidden: bool
) -> Iterator[tuple[Callable[[], None] | None, Callable[[], bool]]]:
    """Shows the consoles, where there are some and a terminal; says whether somebody wants out."""
    import sys

    from games.gameboy.batch import ConsoleBatch
    from games.gameboy.keyboard import Keys, Terminal
    from games.gameboy.play import SHOWN
    from games.gameboy.screen import beside, half_blocks

    game: object = world.game
    if hidden or not isinstance(game, ConsoleBatch) or not sys.stdout.isatty():
        yield None, lambda: False
        return
    keys, frame = Keys(), 0
    with Terminal() as terminal:

        def show() -> None:
            nonlocal frame
            frame += 1
            if frame % SHOWN == 0:
                keys.feed(terminal.read(), frame)
                picture = beside(game.screens(draw=False))
                columns = shutil.get_terminal_size().columns
                terminal.show(half_blocks(picture, columns) + "\nq: leave")

        yield show, lambda: keys.leave


@contextlib.contextmanager
def _written(world: World, file: Path | None) -> Iterator[Recorder | None]:
    """Keeps every choice, and writes those of a game when it is over."""
    from marl.acting.recorder import DECISION, Recorder

    if file is None:
        yield None
        return
    book = world.game.phrasebook
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["game", *DECISION.names])  # type: ignore[misc]
        games = itertools.count()

        def write(episodes: Episodes) -> None:
            game = next(games)
            for *numbers, chosen, done in recorder.decisions.tolist():
                said = "" if chosen < 0 else book[chosen]
                table.writerow([game, *numbers, said, book[done]])
            lines.flush()

        recorder = Recorder(world, write)
        yield recorder


def _report(plan: Plan, setting: Setting, agent: str, played: Played) -> None:
    """Prints the figures, and writes them where they are wanted."""
    from scripts.bench import machine, versions

    figures = played.summary()
    scores = ", ".join(f"{score:g}" for score in played.scores[-8:]) or "none ended"
    print(
        f"{setting.name}, {agent}, {plan.schedule}, {plan.workers} workers: "
        f"{figures['frame_coverage']:.3f} of {figures['frames']} frames had a choice of their own "
        f"(interval CV {figures['interval_cv']:.3f}, age {figures['age_frames']:.1f} frames, "
        f"{figures['frames_missed']} frames late); scores: {scores}"
    )
    if plan.json is not None:
        about = {
            "setting": setting.name,
            "agent": agent,
            "schedule": plan.schedule,
            "workers": plan.workers,
            "draft": plan.draft,
            "told": plan.told if plan.draft is None else "foreseen",
            "seed": plan.seed,
            "machine": machine(),
            "versions": versions(),
        }
        plan.json.parent.mkdir(parents=True, exist_ok=True)
        plan.json.write_text(json.dumps({**about, "figures": figures}, indent=2) + "\n")
