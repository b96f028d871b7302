"""The component that continues prompts made from Docs, and writes texts, categories, spans or parsed objects."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import minibatch
from thinc.api import Model

from ..errors import BloomWarning, InputError
from ..generation.batches import encode_prompts, generate_batched
from ..generation.config import GenerationConfig
from ..generation.constraints.base import Constraint
from ..generation.generator import GeneratedPieces
from .base.component import component
from .base.extensions import add_extension
from .base.language_model_pipe import DEFAULT_MODEL, LanguageModelPipe
from .base.streaming import annotate
from .prompting.generated_annotation import ExtensionText, Unit, make_annotation
from .prompting.generator_settings import GeneratorSettings, check_together, make_constraint_settings
from .prompting.prompt_template import MAX_CHARACTERS_PER_PIECE, PromptTemplate


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


@component("bloom_text_generator", GeneratorSettings, {"model": DEFAULT_MODEL}, assigns=["doc._.generated"])
class BloomTextGenerator(LanguageModelPipe):
    """Fills a prompt template from each Doc, lets the model continue it, and writes the result.

    A text does not depend on the rest of the batch: sampling is a function of seed and prompt, and equal prompts get
    equal responses. An empty prompt becomes `</s>`, which begins texts in BLOOM's training.

    All settings are in the pipeline's config only, and can be overridden when it is loaded.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v2`.
    name (str): Name of the component.
    **settings: Those of `GeneratorSettings`.
    RAISES (ConfigError): A setting is invalid.
    """

    def __init__(
        self, nlp: Language, model: Model, name: str = "bloom_text_generator", **settings: Any
    ) -> None:
        checked = GeneratorSettings(**settings)
        super().__init__(nlp, model, name, **vars(checked))
        self.options = checked.options()
        self.constraint = make_constraint_settings(checked.constraint)
        check_together(self.constraint, self.options, checked.per)
        variables = ("doc",) if checked.per == "doc" else ("doc", checked.per)
        self.template = PromptTemplate(checked.prompt, variables, special_tokens=checked.special_tokens)
        self.annotation = make_annotation(
            self.constraint,
            attr=checked.attr,
            stops=self.options.stop_texts,
            max_new_tokens=checked.max_new_tokens,
        )
        if isinstance(self.annotation, ExtensionText):
            add_extension(Doc if checked.per == "doc" else Span, checked.attr)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """YIELDS (Doc): The Docs in order. One that fails reaches the error handler alone."""
        for batch in minibatch(stream, batch_size):
            # Docs without a usable prompt are left out here: a batch that fails later is generated again, in halves.
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
        if self.cfg["per"] == "doc":
            return [doc]
        if self.cfg["per"] == "sent":
            return list(doc.sents)
        key = self.cfg["spans_key"]
        return list(doc.ents) if key is None else list(doc.spans.get(key, ()))

    def _request(self, doc: Doc, unit: Unit) -> Request:
        values = {"doc": doc} if self.cfg["per"] == "doc" else {"doc": doc, self.cfg["per"]: unit}
        ids = self.template.encode(self.tokenizer, max_pieces=self.cfg["max_prompt_pieces"], **values)
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
        limit = self.cfg["max_prompt_pieces"]
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
            max_batch_items=self.cfg["max_batch_items"],
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
