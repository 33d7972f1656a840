"""A checkpoint as it comes with the project: in half precision, beside the card that is there.

`python -m model.publishing CHECKPOINT DIRECTORY`
"""

import argparse
from pathlib import Path

from model.checkpoint import load_captioner, load_details, save_checkpoint

CARD = "README.md"


def publish(checkpoint: Path, directory: Path) -> None:
    """Write a checkpoint in half precision to a directory, whose card stays. Raises CheckpointError."""
    captioner, vocabulary, provenance = load_captioner(checkpoint)
    details = load_details(checkpoint)
    card = directory / CARD
    text = card.read_text() if card.is_file() else None
    save_checkpoint(directory, captioner, vocabulary, details=details, provenance=provenance, is_half_precision=True)
    if text is not None:
        card.write_text(text)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    publish(arguments.checkpoint, arguments.directory)


if __name__ == "__main__":
    main()
