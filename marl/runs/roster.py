"""The roster: everybody who can be named where an agent is asked for.

A name is the folder of a run, an exported folder, a shipped agent, which is an exported folder that
comes with the package, or a rule-based player: ``bot:`` and its name. With ``+guard`` behind its
name an agent does not risk its last life. An exported folder holds two files: ``config.json``, the
configuration of the run, and ``agent.safetensors``, the weights that are evaluated.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import agents
from agents import bots
from agents.bots import sentences
from agents.r3d2.agent import R3D2Agent
from games.core import BatchedGame
from games.mpe.rules import NAMES
from games.settings import Setting
from games.text import Phrasebook, Translation, joined
from marl.acting.guard import Guard
from marl.acting.table import Table, admit
from marl.core import Policy
from marl.runs.checkpoint import CheckpointStore
from marl.runs.config import CONFIG_FILE, TrainConfig, load_config, to_dict
from marl.runs.partners import PartnersConfig
from marl.runs.state import unflatten

WEIGHTS_FILE = "agent.safetensors"
SHIPPED = Path(agents.__file__).parent / "shipped"
BOT = "bot:"
"""What the name of a rule-based player begins with."""
GUARD = "+guard"
"""What the name of an agent ends with that does not risk its last life; ``+guard2`` begins with two
lives left, and so on."""


@dataclass(frozen=True)
class Member:
    """An agent that can play.

    Attributes:
        name: what it was asked for by.
        folder: where it was found, None for a rule-based player.
        policy: who plays; an agent with its weights, on the device that was asked for.
        config: of the run that trained it; for a rule-based player, the settings that it plays.
        updates: how many updates it has learned from.
    """

    name: str
    folder: Path | None
    policy: Policy
    config: TrainConfig
    updates: int

    def restriction(self, setting: Setting) -> str | None:
        """Why it cannot play a setting; None if it can.

        An agent that reads no text (``encoder="vector"``) plays what it was trained on and nothing
        else: elsewhere it meets phrases that mean nothing to it.
        """
        if self.config.agent.encoder != "vector" or setting in self.config.settings():
            return None
        known = ", ".join(self.config.games)
        return f"it reads no text, and knows only what it was trained on ({known})"

    def check(self, setting: Setting) -> None:
        """Refuses a setting before it is played.

        Raises:
            ValueError: if it cannot play the setting.
        """
        reason = self.restriction(setting) or refusal(self.policy, setting.batched(1))
        if reason is not None:
            raise ValueError(f"{self.name} cannot play {setting.name}: {reason}")


def shipped() -> list[str]:
    """Names of the agents that come with the package, in alphabetical order."""
    return sorted(file.parent.name for file in SHIPPED.glob(f"*/{WEIGHTS_FILE}"))


def known_names() -> list[str]:
    """Everybody who comes with the package: trained agents, then players by rules."""
    known = (*bots.NAMES, bots.PLANNER, *sentences.GAMES)
    return [*shipped(), *(f"{BOT}{name}" for name in known)]


def load(name: str, device: str = "cpu") -> Member:
    """Finds an agent by its name.

    Args:
        name: a run's folder, an exported folder, a name out of ``shipped()``, or ``bot:`` and a
            name that ``agents.bots.make`` knows; and ``+guard`` behind it.
        device: where it is to play, if it is a network.

    Raises:
        ValueError: if there is no such agent, it has no weights yet, or its files are damaged.
    """
    guarded = re.fullmatch(rf"(.+){re.escape(GUARD)}([1-9]?)", name.rstrip("/"))
    if guarded and not Path(name).is_dir():
        member = load(guarded[1], device)
        guard = Guard(member.policy, int(guarded[2] or 1))
        return replace(member, name=name, policy=guard)
    if name.startswith(BOT):
        bot = name.removeprefix(BOT)
        if bot in sentences.GAMES:
            config = TrainConfig(games=(sentences.GAMES[bot],))
            book = config.settings()[0].batched(1).phrasebook
            return Member(name, None, sentences.make(bot, book), config, 0)
        known = (*bots.NAMES, bots.PLANNER, *sentences.GAMES)
        if near := difflib.get_close_matches(bot, known, n=1) if bot not in known else []:
            raise ValueError(f"there is no bot {bot!r}: did you mean {BOT}{near[0]}?")
        plays = NAMES if bot == bots.PLANNER else ("hanabi:2-5",)
        return Member(name, None, bots.make(bot), TrainConfig(games=plays), 0)
    folder = Path(name)
    if not folder.is_dir():
        if name not in shipped():
            if near := difflib.get_close_matches(name, known_names(), n=1):
                raise ValueError(f"there is no agent {name!r}: did you mean {near[0]}?")
            come_along = ", ".join(shipped()) or "none"
            raise ValueError(
                f"there is no agent {name!r}: name a run's folder, an exported folder, a shipped "
                f"agent ({come_along}) or a rule-based player ({BOT}{bots.NAMES[-1]} and its like)"
            )
        folder = SHIPPED / name
    config = load_config(folder)
    weights, updates, phrases = _weights(folder)
    games = [setting.batched(1) for setting in config.settings()]
    book = joined([game.phrasebook for game in games])
    if book.closed:  # a copy, which may grow where the game's own may not
        book = Phrasebook(book)
    agent = R3D2Agent(config.agent, book, config.seed).to(device)
    if book.closed:
        book.readable = agent.reads
        try:
            agent.load_phrases(phrases)
        except ValueError as error:
            raise ValueError(f"{name} cannot be loaded: {error}") from error
    agent.load(updates, weights)
    for game in games:  # What its auxiliary head was asked, if it has one.
        agent.admit(labels=Translation(game.phrasebook, book)(game.label_phrases))
    agent.eval()
    return Member(name, folder, agent, config, updates)


def find_teacher(
    name: str, settings: Sequence[Setting], playing: Sequence[BatchedGame], device: str = "cpu"
) -> Policy:
    """Somebody to be imitated, by name, once they have been seen to play every setting.

    Args:
        name: whatever ``load`` accepts.
        settings: what is to be taught.
        playing: games of each setting, at their start; they are left as they are.
        device: where the teacher is, if it is a network.

    Raises:
        ValueError: if there is no such player, or it cannot play one of the settings.
    """
    member = load(name, device)
    for setting, game in zip(settings, playing, strict=True):
        reason = member.restriction(setting) or refusal(member.policy, game)
        if reason is not None:
            raise ValueError(f"{name} cannot teach {setting.name}: {reason}")
    return member.policy


def find_partners(
    config: PartnersConfig,
    settings: Sequence[Setting],
    playing: Sequence[BatchedGame],
    device: str = "cpu",
) -> list[Policy]:
    """Those who are trained with, once they have been seen to play every setting.

    Args:
        config: names them.
        settings: what is learned.
        playing: games of each setting, at their start; they are left as they are.
        device: where they are, if they are networks.

    Raises:
        ValueError: if there is no such player, its weights may change yet, or it cannot play one of
            the settings.
    """
    found = []
    for name, _ in config.weighted():
        member = load(name, device)
        # A run that goes on would be another partner after every resume.
        if member.folder is not None and not (member.folder / WEIGHTS_FILE).is_file():
            raise ValueError(
                f"partner {name} is a run, whose weights may change: troupe export writes a folder "
                "with those that it has now"
            )
        for setting, game in zip(settings, playing, strict=True):
            reason = member.restriction(setting) or refusal(member.policy, game)
            if reason is not None:
                raise ValueError(f"partner {name} cannot play {setting.name}: {reason}")
            if isinstance(member.policy, R3D2Agent):
                admit(member.policy, game)
        found.append(member.policy)
    return found


def refusal(policy: Policy, game: BatchedGame) -> str | None:
    """Why a policy cannot choose in a game as it stands, in its own words; None if it can."""
    try:
        Table(game, [policy]).choose()
    except ValueError as error:
        return str(error)
    return None


def starting_weights(config: TrainConfig) -> dict[str, Tensor]:
    """The weights that a run is to start from (``config.start``).

    Raises:
        ValueError: if there is no such agent, or it is of another shape.
    """
    assert config.start
    member = load(config.start)
    agent = _network(member, "to start from")
    theirs, ours = asdict(member.config.agent), asdict(config.agent)
    other = [
        f"--agent.{name.replace('_', '-')} {v}" for name, v in theirs.items() if v != ours[name]
    ]
    if other:
        raise ValueError(
            f"{config.start} is an agent of another shape: to start from it, give {' '.join(other)}"
        )
    return agent.state_dict()


def export(member: Member, folder: Path) -> None:
    """Writes an agent as two small files that ``load`` accepts and that can be passed on.

    Raises:
        ValueError: if ``folder`` is there already, or the agent has no weights to write.
    """
    agent = _network(member, "to export")
    if folder.exists():
        raise ValueError(f"{folder} is there already: choose another folder, or remove it first")
    folder.mkdir(parents=True)
    text = json.dumps(to_dict(member.config), indent=2) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    weights = {k: v.cpu().contiguous() for k, v in agent.state_dict().items()}
    phrases = agent.phrases_state() if agent.phrasebook.closed else {}
    about = {"updates": str(member.updates), "phrases": json.dumps(phrases)}
    save_file(weights, folder / WEIGHTS_FILE, metadata=about)
    # It is made for its owner's eyes only: whoever may read the one file may read the other.
    shutil.copymode(folder / CONFIG_FILE, folder / WEIGHTS_FILE)


def refuse_export(folder: Path) -> None:
    """Refuses to train on in a folder that holds an exported agent and no run.

    Raises:
        ValueError: if it does.
    """
    if (folder / WEIGHTS_FILE).is_file():
        raise ValueError(
            f"{folder} is an exported agent and no run: it has neither replay nor optimiser to go "
            f"on with. Begin a run with its weights: troupe train --start {folder} --run-dir OTHER"
        )


def _network(member: Member, purpose: str) -> R3D2Agent:
    """The network of a member; ValueError if it has none, or is more than one."""
    if isinstance(member.policy, R3D2Agent):
        return member.policy
    if isinstance(member.policy, Guard):
        raise ValueError(f"a guard has no weights {purpose}: leave {GUARD} out of {member.name}")
    raise ValueError(f"{member.name} plays by rules and has no weights {purpose}")


def _weights(folder: Path) -> tuple[dict[str, Tensor], int, dict[str, Any]]:
    """The weights to play with, how many updates they have seen, and of what phrases they are."""
    path = folder / WEIGHTS_FILE
    if path.is_file():
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                phrases = json.loads(about.get("phrases", "{}"))
                return weights, int(about.get("updates", 0)), phrases
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
    try:
        learner = unflatten(*CheckpointStore(folder / "checkpoints").load())["learner"]
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no checkpoint yet: train it for longer, with --resume"
        ) from None
    # The running mean of the weights plays better than the newest ones.
    average = {name: torch.as_tensor(array) for name, array in learner["average"].items()}
    return average, int(learner["updates"]), learner.get("phrases", {})
