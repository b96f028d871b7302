"""From texts to rows of pieces: the `tokenizers` object, whose settings are those of a call while it runs."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Encoding

from ..errors import InputError
from .call_options import CallOptions, Layout, check_side, layout_of, resolve_layout
from .texts import check_texts
from .tokenizer_config import TokenizerConfig


class RowEncoder(TokenizerConfig):
    """Encodes texts, pairs of texts and words as the library has them."""

    def encode_plain(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts as data, in this thread: control tokens in them are ordinary text, and none are added.

        RETURNS (list[Encoding]): Ids and offsets of each text.
        """
        return self.encode_batch(texts, split_special_tokens=True, add_special_tokens=False, parallel=False)

    def encode_batch(
        self,
        texts: Sequence[Any],
        *,
        split_special_tokens: bool | None = None,
        is_split_into_words: bool = False,
        add_special_tokens: bool = True,
        parallel: bool = True,
    ) -> list[Encoding]:
        """Encode texts without padding or truncation.

        texts (Sequence[str] | Sequence[Sequence[str]]): Texts, or their words with is_split_into_words; two together
            are a pair.
        parallel (bool): Whether to use all cores. A process that will fork should not: it is warned, and its children
            may wait for threads that they do not have.
        RETURNS (list[Encoding]): One `tokenizers.Encoding` per text: ids, tokens, character offsets.
        RAISES (InputError): Words without add_prefix_space, or input that is not text.
        """
        options = CallOptions(
            split_special_tokens=split_special_tokens,
            is_split_into_words=is_split_into_words,
            add_special_tokens=add_special_tokens,
        )
        return self._encode_rows(texts, options, None, parallel)

    def _encode_rows(
        self, texts: Sequence[Any], options: CallOptions, layout: Layout | None, parallel: bool = True
    ) -> list[Encoding]:
        words, as_text = options.is_split_into_words, options.split_special_tokens
        if words and not self.add_prefix_space:
            raise InputError(
                "Got words (is_split_into_words=True), but the tokenizer was made without "
                "add_prefix_space=True, so the words would lose their spaces. Load it with "
                "add_prefix_space=True or pass the whole text."
            )
        texts = check_texts(texts, words)
        how = {"is_pretokenized": words, "add_special_tokens": options.add_special_tokens}
        backend = self._tokenizer
        with self._lock:  # settings of the shared backend, not of the call
            self._reset()
            as_text = self.split_special_tokens if as_text is None else bool(as_text)
            if backend.encode_special_tokens != as_text:
                backend.encode_special_tokens = as_text
            if layout is not None and layout.truncates:
                return self._encode_cut(texts, how, layout, options.stride)
            if parallel:
                return backend.encode_batch(texts, **how)
            return [backend.encode(*(t if isinstance(t, tuple) else (t,)), **how) for t in texts]

    def _encode_cut(
        self, texts: list[Any], how: dict[str, bool], layout: Layout, stride: int
    ) -> list[Encoding]:
        try:
            self._enable_truncation(layout.truncation, layout.max_length, stride)
            return self._tokenizer.encode_batch(texts, **how)
        except InputError:
            raise
        except BaseException as error:  # the library raises bare Exception, and Rust's panics
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise InputError(
                f"Cannot cut to {layout.max_length} pieces ({layout.truncation}, stride {stride}): {error}."
            ) from None
        finally:
            self._tokenizer.no_truncation()

    def _reset(self) -> None:
        """A call leaves no settings, but a file or `set_truncation_and_padding` may have left some."""
        if self._tokenizer.truncation is not None:
            self._tokenizer.no_truncation()
        if self._tokenizer.padding is not None:
            self._tokenizer.no_padding()

    def _enable_truncation(self, strategy: str, max_length: int | None, stride: int) -> None:
        most = max(max_length or 0, 0)
        # The library panics, and writes a page about it. With pairs there may be still less room.
        room = most - self._tokenizer.num_special_tokens_to_add(strategy == "only_second")
        if stride < 0 or (stride and stride >= room):
            raise InputError(
                f"Expected stride to be 0 or more and below the pieces of a row, {room}; got {stride}."
            )
        self._tokenizer.enable_truncation(
            most, stride=stride, strategy=strategy, direction=self.truncation_side
        )

    def _pad_rows(self, encodings: list[Encoding], options: CallOptions, layout: Layout) -> None:
        length = layout.padded_length([len(e) for e in encodings], options.pad_to_multiple_of)
        if length is None:
            return
        side = options.padding_side or self.padding_side
        check_side(side)
        for encoding in encodings:
            encoding.pad(
                length, direction=side, pad_id=self.pad_token_id, pad_type_id=0, pad_token=self.pad_token
            )

    def _layout(self, options: CallOptions) -> Layout:
        layout = layout_of(options, self.model_max_length)
        if layout.padding != "do_not_pad" and self.pad_token is None:
            raise InputError(
                "Got padding, but the tokenizer has no pad_token. Name one (tokenizer.pad_token = tokenizer.eos_token) "
                "or add one (tokenizer.add_special_tokens({'pad_token': '<pad>'}))."
            )
        return layout

    def set_truncation_and_padding(
        self,
        padding_strategy: str,
        truncation_strategy: str,
        max_length: int,
        stride: int,
        pad_to_multiple_of: int | None,
        padding_side: str | None,
    ) -> None:
        """Set the `tokenizers` object for calls of its own. The next call of this tokenizer resets it."""
        layout = resolve_layout(
            padding_strategy, truncation_strategy, max_length, model_max_length=0, verbose=False
        )
        with self._lock:
            self._reset()
            if layout.truncates:
                self._enable_truncation(layout.truncation, max_length, stride)
            if layout.padding != "do_not_pad":
                self._tokenizer.enable_padding(
                    direction=padding_side or self.padding_side,
                    pad_id=self.pad_token_id,
                    pad_token=self.pad_token,
                    length=max_length if layout.padding == "max_length" else None,
                    pad_to_multiple_of=pad_to_multiple_of,
                )
