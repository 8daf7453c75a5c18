"""Pool: fresh actions for a world of 60 frames a second from models many frames slow.

Schedules are compared by coverage (share of frames with an action of their own), the coefficient of
variation of the interval between actions, the age of actions and the share of requests dropped:

- in virtual time, with emulated inference: lognormal, median 100 ms, sigma 0.15, with and without
  1 % of spikes of 300 ms; from 1 to 72 workers; and the regret of a learner on the tracking world;
- with real processes and sockets, and inference emulated by sleeping;
- with real processes and real networks of 1 M and 5 M parameters, on the cores there are.

Plots go to ``runs/bench-pool``.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from games.tracking import TrackingBatched, TrackingConfig, where
from scripts.bench import Row
from transport import schemes
from transport.client import Client
from transport.endpoints import find_endpoint
from transport.launch import Role, Supervisor
from transport.realtime import FrameTimer, Player
from transport.schemes import Scheme
from transport.simulate import Latency, simulate
from transport.worker import serve

if TYPE_CHECKING:
    import torch

PLOTS = Path("runs/bench-pool")
RATE = 59.7275  # frames per second of a Game Boy
STEADY, SPIKES = Latency(), Latency(spikes=0.01)
WORKERS = STEADY.workers_needed(RATE) + 1  # N* + 1

SCHEMES = {
    "sequential": schemes.SCHEMES["sequential"],
    "not staggered": schemes.SCHEMES["immediate"],
    "max_time, released rule": Scheme("max_time_released"),
    **{name: schemes.SCHEMES[name] for name in ("max_time", "expected_time", "frame_clock")},
}
NETWORKS = {"1 M": (16, 230), "5 M": (32, 600)}  # channels and width of the head
NOISES = (0.0, 0.01, 0.03, 0.1, 0.3)

Figures = dict[str, float]


def run(seconds: float) -> Iterator[Row]:
    """Runs the comparison.

    Args:
        seconds: half of it goes to the real processes; simulations take what they take, with
            frames in proportion.

    Yields:
        rows of each figure of each schedule.
    """
    frames = int(max(1000, min(20_000, 600 * seconds)))
    for label, latency in (("", STEADY), (", spikes", SPIKES)):
        simulated = {name: _simulate(name, latency, frames) for name in SCHEMES}
        yield from _compare(f"emulated 100 ms{label}, virtual time", simulated)
    yield from _constant(frames)
    yield from _scaling(frames // 4)
    yield from _regret(frames)
    share = seconds / 2 / 5
    for name in ("sequential", "max_time", "frame_clock"):
        workers = 1 if name == "sequential" else WORKERS
        figures = _measure(name, workers, f"{__name__}:emulate", {}, share)
        yield from _rows(f"{name}, emulated 100 ms, {workers} processes", figures)
    for name, (channels, width) in NETWORKS.items():
        options = {"channels": channels, "width": width}
        workers = max(1, (os.cpu_count() or 1) - 1)  # One core for the world and the broker.
        figures = _measure("frame_clock", workers, f"{__name__}:infer_network", options, share)
        yield from _rows(f"frame_clock, real network of {name}, {workers} processes", figures)


def _simulate(name: str, latency: Latency, frames: int, workers: int = WORKERS) -> Figures:
    scheme = SCHEMES[name]
    workers = 1 if name == "sequential" else workers
    freshness = simulate(
        scheme.make(workers, latency.median),
        scheme.playout(),
        latency,
        workers=workers,
        frames=frames,
        rate=RATE,
    )
    return freshness.summary()


def _rows(what: str, figures: Figures) -> Iterator[Row]:
    for name, unit in (
        ("coverage", "of frames"),
        ("interval_cv", ""),
        ("age", "frames"),
        ("late", "of requests"),
        ("dropped", "of requests"),
        ("throughput", "answers/s"),
    ):
        if name in figures:
            label = name.replace("_cv", " CV")
            yield Row(f"{what}: {label}", round(figures[name], 4), unit)


def _compare(what: str, simulated: dict[str, Figures]) -> Iterator[Row]:
    """Our default's figures, and how much of its coverage the others reach."""
    ours = simulated["frame_clock"]
    yield from _rows(f"frame_clock, {WORKERS} workers, {what}", ours)
    for name, theirs in simulated.items():
        if name != "frame_clock":
            ratio = ours["coverage"] / theirs["coverage"]
            for figure, unit in (("coverage", "of frames"), ("interval_cv", ""), ("age", "frames")):
                yield Row(
                    f"{what}: {figure.replace('_cv', ' CV')}",
                    round(theirs[figure], 4),
                    unit,
                    name,
                    round(ratio, 3) if figure == "coverage" else None,
                )


