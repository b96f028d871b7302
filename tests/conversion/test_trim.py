import json
import shutil
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer

from spacy_bloom import (
    BloomConfig,
    BloomForCausalLM,
    BloomForTokenClassification,
    BloomModel,
    BloomTokenizerFast,
)
from spacy_bloom.checkpoint.files import WeightFiles
from spacy_bloom.conversion.trim import plan_trimming, trim_checkpoint
from spacy_bloom.errors import CheckpointError, ConfigError, InputError

CORPUS = [
    "The river was high in spring.",
    "यह किताब बहुत अच्छी है।",
    "今天天气很好",
    "nobody  </s> crossed it x</s>river",  # as a control token, it leaves two spaces alone, which are one piece
    "nobody nobody before",
]
OTHER = "Ọjọ́ dára púpọ̀ lónìí 🙃\n\n\tGaur goizean </s>"  # of other languages, characters and bytes
CLASSES = {
    "tied": (BloomForCausalLM, {}),
    "untied": (BloomForCausalLM, {"tie_word_embeddings": False}),
    "classifier": (BloomForTokenClassification, {"num_labels": 5}),
    "decoder": (BloomModel, {"tie_word_embeddings": False}),
}


@pytest.fixture(scope="module")
def make_source(tmp_path_factory, tiny_tokenizer_json, randomize):
    """A function that makes a random checkpoint with the tests' tokenizer and rows that no piece has."""

    def make(kind="tied", **options):
        cls, changes = CLASSES[kind]
        path = tmp_path_factory.mktemp(kind) / "source"
        tokenizer = BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))
        config = BloomConfig(
            vocab_size=len(tokenizer) + 8, hidden_size=24, n_layer=2, n_head=3, pad_token_id=3, **changes
        )
        randomize(cls(config)).save_pretrained(path, **options)
        tokenizer.save_pretrained(path)
        return path

    return make


@pytest.fixture(scope="module")
def source(make_source):
    """Read it; copy it to change it."""
    return make_source()


def run(source, output, texts=CORPUS, *, keep=(), min_count=1, dtype=None, **options):
    return trim_checkpoint(
        plan_trimming(source, texts, keep=keep, min_count=min_count, dtype=dtype), output, **options
    )


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def weights(path):
    files = WeightFiles(path)
    return {name: files[name].clone() for name in files.weights}


def old_ids(source, output):
    """The id in the source of each piece of the output, in the order of the output's."""
    whole, trimmed = (BloomTokenizerFast.from_pretrained(path) for path in (source, output))
    return whole.convert_tokens_to_ids(trimmed.convert_ids_to_tokens(range(len(trimmed))))


