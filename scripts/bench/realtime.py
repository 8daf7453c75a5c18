"""Realtime: two linked consoles, and a world of 60 frames a second, through pools of processes.

Real processes, sockets and networks on the cores there are, by the clock, with ``frame_clock``:

- parcels, a turn of two frames (a key is pressed and let go), both seats in one request, by the
  player by rules and by text agents of 1 M and 5 M parameters;
- tracking, a choice every frame, by the same.

These networks are untrained: they are here for the time that they take. ``frame coverage`` is the
share of all frames, those that were missed among them, that had a choice of their own. Then the
agents that learned parcels play, with and without delay, and what they keep is taken of their score
in lockstep. Last a worker and the broker are killed during play, and the longest stretch without a
choice is taken.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from games.core import BatchedGame
from games.settings import parse
from games.world import World
from marl.acting.table import play_many
from marl.remote.policy import connect, serve_policy, warm_up
from marl.remote.realtime import Played, play_in_real_time
from marl.runs import roster
from scripts.bench import Row
from scripts.realtime import find_setting, pool_roles, serve_agent, tend, wait_for_pool
from transport.client import ClientConfig
from transport.launch import Role, Supervisor
from transport.schemes import find_scheme

if TYPE_CHECKING:
    from agents.r3d2.agent import R3D2Agent

SIZES = {"55 K": (32, 34), "1 M": (128, 256), "5 M": (128, 704), "10 M": (128, 1020)}
"""Widths of the language model, and of everything above it."""
WORKERS = 2
PARCELS, TRACKING = "parcels@pace=4@every=2", "tracking"
LEARNED = ("parcels-delayed", "parcels")


def run(seconds: float) -> Iterator[Row]:
    """Plays, and kills.

    Args:
        seconds: of play in all, besides the starts of processes and a first second of each.

    Yields:
        rows of coverage, interval CV, missed frames, age and score.
    """
    share = seconds / 12
    for name, bot in ((PARCELS, "bot:sorter"), (TRACKING, "bot:tracker")):
        yield from _rows(f"{name}, {bot}", _play(name, serve_agent(bot, WORKERS), share))
        for size in ("1 M", "5 M"):
            played = _play(name, serve_size(name, size), share)
            yield from _rows(f"{name}, untrained text agent of {size}", played, scored=False)
    for agent in LEARNED:
        played = _play(PARCELS, serve_agent(agent, WORKERS), 2 * share)
        yield from _rows(f"{PARCELS}, {agent}", played)
        yield _kept(agent, played)
    for role in ("worker", "broker"):
        gap, killed = _longest_gap(role, share)
        yield Row(f"{PARCELS}, a {role} killed: longest stretch without a choice", gap, "s")
        if not killed:
            yield Row(f"{PARCELS}: no {role} was killed", None, "too short")


def make_agent(game: BatchedGame, size: str) -> R3D2Agent:
    """A text agent of some size, untrained, that has read the game's sentences."""
    from agents.r3d2.agent import R3D2Agent
    from agents.r3d2.config import R3D2Config
    from marl.acting.table import admit

    text, hidden = SIZES[size]
    config = R3D2Config(text_hidden=text, hidden=hidden, memory=hidden, own_hand=False)
    agent = R3D2Agent(config, game.phrasebook)
    admit(agent, game)
    return agent


def infer_size(
    run_dir: Path, number: int, stop: Callable[[], bool], *, setting: str, size: str
) -> None:
    """A worker with an untrained text agent, on one core."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    game = parse(setting)[0].batched(1)
    agent = make_agent(game, size)
    warm_up(agent, game)
    about = {"agent": f"untrained, {size}", "games": [setting]}
    serve_policy(agent, game.phrasebook, run_dir, stop, number=number, about=about)


def serve_size(name: str, size: str) -> Role:
    """The processes that infer."""
    return Role(
        "worker",
        f"{__name__}:infer_size",
        {"setting": find_setting(name).name, "size": size},
        count=WORKERS,
        environment={"OMP_NUM_THREADS": "1"},
    )


def _play(
    name: str,
    serving: Role,
    seconds: float,
    during: Callable[[int, Supervisor, World], None] = lambda turn, crew, world: None,
) -> Played:
    """Plays through a pool of real processes."""
    scheme = find_scheme("frame_clock")
    world = World(find_setting(name).batched(1, 1))
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        roles = pool_roles(scheme.schedule, WORKERS, serving)
        with Supervisor(run_dir, roles) as crew:
            wait_for_pool(run_dir, WORKERS, crew, lambda: False)

            def on_turn(turn: int) -> None:
                tend(crew, silent=True)
                during(turn, crew, world)

            with connect(run_dir, config=ClientConfig(patience=1.0)) as policy:
                return play_in_real_time(
                    world, policy.client, policy, scheme, seconds=seconds, on_turn=on_turn
                )


def _longest_gap(role: str, seconds: float) -> tuple[float, bool]:
    """Seconds of the longest stretch without a choice after a process was killed half-way."""
    gap = longest = before = 0
    killed = False

    def during(turn: int, crew: Supervisor, world: World) -> None:
        nonlocal gap, longest, before, killed
        if not killed and turn > world.rate * (1 + seconds / 2):
            os.kill(next(iter(crew.pids(role).values())), signal.SIGKILL)
            killed = True
        had, before = world.counts["played"] > before, world.counts["played"]
        gap = 0 if had else gap + 1
        if killed:
            longest = max(longest, gap)

    _play(PARCELS, serve_agent("bot:sorter", WORKERS), seconds, during)
    return round(longest / World(find_setting(PARCELS).batched(1)).rate, 3), killed


def _kept(agent: str, played: Played) -> Row:
    """What an agent keeps by the clock of its score in lockstep, 20 games of it."""
    what = f"{PARCELS}, {agent}: kept of its score in lockstep"
    if not played.scores:
        return Row(what, None, "too short")
    setting = find_setting(f"{PARCELS}@emulated=false")
    lockstep = play_many(setting, [roster.load(agent).policy], 20, 1).outcome["right"]
    return Row(what, round(fmean(played.scores) / float(lockstep.mean()), 3), "of lockstep")


def _rows(what: str, played: Played, scored: bool = True) -> Iterator[Row]:
    figures: dict[str, Any] = played.summary()
    what += f", {WORKERS} workers"
    for name, unit in (
        ("frame_coverage", "of frames"),
        ("interval_cv", ""),
        ("frames_missed", "frames"),
        ("age_frames", "frames"),
    ):
        label = name.replace("_cv", " CV").replace("_", " ")
        yield Row(f"{what}: {label}", round(figures[name], 4), unit)
    if scored and played.scores:
        yield Row(
            f"{what}: score of {len(played.scores)} games", round(fmean(played.scores), 2), ""
        )
