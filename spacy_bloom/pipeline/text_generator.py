"""The component that continues prompts made from Docs, and writes texts, categories, spans or parsed objects."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import minibatch
from thinc.api import Config, Model

from ..errors import BloomWarning, InputError
from ..generation.batches import encode_prompts, generate_batched
from ..generation.config import GenerationConfig
from ..generation.constraints.base import Constraint
from ..generation.generator import GeneratedPieces
from .base.extensions import add_extension
from .base.language_model_pipe import DEFAULT_MODEL, LanguageModelPipe
from .base.streaming import annotate
from .prompting.generated_annotation import ExtensionText, Unit, make_annotation
from .prompting.generator_settings import (
    check_sizes,
    check_together,
    check_units,
    make_constraint_settings,
    make_options,
)
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
    """A prompt to continue.

    unit (Doc | Span): The subject of the prompt, on which the response is written.
    prompt (tuple[int, ...]): The prompt's pieces, at least one.
    constraint (Constraint | None): What the text must be.
    possible (bool): Whether any text can be that.
    """

    unit: Unit
    prompt: tuple[int, ...]
    constraint: Constraint | None = None
    possible: bool = True


@dataclass(frozen=True)
class Response:
    """What the model answered.

    unit (Doc | Span): Where to write it.
    values (list[Any]): What to write: one value for each legal sequence.
    illegal (int): Number of other sequences.
    late (int): Number of sequences that max_seconds cut off.
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
class BloomTextGenerator(LanguageModelPipe):
    """Fills a prompt template from each Doc, lets the model continue it, and writes the result.

    A text does not depend on the rest of the batch: sampling is a function of seed and prompt, and equal prompts get
    equal responses. An empty prompt becomes `</s>`, which begins texts in BLOOM's training.

    All settings are in the pipeline's config only, and can be overridden when it is loaded.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v2`.
    name (str): Name of the component.
    upstream (str | None): Name of a bloom_transformer whose weights are used instead, as training leaves them.
    prompt (str): A Jinja2 template with the variable `doc` (text, ents, sents, spans, cats, user_data, _), and `sent`
        or `span` (text, label_, start_char, end_char, ents, sent, _) for these values of per.
    per (str): The unit of a prompt: "doc", every "sent" of doc.sents, or every "span" of doc.spans[spans_key].
    spans_key (str | None): Key of the spans; None for doc.ents.
    attr (str): Extension of Doc (or Span, depending on per) for texts and parsed objects; None where nothing was
        written. Texts exclude prompt, control tokens and stop string; several sequences are a list.
    special_tokens (bool): Read control tokens in the template's own text as control tokens. Text from Docs is always
        ordinary text.
    max_new_tokens (int): Maximum number of pieces in a text.
    generation (Mapping[str, Any] | None): More options of GenerationConfig, such as do_sample, temperature, num_beams,
        num_return_sequences, stop_strings, prompt_lookup_num_tokens. A checkpoint's own options are not used.
    seed (int | None): Seed for do_sample; None for different texts every time.
    constraint (Mapping[str, Any] | None): Restricts the text, by type:
        "choice": one of `labels`; written to doc.cats, 1 for the chosen one and 0 for the others.
        "spans": a verbatim span of the unit's text, at token boundaries, with `label`; written to doc.ents, or with
            `target` "spans" to doc.spans[`spans_key`]; `occurrences` "all" or "first".
        "json": JSON that matches a `schema`, with free `whitespace` or as json.dumps writes it; written to attr, parsed
            to objects.
        "regex": a text that matches a `pattern`; written to attr. The last two require llguidance.
        All have `leading_space`, whether a space comes before the text: by default if the prompt does not end in one.
        Incomplete texts are not written; a BloomWarning counts them.
    max_batch_items (int | None): Maximum number of pieces whose keys and values are in memory at once, including
        padding and generated pieces; a longer prompt is continued alone. None for as many as take 1/20 of the memory
        of the weights, or 64 MB if that is more.
    max_prompt_pieces (int): Maximum number of pieces in a prompt, and in a text from which spans are taken; more are an
        error for that Doc.
    max_seconds (float | None): Seconds after which no further piece of a batch is started. A BloomWarning counts the
        texts that are cut off.
    RAISES (ConfigError): A setting is invalid.
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
        check_sizes(max_prompt_pieces=max_prompt_pieces, max_batch_items=max_batch_items)
        check_units(per, spans_key)
        self.per, self.spans_key = per, spans_key
        self.max_batch_items, self.max_prompt_pieces = max_batch_items, max_prompt_pieces
        variables = ("doc",) if per == "doc" else ("doc", per)
        self.template = PromptTemplate(prompt, variables, special_tokens=special_tokens)
        self.options = make_options(
            generation or {}, max_new_tokens=max_new_tokens, max_time=max_seconds, seed=seed
        )
        self.constraint = make_constraint_settings(constraint)
        check_together(self.constraint, self.options, per)
        self.annotation = make_annotation(
            self.constraint, attr=attr, stops=self.options.stop_texts, max_new_tokens=max_new_tokens
        )
        if isinstance(self.annotation, ExtensionText):
            add_extension(Doc if per == "doc" else Span, attr)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """YIELDS (Doc): The Docs in order. One that fails reaches the error handler alone."""
        for batch in minibatch(stream, batch_size):
            # Docs without a usable prompt are left out here: a batch that fails later is generated again, Doc by Doc.
            asked = list(self._ask(batch))
            predict = partial(self._respond, [requests for _, requests in asked])
            yield from annotate(self, [doc for doc, _ in asked], predict)

    def predict(self, docs: Iterable[Doc]) -> list[list[Response]]:
        """RETURNS (list[list[Response]]): The responses for each Doc. Nothing is written yet."""
        return self._respond([self._requests(doc) for doc in docs])

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Sequence[Response]]) -> None:
        """Write the responses; warn about those that cannot be written."""
        for doc in docs:
            self.annotation.prepare(doc)
        responses = [response for own in predictions for response in own]
        several = self.options.num_return_sequences > 1
        for response in responses:
            if response.values:
                self.annotation.write(response.unit, response.values if several else response.values[0])
        self._warn(responses)

    def _ask(self, docs: Iterable[Doc]) -> Iterator[tuple[Doc, list[Request]]]:
        """YIELDS (tuple[Doc, list[Request]]): What is asked about each Doc; those that fail reach the error handler."""
        handle = self.get_error_handler()
        for doc in docs:
            try:
                requests = self._requests(doc)
            except Exception as error:
                handle(self.name, self, [doc], error)
            else:
                yield doc, requests

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
        ids = self.template.encode(self.tokenizer, max_pieces=self.max_prompt_pieces, **values)
        prompt = tuple(ids) or (self.tokenizer.eos_token_id,)
        if self.constraint is None:
            return Request(unit, prompt)
        if self.annotation.of_each_unit:
            self._check_source(unit.text)
        space = self.constraint.leading_space
        if space is None:
            space = not self.tokenizer.decode(ids[-1:])[-1:].isspace()
        try:
            return Request(
                unit, prompt, self.annotation.constraint(unit, self.tokenizer, leading_space=space)
            )
        except InputError:
            return Request(unit, prompt, possible=False)

    def _check_source(self, text: str) -> None:
        """Limit the text of a constraint, which costs memory and time even if it is not in the prompt."""
        limit = self.max_prompt_pieces
        if (
            len(text) > limit * MAX_CHARACTERS_PER_PIECE
            or len(encode_prompts(self.tokenizer, [text])[0]) > limit
        ):
            raise InputError(
                f"Got a text of {len(text)} characters to take a span from, expected at most {limit} pieces "
                '(max_prompt_pieces). Prompt sentence by sentence (per = "sent"), or raise max_prompt_pieces.'
            )

    def _respond(self, asked: Sequence[Sequence[Request]]) -> list[list[Response]]:
        """RETURNS (list[list[Response]]): The responses for each Doc; all requests run together."""
        found = iter(self._generate([request for own in asked for request in own if request.possible]))
        return [
            [self._read(request, next(found) if request.possible else []) for request in own] for own in asked
        ]

    def _generate(self, requests: Sequence[Request]) -> list[list[GeneratedPieces]]:
        """RETURNS (list[list[GeneratedPieces]]): The sequences that continue each prompt."""
        if not requests:
            return []
        model, tokenizer, config = self.language_model, self.tokenizer, self.options
        if config.do_sample and config.seed is not None:
            config = config.replace(seed=[_seed_of(config.seed, request.prompt) for request in requests])
        if self.constraint is not None:
            ends = (
                config.eos_token_ids or GenerationConfig(eos_token_id=model.config.eos_token_id).eos_token_ids
            )
            config = config.replace(eos_token_id=sorted({*ends, tokenizer.eos_token_id}))
        return generate_batched(
            model,
            tokenizer,
            [request.prompt for request in requests],
            config,
            max_batch_items=self.max_batch_items,
            processors=[request.constraint for request in requests if request.constraint is not None],
        )

    def _read(self, request: Request, sequences: Sequence[GeneratedPieces]) -> Response:
        values = [v for s in sequences for v in self.annotation.read(request.unit, s, request.constraint)]
        late = sum(sequence.finished == "time" for sequence in sequences)
        return Response(request.unit, values, self.options.num_return_sequences - len(values), late)

    def _warn(self, responses: Sequence[Response]) -> None:
        illegal, late = sum(r.illegal for r in responses), sum(r.late for r in responses)
        wanted = len(responses) * self.options.num_return_sequences
        if illegal:
            warnings.warn(
                f"{self.name!r}: {illegal} of {wanted} generated texts do not meet the constraint, for example because "
                "they were cut off, and are not written. Raise max_new_tokens, or allow shorter texts.",
                BloomWarning,
                stacklevel=2,
            )
        if late:
            warnings.warn(
                f"{self.name!r}: {late} of {wanted} generated texts were cut off by max_seconds. Raise it, or lower "
                "max_batch_items: the limit applies to a batch.",
                BloomWarning,
                stacklevel=2,
            )


def _seed_of(seed: int | tuple[int, ...], prompt: Sequence[int]) -> int:
    """A seed for each prompt, which depends on nothing else. With one for all, Docs would draw the same numbers.

    RETURNS (int): From 0 to 2**64 - 1.
    """
    assert isinstance(seed, int)
    ids = numpy.array(prompt, dtype="<i8").tobytes()
    return int.from_bytes(blake2b(ids, digest_size=8, key=seed.to_bytes(8, "little")).digest(), "little")
