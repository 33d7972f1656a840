"""Writes where attention looked for each word of an image's caption, as one PNG.

`python -m bench.look IMAGE --output look.png [--dataset photos] [--model CHECKPOINT]`
"""

from pathlib import Path

from lib.captioning.attention_sheet import attention_sheet
from lib.captioning.captioner import Captioner
from lib.errors import MissingInputError
from lib.job_entry import argument_parser, exit_with_one_sentence
from model.whole_writes import written_whole


def main() -> None:
    """Read the arguments and write the sheet."""
    parser = argument_parser("look", __doc__ or "")
    parser.add_argument("image", help="file of an image")
    parser.add_argument("--output", default="look.png", help="PNG file to write (default: %(default)s)")
    parser.add_argument("--model", help="directory of a checkpoint (default: the model that comes with the project)")
    arguments = parser.parse_args()

    def work() -> None:
        given = (arguments.dataset, arguments.overrides, arguments.conf)
        captioner = Captioner(arguments.model, *given) if arguments.model else Captioner.pretrained(*given)
        try:
            looked = captioner.look(arguments.image)
        except OSError as error:
            raise MissingInputError(f"the image cannot be read: {error}") from None
        with written_whole(Path(arguments.output)) as file:
            file.write_bytes(attention_sheet(looked))
        print(f"{looked.caption}\nwrote {arguments.output}")

    exit_with_one_sentence(work)


if __name__ == "__main__":
    main()
