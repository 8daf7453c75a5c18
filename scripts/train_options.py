"""What can be said behind ``troupe train``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from games.manager import KINDS
from games.settings import complete, parse_numbers
from marl.runs.config import TrainConfig, load_config
from marl.runs.roster import refuse_export
from scripts.arguments import exporting, parse
from scripts.outputs import check_folder
from scripts.presets import PRESETS, explained

COMMAND = "troupe train"
DEFAULT_MINUTES = 10.0


@dataclass(frozen=True, kw_only=True)
class _Session:
    """What belongs to one call and not to the run."""

    run_dir: Path
    """Folder for the configuration, checkpoints and curves of the run."""
    minutes: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """How long to train, start-up included (10, unless --updates is given)."""
    updates: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Number of updates at which to stop."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Continue the run in --run-dir from its newest checkpoint, as it was configured."""
    preset: Annotated[
        Literal[tuple(PRESETS)],  # type: ignore[valid-type]
        tyro.conf.arg(metavar="NAME", help=explained()),
    ] = "default"
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network learns."""
    players: Annotated[str | None, tyro.conf.arg(metavar="PLAYERS")] = None
    """Numbers of players of the games that are named without: "2", "2-5" or "2,4"."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Preset of the rules of the games that are named without options."""
    manager: Annotated[str | None, tyro.conf.arg(metavar="[KIND]")] = None
    """What manages the games: incentives, if nothing is said behind it, or a control to compare
    with, such as recommendation, subsidy, shared and none. It becomes a part of their names, with
    the options that suit a manager of that game; the preset is managed, if none is named."""
    workers: int = 0
    """Processes that infer behind a pool; 0 for all in one process, with the same bits always."""
    actors: int = 1
    """Processes that play, with --workers."""
    patience: float = 300.0
    """Seconds without anything new to learn from until a run with --workers is given up."""
    replay_shards: int = 0
    """Processes that hold replay, with --workers; 0 for the learner's own."""
    learners: int = 1
    """Processes that learn together, each from a part of every batch; they need --replay-shards.
    Under torchrun, as many as it has started."""
    brokers: int = 1
    """Brokers that hand requests to workers, with --workers; all spread over them."""
    cluster: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Ray cluster whose machines the processes of --workers are placed on: HOST:PORT, as ray start
    says, of which this machine is one; auto for a cluster of this machine alone."""
    bind: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ADDRESS ...")] = ()
    """Where a run with --workers listens, so that other machines can join: tcp://HOST:PORT, and
    ROLE=tcp://HOST:PORT for parts that are to have a port of their own (pool, pool-workers, replay,
    weights). What other machines can reach needs --keys."""
    keys: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The run's folder of keys, made by troupe keys: only who has one of them comes in."""
    advertise: Annotated[str | None, tyro.conf.arg(metavar="HOST")] = None
    """By which name other machines reach this one, if not by the one they join at."""
    metrics_port: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None
    """Offers the figures of every process to Prometheus, at ports from this one on; 0 for any that
    are free. Where they are stands in RUN_DIR/targets (docs/metrics.md)."""
    metrics_host: str = "127.0.0.1"
    """The interface for --metrics-port; this machine only, if nothing is said."""
    seeds: Annotated[str | None, tyro.conf.arg(metavar="SEEDS")] = None
    """A run for each of these seeds, "1-5" or "1,3", in RUN_DIR/seed-1 and so on; --minutes is the
    time of each. With --resume, those that are finished are left alone."""
    at_once: int = 1
    """Runs of --seeds side by side, each in a process of its own."""

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise ValueError(f"--at-once must be at least 1, got {self.at_once}")
        if self.at_once > 1 and self.seeds is None:
            raise ValueError("--at-once is for several seeds: give --seeds as well")
        if self.workers < 0:
            raise ValueError(f"--workers cannot be negative, got {self.workers}")
        if self.actors < 1:
            raise ValueError(f"--actors must be at least 1, got {self.actors}")
        if self.actors > 1 and not self.workers:
            raise ValueError("--actors are processes of a run with --workers: give both")
        if self.replay_shards < 0:
            raise ValueError(f"--replay-shards cannot be negative, got {self.replay_shards}")
        if self.replay_shards and not self.workers:
            raise ValueError("--replay-shards are processes of a run with --workers: give both")
        if self.learners < 1:
            raise ValueError(f"--learners must be at least 1, got {self.learners}")
        if self.learners > 1 and not self.replay_shards:
            raise ValueError("--learners draw from shards of replay: give --replay-shards as well")
        if self.brokers < 1:
            raise ValueError(f"--brokers must be at least 1, got {self.brokers}")
        if self.brokers > max(self.workers, 1):
            raise ValueError(
                f"each of --brokers {self.brokers} needs a worker: give --workers {self.brokers}"
            )
        if self.cluster is not None and not self.workers:
            raise ValueError("--cluster places the processes of a run with --workers: give both")
        if (self.bind or self.keys or self.advertise) and not self.workers:
            raise ValueError(
                "--bind, --keys and --advertise are for runs of several processes: give --workers"
            )
        if not 0 < self.patience < float("inf"):
            raise ValueError(f"--patience must be a positive number, got {self.patience}")
        exporting(self.metrics_port, self.metrics_host)
        if self.metrics_port and self.at_once > 1:
            raise ValueError("runs side by side cannot share a port: give --metrics-port 0")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ValueError(f"--minutes must be a positive number, got {self.minutes}")
        if self.updates is not None and self.updates < 1:
            raise ValueError(f"--updates must be at least 1, got {self.updates}")
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise ValueError("no GPU is to be seen here: leave out --device cuda")


