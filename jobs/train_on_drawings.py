"""train_on_drawings: draws molecules and trains on them without tables: how the pretrained model is made."""

import logging
from collections.abc import Sequence
from pathlib import Path

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job from the command line."""
    start_process()
    parser = argument_parser("train_on_drawings", __doc__ or "")
    parser.add_argument("--folder", type=Path, required=True, help="where drawings and checkpoints lie")
    parser.add_argument("--publish", type=Path, help="folder of the model to replace if this one reads better")
    arguments = parser.parse_args(argv)

    def work() -> None:
        from lib.molecules.drawing_training import publish, train_on_drawings

        settings = settings_from(arguments)
        checkpoint = train_on_drawings(settings, arguments.folder, settings.cluster.num_workers)
        logger.info("train_on_drawings: the captioner is in %s", checkpoint)
        if arguments.publish:
            publish(checkpoint, arguments.publish, arguments.folder, settings)

    exit_with_one_sentence(work)


if __name__ == "__main__":
    main()
