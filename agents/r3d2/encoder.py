"""The phrase encoder: a small BERT that maps sentences to vectors.

Architecture: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2019), without
dropout and without its pooler; a sentence's vector is the mean over its tokens, or its first one.
Low-rank adapters: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.r3d2 import numerals
from agents.r3d2.bert import ACTIVATIONS, BertConfig, Pool, read_config, read_weights, translate

Tuning = Literal["trained", "frozen", "lora"]

# Up to this many tokens, PyTorch's fused attention is slower on a CPU than two products and a
# softmax once it has to run backwards: 10 times at 14 tokens, 2 times at 192.
_SHORT = 256


class Bert(nn.Module):
    """Embeds sentences; each by itself, whatever else is in the batch.

    Args:
        config: shape of the network.
        tuning: what learns: all weights ("trained"), none ("frozen"), or only low-rank adapters on
            queries and values, which start at zero ("lora").
        lora_rank: rank of the adapters.
        generator: source of the initial weights; the global one by default.

    Raises:
        ValueError: if ``tuning`` is unknown or ``lora_rank`` out of range.
    """

    def __init__(
        self,
        config: BertConfig,
        tuning: Tuning = "trained",
        lora_rank: int = 8,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if tuning not in get_args(Tuning):
            raise ValueError(f"tuning must be one of {', '.join(get_args(Tuning))}, got {tuning!r}")
        if tuning == "lora" and not 1 <= lora_rank <= config.hidden:
            raise ValueError(
                f"lora_rank must be between 1 and the width {config.hidden}, got {lora_rank}"
            )
        self.config, self.tuning = config, tuning
        self.words = nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        # A sentence alone is always BERT's segment 0: that row of the segment table is part of
        # these.
        self.positions = nn.Parameter(torch.empty(config.max_positions, config.hidden))
        self.norm = _norm(config)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                nn.init.ones_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=config.initializer_range, generator=generator)
        self.numbers = None
        if config.valued:
            self.numbers = numerals.ByValue(config.hidden, config.initializer_range)
        if tuning != "trained":
            self.requires_grad_(False)
        if tuning == "lora":
            for layer in self.layers:
                assert isinstance(layer, _Layer)
                layer.adapter = _Adapter(config, lora_rank, generator)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        layers: int | None = None,
        tuning: Tuning = "trained",
        lora_rank: int = 8,
        pool: Pool = "mean",
        generator: torch.Generator | None = None,
    ) -> Bert:
        """Loads a Hugging Face BERT: ``config.json`` and ``model.safetensors``.

        Args:
            folder: where they lie.
            layers: how many layers to keep, the first ones; all by default.
            tuning: what learns, see the class.
            lora_rank: rank of the adapters.
            pool: what a sentence's vector is, see ``BertConfig``.
            generator: source of the adapters' initial weights.

        Raises:
            ValueError: if a file is missing, damaged, or of another kind of model.
        """
        folder = Path(folder)
        config = read_config(folder, layers, pool)
        bert = cls(config, tuning, lora_rank, generator)
        bert.load_state_dict(translate(read_weights(folder), config, folder), strict=False)
        return bert

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Embeds n sentences.

        Args:
            ids: int [n, L], token ids; what lies beyond a sentence's length is not read.
            lengths: int [n], tokens of each sentence, at least 1.

        Returns:
            float32 [n, hidden].

        Raises:
            ValueError: if a sentence is empty or has more tokens than the network has positions.
        """
        if not len(lengths):
            return self.words.new_zeros(0, self.config.hidden)
        shortest, longest = (int(length) for length in lengths.aminmax())
        if not 1 <= shortest <= longest <= self.config.max_positions:
            raise ValueError(
                f"this language model reads sentences of 1 to {self.config.max_positions} tokens, "
                f"got {shortest} to {longest}; use shorter texts or a model with more positions"
            )
        ids = ids[:, :longest]
        real = torch.arange(longest, device=ids.device) < lengths[:, None]
        first = self.config.pool == "first"
        if first and self.config.layers == 1 and bool((ids[:, 0] == ids[0, 0]).all()):
            return self._glance(ids, real)
        rows = _Rows(real)
        places = rows.index % longest
        x = self._look_up(ids.flatten().index_select(0, rows.index), places)
        for depth, layer in enumerate(self.layers, 1):
            x = layer(x, rows, first and depth == self.config.layers)
        return _wide(x) if first else rows.pad(_wide(x)).sum(1) / lengths[:, None]

    def _glance(self, ids: Tensor, real: Tensor) -> Tensor:
        """What ``forward`` computes, for one layer of which only the first token's output counts.

        All sentences start with the same token, so they ask with one query, and keys and values
        depend on a token and its place only. Attention is then a matrix of 0 and 1, sentences by
        distinct (token, place), times a table: exact, and some 12 times faster.
        """
        pairs = ids.long() * self.config.max_positions + torch.arange(
            ids.shape[1], device=ids.device
        )
        pairs = torch.where(real, pairs, pairs[:, :1])  # in place of PAD, the first token again
        pairs, columns = torch.unique(pairs, return_inverse=True)
        tokens, places = (pairs // self.config.max_positions, pairs % self.config.max_positions)
        members = torch.zeros(len(ids), len(pairs), device=ids.device)
        members.scatter_(1, columns, 1.0)
        layer = self.layers[0]
        assert isinstance(layer, _Layer)
        return layer.glance(self._look_up(tokens, places), members, columns[0, 0])

    def _look_up(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Embeds tokens at their places: both int [T] -> [T, hidden]."""
        words: Tensor = self.words
        if self.numbers is not None:
            words = torch.cat([words, self.numbers()])
        return self.norm(F.embedding(tokens, words) + F.embedding(places, self.positions))


class _Rows:
    """Where the real tokens of a padded batch lie.

    Everything but attention runs on the real tokens only, [T, ...]: with phrases as long as a
    game's, a third of a padded batch is PAD.
    """

    def __init__(self, real: Tensor) -> None:
        self.shape = real.shape
        self.index = real.flatten().nonzero()[:, 0]
        lengths = real.sum(1)
        self.firsts = lengths.cumsum(0) - lengths
        self.bias = torch.zeros_like(real, dtype=torch.float32)
        self.bias.masked_fill_(~real, -torch.inf)

    def pad(self, x: Tensor) -> Tensor:
        """[T, k] -> [n, L, k], zero where there is no token."""
        padded = x.new_zeros(self.shape.numel(), x.shape[1]).index_copy(0, self.index, x)
        return padded.unflatten(0, self.shape)


class _Layer(nn.Module):
    """Self-attention and a feed-forward block, each added to its input and normalised after."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        hidden, inner = config.hidden, config.intermediate
        self.heads = config.heads
        self.activation = ACTIVATIONS[config.activation]
        self.qkv = nn.utils.skip_init(nn.Linear, hidden, 3 * hidden)
        self.out = nn.utils.skip_init(nn.Linear, hidden, hidden)
        self.attention_norm = _norm(config)
        self.up = nn.utils.skip_init(nn.Linear, hidden, inner)
        self.down = nn.utils.skip_init(nn.Linear, inner, hidden)
        self.norm = _norm(config)
        self.adapter: _Adapter | None = None

    def forward(self, x: Tensor, rows: _Rows, first: bool) -> Tensor:
        """All tokens [T, hidden] to all tokens, or to the first of each sentence [n, hidden]."""
        heads = (self.heads, -1)
        if first:
            weight, bias = self._qkv_weight(), self.qkv.bias
            size = x.shape[1]
            kv = rows.pad(F.linear(x, weight[size:], bias[size:]))
            k, v = kv.unflatten(2, (2, *heads)).permute(2, 0, 3, 1, 4)
            x = x.index_select(0, rows.firsts)
            q = F.linear(x, weight[:size], bias[:size]).unflatten(1, heads)[:, :, None]
        else:
            qkv = rows.pad(F.linear(x, self._qkv_weight(), self.qkv.bias))
            q, k, v = qkv.unflatten(2, (3, *heads)).permute(2, 0, 3, 1, 4)
        mixed = _attend(q, k, v, rows.bias[:, None, None]).transpose(1, 2).flatten(2)
        mixed = mixed.flatten(0, 1)
        return self._finish(x, mixed if first else mixed.index_select(0, rows.index))

    def glance(self, x: Tensor, members: Tensor, asking: Tensor) -> Tensor:
        """Like ``forward`` for first tokens that are all the same.

        Args:
            x: [U, hidden], every distinct token at its place.
            members: float [n, U], 1 where a sentence holds it.
            asking: int [], the row of the first token.
        """
        qkv = F.linear(x, self._qkv_weight(), self.qkv.bias)
        q, k, v = _wide(qkv).unflatten(1, (3, self.heads, -1)).unbind(1)  # each [U, heads, d]
        scores = (q[asking] * k).sum(2) * q.shape[2] ** -0.5
        # Not normalised over the sentence but over the table; the floor keeps a sentence of
        # tokens that score far below the best from dividing 0 by 0.
        weights = (scores - scores.detach().amax(0)).clamp_min(-60).exp()
        sums = torch.cat([(weights[..., None] * v).flatten(1), weights], 1).to(qkv.dtype)
        sums = _wide(members.to(qkv.dtype) @ sums)
        values, totals = sums[:, : -self.heads], sums[:, -self.heads :]
        mixed = (values.unflatten(1, (self.heads, -1)) / totals[..., None]).flatten(1)
        return _wide(self._finish(x[asking], mixed))

    def _qkv_weight(self) -> Tensor:
        return self.qkv.weight if self.adapter is None else self.qkv.weight + self.adapter()

    def _finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What follows attention, for the tokens that asked."""
        x = self.attention_norm(x + self.out(mixed))
        return self.norm(x + self.down(self.activation(self.up(x))))


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention: q [n, heads, Q, d], k and v [n, heads, L, d], bias [n, 1, 1, L] -> like q."""
    if q.device.type == "cpu" and q.requires_grad and k.shape[2] <= _SHORT:
        scores = torch.add(bias.to(q.dtype), q @ k.transpose(2, 3), alpha=q.shape[3] ** -0.5)
        return scores.softmax(3).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))


class _Adapter(nn.Module):
    """A low-rank change of the query and value maps, zero at first.

    It is added to the weights rather than run beside them: there are far more tokens than rows.
    """

    def __init__(self, config: BertConfig, rank: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(2, rank, config.hidden))
        self.b = nn.Parameter(torch.zeros(2, config.hidden, rank))
        nn.init.normal_(self.a, std=config.initializer_range, generator=generator)

    def forward(self) -> Tensor:
        """The change of the fused query, key and value weights, [3 * hidden, hidden]."""
        q, v = self.b @ self.a
        return torch.cat([q, torch.zeros_like(q), v])


def _wide(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _norm(config: BertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
