"""What a training run is made of: one frozen dataclass, saved with the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agents.r3d2.config import R3D2Config
from games.hyperparameters import Hyperparameters, check
from games.settings import Setting, parse_all
from marl.learning.config import LearnerConfig
from marl.learning.imitation import ImitationConfig
from marl.replay.prioritised import ReplayConfig
from marl.runs.checks import refuse_endless
from marl.runs.hyperparameters import choose, common, differing
from marl.runs.partners import PartnersConfig

CONFIG_FILE = "config.json"
PHRASES_FILE = "phrases.txt"
"""In the folder of a run of several processes whose phrasebook grows: a sentence a line, in the
order of their ids."""


@dataclass(frozen=True)
class ActorConfig:
    """How games are played for training."""

    num_games: int = 512
    """Games played at once, shared among the settings."""
    epsilon: float | None = None
    """Base of the exploration spectrum: the rate of the game that explores most. Without one, the
    game's own."""
    epsilon_spread: float | None = None
    """Exponent range of the spectrum: the least explores at epsilon ** (1 + spread). Without one,
    the game's own."""
    temperature: float | None = None
    """Temperature of the game that explores most, in points: moves are drawn from the softmax of
    their values over it; 0 for epsilon-greedy play only. Without one, the game's own."""
    temperature_spread: float | None = None
    """Powers of ten between the temperatures of the game that explores most and the least. Without
    one, the game's own."""
    idle_manager: int = 0
    """Updates in which a manager says anything at random: the others have to learn what follows
    from each thing that it may say, before it can learn what to say."""
    state_dependent: int = 0
    """Updates in which most random moves are a function of what is observed, one for the whole run:
    words mean something then before anybody has learned to speak (state-dependent exploration)."""
    other_play: bool = False
    """Other-Play: every seat sees the colours under names of its own."""
    lag: int = 0
    """Updates that weights are held back before games are played with them: to see what staleness
    costs, as it comes about where actors are far away or behind."""

    def __post_init__(self) -> None:
        if self.num_games < 1:
            raise ValueError(f"actor.num_games must be at least 1, got {self.num_games}")
        for name in ("idle_manager", "state_dependent", "lag"):
            if getattr(self, name) < 0:
                raise ValueError(f"actor.{name} cannot be negative, got {getattr(self, name)}")
        check(vars(self), "actor.")


