"""api_keys: creates, lists and revokes API keys of the server; a running server applies changes at once."""

import argparse
from collections.abc import Sequence

from lib.job_entry import argument_parser, exit_with_one_sentence, start_process
from lib.settings import load_settings


def run_command(arguments: argparse.Namespace) -> None:
    """Make, list or revoke; a key is printed once and kept nowhere."""
    from lib.serving.api_keys import ApiKeys

    settings = load_settings(arguments.dataset, arguments.environment, arguments.overrides, arguments.conf)
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
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("add", help="make a key and print it").add_argument("name", metavar="NAME")
    commands.add_parser("list", help="names of all keys")
    commands.add_parser("revoke", help="refuse a key from now on").add_argument("name", metavar="NAME")
    arguments = parser.parse_args(argv)
    exit_with_one_sentence(lambda: run_command(arguments))


if __name__ == "__main__":
    main()
