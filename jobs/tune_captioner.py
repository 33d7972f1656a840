"""tune_captioner: draws molecules, trains networks with different settings on them, and prints their scores."""

from collections.abc import Sequence

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line; the table lies in search/trials.md under storage.root."""
    start_process()
    arguments = argument_parser("tune_captioner", __doc__ or "").parse_args(argv)

    def work() -> None:
        from lib.molecules.captioner_search import search_captioners

        print(search_captioners(settings_from(arguments)))

    exit_with_one_sentence(work)


if __name__ == "__main__":
    main()