@pytest.mark.parametrize("kind", sorted(CLASSES))
@pytest.mark.parametrize("size", ["2GB", "20KB"])
def test_only_rows_go(tmp_path, make_source, kind, size):
    source = make_source(kind, max_shard_size=size)
    encodings, outputs = run(source, tmp_path / "new", max_shard_size=size)
    kept = old_ids(source, tmp_path / "new")
    assert kept[:4] == [0, 1, 2, 3] and kept == sorted(kept) and 260 < len(kept) < 500
    before, after = weights(source), weights(tmp_path / "new")
    assert list(before) == list(after)
    for name, value in before.items():
        matrix = name.endswith(("word_embeddings.weight", "lm_head.weight"))
        assert torch.equal(after[name], value[kept] if matrix else value), name
    assert ("lm_head.weight" in after) == (kind == "untied")
    old, new = (BloomConfig.from_json_file(path / "config.json") for path in (source, tmp_path / "new"))
    assert new == old.replace(vocab_size=len(kept))
    assert (tmp_path / "new" / "model.safetensors.index.json").exists() == (size == "20KB")
    assert (encodings.n_texts, encodings.n_changed) == (5, 0)
    assert encodings.n_bytes == sum(len(text.encode()) for text in CORPUS)
    whole = BloomTokenizerFast.from_pretrained(source)
    n_pieces = sum(len(whole.encode(text, split_special_tokens=True)) for text in CORPUS)
    assert encodings.n_pieces == encodings.new_n_pieces == outputs.n_pieces == n_pieces
    assert outputs.n_texts == 5 and outputs.hidden_states == 0
    assert (outputs.logits is None) == (kind == "decoder")


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_hugging_face_gives_the_same(tmp_path, make_source, kind, difference):
    source = make_source(kind)
    run(source, tmp_path / "new")
    kept = old_ids(source, tmp_path / "new")
    (tokenizer, model), (new_tokenizer, new_model) = (
        (
            transformers.AutoTokenizer.from_pretrained(path),
            transformers.BloomForCausalLM.from_pretrained(path),
        )
        for path in (source, tmp_path / "new")
    )
    assert len(new_tokenizer) == new_model.config.vocab_size == len(kept)
    assert "ĠĠ" in tokenizer.tokenize(CORPUS[3])
    for text in (*CORPUS, "<s>The river</s>"):
        ids, new_ids = tokenizer(text).input_ids, new_tokenizer(text).input_ids
        assert [kept[i] for i in new_ids] == ids  # with </s> in it as a control token
        assert new_tokenizer.decode(new_ids) == tokenizer.decode(ids)
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[..., kept]
            assert difference(new_model(torch.tensor([new_ids])).logits, logits) < 1e-6
    assert new_tokenizer.decode(new_tokenizer(OTHER).input_ids) == OTHER


def test_a_classifier_gives_the_same(tmp_path, make_source):
    source = make_source("classifier")
    run(source, tmp_path / "new")
    logits = []
    for path in (source, tmp_path / "new"):
        model, tokenizer = (
            cls.from_pretrained(path) for cls in (BloomForTokenClassification, BloomTokenizerFast)
        )
        logits.append(model(**tokenizer(CORPUS[:3], padding=True, return_tensors="pt")).logits)
    assert torch.equal(*logits) and logits[0].shape[-1] == 5


def test_text_that_looks_like_a_control_token(tmp_path, source):
    run(source, tmp_path / "new", ["x</s>river and <pad>"])
    whole, new = (BloomTokenizerFast.from_pretrained(path) for path in (source, tmp_path / "new"))
    for as_text in (True, False):
        assert new.tokenize("x</s>river and <pad>") == whole.tokenize("x</s>river and <pad>")
        ids = new.encode("x</s>river and <pad>", split_special_tokens=as_text)
        assert (new.eos_token_id in ids) != as_text
        assert new.decode(ids) == "x</s>river and <pad>"
    assert new.decode(new.encode(OTHER, split_special_tokens=True)) == OTHER


def test_ids_in_other_files(tmp_path, source):
    shutil.copytree(source, tmp_path / "source")
    tokenizer = BloomTokenizerFast.from_pretrained(source)
    rain, old_eos = tokenizer.encode("pleut")[-1], tokenizer.encode(" plaza")[-1]
    config = json.loads((source / "config.json").read_text(encoding="utf8"))
    files = {
        "config.json": {**config, "eos_token_id": old_eos, "sep_token_id": rain},
        "generation_config.json": {"eos_token_id": [2, old_eos], "bad_words_ids": [[rain]], "top_k": 7},
        "tokenizer_config.json": {"added_tokens_decoder": {"3": {"content": "<pad>", "special": True}}},
    }
    for name, content in files.items():
        (tmp_path / "source" / name).write_text(json.dumps(content), encoding="utf8")
    run(tmp_path / "source", tmp_path / "new")
    kept = old_ids(source, tmp_path / "new")
    assert kept != list(range(len(kept)))  # ids did change
    new = {name: json.loads((tmp_path / "new" / name).read_text(encoding="utf8")) for name in files}
    assert kept[new["config.json"]["eos_token_id"]] == old_eos
    assert kept[new["config.json"]["sep_token_id"]] == rain
    assert [kept[i] for i in new["generation_config.json"]["eos_token_id"]] == [2, old_eos]
    assert [kept[i] for i in new["generation_config.json"]["bad_words_ids"][0]] == [rain]
    assert new["generation_config.json"]["top_k"] == 7
    assert new["tokenizer_config.json"] == files["tokenizer_config.json"]
    special = "special_tokens_map.json"
    assert (tmp_path / "new" / special).read_bytes() == (source / special).read_bytes()
    BloomForCausalLM.from_pretrained(tmp_path / "new")
    (tmp_path / "source" / "generation_config.json").write_text('{"pad_token_id": 605}', encoding="utf8")
    with pytest.raises(CheckpointError, match=r"generation_config.json names a piece by the id 605, which"):
        plan_trimming(tmp_path / "source", CORPUS)


