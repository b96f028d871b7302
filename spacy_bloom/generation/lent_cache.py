"""A caller's `past_key_values` during a call of `generate`, and after it."""

from typing import Any

from ..bloom.cache import KeyValueCache
from ..bloom.past import cache_of
from ..config import BloomConfig


class LentCache:
    """Keys and values that a caller passes. One of transformers' caches grows in place, as it does there.

    past (Any): A cache, or pairs of keys and values by block.
    config (BloomConfig): The model's config.
    RAISES (InputError): It is something else, or of another geometry.
    """

    def __init__(self, past: Any, config: BloomConfig) -> None:
        _, self.given = cache_of(past, config)
        self._known = int(self.given.get_seq_length())
        if isinstance(self.given, KeyValueCache):
            self.cache = self.given.branch() if self.given.stays else self.given
            self.cache.stays = False  # during the call
        else:
            pairs = list(self.given) if self._known else []
            self.cache = KeyValueCache.from_legacy_cache(pairs) if pairs else KeyValueCache(config.n_layer)

    def give_back(self, output: Any) -> Any:
        """Let the caller's cache grow, unless rows were copied.

        output (Any): What `generate` returns.
        RETURNS (Any): The same, with the caller's cache in it.
        """
        if isinstance(self.given, KeyValueCache):
            self.cache.stays = self.given.stays
            return output
        if self.cache.length == self._known:
            return output
        for layer, (keys, values) in enumerate(self.cache):
            self.given.update(keys[:, :, self._known :], values[:, :, self._known :], layer)
        if getattr(output, "past_key_values", None) is self.cache:
            output.past_key_values = self.given
        return output
