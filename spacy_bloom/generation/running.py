"""Rows that run through the model together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..bloom.cache import KeyValueCache
from ..bloom.heads import BloomLanguageModel
from ..errors import InputError

# A prefix that all prompts share is computed once if it has at least this many pieces.
MIN_PREFIX = 8
# Pieces per row that are fed at once: attention biases are this wide, and as long as the row.
CHUNK_PIECES = 256
# Default memory for keys and values: this fraction of the weights' memory, or this many bytes if that is less.
WEIGHTS_FRACTION, MIN_BYTES = 0.05, 2**26
# Padding and pieces taken back are removed once they exceed this fraction of the longest row.
MAX_WASTE = 0.5


class RunningRows:
    """Keys and values of each row so far, and which of them are real.

    Padding, and pieces that were fed and taken back, are masked, and positions count real pieces only. So padding may
    be anywhere, including between a common prefix and the rest of the prompts.

    model (BloomLanguageModel): In evaluation mode.
    capacity (int): Pieces per row to allocate memory for, if known.
    RAISES (InputError): The model is in training mode.
    """

    def __init__(self, model: BloomLanguageModel, *, capacity: int = 0) -> None:
        expect_evaluation(model)
        self.model = model
        self.cache = KeyValueCache(model.config.n_layer, capacity=capacity)
        self.mask = torch.ones(0, 0, dtype=torch.long, device=model.device)  # (rows, pieces)

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Feed the prompts of all rows. Their common prefix is computed once.

        RETURNS (Tensor): Hidden states of each prompt's last piece. Shape (rows, hidden_size).
        RAISES (InputError): There is no prompt, an empty one, or an id outside the vocabulary.
        """
        if not prompts or not all(len(prompt) for prompt in prompts):
            raise InputError(
                "Expected one or more prompts of at least one piece each. To generate from nothing, pass the "
                "tokenizer's bos_token_id."
            )
        expect_ids(prompts, self.model)
        shared = _shared_prefix(prompts)
        if shared:
            self._feed([list(prompts[0][:shared])], pad_left=True)
            self.select(torch.zeros(len(prompts), dtype=torch.long))
        return self._feed([list(prompt[shared:]) for prompt in prompts], pad_left=True)[:, -1]

    def feed(self, pieces: Sequence[Sequence[int]]) -> Tensor:
        """Feed the next pieces of each row, at least one in total.

        RETURNS (Tensor): Hidden states; rows with fewer pieces end in padding. Shape (rows, longest, hidden_size).
        """
        return self._feed(pieces, pad_left=False)

    def take_back(self, counts: Sequence[int]) -> None:
        """Forget the last real pieces of each row. counts (Sequence[int]): Number of pieces per row."""
        if not any(counts):
            return
        real = self.mask.flip(1).cumsum(dim=1).flip(1)  # number from the end, 1 for the last
        counted = torch.tensor(counts, device=self.mask.device)[:, None]
        self.mask = self.mask.masked_fill(real <= counted, 0)
        unused = int((self.mask.flip(1).cumsum(dim=1) == 0).sum(dim=1).min())  # columns at the end
        self.cache.crop(self.cache.length - unused)
        self.mask = self.mask[:, : self.cache.length]
        self._clear_away()

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order.

        rows (Tensor): Numbers of rows; may repeat. Shape (new rows,).
        """
        self.mask = self.mask.index_select(0, rows.to(self.mask.device))
        self.cache.select(rows)
        self._clear_away()

    def fork(self, rows: Tensor, *, room: int = 0) -> "RunningRows":
        """Copy rows, to continue them separately.

        rows (Tensor): Numbers of rows; may repeat. Shape (new rows,).
        room (int): Pieces that will follow, if known.
        RETURNS (RunningRows): The copy.
        """
        copy = RunningRows(self.model)
        copy.mask = self.mask.index_select(0, rows.to(self.mask.device))
        copy.cache = self.cache.fork(rows, room=room)
        copy._clear_away()
        return copy

    def _clear_away(self) -> None:
        """Move the real pieces of each row to its right, without gaps."""
        longest = int(self.mask.sum(dim=1).max())
        if self.mask.shape[1] > (1 + MAX_WASTE) * longest:
            places = self.mask.argsort(dim=1, stable=True)[
                :, -longest:
            ]  # (rows, longest), the real ones last
            self.mask = self.mask.gather(1, places)
            self.cache.rearrange(places)

    def _feed(self, pieces: Sequence[Sequence[int]], *, pad_left: bool) -> Tensor:
        longest = max(map(len, pieces))
        ids = torch.zeros(len(pieces), longest, dtype=torch.long)
        real = torch.zeros(len(pieces), longest, dtype=torch.long)
        for row, new in enumerate(pieces):
            place = slice(longest - len(new), longest) if pad_left else slice(0, len(new))
            ids[row, place] = torch.tensor(new, dtype=torch.long)
            real[row, place] = 1
        ids, real = ids.to(self.mask.device), real.to(self.mask.device)
        parts = zip(ids.split(CHUNK_PIECES, dim=1), real.split(CHUNK_PIECES, dim=1), strict=True)
        states = [self._run(*part) for part in parts]
        return states[0] if len(states) == 1 else torch.cat(states, dim=1)

    def _run(self, ids: Tensor, real: Tensor) -> Tensor:
        self.mask = torch.cat((self.mask, real), dim=1) if self.cache.length else real
        output = self.model.transformer(ids, attention_mask=self.mask, past_key_values=self.cache)
        return output.last_hidden_state


def affordable_pieces(model: BloomLanguageModel) -> int:
    """RETURNS (int): Number of pieces whose keys and values take 1/20 of the memory of the weights, or 64 MB if that is
    more: 568 for bloom-560m in float32, 7,281 for tiny-bloom.
    """
    # Of hidden states, whose dtype norms have: matrices may be stored in a smaller one.
    dtype = model.transformer.ln_f.weight.dtype
    of_a_piece = 2 * model.config.n_layer * model.config.hidden_size * dtype.itemsize
    return max(int(max(WEIGHTS_FRACTION * model.n_bytes, MIN_BYTES) / of_a_piece), 1)


def expect_evaluation(model: BloomLanguageModel) -> None:
    """RAISES (InputError): The model is in training mode, where dropout would change its output."""
    if model.training:
        raise InputError("Expected the model in evaluation mode: call model.eval() first.")


def expect_ids(sequences: Sequence[Sequence[int]], model: BloomLanguageModel) -> None:
    """Checked here, because a wrong id would leave a GPU unusable.

    RAISES (InputError): An id outside the vocabulary.
    """
    full = [sequence for sequence in sequences if len(sequence)]
    low, high = min(map(min, full), default=0), max(map(max, full), default=0)
    if low < 0 or high >= model.config.vocab_size:
        raise InputError(
            f"Expected ids from 0 to {model.config.vocab_size - 1}, got {low} to {high}. "
            "Do tokenizer and model belong to the same checkpoint?"
        )


def _shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """RETURNS (int): Length of the common prefix, shorter than any prompt; 0 if it is not worth a call."""
    if len(prompts) < 2:
        return 0
    first, last = min(map(list, prompts)), max(map(list, prompts))  # in order of ids these two differ first
    length = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        length += 1
    length = min(length, min(map(len, prompts)) - 1)
    return length if length >= MIN_PREFIX else 0