def _constant(frames: int) -> Iterator[Row]:
    """The two rules of Algorithm 1 where every inference takes the same time, seven frames."""
    latency = Latency(median=0.1172, sigma=0.0)
    for name in ("max_time, released rule", "max_time", "frame_clock"):
        scheme = SCHEMES[name]
        freshness = simulate(
            scheme.make(7, 0.1), scheme.playout(), latency, workers=7, frames=frames, rate=RATE
        )
        yield from _rows(f"{name}, 7 workers, constant 117.2 ms", freshness.summary())


def _scaling(frames: int) -> Iterator[Row]:
    """Workers that a frame_clock needs, against the time of an inference; and the plot."""
    medians = np.array([0.015, 0.03, 0.06, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.15])
    needed = []
    for median in medians:
        latency = Latency(median=float(median))
        workers = max(1, latency.workers_needed(RATE) - 1)
        while _simulate("frame_clock", latency, frames, workers)["coverage"] < 0.97:
            workers += 1
        needed.append(workers)
        yield Row(f"workers for coverage 0.97 at {1000 * median:.0f} ms, virtual time", workers, "")
    slope, offset = np.polyfit(medians, needed, 1)
    yield Row("workers per second of inference (frames per second: 59.73)", slope, "1/s")
    yield Row("linear fit of workers needed: R", float(np.corrcoef(medians, needed)[0, 1]), "")
    _plot_scaling(medians, needed, float(slope), float(offset))
    counts = [1, 2, 4, 6, 7, 8, 9, 10, 12, 16, 24, 36, 72]
    coverage = {
        name: [_simulate(name, SPIKES, frames, workers)["coverage"] for workers in counts]
        for name in SCHEMES
        if name != "sequential"
    }
    for name, values in coverage.items():
        for workers, value in zip(counts, values, strict=True):
            peer = None if name == "frame_clock" else name
            ratio = None if peer is None else coverage["frame_clock"][counts.index(workers)] / value
            what = f"coverage, {workers} workers, spikes, virtual time"
            yield Row(what, round(value, 4), "of frames", peer, ratio)
    _plot_coverage(counts, coverage)


