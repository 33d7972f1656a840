"""Errors that end a job with one sentence, under one base class. The job prints the message and exits with 2.

CaptionlakeError
├── SettingsError            settings that are unknown, missing, of a wrong type or out of range
├── LandingZoneError         nothing has arrived, or no captions file has the named columns
├── SchemaMismatchError      rows that are not what the table holds
├── RuntimeMissingError      no Java 17, no Delta jars, no Horovod, no Ray cluster to join: what should be there
├── ConcurrentWriteError     another run writes what this one would write
├── StorageError             a disk that is full or read-only
├── MissingInputError        a table or checkpoint that an earlier job should have written
├── CorruptImageError        bytes that are no image we can read (becomes a row in images_rejected)
├── NotationError            a caption that its notation cannot express
├── RefusedRequestError      (lib/serving/refusals.py) a request that is not answered with captions
├── BatchFailedError         (lib/serving/captioner_process.py) a batch that a process did not caption
├── ServerRefusedError       (lib/serving/folder_client.py) a server that does not answer with captions
├── UnreadableTableError     (lib/lake/delta_rows.py) a table that cannot be read without Spark
├── SqlRefusedError          (lib/sql/errors.py) a statement that cannot be answered, with what to ask for
└── TrainingFailedError      the Ray workers stopped before the last step
"""


class CaptionlakeError(Exception):
    """Base of every error whose message is enough to act on."""


class SettingsError(CaptionlakeError):
    """Raised when the settings cannot be used; the message lists every fault at once."""


class LandingZoneError(CaptionlakeError):
    """Raised when the landing zone cannot be read as the settings describe it."""


class SchemaMismatchError(CaptionlakeError):
    """Raised when rows do not match the schema of the table they are written to."""


class RuntimeMissingError(CaptionlakeError):
    """Raised when a part that set-up installs is not on this machine."""


class ConcurrentWriteError(CaptionlakeError):
    """Raised when another run writes the same table or trains the same model at the same time."""


class StorageError(CaptionlakeError):
    """Raised when nothing can be written: the disk is full or read-only."""


class MissingInputError(CaptionlakeError):
    """Raised when a job is run before the one that makes its input."""


class CorruptImageError(CaptionlakeError):
    """Raised when bytes cannot be decoded as an image; `reason` is the one images_rejected shows."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class NotationError(CaptionlakeError):
    """Raised when a caption cannot be written in the notation that the settings name."""


class TrainingFailedError(CaptionlakeError):
    """Raised when distributed training ends without a model; the first worker's fault is in the message."""
