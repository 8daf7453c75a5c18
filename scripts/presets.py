"""Presets of ``troupe train``: options by name. Those on the command line are read after them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Some options under one name.

    Attributes:
        what: what they are for, in a line.
        options: as they would be written on the command line.
    """

    what: str
    options: tuple[str, ...]


_VECTOR = ("--agent.encoder", "vector")
_SELFISH = (
    *(*_VECTOR, "--agent.hidden", "64", "--agent.memory", "32", "--agent.no-own-hand"),
    *("--actor.num-games", "128", "--actor.epsilon", "0.3", "--actor.epsilon-spread", "3"),
    *("--actor.temperature", "0", "--learner.n-step", "1", "--learner.gamma", "0.98"),
    *("--learner.learning-rate", "1e-3", "--learner.text-learning-rate", "1e-3"),
    *("--learner.target-interval", "100", "--learner.refresh-interval", "1"),
    *("--learner.lanes", "1", "--samples-per-insert", "2", "--warm-up", "1000"),
    *("--replay.capacity", "20000", "--evaluate-interval", "500"),
)

PRESETS: dict[str, Preset] = {
    "default": Preset("everything as it is listed here", ()),
    "small": Preset("a small game, for quick experiments: 2 colours", ("--variant", "small")),
    "very-small": Preset("a smaller one: 1 colour", ("--variant", "very-small")),
    "plain": Preset("no facts that follow from others, as published", ("--variant", "plain")),
    "other-play": Preset(
        "Other-Play: every seat has names of its own for colours", ("--actor.other-play",)
    ),
    "off-belief": Preset(
        "off-belief learning: nothing is believed of a move but what the rules say",
        (
            *("--learner.off-belief", "--agent.core", "feedforward", "--agent.no-own-hand"),
            *("--learner.n-step", "1", "--learner.huber", "5", "--learner.target-interval", "100"),
            *("--replay.capacity", "4000", "--replay.alpha", "0"),
        ),
    ),
    "vector": Preset("no text, to compare: R2D2, every seat learns for itself (IQL)", _VECTOR),
    "iql": Preset("another name of vector", _VECTOR),
    "vdn": Preset(
        "vector, with values that add up over the seats", (*_VECTOR, "--learner.mixing", "vdn")
    ),
    "mpe": Preset(
        "particle games: rewards in scale, numbers that begin alike, values that add up",
        (
            *("--agent.numerals", "ordered", "--agent.memory", "64", "--actor.num-games", "256"),
            *("--learner.reward-scale", "0.3", "--learner.gamma", "0.9"),
            *("--learner.mixing", "vdn", "--learner.aux-weight", "1"),
            *("--learner.learning-rate", "1e-3", "--learner.target-interval", "50"),
            *("--learner.average", "0.97", "--replay.capacity", "8000", "--replay.alpha", "0"),
            *("--warm-up", "1000"),
        ),
    ),
    "selfish": Preset(
        "small games in which everybody serves itself, such as the supply chain", _SELFISH
    ),
    "managed": Preset(
        "the same with a manager: a network of its own, and 6,000 updates in which it is idle",
        (
            *(*_SELFISH, "--agent.roles", "^I speak to", "--actor.idle-manager", "6000"),
            *("--learner.reward-scale", "0.3"),
        ),
    ),
    "paper": Preset(
        "the published R3D2: reads whole paragraphs, replays uniformly, learns in one step",
        (
            *("--variant", "plain", "--actor.temperature", "0", "--agent.no-own-hand"),
            *("--agent.encoder", "paragraph", "--agent.text-pool", "mean"),
            *("--agent.hidden", "128", "--agent.core", "lstm"),
            *("--agent.memory", "128", "--agent.layers", "2"),
            *("--replay.alpha", "0", "--replay.beta", "0", "--learner.n-step", "1"),
            *("--learner.learning-rate", "6.25e-5", "--learner.text-learning-rate", "6.25e-5"),
            *("--learner.target-interval", "2500", "--learner.refresh-interval", "1"),
        ),
    ),
}


def explained() -> str:
    """Every preset with what it is for, for the help."""
    return "Options by name; those given beside it win. " + "; ".join(
        f"{name}: {preset.what}" for name, preset in PRESETS.items()
    )