def learner_regret(name: str, latency: Latency, noise: float, frames: int) -> Figures:
    """Regret per frame of an agent that learns to track, split as in the paper's argument.

    It counts, for the age that its actions have, where the target was found, and points at the most
    frequent. What it loses is told apart with what is known of the world: ``inaction`` (frames
    without an action), ``delay`` (what the best play at that age loses) and ``learning`` (the
    rest: it does not know the world yet).

    Args:
        name: of the scheme.
        latency: of an inference.
        noise: of the world.
        frames: how many.
    """
    config = TrackingConfig(noise=noise, frames=1 << 60)
    world = TrackingBatched(config)
    seen: dict[int, tuple[int, int]] = {}
    counts: dict[int, Counter[int]] = {}
    lost = {"inaction": 0.0, "delay": 0.0, "learning": 0.0}

    def play(frame: int, source: int | None) -> None:
        position, direction = int(world.position[0]), int(world.direction[0])
        seen[frame] = position, direction
        seen.pop(frame - 1000, None)
        if source is None or source not in seen:
            lost["inaction"] += 1
        else:
            age = frame - source
            likely = where(config.cells, noise, age)
            found = counts.setdefault(age, Counter())
            offset = found.most_common(1)[0][0] if found else 0
            lost["delay"] += 1 - float(likely.max())
            lost["learning"] += float(likely.max() - likely[offset])
            then, way = seen[source]
            found[(position - then) * way % config.cells] += 1
        world.step(np.array([world.wait]))

    scheme = SCHEMES[name]
    workers = 1 if name == "sequential" else latency.workers_needed(RATE) + 1
    simulate(
        scheme.make(workers, latency.median),
        scheme.playout(),
        latency,
        workers=workers,
        frames=frames,
        rate=RATE,
        warm_up=0,
        play=play,
    )
    return {part: value / frames for part, value in lost.items()}


def _regret(frames: int) -> Iterator[Row]:
    """Regret against the noise of the world and the time of an inference; and the plots."""
    by_noise = {
        (name, noise): learner_regret(name, SPIKES, noise, frames)
        for name in ("sequential", "max_time", "expected_time", "frame_clock")
        for noise in NOISES
    }
    for (name, noise), parts in by_noise.items():
        ours, peer = by_noise["frame_clock", noise], None if name == "frame_clock" else name
        for part, value in parts.items():
            yield Row(f"regret of {part}, noise {noise:g}", round(value, 4), "per frame", peer)
        total = sum(parts.values())
        ratio = None if peer is None else round(total / sum(ours.values()), 3)
        yield Row(f"regret, noise {noise:g}", round(total, 4), "per frame", peer, ratio)
    medians = (0.02, 0.05, 0.1, 0.2)
    by_latency = {
        (name, median): learner_regret(name, Latency(median), 0.03, frames)
        for name in ("sequential", "max_time", "frame_clock")
        for median in medians
    }
    _plot_regret(by_noise, "noise of the world", "noise")
    _plot_regret(by_latency, "median seconds of an inference, noise 0.03", "latency")


