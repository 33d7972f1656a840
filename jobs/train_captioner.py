"""train_captioner: images_clean, captions and vocabulary -> a checkpoint directory and training_metrics."""

import sys
from collections.abc import Sequence
from functools import partial

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process
from lib.settings import Settings


def run(settings: Settings, arguments: Sequence[str]) -> None:
    """Train the model that settings, data and starting weights name, unless it is there already.

    `arguments` are those the job was started with, for a process that must start it again.
    """
    from lib.captioning.registered_captioner import write_model
    from lib.training.model_training import train_model

    train_model(settings, arguments, partial(write_model, settings=settings.prediction))


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task train_captioner."""
    start_process()
    given = sys.argv[1:] if argv is None else argv
    arguments = argument_parser("train_captioner", __doc__ or "").parse_args(given)
    exit_with_one_sentence(lambda: run(settings_from(arguments), given))


if __name__ == "__main__":
    main()