def test_rare_pieces_go_with_min_count(tmp_path, source):
    encodings, outputs = run(source, tmp_path / "rare", min_count=2)
    every, _ = run(source, tmp_path / "every")
    n_rare, n_every = (len(BloomTokenizerFast.from_pretrained(tmp_path / name)) for name in ("rare", "every"))
    assert n_rare < n_every
    assert encodings.n_pieces == every.n_pieces == every.new_n_pieces < encodings.new_n_pieces
    assert 0 < encodings.n_changed <= encodings.n_texts == 5 and every.n_changed == 0
    assert outputs.hidden_states == 0 and outputs.n_pieces == encodings.new_n_pieces
    # Further texts keep all of their pieces, however rare.
    encodings, _ = run(source, tmp_path / "kept", min_count=2, keep=CORPUS[:1])
    whole, kept = (BloomTokenizerFast.from_pretrained(path) for path in (source, tmp_path / "kept"))
    assert kept.tokenize(CORPUS[0]) == whole.tokenize(CORPUS[0])
    assert kept.tokenize(CORPUS[1]) != whole.tokenize(CORPUS[1])
    assert n_rare < len(kept) < n_every and 0 < encodings.n_changed < 5


def test_another_dtype(tmp_path, source):
    _, outputs = run(source, tmp_path / "new", dtype=torch.bfloat16)
    assert outputs.hidden_states == 0
    kept = old_ids(source, tmp_path / "new")
    before, after = weights(source), weights(tmp_path / "new")
    for name, value in before.items():
        value = value[kept] if name.endswith("word_embeddings.weight") else value
        assert torch.equal(after[name], value.to(torch.bfloat16))


def test_which_texts_are_compared(tmp_path, source):
    trimming = plan_trimming(source, CORPUS)
    found = {}
    for seed in (0, 1, 2, 3):
        output = tmp_path / f"seed-{seed}"
        _, outputs = trim_checkpoint(trimming, output, check_texts=2, seed=seed)
        assert outputs.n_texts == 2
        found[seed] = outputs.n_pieces
        assert contents(output) == contents(tmp_path / "seed-0")
    _, again = trim_checkpoint(trimming, tmp_path / "again", check_texts=2, seed=3)
    assert again.n_pieces == found[3] and len(set(found.values())) > 1
    assert trim_checkpoint(trimming, tmp_path / "none", check_texts=0)[1] is None
    _, outputs = run(source, tmp_path / "long", ["river " * 400, ""])
    assert (outputs.n_texts, outputs.n_pieces) == (1, 128)


# What fails leaves nothing


def break_rows(trimming):
    rows = {name: value.flip(0) for name, value in trimming.plan.rows.items()}
    return replace(trimming, plan=replace(trimming.plan, rows=rows))


def break_pieces(trimming):
    kept, used = trimming.kept.copy(), trimming.trimmed.encode(CORPUS[0])[:2]
    kept[used] = kept[used[::-1]]
    return replace(trimming, kept=kept)


