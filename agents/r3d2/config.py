"""Settings of the R3D2 agent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class R3D2Config:
    """Shape of the network; everything that decides what its weights are.

    Raises:
        ValueError: if a value is out of range or two of them contradict each other.
    """

    # How text becomes vectors.
    encoder: Literal["phrases", "paragraph", "vector"] = "phrases"
    """phrases: the language model reads each distinct phrase once per parameter version;
    paragraph: it reads every observation whole, as in the paper; vector: no text, a free
    embedding per phrase (the baseline that cannot meet a phrase it never trained on)."""
    language_model: str | None = None
    """Folder of Hugging Face BERT weights to start from; without one, a small BERT from scratch."""
    tuning: Literal["trained", "frozen", "lora"] = "trained"
    """What the language model learns: all of it, nothing, or low-rank adapters."""
    lora_rank: int = 8
    """Rank of the adapters where tuning is lora."""
    text_layers: int = 1
    """Layers of the language model (of a loaded one, the first ones are kept)."""
    text_pool: Literal["first", "mean"] = "first"
    """A sentence's vector: that of its first token, or the mean over all (with one layer, the
    first is some ten times faster)."""
    numerals: Literal["apart", "ordered", "value"] = "apart"
    """How a language model made from scratch reads numbers. apart: as words like any other;
    ordered: such words begin alike where the numbers are close, so that what is learned of 45 cm
    holds for 50 cm; value: by their values, so that 0.35 is read by who has met 0.3 and 0.4."""
    text_hidden: int = 128
    """Width of a language model made from scratch; a loaded one has its own."""

    # What stands on it.
    hidden: int = 128
    """Width of pooled facts, recurrent outputs and relevance space."""
    core: Literal["gated", "lstm", "feedforward"] = "gated"
    """gated: memory whose gates see the input only, faster to train; lstm: the paper's;
    feedforward: layers without memory, so that a move depends on nothing but what is seen now."""
    memory: int = 128
    """Width of the recurrent core; facts bypass it."""
    layers: int = 1
    """Layers of the recurrent core."""
    roles: tuple[str, ...] = ()
    """Who has a network of its own, by what is read: regular expressions that are found in a fact
    of theirs, such as "^I speak to" for a manager. Everybody else shares one."""
    own_hand: bool = True
    """Auxiliary head that guesses at what the agent cannot see of its own, where a game has an
    answer sheet for training: in Hanabi, what can be done with the cards in its hand."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "roles", tuple(self.roles))  # JSON has no tuples
        for pattern in self.roles:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"agent.roles: {pattern!r} is no regular expression: {error}"
                ) from None
        if self.roles and self.encoder == "paragraph":
            raise ValueError(
                "agent.roles needs an agent that keeps tables of phrases: leave it out, or "
                "agent.encoder=paragraph"
            )
        if self.roles and self.own_hand:
            raise ValueError(
                "networks by role have no auxiliary head: add --agent.no-own-hand, or leave out "
                "agent.roles"
            )
        for name in ("lora_rank", "text_layers", "text_hidden", "hidden", "memory", "layers"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"agent.{name} must be at least 1, got {value}")
        if self.text_hidden % 32:
            raise ValueError(
                f"agent.text_hidden must be a multiple of 32 (the width of a head), "
                f"got {self.text_hidden}"
            )
        if self.encoder == "vector" and (self.language_model or self.tuning != "trained"):
            raise ValueError(
                "agent.encoder=vector reads no text: leave agent.language_model and agent.tuning "
                "at their defaults, or choose encoder=phrases"
            )
        if self.numerals != "apart" and (self.encoder == "vector" or self.language_model):
            raise ValueError(
                f"agent.numerals={self.numerals} is for a language model made from scratch: leave "
                "out agent.language_model, and agent.encoder=vector"
            )
        if self.tuning != "trained" and self.language_model is None:
            raise ValueError(
                f"agent.tuning={self.tuning} needs pretrained weights: give agent.language_model "
                "a folder that holds them, or use tuning=trained"
            )
