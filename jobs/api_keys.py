"""api_keys: creates, lists and revokes API keys of the server; a running server applies changes at once."""

import argparse
from collections.abc import Sequence

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_named, start_process


def run_command(arguments: argparse.Namespace) -> None:
    """Make, list or revoke; a key is printed once and kept nowhere."""
    from lib.serving.api_keys import ApiKeys

    settings = settings_named(arguments)
    keys = ApiKeys(settings.storage.root)
    if arguments.command == "add":
        print(keys.add(arguments.name))
    elif arguments.command == "revoke":
        keys.revoke(arguments.name)
    else:
        for entry in keys.entries():
            print(f"{entry.name}  made {entry.created_at}")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line."""
    start_process()
    parser = argument_parser("api_keys", __doc__)
    parser.add_argument(
        "command",
        choices=("add", "list", "revoke"),
        help="add = make a key and print it; list = names of all keys; revoke = refuse a key from now on",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the key that is made or revoked")
    arguments = parser.parse_intermixed_args(argv)  # options may stand anywhere
    if (arguments.name is None) != (arguments.command == "list"):
        parser.error("add and revoke take NAME, list takes none")
    exit_with_one_sentence(lambda: run_command(arguments))


if __name__ == "__main__":
    main()
