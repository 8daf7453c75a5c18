"""The shape of a BERT, and how it is read from a folder of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from agents.r3d2.tokenizer import read_json

Pool = Literal["mean", "first"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True)
class BertConfig:
    """Shape of a BERT.

    Raises:
        ValueError: if a value is out of range.
    """

    vocab_size: int
    """Pieces in the tokenizer's vocabulary."""
    hidden: int = 128
    """Width of a token and of a sentence's embedding."""
    layers: int = 1
    heads: int = 4
    """Attention heads; they divide ``hidden`` among them."""
    intermediate: int = 512
    """Width of the feed-forward blocks."""
    max_positions: int = 512
    """Tokens that a sentence may have, [CLS] and [SEP] included."""
    activation: str = "gelu"
    """Of the feed-forward blocks; by the name that Hugging Face gives it."""
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    """Standard deviation of initial weights."""
    pool: Pool = "mean"
    """A sentence's vector: the mean over its tokens, or its first token, [CLS]. With one layer
    "first" is some 12 times faster; models trained to be sentence encoders mostly want "mean"."""
    valued: bool = False
    """Whether tokens beyond the vocabulary are numbers, embedded by their values."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden", "layers", "heads", "intermediate", "max_positions"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"bert.{name} must be a whole number of at least 1, got {value}")
        if self.hidden % self.heads:
            raise ValueError(
                f"bert.hidden must be a multiple of bert.heads, got {self.hidden} and {self.heads}"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"bert.activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}"
            )
        for name in ("layer_norm_eps", "initializer_range"):
            if not getattr(self, name) > 0:
                raise ValueError(f"bert.{name} must be positive, got {getattr(self, name)}")
        if self.pool not in get_args(Pool):
            raise ValueError(
                f"bert.pool must be one of {', '.join(get_args(Pool))}, got {self.pool!r}"
            )


def read_config(folder: Path, layers: int | None, pool: Pool) -> BertConfig:
    """The shape of the model in a folder, of which so many layers are kept.

    Raises:
        ValueError: if there is none, or one of another kind.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"no config.json in {folder}; give the folder of a Hugging Face BERT")
    found = read_json(path)
    if found.get("model_type") != "bert":
        raise ValueError(
            f"{path} describes a model of type {found.get('model_type')!r}; only bert is supported"
        )
    if found.get("position_embedding_type", "absolute") != "absolute":
        raise ValueError(
            f"{path} asks for position_embedding_type={found['position_embedding_type']!r}; "
            "only absolute positions are supported"
        )
    try:
        depth = found["num_hidden_layers"]
        config = BertConfig(
            vocab_size=found["vocab_size"],
            hidden=found["hidden_size"],
            layers=depth if layers is None else layers,
            heads=found["num_attention_heads"],
            intermediate=found["intermediate_size"],
            max_positions=found["max_position_embeddings"],
            activation=found.get("hidden_act", "gelu"),
            layer_norm_eps=found.get("layer_norm_eps", 1e-12),
            initializer_range=found.get("initializer_range", 0.02),
            pool=pool,
        )
    except KeyError as error:
        raise ValueError(f"{path} does not say {error}") from None
    if config.layers > depth:
        raise ValueError(
            f"the model in {folder} has {depth} layers, {config.layers} were asked for"
        )
    return config


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights in a folder, by their names there.

    Raises:
        ValueError: if there are none that are safe to read.
    """
    path = folder / "model.safetensors"
    if path.is_file():
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or no safetensors file: {error}") from None
    pickled = sorted(p.name for p in folder.glob("*.bin")) + sorted(
        p.name for p in folder.glob("*.pt")
    )
    if pickled:
        raise ValueError(
            f"{folder} holds {pickled[0]}, a pickle, which can run code when it is read; convert "
            "it where you trust it: transformers.AutoModel.from_pretrained(folder)"
            ".save_pretrained(folder, safe_serialization=True)"
        )
    raise ValueError(f"no model.safetensors in {folder}; give the folder of a Hugging Face BERT")


def translate(found: Mapping[str, Tensor], config: BertConfig, folder: Path) -> dict[str, Tensor]:
    """Hugging Face's names and shapes to ours."""
    prefix = "bert." if any(name.startswith("bert.") for name in found) else ""

    def take(name: str, *shape: int) -> Tensor:
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        old = old.replace("LayerNorm.bias", "LayerNorm.beta")
        tensor = found.get(prefix + name, found.get(prefix + old))
        if tensor is None:
            raise ValueError(f"the weights in {folder} lack {prefix + name}; is it a BERT?")
        if tensor.shape != shape:
            raise ValueError(
                f"{prefix + name} in {folder} has shape {tuple(tensor.shape)}, and config.json "
                f"says {shape}"
            )
        return tensor.float()

    hidden, inner = config.hidden, config.intermediate
    segments = found.get(f"{prefix}embeddings.token_type_embeddings.weight")
    positions = take("embeddings.position_embeddings.weight", config.max_positions, hidden)
    ours = {
        "words": take("embeddings.word_embeddings.weight", config.vocab_size, hidden),
        "positions": positions if segments is None else positions + segments[0].float(),
        "norm.weight": take("embeddings.LayerNorm.weight", hidden),
        "norm.bias": take("embeddings.LayerNorm.bias", hidden),
    }
    for i in range(config.layers):
        theirs = f"encoder.layer.{i}"
        for kind, columns in (("weight", (hidden,)), ("bias", ())):
            ours[f"layers.{i}.qkv.{kind}"] = torch.cat(
                [
                    take(f"{theirs}.attention.self.{part}.{kind}", hidden, *columns)
                    for part in ("query", "key", "value")
                ]
            )
            for name, their_name, shape in (
                ("out", "attention.output.dense", (hidden, *columns)),
                ("attention_norm", "attention.output.LayerNorm", (hidden,)),
                ("up", "intermediate.dense", (inner, *columns)),
                ("down", "output.dense", (hidden, *((inner,) if columns else ()))),
                ("norm", "output.LayerNorm", (hidden,)),
            ):
                ours[f"layers.{i}.{name}.{kind}"] = take(f"{theirs}.{their_name}.{kind}", *shape)
    return ours
