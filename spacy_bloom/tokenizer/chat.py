"""From chats to prompts, by a template of the checkpoint or the caller."""

import re
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from tokenizers import Encoding

from ..errors import BloomWarning, InputError
from .batch_encoding import BatchEncoding
from .call_options import CallOptions
from .chat_text import Rendered
from .encoder import Encoder
from .tool_schema import describe_tool

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


class Chat(Encoder):
    """Writes chats as prompts."""

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        tools: Sequence[Any] | None = None,
        documents: Sequence[Mapping[str, str]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_dict: bool = False,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Any:
        """Write a chat as a prompt.

        Control tokens in messages are read as control tokens, as in Hugging Face, unless the tokenizer's
        `split_special_tokens` or that of tokenizer_kwargs is True: then only those that the template writes are, and
        messages from users are text. A template runs in a sandbox and can reach nothing but what it is given.

        conversation (Sequence): Messages ({"role": ..., "content": ...}), or several chats.
        tools (Sequence[Callable | dict] | None): Functions with type hints and docstrings, or their JSON schemas.
        documents (Sequence[dict[str, str]] | None): With "title" and "text".
        chat_template (str | None): A template, or the name of one of the tokenizer's; None for the tokenizer's.
        add_generation_prompt (bool): End with what begins an answer.
        continue_final_message (bool): End inside of the last message, for the model to go on.
        tokenize (bool): False gives text.
        padding, truncation, max_length, return_tensors: As in a call.
        return_dict (bool): A BatchEncoding instead of ids.
        return_assistant_tokens_mask (bool): 1 for pieces inside of the template's `{% generation %}`, as
            `assistant_masks`.
        tokenizer_kwargs (Mapping[str, Any] | None): More options of a call.
        **variables: Further variables of the template.
        RETURNS (str | list[int] | Tensor | ndarray | BatchEncoding): Of one chat, or of all.
        RAISES (InputError): Options that do not fit together, no template, or one that fails.
        """
        if return_dict and not tokenize:
            raise InputError("Got return_dict=True with tokenize=False: a text has no fields.")
        if return_assistant_tokens_mask and not return_dict:
            raise InputError(
                "Got return_assistant_tokens_mask=True without return_dict=True to return it in."
            )
        if continue_final_message and (add_generation_prompt or return_assistant_tokens_mask):
            other = "add_generation_prompt" if add_generation_prompt else "return_assistant_tokens_mask"
            raise InputError(f"Got continue_final_message=True with {other}=True. Leave one of them out.")
        template = self.get_chat_template(chat_template, tools)
        if return_assistant_tokens_mask and not GENERATION.search(template):
            message = "The chat template has no {% generation %}: no piece counts as an assistant's."
            warnings.warn(message, BloomWarning, stacklevel=2)
        options = CallOptions(
            add_special_tokens=False,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            return_tensors=return_tensors,
        )
        for name, value in (tokenizer_kwargs or {}).items():
            if not hasattr(options, name):
                raise InputError(f"Got {name!r} in tokenizer_kwargs, which is no option of a call.")
            setattr(options, name, value)
        values = {
            **self.special_tokens_map,
            "tools": None if tools is None else [describe_tool(tool) for tool in tools],
            "documents": _check_documents(documents),
            "add_generation_prompt": add_generation_prompt,
            **variables,
        }
        chats, is_one = _read_chats(conversation)
        as_text = options.split_special_tokens
        as_text = self.split_special_tokens if as_text is None else as_text
        control = self.all_special_tokens if as_text and tokenize else []
        render = import_module(".chat_template", __package__).render
        rendered = [render(template, {"messages": chat, **values}, control) for chat in chats]
        if continue_final_message:
            rendered = [_cut_after_last(part, chat) for part, chat in zip(rendered, chats, strict=True)]
        if not tokenize:
            return rendered[0].text if is_one else [part.text for part in rendered]
        encoded = self._encode_rendered(rendered, options, is_one, bool(as_text))
        if return_assistant_tokens_mask:
            masks = [_mask_of(encoded.encodings[i], part.generated) for i, part in enumerate(rendered)]  # type: ignore[index]
            encoded["assistant_masks"] = masks[0] if is_one and not return_tensors else masks
            encoded.convert_to_tensors(return_tensors)
        return encoded if return_dict else encoded["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: Sequence[Any] | None = None) -> str:
        """chat_template (str | None): A template, or the name of one of the tokenizer's.
        tools (Sequence | None): Whether "tool_use" is meant, where there are several and none is named.
        RETURNS (str): The template.
        RAISES (InputError): There is none.
        """
        own = self.chat_template
        if isinstance(own, dict):
            name = chat_template
            if name is None:
                name = "tool_use" if tools is not None and "tool_use" in own else "default"
            if name in own:
                return own[name]
            if chat_template is None:
                raise InputError(
                    f"Expected the name of a chat template, one of {sorted(own)}: there is no default."
                )
            return chat_template
        found = own if chat_template is None else chat_template
        if found is None:
            raise InputError(
                "The tokenizer has no chat_template: BLOOM was not trained on chats. Pass chat_template, or set "
                "tokenizer.chat_template to the one that your model was tuned with."
            )
        return found

    def _encode_rendered(
        self, rendered: list[Rendered], options: CallOptions, is_one: bool, as_text: bool
    ) -> BatchEncoding:
        if not as_text:
            return self._encode([part.text for part in rendered], options, is_one)
        layout = self._layout(options)
        encodings = [self._encode_parts(part) for part in rendered]
        if layout.truncates:
            for encoding in encodings:
                encoding.truncate(layout.max_length, options.stride, self.truncation_side)
        self._pad_rows(encodings, options, layout)
        return self._make_result(encodings, options, is_one)

    def _encode_parts(self, rendered: Rendered) -> Encoding:
        """RETURNS (Encoding): Of text in which only the template's control tokens are some."""
        parts, last = [], 0
        for start, end in [*rendered.control, (len(rendered.text), len(rendered.text))]:
            parts += [(rendered.text[last:start], True), (rendered.text[start:end], False)]
            last = end
        encode = self.encode_batch
        how = {"add_special_tokens": False, "parallel": False}
        pieces = [encode([text], split_special_tokens=plain, **how)[0] for text, plain in parts]
        merged = Encoding.merge(pieces, growing_offsets=True)
        merged.set_sequence_id(0)
        return merged


def _read_chats(conversation: Any) -> tuple[list[Any], bool]:
    """RETURNS (tuple[list[Any], bool]): Chats, and whether it was one."""
    if not isinstance(conversation, (list, tuple)):
        return [getattr(conversation, "messages", conversation)], True
    if not conversation:
        raise InputError("Expected a chat of one message or more, got none.")
    if isinstance(conversation[0], (list, tuple)) or hasattr(conversation[0], "messages"):
        return [getattr(chat, "messages", chat) for chat in conversation], False
    return [conversation], True


def _check_documents(documents: Any) -> Any:
    if documents is not None and not all(isinstance(document, dict) for document in documents):
        raise InputError("Expected documents to be dicts with 'title' and 'text'.")
    return documents


def _cut_after_last(rendered: Rendered, chat: Any) -> Rendered:
    content = chat[-1]["content"]
    if not isinstance(content, str):
        texts = [block["text"] for block in content if "text" in block]
        content = texts[-1] if texts else None
    if content is None or content.strip() not in rendered.text:
        raise InputError(
            "Got continue_final_message=True, but the template does not write the text of the last message as it is."
        )
    start = rendered.text.rindex(content.strip())
    # Spaces at its end belong to the message where the template keeps them.
    whole = content.lstrip()
    kept = rendered.text[start : start + len(whole)] == content
    return rendered.cut(start + len(whole if kept else content.strip()))


def _mask_of(encoding: Encoding, spans: list[tuple[int, int]]) -> list[int]:
    mask = [0] * len(encoding)
    for start, end in spans:
        first, last = encoding.char_to_token(start), encoding.char_to_token(end - 1)
        if first is None:  # cut off
            break
        last = len(mask) - 1 if last is None else last
        mask[first : last + 1] = [1] * (last + 1 - first)
    return mask
