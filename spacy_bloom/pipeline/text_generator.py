"""The component that continues prompts made from Docs, and writes texts, categories, spans or parsed objects."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Dict, Optional

import numpy
from spacy.language import Language
from spacy.tokens import Doc, Span
from thinc.api import Config, Model

from ..errors import BloomWarning, InputError
from ..generation.batches import GeneratedSequence, encode_prompts, generate_batched
from ..generation.config import GenerationConfig
from ..generation.constraints.base import Constraint
from ..generation.mixin import piece_bytes
from ..generation.processors.per_prompt import Ids, PromptConstraints, rounds
from .base.extensions import add_extension
from .base.language_model_pipe import DEFAULT_MODEL, LanguageModelPipe
from .base.streaming import pipe_batches
from .prompting.generated_annotation import Ending, Unit, check_constraint, make_annotation
from .prompting.generator_settings import check_numbers, check_seed, check_together, check_units, make_options
from .prompting.prompt_template import MAX_CHARACTERS_PER_PIECE, PromptTemplate

DEFAULT_CONFIG = """
[bloom_text_generator]
upstream = null
prompt = "{{ doc.text }}"
per = "doc"
spans_key = null
attr = "generated"
special_tokens = false
max_new_tokens = 50
seed = 0
constraint = null
max_batch_items = null
max_prompt_pieces = 2048
max_seconds = 600.0

