"""WordPiece: sentences to token ids, in the way BERT's vocabularies were made for.

A sentence is cleaned and lower-cased, split at spaces and around punctuation, and every word is cut
into the longest pieces that the vocabulary holds, from left to right. Algorithm: Devlin et al.,
"BERT" (2019), and Wu et al., "Google's Neural Machine Translation System" (2016), section 4.1.
"""

from __future__ import annotations

import json
import string
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"

# A longer word is unknown as a whole, as in the reference: nobody's vocabulary spells it anyway.
_LONGEST_WORD = 100

_PUNCTUATION = frozenset(string.punctuation)
_CONTROL = ("Cc", "Cf", "Co", "Cs")
_category = unicodedata.category

# The blocks of Chinese characters, each of which is a word of its own.
_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Cuts sentences into pieces of a fixed vocabulary.

    A special token written out in a sentence, such as "[SEP]", is read as text: what a game says
    cannot end a sentence.

    Args:
        vocabulary: the pieces in the order of their ids; a piece that continues a word starts with
            "##". It must hold [UNK], [CLS] and [SEP].
        lowercase: whether sentences are lower-cased and stripped of accents first.

    Raises:
        ValueError: if a special token is missing.
    """

    def __init__(self, vocabulary: Iterable[str], lowercase: bool = True) -> None:
        self.vocabulary = tuple(vocabulary)
        self.lowercase = lowercase
        self._ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        if missing := [token for token in (UNK, CLS, SEP) if token not in self._ids]:
            raise ValueError(
                f"the vocabulary of {len(self.vocabulary)} pieces has no {', '.join(missing)}; "
                "give one made for BERT, one piece a line"
            )
        self._unknown = (self._ids[UNK],)
        self._cache: dict[str, tuple[int, ...]] = {}

    @classmethod
    def from_sentences(cls, sentences: Iterable[str]) -> WordPiece:
        """Makes a vocabulary of the words that occur, in the order in which they first do.

        Letters, digits and punctuation come before them, so that a word that occurs in none of
        the sentences is spelled rather than lost. Sentences appended later only append words.
        """
        letters = string.ascii_lowercase + string.digits
        pieces = dict.fromkeys([PAD, UNK, CLS, SEP, MASK, *letters, *string.punctuation])
        pieces.update(dict.fromkeys(f"##{letter}" for letter in letters))
        for sentence in sentences:
            pieces.update(dict.fromkeys(_words(sentence, lowercase=True)))
        return cls(pieces)

    @classmethod
    def from_folder(cls, folder: str | Path) -> WordPiece:
        """Reads the vocabulary of a Hugging Face model: `vocab.txt`, or else `tokenizer.json`.

        Raises:
            ValueError: if the folder has neither, or holds a tokenizer of another kind.
        """
        folder = Path(folder)
        text, full = folder / "vocab.txt", folder / "tokenizer.json"
        settings: dict[str, Any] = {}
        if full.is_file():
            tokenizer = read_json(full)
            settings.update(tokenizer.get("normalizer") or {})
        if (path := folder / "tokenizer_config.json").is_file():
            own = read_json(path)
            if "do_lower_case" in own:
                settings["lowercase"] = own["do_lower_case"]
            if own.get("strip_accents") is not None:
                settings["strip_accents"] = own["strip_accents"]
        lowercase = bool(settings.get("lowercase", True))
        if settings.get("strip_accents") not in (None, lowercase):
            raise ValueError(
                f"the tokenizer in {folder} has strip_accents={settings['strip_accents']} with "
                f"lowercase={lowercase}; only equal settings are supported"
            )
        if text.is_file():
            # Split at "\n" only: some vocabularies hold other characters that end a line.
            pieces = text.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            return cls(pieces, lowercase)
        if full.is_file():
            model = tokenizer.get("model") or {}
            ids = model.get("vocab")
            if model.get("type") != "WordPiece" or not isinstance(ids, dict):
                raise ValueError(
                    f"{full} holds a tokenizer of type {model.get('type')!r}; "
                    "give a model with a WordPiece vocabulary, as BERT has"
                )
            if sorted(ids.values()) != list(range(len(ids))):
                raise ValueError(f"the ids of the vocabulary in {full} are not 0 to {len(ids) - 1}")
            return cls(sorted(ids, key=ids.__getitem__), lowercase)
        raise ValueError(
            f"no vocab.txt or tokenizer.json in {folder}; give the folder of a Hugging Face model"
        )

    def __len__(self) -> int:
        """Number of pieces in the vocabulary."""
        return len(self.vocabulary)

    def encode(self, sentences: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Cuts sentences into ids, each between [CLS] and [SEP].

        Args:
            sentences: n sentences.

        Returns:
            ids int32 [n, L], padded with 0, L being the longest; and lengths int32 [n], at least 2.
        """
        rows = [self._sentence(sentence) for sentence in sentences]
        lengths = np.array([len(row) for row in rows], dtype=np.int32)
        ids = np.zeros((len(rows), lengths.max(initial=0)), dtype=np.int32)
        for row, pieces in zip(ids, rows, strict=True):
            row[: len(pieces)] = pieces
        return ids, lengths

    def pieces(self, sentence: str) -> list[str]:
        """The pieces of one sentence, as a person reads them."""
        return [self.vocabulary[i] for i in self._sentence(sentence)]

    def _sentence(self, sentence: str) -> list[int]:
        row = [self._ids[CLS]]
        for word in _words(sentence, self.lowercase):
            if word not in self._cache:
                self._cache[word] = self._cut(word)
            row.extend(self._cache[word])
        row.append(self._ids[SEP])
        return row

    def _cut(self, word: str) -> tuple[int, ...]:
        """The longest piece that fits, again and again; all of the word or [UNK]."""
        if len(word) > _LONGEST_WORD:
            return self._unknown
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return self._unknown
            pieces.append(piece)
            start = end
        return tuple(pieces)


def _words(text: str, lowercase: bool) -> list[str]:
    """Cleans a text and splits it at spaces and around punctuation and ideographs."""
    if text.isascii() and text.isprintable():
        text = text.lower() if lowercase else text
        spaced = (f" {c} " if c in _PUNCTUATION else c for c in text)
        return "".join(spaced).split()
    text = "".join(_clean(text))
    if lowercase:
        text = "".join(c for c in unicodedata.normalize("NFD", text) if _category(c) != "Mn")
        # Letter by letter: a final sigma is lowered like any other.
        text = "".join(c.lower() for c in text)
    spaced = (f" {c} " if c in _PUNCTUATION or _category(c)[0] == "P" else c for c in text)
    return "".join(spaced).split()


def _clean(text: str) -> Iterable[str]:
    """Drops control characters, sets ideographs apart, and makes every white space a space."""
    for c in text:
        if c in "\t\n\r":
            yield " "
        elif c == "\ufffd" or _category(c) in _CONTROL:
            continue
        elif c.isspace():
            yield " "
        elif any(first <= ord(c) <= last for first, last in _IDEOGRAPHS):
            yield f" {c} "
        else:
            yield c


def read_json(path: Path) -> dict[str, Any]:
    """Reads one of the JSON files that come with a model.

    Raises:
        ValueError: if it holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content