@dataclass(frozen=True, kw_only=True)
class Train(TrainConfig, _Session):
    """Learns to play a game together, by self-play, from nothing or from somebody else's games.

    The run can be interrupted (Ctrl-C saves first) and resumed. Its folder holds a picture of its
    learning curve; more is to be seen with tensorboard.
    """

    games: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[GAME ...]")] = (
        "hanabi",
    )
    """What to learn, all at once and with one set of weights: hanabi, hanabi:2-5, hanabi:3@small
    (a game, its numbers of players, and its options)."""
    imitate: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Who is imitated before self-play begins: anybody in the roster, such as bot:smart. Without a
    name, the agent learns by self-play from nothing."""
    start: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Whose weights learning begins with: a run, an exported folder or a shipped agent of the same
    shape. Without a name they are random."""

    def __post_init__(self) -> None:
        names = complete(self.games, self.players, self.variant, self.manager, suited=True)
        object.__setattr__(self, "games", names)
        _Session.__post_init__(self)
        TrainConfig.__post_init__(self)

    @property
    def config(self) -> TrainConfig:
        """The part that is saved with the run."""
        return TrainConfig(**{f.name: getattr(self, f.name) for f in fields(TrainConfig)})


def read(args: Sequence[str]) -> Train:
    """Reads what stands behind ``troupe train``; with --resume, on top of what the run has.

    Raises:
        ValueError: if options contradict each other or what is in the run directory.
    """
    args = [*_preset(args), *spelled(args)]
    options = parse(Train, COMMAND, args)
    check_folder(options.run_dir, "--run-dir")
    # With --seeds each run has a configuration of its own.
    return _as_it_was(options, args) if options.resume and options.seeds is None else options


def _preset(args: Sequence[str]) -> tuple[str, ...]:
    """The options of the preset that is named; an unknown name is left to the parser.

    A new run with --manager has those of managed games, if none is named.
    """
    managed = any(arg.partition("=")[0] == "--manager" for arg in args) and "--resume" not in args
    name = "managed" if managed else "default"
    for i, arg in enumerate(args):
        if arg.startswith("--preset="):
            name = arg.removeprefix("--preset=")
        elif arg == "--preset" and i + 1 < len(args):
            name = args[i + 1]
    return PRESETS[name].options if name in PRESETS else ()


def spelled(args: Sequence[str]) -> list[str]:
    """The arguments, with what a bare --manager means written out."""
    return [
        f"{arg}=incentives" if arg == "--manager" and following not in KINDS else arg
        for arg, following in zip(args, [*args[1:], ""], strict=True)
    ]


def _as_it_was(options: Train, args: Sequence[str]) -> Train:
    """The options on top of the configuration that the run was started with.

    Raises:
        ValueError: if there is no run, or an option asks for something else.
    """
    refuse_export(options.run_dir)
    saved = load_config(options.run_dir)
    given = {f.name: getattr(options, f.name) for f in fields(_Session)}
    kept = {f.name: getattr(saved, f.name) for f in fields(TrainConfig)}
    # A flag that is on by default can no longer be given: --resume is among the arguments.
    given["resume"] = False
    options = parse(Train, COMMAND, args, default=Train(**given, **kept))
    if change := _other_games(saved, options) or _difference(saved, options.config):
        raise ValueError(
            f"the run in {options.run_dir} goes on as it began, and {change}: leave that option "
            "out, or start another run in another --run-dir"
        )
    return options


def _other_games(saved: TrainConfig, options: Train) -> str | None:
    """Says what is asked to be played that is not; the names of a run's games leave nothing out."""
    began = f"it began with {' '.join(saved.games)}"
    if options.games != saved.games:
        return f"{began}, not with {' '.join(options.games)}"
    played = {setting.players for setting in saved.settings()}
    if options.players is not None and played != set(parse_numbers(options.players, "--players")):
        return f"{began}, not with --players {options.players}"
    presets = {setting.options.get("preset") for setting in saved.settings()}
    if options.variant is not None and presets != {options.variant}:
        return f"{began}, not with --variant {options.variant}"
    if options.manager is not None and any(
        str(setting.options.get("manager", "none")).lower() != options.manager
        for setting in saved.settings()
    ):
        return f"{began}, not with --manager {options.manager}"
    return None


def _difference(saved: object, asked: object, name: str = "") -> str | None:
    """Names the first field in which two configurations differ."""
    for field in fields(saved):  # type: ignore[arg-type]
        was, now = getattr(saved, field.name), getattr(asked, field.name)
        if hasattr(was, "__dataclass_fields__"):
            if inner := _difference(was, now, f"{field.name}."):
                return inner
        elif was != now:
            return f"it began with --{name}{field.name.replace('_', '-')} {was}, not {now}"
    return None