[bloom_text_generator.generation]
"""


@dataclass(frozen=True)
class Request:
    """What is asked of the model.

    unit (Doc | Span): What the prompt is about, and where the answer is written.
    prompt (Ids): The prompt's pieces, at least one.
    leading_space (bool): Whether a constrained text begins with a space.
    """

    unit: Unit
    prompt: Ids
    leading_space: bool


@dataclass(frozen=True)
class Answer:
    """What is written.

    unit (Doc | Span): Where.
    values (list[Any]): A value of each sequence that is legal.
    illegal (int): Sequences that are not.
    late (int): Sequences that max_seconds has cut off.
    """

    unit: Unit
    values: list[Any]
    illegal: int
    late: int


@Language.factory(
    "bloom_text_generator",
    assigns=["doc._.generated"],
    default_config={
        "model": DEFAULT_MODEL,
        **Config().from_str(DEFAULT_CONFIG)["bloom_text_generator"],
    },
)
def make_bloom_text_generator(
    nlp: Language,
    name: str,
    model: Model,
    upstream: Optional[str],
    prompt: str,
    per: str,
    spans_key: Optional[str],
    attr: str,
    special_tokens: bool,
    max_new_tokens: int,
    generation: Dict[str, Any],
    seed: Optional[int],
    constraint: Optional[Dict[str, Any]],
    max_batch_items: Optional[int],
    max_prompt_pieces: int,
    max_seconds: Optional[float],
) -> "BloomTextGenerator":
    """Make the component. Arguments as for `BloomTextGenerator`."""
    return BloomTextGenerator(
        nlp,
        model,
        name,
        upstream=upstream,
        prompt=prompt,
        per=per,
        spans_key=spans_key,
        attr=attr,
        special_tokens=special_tokens,
        max_new_tokens=max_new_tokens,
        generation=generation,
        seed=seed,
        constraint=constraint,
        max_batch_items=max_batch_items,
        max_prompt_pieces=max_prompt_pieces,
        max_seconds=max_seconds,
    )


class BloomTextGenerator(LanguageModelPipe):
    """Fills a prompt template from each Doc, lets the model continue it, and writes what it says.

    A text does not depend on what else is in the batch: what is drawn is a function of seed and prompt. Equal prompts
    are answered alike. A prompt without any piece begins with `</s>`, as texts do in BLOOM's training.

    All settings are in the pipeline's config and nowhere else: they can be overridden when it is loaded.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v1`.
    name (str): Name of the component.
    upstream (str | None): Name of a bloom_transformer whose weights are used instead, as training leaves them.
    prompt (str): A Jinja2 template over `doc` (text, ents, sents, spans, cats, user_data, _), and over `sent` or
        `span` (text, label_, start_char, end_char, ents, sent, _) with these values of per.
    per (str): What is prompted for: "doc", every "sent" of doc.sents, or every "span" of doc.spans[spans_key].
    spans_key (str | None): Where the spans are; None for doc.ents.
    attr (str): Extension that texts and parsed objects are written to, of Doc or of Span as per says; None where
        nothing has been written. Texts are without prompt, control tokens and stop string; several
        sequences are a list.
    special_tokens (bool): Whether control tokens in the template's own text are control tokens. What Docs hold is
        ordinary text always.
    max_new_tokens (int): Most pieces of a text.
    generation (Mapping[str, Any] | None): More options of GenerationConfig, such as do_sample, temperature, num_beams,
        num_return_sequences, stop_strings, prompt_lookup_num_tokens. A checkpoint's own are not used.
    seed (int | None): What is drawn with do_sample; None for other texts every time.
    constraint (Mapping[str, Any] | None): What the text must be, by its type:
        "choice": one of `labels`; written to doc.cats, 1 for the chosen one and 0 for the others.
        "spans": a verbatim span of the text of Doc, sentence or span, on token boundaries, with `label`; written to
            doc.ents, or with `target` "spans" to doc.spans[`spans_key`]; `occurrences` "all" or "first".
        "json": JSON as a `schema` says, with free `whitespace` or as json.dumps writes it; written to attr, parsed.
        "regex": a text that a `pattern` matches; written to attr. The last two need llguidance.
        All have `leading_space`, whether a space comes before the text: None for where the prompt ends without one.
        What is not complete is not written, and counted in a BloomWarning.
    max_batch_items (int | None): Pieces whose keys and values are in memory at once, padding and what is generated
        included; a longer prompt is continued alone. None for as many as take a twentieth of the memory of the
        weights, or 64 MB if that is more.
    max_prompt_pieces (int): Most pieces of a prompt, and of a text that spans are taken from; more are an error for
        that Doc.
    max_seconds (float | None): Seconds after which no further piece of a batch is begun. What is cut off by it
        depends on the machine, and is counted in a BloomWarning.
    RAISES (ConfigError): A setting is not what it should be.
    """

    def __init__(
        self,
        nlp: Language,
        model: Model,
        name: str = "bloom_text_generator",
        *,
        upstream: str | None = None,
        prompt: str = "{{ doc.text }}",
        per: str = "doc",
        spans_key: str | None = None,
        attr: str = "generated",
        special_tokens: bool = False,
        max_new_tokens: int = 50,
        generation: Mapping[str, Any] | None = None,
        seed: int | None = 0,
        constraint: Mapping[str, Any] | None = None,
        max_batch_items: int | None = None,
        max_prompt_pieces: int = 2048,
        max_seconds: float | None = 600.0,
    ) -> None:
        super().__init__(nlp, model, name, upstream=upstream)
        check_numbers(max_prompt_pieces=max_prompt_pieces)
        if max_batch_items is not None:
            check_numbers(max_batch_items=max_batch_items)
        check_units(per, spans_key)
        check_seed(seed)
        self.per, self.spans_key = per, spans_key
        self.max_batch_items, self.max_prompt_pieces = max_batch_items, max_prompt_pieces
        variables = ("doc",) if per == "doc" else ("doc", per)
        self.template = PromptTemplate(prompt, variables, special_tokens=special_tokens)
        self.options = make_options(
            generation or {}, max_new_tokens=max_new_tokens, max_time=max_seconds, seed=seed
        )
        self.constraint = None if constraint is None else check_constraint(constraint)
        self.annotation = make_annotation(self.constraint, attr=attr, stops=self.options.stop_texts)
        check_together(self.constraint, self.options, per)
        if self.constraint is None or self.constraint["type"] in ("json", "regex"):
            add_extension(Doc if per == "doc" else Span, attr)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """YIELDS (Doc): The Docs in order. One that fails reaches the error handler alone."""
        yield from pipe_batches(self, self._with_prompts(stream), batch_size)

    def _with_prompts(self, stream: Iterable[Doc]) -> Iterator[Doc]:
        """Leave out Docs without a usable prompt here: a batch that fails later is generated again, Doc by Doc."""
        handle = self.get_error_handler()
        for doc in stream:
            try:
                self._requests(doc)
            except Exception as error:
                handle(self.name, self, [doc], error)
            else:
                yield doc

    def predict(self, docs: Iterable[Doc]) -> list[list[Answer]]:
        """RETURNS (list[list[Answer]]): What is written on each Doc; nothing is written yet."""
        asked = [self._requests(doc) for doc in docs]
        answers = iter(self._answer([request for requests in asked for request in requests]))
        return [[next(answers) for _ in requests] for requests in asked]

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Sequence[Answer]]) -> None:
        """Write what was predicted; warn of what cannot be written."""
        for doc in docs:
            self.annotation.prepare(doc)
        answers = [answer for predicted in predictions for answer in predicted]
        several = self.options.num_return_sequences > 1
        for answer in answers:
            if answer.values:
                self.annotation.write(answer.unit, answer.values if several else answer.values[0])
        self._warn(answers)

    def _requests(self, doc: Doc) -> list[Request]:
        """RETURNS (list[Request]): One for each unit of a Doc for which anything can be generated.
        RAISES (InputError): A prompt cannot be made, or is too long.
        """
        return [self._request(doc, unit) for unit in self._units(doc) if self.annotation.applies(unit)]

    def _units(self, doc: Doc) -> list[Unit]:
        if self.per == "doc":
            return [doc]
        if self.per == "sent":
            return list(doc.sents)
        return list(doc.ents) if self.spans_key is None else list(doc.spans.get(self.spans_key, ()))

    def _request(self, doc: Doc, unit: Unit) -> Request:
        values = {"doc": doc} if self.per == "doc" else {"doc": doc, self.per: unit}
        tokenizer = self.tokenizer
        ids = self.template.encode(tokenizer, max_pieces=self.max_prompt_pieces, **values)
        if self.annotation.of_each_unit:
            self._check_source(unit.text)
        space = None if self.constraint is None else self.constraint["leading_space"]
        if space is None:
            space = not tokenizer.decode(ids[-1:])[-1:].isspace()
        return Request(unit, tuple(ids) or (tokenizer.eos_token_id,), space)

    def _check_source(self, text: str) -> None:
        """A constraint on a text costs memory and time by its length, in the prompt or not."""
        most = self.max_prompt_pieces
        if (
            len(text) > most * MAX_CHARACTERS_PER_PIECE
            or len(encode_prompts(self.tokenizer, [text])[0]) > most
        ):
            raise InputError(
                f"Got a text of {len(text)} characters to take a span from, expected at most {most} pieces "
                '(max_prompt_pieces). Prompt sentence by sentence (per = "sent"), or raise max_prompt_pieces.'
            )

    def _answer(self, requests: Sequence[Request]) -> list[Answer]:
        constraints = self._constraints(requests)
        possible = [i for i, c in enumerate(constraints) if self.constraint is None or c is not None]
        sequences: list[list[GeneratedSequence]] = [[] for _ in requests]
        prompts = [requests[i].prompt for i in possible]
        for turn in rounds(prompts) if self.annotation.of_each_unit else [range(len(prompts))]:
            numbers = [possible[i] for i in turn]
            for i, found in zip(numbers, self._generate(requests, constraints, numbers), strict=True):
                sequences[i] = found
        return [self._read(*parts) for parts in zip(requests, constraints, sequences, strict=True)]

    def _constraints(self, requests: Sequence[Request]) -> list[Constraint | None]:
        """RETURNS (list[Constraint | None]): Of each request; None where there is none, or where nothing is legal."""
        if self.constraint is None:
            return [None] * len(requests)
        pieces, eos = piece_bytes(self.tokenizer), self.tokenizer.eos_token_id
        most = self.options.max_added(0)
        made: list[Constraint | None] = []
        for request in requests:
            try:
                ending = Ending(pieces, eos, most, request.leading_space)
                made.append(self.annotation.constraint(request.unit, ending))
            except InputError:
                made.append(None)
        return made

    def _generate(
        self, requests: Sequence[Request], constraints: Sequence[Any], numbers: Sequence[int]
    ) -> list[list[GeneratedSequence]]:
        if not numbers:
            return []
        model, tokenizer = self.language_model, self.tokenizer
        prompts = [requests[i].prompt for i in numbers]
        config = self.options
        if config.do_sample and config.seed is not None:
            config = config.replace(seed=[_seed_of(config.seed, prompt) for prompt in prompts])
        processors = []
        if self.constraint is not None:
            ends = (
                config.eos_token_ids or GenerationConfig(eos_token_id=model.config.eos_token_id).eos_token_ids
            )
            config = config.replace(eos_token_id=sorted({*ends, tokenizer.eos_token_id}))
            processors = [PromptConstraints({requests[i].prompt: constraints[i] for i in numbers})]
        return generate_batched(
            model,
            tokenizer,
            prompts,
            config,
            max_batch_items=self.max_batch_items,
            processors=processors,
        )

    def _read(
        self, request: Request, constraint: Constraint | None, sequences: Sequence[GeneratedSequence]
    ) -> Answer:
        values = [v for s in sequences for v in self.annotation.read(request.unit, s, constraint)]
        wanted = self.options.num_return_sequences
        late = sum(sequence.finished == "time" for sequence in sequences)
        return Answer(request.unit, values, wanted - len(values), late)

    def _warn(self, answers: Sequence[Answer]) -> None:
        illegal, late = sum(a.illegal for a in answers), sum(a.late for a in answers)
        wanted = len(answers) * self.options.num_return_sequences
        if illegal:
            warnings.warn(
                f"{self.name!r}: {illegal} of {wanted} generated texts are not what the constraint asks for, cut off "
                "by a limit for example, and are not written. Raise max_new_tokens, or allow shorter texts.",
                BloomWarning,
                stacklevel=2,
            )
        if late:
            warnings.warn(
                f"{self.name!r}: {late} of {wanted} generated texts were cut off by max_seconds. Raise it, or set a "
                "lower max_batch_items, as it counts for a batch.",
                BloomWarning,
                stacklevel=2,
            )


def _seed_of(seed: int | tuple[int, ...], prompt: Ids) -> int:
    """A stream of random numbers for each prompt, that depends on nothing else: with one for all, Docs would draw
    alike.

    RETURNS (int): From 0 to 2**64 - 1.
    """
    assert isinstance(seed, int)
    ids = numpy.array(prompt, dtype="<i8").tobytes()
    return int.from_bytes(blake2b(ids, digest_size=8, key=seed.to_bytes(8, "little")).digest(), "little")
