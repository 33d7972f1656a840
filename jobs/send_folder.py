"""send_folder: the images of a folder to a server that serve_captions runs; their captions to a CSV file."""

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_named, start_process, whole_number

logger = logging.getLogger(__name__)

KEY_VARIABLE = "CAPTIONLAKE_API_KEY"  # not an argument, which everyone on the machine could read


def run_client(arguments: argparse.Namespace) -> None:
    """Send all images and say where the captions are."""
    from lib.serving.folder_client import send_folder

    settings = settings_named(arguments)
    num_unread = send_folder(
        Path(arguments.folder),
        arguments.url,
        arguments.dataset,
        os.environ.get(KEY_VARIABLE),
        Path(arguments.output),
        settings.landing.image_suffixes,
        arguments.at_once,
    )
    logger.info("captions: %s; images without: %d", arguments.output, num_unread)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line; the key is in the variable CAPTIONLAKE_API_KEY."""
    start_process()
    parser = argument_parser("send_folder", f"{__doc__} A key is read from {KEY_VARIABLE}.")
    parser.add_argument("folder", metavar="FOLDER", help="images in all folders below are sent")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the server (default: %(default)s)")
    parser.add_argument("--output", default="captions.csv", metavar="FILE", help="CSV file (default: %(default)s)")
    parser.add_argument(
        "--at-once", type=whole_number, default=8, metavar="N", help="requests at a time (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    exit_with_one_sentence(lambda: run_client(arguments))


if __name__ == "__main__":
    main()