def break_decoding(trimming):
    trimmed = BloomTokenizerFast.from_strings(trimming.plan.contents["tokenizer.json"].encode(), {})
    trimmed.backend_tokenizer.decoder = None
    return replace(trimming, trimmed=trimmed)


def change_texts(trimming):
    return replace(trimming, texts=[OTHER])


BREAK = {
    break_rows: "hidden states of the trimmed checkpoint differ by",
    break_pieces: "is encoded to other pieces",
    break_decoding: "is decoded to another text",
    change_texts: "is encoded to other pieces: .*If the texts did not change",
}


@pytest.mark.parametrize("damage", BREAK, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("is_new", [True, False])
def test_a_proof_that_fails(tmp_path, source, randomize, damage, is_new):
    output = tmp_path / "new"
    if not is_new:
        randomize(BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=8, n_head=2))).save_pretrained(
            output
        )
    before = None if is_new else contents(output)
    with pytest.raises(CheckpointError, match=f"(?s)proof failed and nothing was written: .*{BREAK[damage]}"):
        trim_checkpoint(damage(plan_trimming(source, CORPUS)), output, force=True)
    assert not output.exists() if is_new else contents(output) == before


def test_logits_are_compared(tmp_path, make_source):
    trimming = plan_trimming(make_source("untied"), CORPUS)
    rows = {**trimming.plan.rows, "lm_head.weight": trimming.plan.rows["lm_head.weight"].flip(0)}
    with pytest.raises(CheckpointError, match="logits of the trimmed checkpoint differ by"):
        trim_checkpoint(replace(trimming, plan=replace(trimming.plan, rows=rows)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_output_that_is_not_empty(tmp_path, source):
    shutil.copytree(source, tmp_path / "new")
    (tmp_path / "new" / "notes.txt").write_text("mine", encoding="utf8")
    with pytest.raises(InputError, match="is not empty"):
        run(source, tmp_path / "new")
    run(tmp_path / "new", tmp_path / "new", force=True)  # over itself
    run(source, tmp_path / "fresh")
    assert {**contents(tmp_path / "fresh"), "notes.txt": b"mine"} == contents(tmp_path / "new")


# What cannot be trimmed


@pytest.mark.parametrize(
    "texts, options, match",
    [
        ([], {}, "Got no texts"),
        (iter(CORPUS), {}, "several times, got an iterator"),
        (CORPUS, {"keep": iter(CORPUS)}, "several times, got an iterator"),
        (CORPUS, {"min_count": 0}, "min_count to be an integer of 1 or more, got 0"),
        (CORPUS, {"check_texts": -1}, "check_texts to be an integer of 0 or more, got -1"),
        (["a", 3], {}, r"Expected text \(str\), got int"),
        ("a text", {}, "Expected texts .* got str"),
    ],
)
def test_options_that_do_not_fit(tmp_path, source, texts, options, match):
    with pytest.raises(InputError, match=match):
        run(source, tmp_path / "new", texts, **options)
    assert not (tmp_path / "new").exists()


def test_a_tokenizer_that_does_not_fit(tmp_path, source, randomize):
    shutil.copytree(source, tmp_path / "source")
    config = BloomConfig(vocab_size=400, hidden_size=24, n_layer=2, n_head=3)
    randomize(BloomForCausalLM(config)).save_pretrained(tmp_path / "source")
    with pytest.raises(CheckpointError, match=r"piece with the id \d+, but the embedding has only 400 rows"):
        plan_trimming(tmp_path / "source", CORPUS)
    (tmp_path / "source" / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"No tokenizer.json"):
        plan_trimming(tmp_path / "source", CORPUS)


def test_a_head_with_other_rows(tmp_path, make_source):
    source = make_source("untied")
    state = {**weights(source), "lm_head.weight": torch.zeros(9, 24)}
    save_file(state, source / "model.safetensors")
    with pytest.raises(CheckpointError, match="to have the same shape"):
        plan_trimming(source, CORPUS)
