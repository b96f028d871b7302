"""From texts to pieces."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tokenizers import Encoding

from ..errors import BloomWarning, InputError
from .batch_encoding import BatchEncoding
from .call_options import CallOptions, columns_of
from .row_encoder import RowEncoder
from .texts import is_batch, pair_up


class Encoder(RowEncoder):
    """Encodes texts, pairs of texts and words; its arguments are Hugging Face's."""

    def _encode(self, texts: Sequence[Any], options: CallOptions, is_one: bool) -> BatchEncoding:
        layout = self._layout(options)
        encodings = self._encode_rows(texts, options, layout)
        self._pad_rows(encodings, options, layout)
        return self._make_result(encodings, options, is_one)

    def _make_result(self, encodings: list[Encoding], options: CallOptions, is_one: bool) -> BatchEncoding:
        rows, sources = encodings, list(range(len(encodings)))
        if options.return_overflowing_tokens:
            parts = [[e, *e.overflowing] for e in encodings]
            sources = [i for i, row in enumerate(parts) for _ in row]
            rows = [e for row in parts for e in row]
        columns = columns_of(rows, options, self.model_input_names)
        if options.return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = sources
        self._warn_if_too_long(max(map(len, rows), default=0), options)
        if options.return_tensors is not None:
            # No rows are of no length.
            columns = columns if rows else {name: [[]] for name in columns}
            made = BatchEncoding(columns, rows, tensor_type=options.return_tensors)
            return made if rows else BatchEncoding({name: value[:0] for name, value in made.items()}, [])
        if is_one and not options.return_overflowing_tokens:
            columns = {name: v[0] if isinstance(v[0], list) else v for name, v in columns.items()}
        return BatchEncoding(columns, rows)

    def _warn_if_too_long(self, length: int, options: CallOptions) -> None:
        if options.verbose and options.max_length is None and length > self.model_max_length > 0:
            warnings.warn(
                f"Got a text of {length} pieces, more than the {self.model_max_length} of model_max_length. Nothing "
                "was cut; pass truncation=True to cut it.",
                BloomWarning,
                stacklevel=4,
            )

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
    ) -> BatchEncoding:
        """Encode one text or a batch, or pairs.

        text, text_pair (str | Sequence[str] | Sequence[Sequence[str]]): One text or several; with
            is_split_into_words, the words of one text or of several. A pair is encoded as one row.
        text_target, text_pair_target: As those, for `labels`.
        add_special_tokens (bool): Add what the post-processor of `tokenizer.json` adds; BLOOM's adds nothing.
        padding (bool | str): True or "longest" pads to the longest row, "max_length" to max_length.
        truncation (bool | str | None): True or "longest_first" cuts rows to max_length piece by piece from the longer
            text of a pair, "only_first" and "only_second" from one. None cuts only if max_length is given and there is
            no padding, with a warning.
        max_length (int | None): None takes the tokenizer's model_max_length, if it has one.
        stride (int): How many pieces one part has of the part before, with return_overflowing_tokens.
        pad_to_multiple_of (int | None): Round the padded length up.
        padding_side (str | None): Overrides the tokenizer's side.
        return_tensors (str | None): "pt" or "np" for arrays of shape (batch, length); lists otherwise.
        return_token_type_ids, return_attention_mask (bool | None): None asks the tokenizer's model_input_names.
        return_overflowing_tokens (bool): What is cut off makes further rows; `overflow_to_sample_mapping` has the
            number of each row's text.
        return_special_tokens_mask (bool): 1 for padding and what was added.
        return_offsets_mapping (bool): (start, end) in Unicode code points; (0, 0) for padding.
        return_length (bool): `length` of each row.
        verbose (bool): False gives no warnings.
        split_special_tokens (bool | None): Whether control tokens in text are ordinary text; None does what the
            tokenizer says. Texts from users should be encoded with True.
        RETURNS (BatchEncoding): input_ids, attention_mask (1 for pieces, 0 for padding), and what was asked for.
        RAISES (InputError): Options that do not fit together, or what is no text.
        """
        options = CallOptions(
            add_special_tokens,
            padding,
            truncation,
            max_length,
            stride,
            is_split_into_words,
            pad_to_multiple_of,
            padding_side,
            return_tensors,
            return_token_type_ids,
            return_attention_mask,
            return_overflowing_tokens,
            return_special_tokens_mask,
            return_offsets_mapping,
            return_length,
            verbose,
            split_special_tokens,
        )
        if text is None and text_target is None:
            raise InputError("Got neither text nor text_target (None): there is nothing to encode.")
        if text is None:
            return self._encode_any(text_target, text_pair_target, options)
        encoded = self._encode_any(text, text_pair, options)
        if text_target is not None:
            encoded["labels"] = self._encode_any(text_target, text_pair_target, options)["input_ids"]
        return encoded

    def _encode_any(self, text: Any, text_pair: Any, options: CallOptions) -> BatchEncoding:
        if not isinstance(text, (str, list, tuple, bytes)) and isinstance(text, Iterable):
            text = list(text)
        if not is_batch(text, options.is_split_into_words):
            return self._encode_one(text, text_pair, options)
        return self._encode(text if text_pair is None else pair_up(text, text_pair), options, False)

    def _encode_one(self, text: Any, text_pair: Any, options: CallOptions) -> BatchEncoding:
        return self._encode([(text, text_pair) if text_pair else text], options, True)

    def encode_plus(self, text: Any, text_pair: Any = None, *options: Any, **named: Any) -> BatchEncoding:
        """RETURNS (BatchEncoding): One text or pair, as a call gives it. Options are a call's, in its order."""
        return self._encode_one(text, text_pair, CallOptions(*options, **named))

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Sequence[Any], *options: Any, **named: Any
    ) -> BatchEncoding:
        """RETURNS (BatchEncoding): Several texts or pairs, as a call gives them. Options are a call's, in its order."""
        return self._encode(batch_text_or_text_pairs, CallOptions(*options, **named), False)

    def encode(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        **options: Any,
    ) -> Any:
        """RETURNS (list[int] | Tensor | ndarray): The ids of one text or pair; options as in a call."""
        return self.encode_plus(
            text,
            text_pair,
            add_special_tokens,
            padding,
            truncation,
            max_length,
            stride,
            padding_side=padding_side,
            return_tensors=return_tensors,
            **options,
        )["input_ids"]

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """RETURNS (list[str]): The pieces of a text or pair in their byte-level spelling; options as in a call."""
        return self.encode_plus(text, pair, add_special_tokens, **options).tokens()

    @contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """Deprecated, and does nothing: BLOOM encodes targets as inputs. Pass `text_target` to a call."""
        warnings.warn(
            "as_target_tokenizer is deprecated: pass text_target to a call.", FutureWarning, stacklevel=3
        )
        yield

    def prepare_seq2seq_batch(
        self,
        src_texts: list[str],
        tgt_texts: list[str] | None = None,
        max_length: int | None = None,
        max_target_length: int | None = None,
        padding: bool | str = "longest",
        return_tensors: str | None = None,
        truncation: bool | str = True,
        **options: Any,
    ) -> BatchEncoding:
        """Deprecated: two calls, the second's ids as `labels`. Pass `text_target` to a call.

        RETURNS (BatchEncoding): input_ids, attention_mask; labels where there are targets.
        """
        warnings.warn(
            "prepare_seq2seq_batch is deprecated: pass text_target to a call.", FutureWarning, stacklevel=2
        )
        options = {name: value for name, value in options.items() if name not in ("src_lang", "tgt_lang")}
        options |= {"padding": padding, "return_tensors": return_tensors, "truncation": truncation}
        encoded = self(src_texts, max_length=max_length, **options)
        if tgt_texts is not None:
            encoded["labels"] = self(tgt_texts, max_length=max_target_length or max_length, **options)[
                "input_ids"
            ]
        return encoded
