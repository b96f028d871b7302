"""What models divided among ranks compute, hold and read, beside the whole ones in one process."""

import json
import sys
import warnings
from pathlib import Path

import torch
from forking import fork_ranks

from spacy_bloom import (
    BloomForCausalLM,
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
    BloomModel,
)
from spacy_bloom.checkpoint.files import WeightFiles
from spacy_bloom.errors import InputError
from spacy_bloom.generation.running import affordable_pieces
from spacy_bloom.generation.scoring import score_continuations, surprisal
from spacy_bloom.parallel.ranks import ranks_together
from spacy_bloom.tokenizer import BloomTokenizerFast

IDS = torch.randint(3, 90, (3, 17), generator=torch.Generator().manual_seed(1))
MASK = torch.ones_like(IDS)
MASK[1, :5] = MASK[2, 12:] = 0
PROMPTS = [IDS[0].tolist(), IDS[1, 5:].tolist(), IDS[2, :12].tolist()]
HEADS = (BloomForTokenClassification, BloomForSequenceClassification, BloomForQuestionAnswering)
WAYS = (
    {},
    {"do_sample": True, "seed": 7, "top_p": 0.9},
    {
        "do_sample": True,
        "top_k": 9,
        "num_return_sequences": 2,
    },  # drawn by each process's own generator, but for rank 0's
    {"num_beams": 3, "num_return_sequences": 2},
    {"prompt_lookup_num_tokens": 3, "repetition_penalty": 1.2},
    {"max_time": 1e-9},
    {"stop_strings": ["e", "i"], "logits_processor": ["no a"]},
)
read = {}


def count_reads(part, get):
    """Bytes that are asked of files, by name of the weight."""

    def counted_part(self, name, slices):
        read[name] = part(self, name, slices)
        return read[name]

    def counted_get(self, name):
        read[name] = get(self, name)
        return read[name]

    WeightFiles.part, WeightFiles.__getitem__ = counted_part, counted_get


class NoPiece:
    """A constraint: one piece may not follow."""

    def __init__(self, piece):
        self.piece = piece

    def __call__(self, rows, scores):
        scores[:, self.piece] = -torch.inf
        return scores


def language_model(model, tokenizer, seed):
    """Everything that is asked of a language model."""
    found = {}
    with torch.no_grad():
        found["padded"] = model(IDS, attention_mask=MASK).logits
        packed, lengths = (
            torch.cat([torch.tensor(prompt) for prompt in PROMPTS]),
            [len(prompt) for prompt in PROMPTS],
        )
        found["packed"] = model.transformer.encode_packed(packed, lengths)
        past = model(IDS[:, :9], use_cache=True).past_key_values
        found["cached"] = model(IDS[:, 9:], past_key_values=past).logits
        members = torch.zeros(model.config.vocab_size, dtype=torch.bool)
        members[3:6] = True
        found["of pieces"] = model.lm_head.logits(found["packed"], pieces=torch.tensor([0, 5, 80, 60, 31]))
        found["of a set"] = model.lm_head.set_nll(found["packed"], members, chunk_size=16)
    found["surprisal"] = torch.tensor([bits for row in surprisal(model, PROMPTS) for bits in row[1:]])
    scores = score_continuations(model, PROMPTS, [[[5, 6, 7], [8]], [[9, 9]], [[4, 5, 6, 7]]])
    found["scores"] = torch.tensor([x for prompt in scores for text in prompt for x in text])
    for i, way in enumerate(WAYS):
        torch.manual_seed(seed)
        way = {**way, "logits_processor": [NoPiece(5)] if "logits_processor" in way else []}
        steps = model.generate_stream(
            PROMPTS, max_new_tokens=8, eos_token_id=None, tokenizer=tokenizer, **way
        )
        found[f"generated {i}"] = [(s.prompt, s.sequence, s.pieces, s.finished, s.text) for s in steps]
    found["budget"] = affordable_pieces(model)
    return found


def classifiers(path, seed, **options):
    found = {}
    for cls in HEADS:
        torch.manual_seed(seed)  # new heads: on ranks as rank 0 draws them
        with torch.no_grad():
            output = cls.from_pretrained(path, **options)(IDS, attention_mask=MASK)
        found[cls.__name__] = output.start_logits if cls is HEADS[-1] else output.logits
    return found


def refusals(path, model):
    """Messages of what a divided model cannot do."""
    found = []
    for wrong in (
        lambda: model.train(),
        lambda: model(IDS, output_attentions=True),
        lambda: model.save_pretrained(path),
        lambda: model.transformer(inputs_embeds=torch.ones(1, 2, 48, requires_grad=True)),
        lambda: BloomModel.from_pretrained(path, tensor_parallel=True, quantization="int8"),
        lambda: BloomModel.from_pretrained(path, tensor_parallel=True, device_map="auto"),
        lambda: BloomModel.from_pretrained(path.parent / "three-heads", tensor_parallel=True),
    ):
        try:
            wrong()
        except InputError as error:
            found.append(str(error))
    return found


def work(folder, names, more):
    warnings.simplefilter("ignore")
    count_reads(WeightFiles.part, WeightFiles.__getitem__)
    tokenizer = BloomTokenizerFast.from_pretrained(folder / "tokenizer")
    found = {}
    with ranks_together(timeout=60) as rank:
        for name in names:
            read.clear()
            model = BloomForCausalLM.from_pretrained(folder / name, tensor_parallel=True)
            bytes_read = sum(part.nbytes for part in read.values())
            found[name] = language_model(model, tokenizer, seed=5 + rank)
            found[name]["read"] = bytes_read
            found[name]["held"] = sum(weight.nbytes for weight in model.parameters())
        if more:
            found["refused"] = refusals(folder / "even", model)
            found["heads"] = classifiers(folder / "even", rank, tensor_parallel=True)
    return found


def compare(one, ranks):
    """RETURNS (dict): The largest relative difference of tensors on any rank, and whether all else is the same."""
    found = {}
    for key, expected in one.items():
        own = [rank[key] for rank in ranks]
        if isinstance(expected, torch.Tensor):
            same = all(torch.equal(value, own[0]) for value in own)
            gap = max(float((value - expected).abs().max() / expected.abs().max()) for value in own)
            found[key] = gap if same else "ranks differ"
        elif key == "budget":
            found[key] = len(set(own)) == 1
        else:
            found[key] = all(value == expected for value in own)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    folder, ranks = Path(sys.argv[1]), json.loads(sys.argv[2])
    tokenizer = BloomTokenizerFast.from_pretrained(folder / "tokenizer")
    whole = {
        name: language_model(BloomForCausalLM.from_pretrained(folder / name), tokenizer, seed=5)
        for name in sorted({name for names in ranks.values() for name in names})
    }
    heads, report = classifiers(folder / "even", 0), {}
    for n, names in ranks.items():
        codes, _, results = fork_ranks(int(n), work, folder, names, n == "2")
        assert codes == [0] * int(n), codes
        report[n] = {name: compare(whole[name], [r[name] for r in results]) for name in names}
        for name in names:
            report[n][name] |= {key: [rank[name][key] for rank in results] for key in ("read", "held")}
            files = WeightFiles(folder / name)
            report[n][name]["file"] = sum(files[weight].nbytes for weight in files.shapes)
        if n == "2":
            report["heads"] = compare(heads, [rank["heads"] for rank in results])
            report["refused"] = results[0]["refused"]
    print(json.dumps(report))
