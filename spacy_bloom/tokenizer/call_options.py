"""How texts are encoded: the arguments of a call, and what padding and truncation they come to."""

import warnings
from dataclasses import dataclass
from typing import Any

from tokenizers import Encoding

from ..errors import BloomWarning, InputError
from ..settings import check, one_of

LARGE = 10**20  # a model_max_length above stands for none
SIDE = one_of("left", "right")
PADDING = ("longest", "max_length", "do_not_pad")
TRUNCATION = ("only_first", "only_second", "longest_first", "do_not_truncate")


@dataclass
class CallOptions:
    """Arguments of a call, in Hugging Face's order. `Encoder.__call__` says what they are."""

    add_special_tokens: bool = True
    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None


@dataclass(frozen=True)
class Layout:
    """The lengths that rows will have.

    padding (str): "longest", "max_length" or "do_not_pad".
    truncation (str): "longest_first", "only_first", "only_second" or "do_not_truncate".
    max_length (int | None): Where one of them needs it.
    """

    padding: str
    truncation: str
    max_length: int | None

    @property
    def truncates(self) -> bool:
        """RETURNS (bool): Whether rows are cut."""
        return self.truncation != "do_not_truncate"

    def padded_length(self, lengths: list[int], multiple: int | None) -> int | None:
        """RETURNS (int | None): The length that rows of these lengths are padded to; None for no padding."""
        if self.padding == "do_not_pad":
            return None
        length = max(lengths, default=0) if self.padding == "longest" else self.max_length or 0
        return -(-length // multiple) * multiple if multiple else length


def resolve_layout(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    *,
    model_max_length: int,
    verbose: bool = True,
) -> Layout:
    """padding (bool | str): True is "longest".
    truncation (bool | str | None): True is "longest_first". None also is, with a warning, if there is a max_length that
        nothing else uses.
    max_length (int | None): None takes that of the model. Where it has none, rows are not padded or cut, with a
        warning.
    RETURNS (Layout): The lengths that rows will have.
    RAISES (InputError): An option is not what it should be.
    """
    if max_length is not None and max_length < 0:
        raise InputError(f"Expected max_length to be 0 or more, got {max_length}.")
    if max_length is not None and padding is False and truncation is None:
        _warn(
            verbose,
            f"Cutting to max_length={max_length}: pass truncation=True to say so, or False to keep all pieces.",
        )
        truncation = True
    padding = _strategy("padding", padding, "longest", PADDING)
    truncation = _strategy("truncation", truncation, "longest_first", TRUNCATION)
    if padding == "longest" and max_length is not None and truncation == "do_not_truncate":
        _warn(
            verbose, "padding=True does not use max_length. To pad to max_length, pass padding='max_length'."
        )
    if max_length is None and (padding == "max_length" or truncation != "do_not_truncate"):
        if model_max_length <= LARGE:
            return Layout(padding, truncation, model_max_length)
        _warn(
            verbose,
            f"Got padding={padding!r} and truncation={truncation!r} without max_length, and the tokenizer has no "
            "model_max_length: what needs it is not done. Say how many pieces rows should have.",
        )
        return Layout("do_not_pad" if padding == "max_length" else padding, "do_not_truncate", None)
    return Layout(padding, truncation, max_length)


def layout_of(options: CallOptions, model_max_length: int) -> Layout:
    """RETURNS (Layout): The lengths that rows of a call will have. RAISES (InputError): As `resolve_layout`."""
    layout = resolve_layout(
        options.padding,
        options.truncation,
        options.max_length,
        model_max_length=model_max_length,
        verbose=options.verbose,
    )
    check_multiple(layout, options.pad_to_multiple_of)
    return layout


def check_multiple(layout: Layout, multiple: int | None) -> None:
    """RAISES (InputError): pad_to_multiple_of is no length, or rows are cut to another."""
    if multiple is not None and multiple < 1:
        raise InputError(f"Expected pad_to_multiple_of to be 1 or more, got {multiple}.")
    if (
        multiple
        and layout.truncates
        and layout.padding != "do_not_pad"
        and (layout.max_length or 0) % multiple
    ):
        raise InputError(
            f"Expected max_length to be a multiple of pad_to_multiple_of where rows are cut and padded, got "
            f"{layout.max_length} and {multiple}."
        )


def columns_of(encodings: list[Encoding], options: CallOptions, names: list[str]) -> dict[str, list]:
    """RETURNS (dict[str, list]): The fields of a result, by row; names (list[str]) are the model's inputs."""
    types, mask = options.return_token_type_ids, options.return_attention_mask
    columns: dict[str, list] = {"input_ids": [e.ids for e in encodings]}
    if types or (types is None and "token_type_ids" in names):
        columns["token_type_ids"] = [e.type_ids for e in encodings]
    if mask or (mask is None and "attention_mask" in names):
        columns["attention_mask"] = [e.attention_mask for e in encodings]
    if options.return_special_tokens_mask:
        columns["special_tokens_mask"] = [e.special_tokens_mask for e in encodings]
    if options.return_offsets_mapping:
        columns["offset_mapping"] = [e.offsets for e in encodings]
    if options.return_length:
        columns["length"] = [len(e) for e in encodings]
    return columns


def check_side(side: str) -> None:
    """RAISES (ConfigError): It is neither "left" nor "right"."""
    check("padding_side", side, SIDE)


def _strategy(name: str, value: Any, true: str, choices: tuple[str, ...]) -> str:
    value = getattr(value, "value", value)  # members of transformers' enums
    if value is True:
        return true
    if value is False or value is None:
        return choices[-1]
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise InputError(f"Expected {name} to be True, False or one of {known}; got {value!r}.")
    return value


def _warn(verbose: bool, message: str) -> None:
    if verbose:
        warnings.warn(message, BloomWarning, stacklevel=5)
