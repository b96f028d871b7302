"""Exceptions and warnings that say what was got, what was expected and what to do."""


class BloomError(ValueError):
    """Base of the errors that bad input raises, so that callers can catch all of them at once."""


class ConfigError(BloomError):
    """A config.json or BloomConfig argument is missing, ill-typed or out of range."""


class CheckpointError(BloomError):
    """A checkpoint's files or weights are not what its config says they are."""


class InputError(BloomError):
    """Tensors, texts or options handed to a model or tokenizer do not fit together."""


class ListenerError(BloomError):
    """A listener was run on Docs that its transformer has not seen."""


class NotTrainedError(BloomError):
    """A component that must first be trained was used untrained."""


class RankError(BloomError):
    """Another process of a run on several has failed, is gone, or does not answer."""


class BloomWarning(UserWarning):
    """Something was done that the user may not expect; nothing was lost."""
