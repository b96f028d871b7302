"""From pieces to text."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from .tensors import to_python
from .tokenizer_config import TokenizerConfig
from .vocabulary import as_ids

# English only. SOURCE: transformers, where it mends what other tokenizers do to texts.
CLEANED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


class TextDecoder(TokenizerConfig):
    """Decodes ids; what was encoded comes back as it was written."""

    def decode(
        self,
        token_ids: int | Iterable[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        *,
        use_source_tokenizer: bool = False,
        spaces_between_special_tokens: bool = False,
    ) -> str:
        """token_ids (int | Iterable[int]): One id or several, also as an array or tensor.
        skip_special_tokens (bool): Leave out control tokens.
        clean_up_tokenization_spaces (bool | None): Take the spaces before English punctuation away; None does what the
            tokenizer says, which is not to.
        use_source_tokenizer, spaces_between_special_tokens (bool): Taken for other tokenizers' sake, without effect.
        RETURNS (str): The text of the pieces; exactly the text that was encoded, as nothing is cleaned up.
        RAISES (InputError): Negative ids, as labels have them for pieces to ignore.
        """
        ids, _ = as_ids(token_ids)
        # The library's decoder takes the letters of added tokens for the bytes that they stand for elsewhere.
        literal = self.literal_pieces
        texts = {
            i: "" if skip_special_tokens and token.special else token.content
            for i, token in self.added_tokens_decoder.items()
            if token.content in literal and not token.content.isascii()
        }
        parts = []
        for is_text, run in groupby(ids, texts.__contains__):
            part = list(run)
            if is_text:
                parts += [texts[i] for i in part]
                continue
            with self._lock:  # the library works without Python's lock, and must not be changed meanwhile
                parts.append(self._tokenizer.decode(part, skip_special_tokens=skip_special_tokens))
        text = "".join(parts)
        clean = clean_up_tokenization_spaces
        clean = self.clean_up_tokenization_spaces if clean is None else clean
        return (
            self.clean_up_tokenization(text)
            if clean or (clean is None and self.clean_up_tokenization_spaces)
            else text
        )

    def batch_decode(
        self,
        sequences: Iterable[int | Iterable[int]],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **options: Any,
    ) -> list[str]:
        """RETURNS (list[str]): `decode` of every row; options as there."""
        rows = to_python(sequences)
        return [
            self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **options) for row in rows
        ]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """RETURNS (str): The text of pieces in byte-level spelling."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(tokens)

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """RETURNS (str): An English text without spaces before punctuation and shortened words."""
        for spaced in CLEANED:
            out_string = out_string.replace(spaced, spaced.strip())
        return out_string