def _measure(
    scheme: str, workers: int, target: str, options: dict[str, Any], seconds: float
) -> Figures:
    """Figures of a pool of real processes, measured by a world that does not wait."""
    SCHEMES[scheme].make(workers, 0.1)  # Refuses what is wrong before anything starts.
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        roles = [
            Role(
                "broker",
                "transport.broker:run_broker",
                {"schedule": SCHEMES[scheme].schedule, "workers": workers},
            ),
            Role("worker", target, options, workers, environment={"OMP_NUM_THREADS": "1"}),
        ]
        with Supervisor(run_dir, roles):
            endpoint = find_endpoint(run_dir, "pool")
            with Client(endpoint) as client:
                while client.stats()["workers"] < workers:
                    time.sleep(0.05)
                frames = max(60, int(seconds * RATE))
                player = Player(client, SCHEMES[scheme].playout(), forget=frames // 4)
                timer = FrameTimer(RATE)
                image = np.zeros((1, 1, 84, 84), np.uint8)
                for frame in timer.frames(frames + frames // 4):
                    player.play(frame)
                    player.observe(frame, {"image": image})
                figures = player.freshness.summary()
                answered = player.freshness.counts["answered"]
                return figures | {"throughput": answered / player.freshness.frames * RATE}


def emulate(run_dir: Path, number: int, stop: Callable[[], bool]) -> None:
    """A worker whose inference is emulated: it sleeps."""
    rng = np.random.default_rng(number)

    def infer(tensors: dict[str, Any]) -> dict[str, Any]:
        time.sleep(STEADY.sample(rng))
        return {"action": np.zeros(1, np.int64)}

    serve(infer, run_dir, stop=stop, number=number)


def infer_network(
    run_dir: Path, number: int, stop: Callable[[], bool], *, channels: int, width: int
) -> None:
    """A worker with a real network, on one core."""
    import torch

    torch.set_num_threads(1)
    network = _network(channels, width).eval()

    @torch.inference_mode()
    def infer(tensors: dict[str, Any]) -> dict[str, Any]:
        image = torch.from_numpy(tensors["image"].astype(np.float32) / 255)
        return {"action": network(image).argmax(1).numpy()}

    infer({"image": np.zeros((1, 1, 84, 84), np.uint8)})
    serve(infer, run_dir, stop=stop, number=number)


def _network(channels: int, width: int) -> torch.nn.Module:
    """Residual convolutions over 84 x 84 pixels in three stages, and a wide head."""
    from torch import Tensor, nn

    class Residual(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            convolve = partial(nn.Conv2d, channels, channels, 3, padding=1)
            self.body = nn.Sequential(nn.ReLU(), convolve(), nn.ReLU(), convolve())

        def forward(self, x: Tensor) -> Tensor:
            return x + self.body(x)

    stages: list[nn.Module] = []
    before = 1
    for after in (channels, 2 * channels, 2 * channels):
        stages += [
            nn.Conv2d(before, after, 3, padding=1),
            nn.MaxPool2d(3, 2, 1),
            Residual(after),
            Residual(after),
        ]
        before = after
    head = [nn.ReLU(), nn.Flatten(), nn.Linear(before * 11 * 11, width), nn.ReLU()]
    return nn.Sequential(*stages, *head, nn.Linear(width, 8))


def _figure(title: str, across: str, up: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, name: str) -> None:
    PLOTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOTS / f"{name}.png", dpi=150)


def _plot_scaling(medians: Any, needed: list[int], slope: float, offset: float) -> None:
    figure, axes = _figure(
        "Workers needed for coverage 0.97 (frame_clock, emulated inference, virtual time)",
        "median seconds of an inference",
        "workers",
    )
    axes.plot(medians, slope * medians + offset, color="0.6", label=f"{slope:.1f} per second")
    axes.plot(medians, needed, "o", label="needed")
    axes.legend(frameon=False)
    _save(figure, "scaling")


def _plot_coverage(counts: list[int], coverage: dict[str, list[float]]) -> None:
    figure, axes = _figure(
        "Frames with an action of their own (emulated 100 ms, 1 % spikes, virtual time)",
        "workers",
        "coverage",
    )
    for name, values in coverage.items():
        axes.plot(counts, values, "o-", markersize=3, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, list(map(str, counts)), fontsize=7)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8)
    _save(figure, "coverage")


def _plot_regret(regrets: dict[tuple[str, float], Figures], across: str, name: str) -> None:
    schemes = list(dict.fromkeys(scheme for scheme, _ in regrets))
    settings = list(dict.fromkeys(setting for _, setting in regrets))
    figure, axes = _figure(
        "Regret on the tracking world (emulated inference, virtual time)", across, "regret a frame"
    )
    shades = {"inaction": "#b04a3f", "delay": "#d9a441", "learning": "#4a7fb0"}
    width = 0.8 / len(schemes)
    for index, scheme in enumerate(schemes):
        at = np.arange(len(settings)) + (index - (len(schemes) - 1) / 2) * width
        bottom = np.zeros(len(settings))
        for part, colour in shades.items():
            values = np.array([regrets[scheme, setting][part] for setting in settings])
            label = part if index == 0 else None
            axes.bar(at, values, 0.92 * width, bottom, color=colour, label=label)
            bottom += values
        for x, top in zip(at, bottom, strict=True):
            axes.text(x, top + 0.01, scheme, rotation=90, ha="center", va="bottom", fontsize=6)
    axes.set_xticks(np.arange(len(settings)), [f"{setting:g}" for setting in settings])
    axes.set_ylim(0, 1.35)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    _save(figure, f"regret-{name}")