@dataclass(frozen=True)
class TrainConfig:
    """A training run. The same configuration and seed give the same run, bit for bit."""

    games: tuple[str, ...] = ("hanabi:2",)
    """What is learned, all at once: names of settings, such as hanabi:2-5 or hanabi:3@small."""
    seed: int = 1
    """Seed of everything random."""
    imitate: str | None = None
    """Who is imitated before self-play begins: anybody in the roster, such as bot:smart. Without a
    name, the agent learns by self-play from nothing."""
    start: str | None = None
    """Whose weights learning begins with: a run, an exported folder or a shipped agent of the same
    shape. Without a name they are random."""
    per_setting: tuple[str, ...] = ()
    """What some games or settings are learned with, of --learner.gamma and --learner.n-step and of
    --actor's epsilon and temperature: simple-reference.gamma=0.95 hanabi:5.epsilon=0.2. The last
    one counts."""
    samples_per_insert: float = 2.5
    """Sequences learned from for each one inserted; lower is fresher, higher is thriftier."""
    warm_up: int = 2000
    """Sequences inserted before learning begins."""
    evaluate_interval: int = 2000
    """Updates between evaluations."""
    evaluate_games: int = 500
    """Games of each evaluation during training, for every setting."""
    checkpoint_minutes: float = 2.0
    """Minutes between checkpoints."""
    replay_minutes: float = 0.0
    """Minutes between savings of replay itself; 0 for with every checkpoint, from which a run then
    goes on bit for bit. Replay is most of a checkpoint, gigabytes at the rates of a GPU: with more,
    a run goes on from its newest weights and a replay that is up to so many minutes older."""
    keep_checkpoints: int = 2
    """Checkpoints kept; older ones are removed."""
    agent: R3D2Config = field(default_factory=R3D2Config)
    """Shape of the agent."""
    actor: ActorConfig = field(default_factory=ActorConfig)
    """How games are played."""
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    """What replay holds."""
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    """How the agent learns."""
    imitation: ImitationConfig = field(default_factory=ImitationConfig)
    """How somebody is imitated."""
    partners: PartnersConfig = field(default_factory=PartnersConfig)
    """Who is trained with, beside oneself."""

    def __post_init__(self) -> None:
        # One name for each setting, however they were written.
        object.__setattr__(self, "games", tuple(setting.name for setting in self.settings()))
        refuse_endless(self)
        self._settle(self.hyperparameters())
        if self.seed < 0:
            raise ValueError(f"seed cannot be negative, got {self.seed}")
        for name in ("warm_up", "evaluate_interval", "evaluate_games", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.replay_minutes < 0:
            raise ValueError(f"replay_minutes cannot be negative, got {self.replay_minutes}")
        for name in ("samples_per_insert", "checkpoint_minutes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.learner.burn_in * 2 + 2 > self.replay.max_length:
            raise ValueError(
                f"learner.burn_in={self.learner.burn_in} leaves too little of sequences of "
                f"replay.max_length={self.replay.max_length} steps: choose at most "
                f"{self.replay.max_length // 2 - 1}"
            )

        least = self.actor.lag + self.learner.publish_interval
        if 0 < self.learner.max_staleness < least:
            raise ValueError(
                f"learner.max_staleness={self.learner.max_staleness} leaves nothing to learn from "
                f"where actor.lag={self.actor.lag}: choose at least {least}, or 0 for no bound"
            )
        if self.learner.aux_shaping and self.learner.mixing == "iql":
            raise ValueError(
                "learner.aux_shaping rewards what a seat says by what the others make of it, which "
                "learner.mixing=iql does not see: add --learner.mixing vdn"
            )
        if self.learner.aux_shaping and not self.agent.own_hand:
            raise ValueError(
                "learner.aux_shaping rewards the guesses of the auxiliary head: leave out "
                "--agent.no-own-hand, or learner.aux_shaping"
            )
        if self.partners.any and self.learner.mixing == "vdn":
            raise ValueError(
                "learner.mixing=vdn learns from all seats of a game, and partners hold some of "
                "them: leave out one of the two"
            )
        if self.learner.off_belief:
            self._refuse_off_belief()
        for setting in self.settings() if self.partners.any else ():
            if setting.seats < 2:
                raise ValueError(f"{setting.name} has no seat for a partner")

    def settings(self) -> tuple[Setting, ...]:
        """What is learned.

        Raises:
            ValueError: if a name cannot be read, or means something that is not there.
        """
        return parse_all(self.games)

    def hyperparameters(self) -> tuple[Hyperparameters, ...]:
        """What every setting is learned with, in the order of ``settings()``.

        Raises:
            ValueError: if ``per_setting`` cannot be read, or contradicts the rest.
        """
        return choose(self.settings(), self.learner, self.actor, self.per_setting)

    def _refuse_off_belief(self) -> None:
        """Raises ValueError for what off-belief learning does not go with."""
        for wrong, what, instead in (
            (self.agent.core != "feedforward", "memory", "add --agent.core feedforward"),
            (self.learner.mixing != "iql", "learner.mixing=vdn", "use learner.mixing=iql"),
            (self.partners.any, "partners", "leave out one of the two"),
            (self.imitate, "somebody to imitate", "leave out one of the two"),
            (self.actor.other_play, "actor.other_play", "leave out one of the two"),
        ):
            if wrong:
                raise ValueError(f"learner.off_belief does not go with {what}: {instead}")

    def met(self) -> frozenset[str]:
        """The partners that the agent met or came from in training, by their names in the roster.

        Those that its own partners or teachers had met are not among them.
        """
        names = [self.imitate, self.start, *(name for name, _ in self.partners.weighted())]
        return frozenset(Path(name).name for name in names if name)

    def _settle(self, chosen: Sequence[Hyperparameters]) -> None:
        """Writes down what was left to the games: a run keeps it, whatever they say later."""
        object.__setattr__(self, "learner", common(self.learner, chosen))
        object.__setattr__(self, "actor", common(self.actor, chosen))
        object.__setattr__(self, "per_setting", differing(self.settings(), chosen))


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain values, for JSON."""
    return asdict(config)


def from_dict(values: dict[str, Any]) -> TrainConfig:
    """The inverse of ``to_dict``.

    Raises:
        ValueError: if a field is unknown or out of range.
    """
    parts = {
        "agent": R3D2Config,
        "actor": ActorConfig,
        "replay": ReplayConfig,
        "learner": LearnerConfig,
        "imitation": ImitationConfig,
        "partners": PartnersConfig,
    }
    if not isinstance(values, dict):
        raise ValueError(f"a configuration has names and values, this is {values!r:.40}")
    try:
        fields = {name: parts[name](**v) if name in parts else v for name, v in values.items()}
        for name in ("games", "per_setting"):
            if isinstance(fields.get(name), list):  # JSON has no tuples
                fields[name] = tuple(fields[name])
        return TrainConfig(**fields)
    except TypeError as error:
        raise ValueError(
            f"this configuration is not one of this version of Troupe: {error}"
        ) from error


def load_config(folder: Path) -> TrainConfig:
    """The configuration that a run was started with.

    Raises:
        ValueError: if there is no run, or its configuration is damaged or out of range.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no run: it has no {CONFIG_FILE}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    try:
        return from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
