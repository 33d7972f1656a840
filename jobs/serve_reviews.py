"""serve_reviews: the page on which people review and correct captions; reviews go to caption_reviews."""

import argparse
from collections.abc import Sequence

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process


def run_server(arguments: argparse.Namespace) -> None:
    """Answer requests until told to end."""
    settings = settings_from(arguments)
    from lib.reviewing.server import serve_reviews

    serve_reviews(settings, arguments.overrides)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve from the command line."""
    start_process()
    arguments = argument_parser("serve_reviews", __doc__).parse_args(argv)
    exit_with_one_sentence(lambda: run_server(arguments))


if __name__ == "__main__":
    main()
