"""Rows of ids that are there already: padding, cutting, masks."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BloomWarning, InputError
from .batch_encoding import BatchEncoding
from .call_options import (
    TRUNCATION,
    CallOptions,
    Layout,
    check_multiple,
    check_side,
    layout_of,
    resolve_layout,
)
from .tensors import to_python
from .tokenizer_config import TokenizerConfig

Ids = list[int]


class PreparedIds(TokenizerConfig):
    """What a tokenizer does to ids; data collators call it."""

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad one row or a batch: input_ids, attention_mask, token_type_ids and special_tokens_mask. Other fields stay
        as they are.

        encoded_inputs (Mapping | Sequence[Mapping]): Fields of a row, fields of a batch, or rows; lists, arrays or
            tensors. Arrays and tensors give such again.
        Further arguments are a call's.
        RETURNS (BatchEncoding): The padded fields.
        RAISES (InputError): There are no input_ids, or the fields have not as many rows.
        """
        fields, kind = _read_fields(encoded_inputs, self.model_input_names[0])
        ids = fields[self.model_input_names[0]]
        if not ids:
            return BatchEncoding({**fields, "attention_mask": []} if return_attention_mask else fields)
        layout = resolve_layout(
            padding,
            None if padding else False,
            max_length,
            model_max_length=self.model_max_length,
            verbose=False,
        )
        layout = Layout(layout.padding, "do_not_truncate", layout.max_length)
        check_multiple(layout, pad_to_multiple_of)
        side = padding_side or self.padding_side
        check_side(side)
        if layout.padding != "do_not_pad" and self.pad_token is None:
            raise InputError(
                "Got padding, but the tokenizer has no pad_token. Set tokenizer.pad_token to one."
            )
        is_one = not isinstance(ids[0], (list, tuple))
        rows = [fields] if is_one else _rows_of(fields, len(ids))
        length = layout.padded_length(
            [len(row[self.model_input_names[0]]) for row in rows], pad_to_multiple_of
        )
        with_mask = (
            "attention_mask" in self.model_input_names
            if return_attention_mask is None
            else return_attention_mask
        )
        padded = [self._pad_row(row, length, side, with_mask) for row in rows]
        columns = padded[0] if is_one else {name: [row[name] for row in padded] for name in padded[0]}
        return BatchEncoding(columns, tensor_type=return_tensors or kind)

    def _pad_row(self, row: dict[str, Any], length: int | None, side: str, with_mask: bool) -> dict[str, Any]:
        main = self.model_input_names[0]
        count = len(row[main])
        if with_mask and "attention_mask" not in row:
            row = {**row, "attention_mask": [1] * count}
        more = max(0, (length or 0) - count)
        values = {main: self.pad_token_id, "token_type_ids": 0, "special_tokens_mask": 1}
        values |= {"attention_mask": 0} if with_mask else {}
        if not more:
            return row
        filled = {name: [values[name]] * more for name in row if name in values}
        join = (
            (lambda own, fill: fill + list(own)) if side == "left" else (lambda own, fill: list(own) + fill)
        )
        return {name: join(value, filled[name]) if name in filled else value for name, value in row.items()}

    def prepare_for_model(
        self,
        ids: Ids,
        pair_ids: Ids | None = None,
        *options: Any,
        prepend_batch_axis: bool = False,
        **named: Any,
    ) -> BatchEncoding:
        """Make a model's input of the ids of one or two texts.

        prepend_batch_axis (bool): Make tensors of a batch of one.
        Options are a call's, in its order, without is_split_into_words. With return_overflowing_tokens, what is cut
        off comes as `overflowing_tokens`, and its number as `num_truncated_tokens`.
        RETURNS (BatchEncoding): The fields.
        RAISES (InputError): Options that do not fit together.
        """
        asked = _without_words(options, named)
        layout = layout_of(asked, self.model_max_length)
        _check_prepared(asked, layout, pair_ids)
        total = (
            len(ids)
            + len(pair_ids or ())
            + (self.num_special_tokens_to_add(pair_ids is not None) if asked.add_special_tokens else 0)
        )
        fields: dict[str, Any] = {}
        lost: Ids = []
        excess = total - (layout.max_length or total)
        if layout.truncates and excess > 0:
            ids, pair_ids, lost = self.truncate_sequences(
                ids, pair_ids, excess, layout.truncation, asked.stride
            )
        if asked.return_overflowing_tokens:
            fields |= {
                "overflowing_tokens": lost,
                "num_truncated_tokens": total - (layout.max_length or total),
            }
        fields |= self._fields_of(ids, pair_ids, asked)
        if layout.padding != "do_not_pad" or asked.return_attention_mask is not False:
            fields = self.pad(
                fields,
                layout.padding,
                layout.max_length,
                asked.pad_to_multiple_of,
                asked.padding_side,
                asked.return_attention_mask,
            ).data
        if asked.return_length:
            fields["length"] = len(fields["input_ids"])
        return BatchEncoding(fields, tensor_type=asked.return_tensors, prepend_batch_axis=prepend_batch_axis)

    def _fields_of(self, ids: Ids, pair_ids: Ids | None, asked: CallOptions) -> dict[str, Any]:
        fields: dict[str, Any] = {"input_ids": self.build_inputs_with_special_tokens(ids, pair_ids)}
        if asked.return_token_type_ids or (
            asked.return_token_type_ids is None and "token_type_ids" in self.model_input_names
        ):
            fields["token_type_ids"] = self.create_token_type_ids_from_sequences(ids, pair_ids)
        if asked.return_special_tokens_mask:
            fields["special_tokens_mask"] = [0] * len(fields["input_ids"])
        return fields

    def truncate_sequences(
        self,
        ids: Ids,
        pair_ids: Ids | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str = "longest_first",
        stride: int = 0,
    ) -> tuple[Ids, Ids | None, Ids]:
        """Cut the ids of one or two texts on the tokenizer's truncation_side.

        num_tokens_to_remove (int): How many pieces to take away.
        truncation_strategy (str): As in a call.
        stride (int): How many pieces that stay come with those that are cut off.
        RETURNS (tuple[list[int], list[int] | None, list[int]]): What stays of both, and what was cut off: nothing for
            pairs that are cut on both sides ("longest_first"). A text that is too short is not cut, with a warning.
        RAISES (InputError): An unknown strategy.
        """
        strategy = getattr(truncation_strategy, "value", truncation_strategy)
        if strategy not in TRUNCATION:
            raise InputError(f"Expected truncation_strategy to be one of {TRUNCATION}, got {strategy!r}.")
        if num_tokens_to_remove <= 0 or strategy == "do_not_truncate":
            return ids, pair_ids, []
        if strategy == "longest_first" and pair_ids is not None:
            first, second = shares(len(ids), len(pair_ids), num_tokens_to_remove)
            return self._cut(ids, first)[0], self._cut(pair_ids, second)[0], []
        is_second = strategy == "only_second"
        if is_second and pair_ids is None:
            return ids, pair_ids, []
        cut = pair_ids if is_second else ids
        if len(cut or ()) <= num_tokens_to_remove:
            warnings.warn(
                f"Expected a text of more than {num_tokens_to_remove} pieces to cut that many ({strategy}), got "
                f"{len(cut or ())}. Nothing was cut; truncate by 'longest_first'.",
                BloomWarning,
                stacklevel=2,
            )
            return ids, pair_ids, []
        kept, lost = self._cut(cut or [], num_tokens_to_remove, stride)
        return (ids, kept, lost) if is_second else (kept, pair_ids, lost)

    def _cut(self, ids: Ids, count: int, stride: int = 0) -> tuple[Ids, Ids]:
        window = min(len(ids), count + stride)
        if self.truncation_side == "left":
            return ids[count:], ids[:window]
        return ids[: max(0, len(ids) - count)], ids[len(ids) - window :]

    def build_inputs_with_special_tokens(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """RETURNS (list[int]): The ids of one or two texts as one row; BLOOM adds nothing."""
        return token_ids_0 if token_ids_1 is None else token_ids_0 + token_ids_1

    def create_token_type_ids_from_sequences(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """RETURNS (list[int]): 0 for the first text, 1 for the second, with a place for each of `cls_token` and
        `sep_token` that is set.
        """
        first = len(token_ids_0) + (self.cls_token_id is not None) + (self.sep_token_id is not None)
        second = 0 if token_ids_1 is None else len(token_ids_1) + (self.sep_token_id is not None)
        return [0] * first + [1] * second

    def get_special_tokens_mask(
        self, token_ids_0: Ids, token_ids_1: Ids | None = None, already_has_special_tokens: bool = False
    ) -> Ids:
        """RETURNS (list[int]): 1 for control tokens, 0 for others.
        RAISES (InputError): already_has_special_tokens is False, or there are two texts.
        """
        if not already_has_special_tokens or token_ids_1 is not None:
            raise InputError(
                "Expected one row of ids with already_has_special_tokens=True. To see what encoding adds, pass "
                "return_special_tokens_mask=True to a call."
            )
        special = frozenset(self.all_special_ids)
        return [int(i in special) for i in to_python(token_ids_0)]


def shares(first: int, second: int, count: int) -> tuple[int, int]:
    """RETURNS (tuple[int, int]): How many of count pieces the first and the second of two texts lose: the longer one
    until they are as long, then both.
    """
    longer = min(abs(first - second), count)
    rest = count - longer
    if first > second:
        return longer + rest // 2, rest - rest // 2
    return rest // 2, longer + rest - rest // 2


def _read_fields(encoded: Any, main: str) -> tuple[dict[str, Any], str | None]:
    """RETURNS (tuple[dict[str, Any], str | None]): Fields as lists, and the kind of tensors that they were."""
    if isinstance(encoded, (list, tuple)) and encoded and isinstance(encoded[0], Mapping):
        encoded = {name: [row[name] for row in encoded] for name in encoded[0]}
    if not isinstance(encoded, Mapping) or main not in encoded:
        got = list(encoded) if isinstance(encoded, Mapping) else type(encoded).__name__
        raise InputError(f"Expected an encoding or a list of such, with {main}; got {got!r:.80}.")
    ids = encoded[main]
    ids = [] if ids is None else ids
    first: Any = ids[0] if len(ids) else None
    sample = ids if not isinstance(ids, (list, tuple)) else first
    kind = {"Tensor": "pt", "ndarray": "np"}.get(type(sample).__name__)
    return {name: to_python(value) for name, value in encoded.items()} | {main: to_python(ids)}, kind


def _rows_of(fields: Mapping[str, Any], n_rows: int) -> list[dict[str, Any]]:
    lengths = {name: len(value) for name, value in fields.items()}
    if set(lengths.values()) != {n_rows}:
        raise InputError(f"Expected as many rows in each field, got {lengths}.")
    return [{name: value[i] for name, value in fields.items()} for i in range(n_rows)]


def _without_words(options: Sequence[Any], named: Mapping[str, Any]) -> CallOptions:
    names = [name for name in CallOptions.__dataclass_fields__ if name != "is_split_into_words"]
    return CallOptions(**dict(zip(names, options, strict=False)), **named)


def _check_prepared(asked: CallOptions, layout: Layout, pair_ids: Ids | None) -> None:
    if asked.return_token_type_ids and not asked.add_special_tokens:
        raise InputError(
            "Got return_token_type_ids=True with add_special_tokens=False. Leave one of them out."
        )
    if asked.return_overflowing_tokens and layout.truncation == "longest_first" and pair_ids is not None:
        raise InputError(
            "Got return_overflowing_tokens=True for a pair that is cut on both sides. Truncate by 'only_first' or "
            "'only_second'."
        )
