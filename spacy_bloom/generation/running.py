"""Rows on their way through the model together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..bloom.cache import KeyValueCache
from ..bloom.heads import BloomLanguageModel
from ..errors import InputError

# A prefix that all prompts share is computed once if it is at least as long.
MIN_PREFIX = 8
# Pieces per row that are fed at once: the biases of attention are as wide as this, and as long as the row.
CHUNK_PIECES = 256
# Memory of keys and values where nobody says how much: this part of the weights' own, or these bytes if that is less.
PART_OF_WEIGHTS, MIN_BYTES = 0.05, 2**26
# Padding and what was taken back are cleared away once they are more than half of the longest row.
MAX_WASTE = 0.5


class RunningRows:
    """Keys and values of what each row has so far, and which of them are real.

    Rows have different lengths: what is padding, and what was fed and taken back, is masked, and positions count
    what is real. So padding may lie anywhere, also between a common prefix and the rest of the prompts.

    model (BloomLanguageModel): In evaluation mode.
    capacity (int): Pieces of a row to allocate memory for at once, where it is known.
    RAISES (InputError): It is in training mode.
    """

    def __init__(self, model: BloomLanguageModel, *, capacity: int = 0) -> None:
        expect_evaluation(model)
        self.model = model
        self.cache = KeyValueCache(model.config.n_layer, capacity=capacity)
        self.mask = torch.ones(0, 0, dtype=torch.long, device=model.device)  # (rows, pieces)

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Feed the prompts of all rows; what they begin with in common is computed once.

        RETURNS (Tensor): Hidden states of each prompt's last piece. Shape (rows, hidden_size).
        RAISES (InputError): There is no prompt, an empty one, or an id outside the vocabulary.
        """
        if not prompts or not all(len(prompt) for prompt in prompts):
            raise InputError(
                "Expected one or more prompts of at least one piece each. To begin with nothing, give the "
                "tokenizer's bos_token_id."
            )
        expect_ids(prompts, self.model)
        shared = _shared_prefix(prompts)
        if shared:
            self._feed([list(prompts[0][:shared])], pad_left=True)
            self.select(torch.zeros(len(prompts), dtype=torch.long))
        return self._feed([list(prompt[shared:]) for prompt in prompts], pad_left=True)[:, -1]

    def feed(self, pieces: Sequence[Sequence[int]]) -> Tensor:
        """Feed the next pieces of each row, at least one in one of them.

        RETURNS (Tensor): Hidden states; those of rows with fewer pieces than others end in padding. Shape
            (rows, most pieces, hidden_size).
        """
        return self._feed(pieces, pad_left=False)

    def take_back(self, counts: Sequence[int]) -> None:
        """Forget the last real pieces of each row, as many as counted."""
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

        rows (Tensor): Numbers of rows; one may be named more than once. Shape (new rows,).
        """
        self.mask = self.mask.index_select(0, rows.to(self.mask.device))
        self.cache.select(rows)
        self._clear_away()

    def fork(self, rows: Tensor, *, room: int = 0) -> "RunningRows":
        """RETURNS (RunningRows): These rows, to be continued on their own, by `room` pieces where it is known; the
        ones here stay as they are.
        """
        copy = RunningRows(self.model)
        copy.mask = self.mask.index_select(0, rows.to(self.mask.device))
        copy.cache = self.cache.fork(rows, room=room)
        copy._clear_away()
        return copy

    def _clear_away(self) -> None:
        """Move what is real together, at the right of its row."""
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
    """RETURNS (int): Pieces whose keys and values take a twentieth of the memory of the weights, or 64 MB for a model
    whose weights are small: 568 for bloom-560m in float32, 7,281 for tiny-bloom.
    """
    of_a_piece = 2 * model.config.n_layer * model.config.hidden_size * model.dtype.itemsize
    weights = sum(parameter.nbytes for parameter in model.parameters())
    return max(int(max(PART_OF_WEIGHTS * weights, MIN_BYTES) / of_a_piece), 1)


def expect_evaluation(model: BloomLanguageModel) -> None:
    """RAISES (InputError): The model is in training mode, where dropout would change what it gives."""
    if model.training:
        raise InputError("Expected the model in evaluation mode: call model.eval() first.")


def expect_ids(sequences: Sequence[Sequence[int]], model: BloomLanguageModel) -> None:
    """Checked here, as on a GPU a wrong id would leave the device unusable.

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
    """RETURNS (int): Pieces that all prompts begin with, each having one more; 0 if it is not worth a call."""
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
