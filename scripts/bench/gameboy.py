"""Game Boy: consoles beside bare ticks of the emulator, pacing, and decisions of batched games.

The reference of a console is PyBoy's own ``tick`` with rendering on the same cartridge in the same
state; of a pair, the sum of two. They take turns, and the medians of their turns count. Pacing is
compared with PyBoy's own limiter. Games that are computed without the emulator (``emulated=false``)
stand beside the same games on consoles in one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scripts.bench import Row

TURNS = 7  # how often the sides take turns for one figure
FRAMES = 200  # in one turn's burst
COMPUTED = 1024  # games at once where no console runs


def run(seconds: float) -> Iterator[Row]:
    """Measures consoles, a pair, pacing and both batched games.

    Yields:
        rows of frames per second, drift, and decisions per second.
    """
    yield from _consoles(seconds * 0.2)
    yield from _pair(seconds * 0.1)
    yield from _pacing(seconds * 0.3)
    for name, options, against in (
        ("blocks", {}, "pieces"),
        ("blocks", {"choose": "buttons"}, "decisions"),
        ("parcels", {}, "decisions"),
    ):
        yield from _batched(name, options, against, seconds * 0.13)


def _turns(sides: dict[str, Callable[[], None]], seconds: float) -> dict[str, float]:
    """Seconds of a call of each side: the median of its turns."""
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(TURNS):
        for side in sorted(sides, reverse=bool(turn % 2)):
            calls, began = 0, time.perf_counter()
            while True:
                sides[side]()
                calls += 1
                elapsed = time.perf_counter() - began
                if elapsed > seconds / (TURNS * len(sides)):
                    break
            taken[side].append(elapsed / calls)
    return {side: statistics.median(times) for side, times in taken.items()}


def _consoles(seconds: float) -> Iterator[Row]:
    from games.gameboy.cartridges import build
    from games.gameboy.console import Console
    from games.gameboy.ram import BLOCKS

    for render in (True, False):
        console, bare = (Console(build.path("blocks")) for _ in range(2))
        for which in (console, bare):
            which.tick(120)

        def begin(which: Console) -> None:
            which.write(BLOCKS.address["reset"], [1])

        def ours(console: Console = console, render: bool = render) -> None:
            begin(console)
            for frame in range(FRAMES):
                console.hold((frame & 1) << 4)  # right, every other frame
                console.tick(1, render)
                if render:
                    console.screen()

        def theirs(bare: Console = bare, render: bool = render) -> None:
            begin(bare)
            pyboy = bare.pyboy
            for frame in range(FRAMES):
                (pyboy.button_press if frame & 1 else pyboy.button_release)("right")
                pyboy.tick(1, render, False)

        taken = _turns({"ours": ours, "theirs": theirs}, seconds / 2)
        what = "a console, keys and a copied screen" if render else "a console, keys, not drawn"
        yield Row(what, FRAMES / taken["ours"], "frames/s")
        ratio = taken["theirs"] / taken["ours"]
        yield Row(what, FRAMES / taken["theirs"], "frames/s", "PyBoy's own tick", ratio)
        console.close()
        bare.close()


def _pair(seconds: float) -> Iterator[Row]:
    from games.gameboy.cartridges import build
    from games.gameboy.console import Console
    from games.gameboy.link import Pair
    from games.gameboy.ram import PARCELS

    pair, alone = Pair(build.path("parcels")), Console(build.path("parcels"))
    pair.tick(120)
    alone.tick(120)
    for side, console in enumerate((*pair.consoles, alone)):
        console.write(PARCELS.address["seat"], [side & 1, 8, 48, 4])

    def begin(consoles: tuple[Console, ...]) -> None:
        for console in consoles:
            console.write(PARCELS.address["reset"], [1])

    def linked() -> None:
        pair.latch.clear()
        begin(pair.consoles)
        pair.tick(FRAMES)

    def single() -> None:
        begin((alone,))
        for _ in range(2 * FRAMES):  # as many frames, without a cable
            alone.pyboy.tick(1, False, False)

    taken = _turns({"linked": linked, "single": single}, seconds)
    what = "a linked pair in one thread"
    yield Row(what, FRAMES / taken["linked"], "pair-frames/s")
    ratio = taken["single"] / taken["linked"]
    yield Row(what, FRAMES / taken["single"], "pair-frames/s", "bare ticks without a cable", ratio)
    pair.close()
    alone.close()


def _pacing(seconds: float) -> Iterator[Row]:
    """Drift and jitter of both ways to keep time, and what a turn of a game in real time costs."""
    from games.gameboy.cartridges import build
    from games.gameboy.console import CLOCK, FRAME_CYCLES, Console
    from games.gameboy.pace import Pacer

    period = FRAME_CYCLES / CLOCK
    count = max(30, int(seconds / 2 / period))
    console = Console(build.path("blocks"))
    console.tick(120)
    pacer, at = Pacer(), []
    for _ in pacer.run(count):
        at.append(time.monotonic())
        console.tick(1, render=True)
    what = f"real time, {count * period:.0f} s"
    drift = _drift(np.array(at), period)
    yield Row(f"{what}: drift", drift, "ms")
    yield Row(f"{what}: SD of the period", float(np.diff(at).std() * 1e3), "ms")
    yield Row(f"{what}: frames missed", float(pacer.missed), f"of {count}")
    console.pyboy.set_emulation_speed(1)
    at = []
    for _ in range(count):
        console.pyboy.tick(1, True, False)
        at.append(time.monotonic())
    theirs = _drift(np.array(at), period)
    yield Row(f"{what}: drift", theirs, "ms", "PyBoy's limiter", theirs / max(drift, 1e-3))
    console.close()


def _drift(at: np.ndarray, period: float) -> float:
    """How far the last tenth of the frames is from where the first tenth says, in ms."""
    off = at - at[0] - period * np.arange(len(at))
    tenth = max(1, len(at) // 10)
    return float(abs(np.median(off[-tenth:]) - np.median(off[:tenth])) * 1e3)


def _batched(
    name: str, options: dict[str, str], unit: str, seconds: float, num_games: int = 32
) -> Iterator[Row]:
    what = ", ".join([name, *options.values(), f"{num_games} games at random"])
    rates = {}
    for threads in (1, 2):
        rates[threads], frames = _decisions(
            name, num_games, seconds / 3, threads=threads, **options
        )
        label = f"{what}, {threads} thread{'s' * (threads > 1)}"
        yield Row(label, rates[threads], f"{unit}/s")
        yield Row(label, frames, "console frames/s")
    yield Row(f"{what}, 2 threads", rates[2], f"{unit}/s", "1 thread", rates[2] / rates[1])
    if not options:
        what = f"{name}, computed, {COMPUTED} games at random"
        rate, _ = _decisions(name, COMPUTED, seconds / 3, emulated=False)
        against = "consoles, 1 thread"
        yield Row(what, rate, f"{unit}/s", against, rate / rates[1])


def _decisions(name: str, num_games: int, seconds: float, **options: Any) -> tuple[float, float]:
    """Decisions a second at random, and consoles' frames."""
    import games

    game = games.setting(name, **options).batched(num_games)
    rng = np.random.default_rng(0)
    game.step(np.zeros(len(game.due_game), np.int64))
    decisions = frames = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        move = (rng.random(len(game.due_game)) * game.choice_counts).astype(np.int64)
        decisions += len(move)
        frames += int(game.step(move).elapsed.sum()) * game.num_players
    game.close()  # type: ignore[attr-defined]
    return decisions / elapsed, frames / elapsed
