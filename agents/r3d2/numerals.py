"""Numbers in sentences: embeddings that are alike where numbers are close.

Random Fourier features (Rahimi and Recht 2007) of a number's logarithm, of frequencies drawn so
that two numbers' features have a product of ``exp(-|difference| / SCALE)``: what is near is alike,
and still told apart. As drawn by chance, 45 cm east is closer to 45 cm west than to 50 cm east.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agents.r3d2.tokenizer import Tokenizer, WordPiece

SCALE = 4.0
"""Difference of two numbers' logarithms at which their features are a third alike."""


class ByValue(nn.Module):
    """Embeds numbers by their values: by one linear map of features, so that none is unknown.

    Args:
        width: of an embedding.
        spread: standard deviation of a number's first embedding over its width.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, width: int, spread: float) -> None:
        super().__init__()
        self.spread = spread
        frequencies, phases = _draw(width)
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", phases)
        self.map = nn.Parameter(torch.eye(width))
        self._values: Tensor = torch.zeros(0)

    def meet(self, values: Sequence[float]) -> None:
        """Sets which numbers there are, in the order of their tokens."""
        self._values = torch.tensor(values, dtype=torch.float64)

    def forward(self) -> Tensor:
        """float32 [n, width], of all numbers met."""
        values = self._values = self._values.to(self.map.device)
        return self.spread * _waves(values, self.frequencies, self.phases) @ self.map


def order(words: Tensor, tokenizer: Tokenizer) -> None:
    """Has the embeddings of numbers begin alike where the numbers are close.

    Args:
        words: [tokens, width], the language model's table, as it was drawn; changed in place.
        tokenizer: what the tokens are.

    Raises:
        ValueError: if words are hashed, so that nobody knows which of them are numbers.
    """
    if not isinstance(tokenizer, WordPiece):
        raise ValueError(
            "agent.numerals=ordered needs a game whose sentences are known beforehand: leave it out"
        )
    found = [(i, int(piece)) for i, piece in enumerate(tokenizer.vocabulary) if piece.isdecimal()]
    rows, numbers = (torch.tensor(column) for column in zip(*found, strict=True))
    with torch.no_grad():
        frequencies, phases = _draw(words.shape[1])
        waves = _waves(numbers.double(), frequencies, phases)
        words[rows] = (words.std() * waves).to(words.dtype)


def _draw(width: int) -> tuple[Tensor, Tensor]:
    """Frequencies and phases, float32 [width], from the global generator."""
    return torch.empty(width).cauchy_(0, 1 / SCALE), torch.rand(width) * (2 * torch.pi)


def _waves(values: Tensor, frequencies: Tensor, phases: Tensor) -> Tensor:
    """Features of numbers of 0 and more: float64 [n] -> float32 [n, width], of mean square 1."""
    angles = values.log1p()[:, None] * frequencies + phases
    return 2**0.5 * angles.cos().float()
