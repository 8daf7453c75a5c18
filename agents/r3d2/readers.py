"""What turns phrases into vectors: a language model, or a free embedding for each."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from agents.r3d2.bert import BertConfig
from agents.r3d2.config import R3D2Config
from agents.r3d2.encoder import Bert
from agents.r3d2.numerals import order
from agents.r3d2.tokenizer import HashedWords, Tokenizer, WordPiece
from games.text import Phrasebook

Ids = NDArray[np.int16]

WHITENING_DAMP = 1e-3


class TextReader(nn.Module):
    """Reads phrases with a language model.

    Sentences of one game share most words, so that their embeddings all but coincide, and a sum of
    them would tell little of which they were. Two things keep them apart. A linear map, fixed when
    training begins (``spread_out``), whitens the phrases that are trained on. What comes out is
    standardised over the phrases that are trained on, at every run of the language model (batch
    normalisation, arXiv 1502.03167, whose batch here is the whole population); without that, a
    small step that moves all phrases alike drowns what tells them apart, and learning collapses.

    Args:
        bert: the language model.
        tokenizer: cuts sentences for it.
        phrasebook: the sentences. It may grow: new ones are cut when they are first read.
        standardise: whether to do this; without it, embeddings are the language model's own, as
            the paper has them.
    """

    whiten: Tensor
    center: Tensor
    scale: Tensor

    def __init__(
        self, bert: Bert, tokenizer: Tokenizer, phrasebook: Phrasebook, standardise: bool
    ) -> None:
        super().__init__()
        self.bert, self.tokenizer, self.phrasebook = bert, tokenizer, phrasebook
        self.width, self.standardise = bert.config.hidden, standardise
        self._tokens = torch.zeros(0, 0, dtype=torch.int32)
        self._lengths = torch.zeros(0, dtype=torch.int32)
        self.register_buffer("whiten", torch.eye(self.width))
        self.register_buffer("center", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))

    def spread_out(self, ids: Tensor) -> None:
        """Sets the whitening map by some phrases under the present weights: int64 [n]."""
        if not self.standardise or len(ids) < 2:
            return
        tokens, lengths = self._sentences()
        with torch.no_grad():
            device = self.center.device
            spread = self.bert(tokens[ids].to(device), lengths[ids].to(device)).double()
        values, axes = torch.linalg.eigh(spread.T.cov())
        # Damped, so that directions without a message are not blown up to the size of the rest.
        scales = (values.clamp_min(0) + WHITENING_DAMP * values.max()).rsqrt()
        self.whiten.copy_(axes * scales)
        self.center.copy_(spread.mean(0).float() @ self.whiten)

    @property
    def checksum(self) -> int:
        """Of the pieces that the rows of the language model's table stand for."""
        return self.tokenizer.checksum

    @property
    def is_spread_out(self) -> bool:
        """Whether there is a whitening map, or none is wanted."""
        return not self.standardise or not torch.equal(
            self.whiten, torch.eye(self.width, device=self.whiten.device)
        )

    def _sentences(self) -> tuple[Tensor, Tensor]:
        """Token ids [phrases, L] and lengths [phrases] of the whole phrasebook."""
        known = len(self._lengths)
        if known < len(self.phrasebook):
            new = [self.phrasebook[i] for i in range(known, len(self.phrasebook))]
            tokens, lengths = (torch.from_numpy(array) for array in self.tokenizer.encode(new))
            width = max(self._tokens.shape[1], tokens.shape[1])
            parts = (F.pad(part, (0, width - part.shape[1])) for part in (self._tokens, tokens))
            self._tokens = torch.cat(list(parts))
            self._lengths = torch.cat([self._lengths, lengths])
            if self.bert.numbers is not None:
                self.bert.numbers.meet(self.tokenizer.values)
        return self._tokens, self._lengths

    def forward(self, ids: Tensor, standardise: bool = True) -> Tensor:
        """Embeds phrases one by one.

        Args:
            ids: int64 [n].
            standardise: whether, in training, these are all the phrases to standardise over;
                without it they are seen as the others were the last time.

        Returns:
            [n, width].
        """
        ids = ids.cpu()
        device = self.center.device
        tokens, lengths = self._sentences()
        # In float32: the sentences of a game differ by little, and the rounding of what they share,
        # once it is whitened, drowns that (in bfloat16, half of the spread of Q-values was noise).
        with torch.autocast(device.type, enabled=False):
            embedded = self._whitened(tokens[ids].to(device), lengths[ids].to(device))
        fitted = standardise and self.standardise and self.training and torch.is_grad_enabled()
        if not fitted or not len(ids):
            return (embedded - self.center) * self.scale
        center, scale = embedded.mean(0), 1 / (embedded.std(0, correction=0) + 1e-3)
        self.center.copy_(center.detach())
        self.scale.copy_(scale.detach())
        return (embedded - center) * scale

    def read(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds texts: token ids [n, L], 0-padded, and lengths [n] -> [n, width]."""
        return (self._whitened(tokens, lengths) - self.center) * self.scale

    def _whitened(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.bert(tokens, lengths).float()
        with torch.autocast(embedded.device.type, enabled=False):
            return embedded @ self.whiten

    def paragraphs(self, ids: Ids, starts: NDArray[np.int64], counts: Ids) -> Tensor:
        """Joins the facts of each observation to one paragraph: -> token ids [S, L], 0-padded."""
        tokens, lengths = (tensor.numpy() for tensor in self._sentences())
        inner = lengths - 2  # a paragraph has one [CLS] and one [SEP] in all
        first, last = tokens[0, :1], tokens[0, inner[0] + 1 : inner[0] + 2]
        paragraphs = [
            np.concatenate([first, *(tokens[i, 1 : 1 + inner[i]] for i in ids[s : s + n]), last])
            for s, n in zip(starts.tolist(), counts.tolist(), strict=True)
        ]
        padded = np.zeros((len(paragraphs), max(map(len, paragraphs), default=0)), np.int32)
        for row, paragraph in zip(padded, paragraphs, strict=True):
            row[: len(paragraph)] = paragraph
        return torch.from_numpy(padded)


class VectorReader(nn.Module):
    """No text: a free embedding for every phrase of the book, the baseline."""

    def __init__(self, phrasebook: Phrasebook, width: int) -> None:
        super().__init__()
        self.width, self.phrasebook = width, phrasebook
        self.embedding = nn.Embedding(len(phrasebook), width)

    @property
    def checksum(self) -> int:
        """Of the sentences that the rows of the embedding stand for."""
        return crc32("\n".join(self.phrasebook).encode())

    def forward(self, ids: Tensor) -> Tensor:
        """int64 [n] -> [n, width]."""
        if len(ids) and (newest := int(ids.max())) >= self.embedding.num_embeddings:
            raise ValueError(
                f"encoder=vector has an embedding for each of {self.embedding.num_embeddings} "
                f"phrases and none for phrase {newest}, which is new: use encoder=phrases in a "
                "game whose phrasebook grows"
            )
        return self.embedding(ids)


def make_reader(config: R3D2Config, phrasebook: Phrasebook) -> TextReader | VectorReader:
    """The reader that a configuration asks for, with initial weights from the global generator."""
    if config.encoder == "vector":
        return VectorReader(phrasebook, config.text_hidden * (1 + len(config.roles)))
    if config.language_model is not None:
        tokenizer: Tokenizer = WordPiece.from_folder(config.language_model)
        bert = Bert.from_folder(
            config.language_model,
            layers=config.text_layers,
            tuning=config.tuning,
            lora_rank=config.lora_rank,
        )
    else:
        valued = config.numerals == "value"
        closed = phrasebook.closed
        tokenizer = WordPiece.from_sentences(phrasebook, valued) if closed else HashedWords()
        tokenizer.valued = valued
        bert = Bert(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden=config.text_hidden,
                layers=config.text_layers,
                heads=config.text_hidden // 32,
                intermediate=4 * config.text_hidden,
                pool=config.text_pool,
                # A paragraph holds everything that five players have to tell of their hands.
                max_positions=4096 if config.encoder == "paragraph" else 512,
                # BERT's own 0.02 is for long training: its layers start as near identities, and a
                # mean over words hardly sees their order. Random features at fan-in scale do.
                initializer_range=config.text_hidden**-0.5,
                valued=valued,
            )
        )
        if config.numerals == "ordered":
            order(bert.words, tokenizer)
    return TextReader(bert, tokenizer, phrasebook, config.encoder == "phrases")
