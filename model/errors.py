"""The facts that can stop a job in here: what was seen and what was expected. Loads no library."""


class ModelError(ValueError):
    """The base of these facts."""


class CheckpointError(ModelError):
    """Raised when a directory is not a checkpoint that can be read; the message says what was seen and expected."""


class EncoderWeightsError(ModelError):
    """Raised when the weights named by `captioner.encoder_weights` cannot be read or do not fit the encoder."""
