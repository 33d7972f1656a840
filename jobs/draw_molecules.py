"""draw_molecules: writes a landing zone of drawings of molecules, with their captions and layouts."""

import json
import time
from collections.abc import Sequence

# Imports stand inside main: worker processes import this file again and must stay light.

FLAGS = {
    "--num-drawings": ("drawing.num_drawings", int, "how many drawings"),
    "--seed": ("drawing.seed", int, "the same seed draws the same files"),
    "--noise": ("drawing.noise", float, "0 = clean, 1 = worn as the real collection, up to 5"),
    "--output": ("landing.path", str, "folder to write to: the landing zone"),
    "--smiles-file": ("drawing.smiles_file", str, "draw the molecules of this file, one SMILES a line, plain or .gz"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job from the command line."""
    from lib.job_entry import argument_parser, exit_with_one_sentence, logger, settings_from, start_process

    start_process()
    parser = argument_parser("draw_molecules", "Write a landing zone of drawings of molecules.")
    for flag, (key, kind, meaning) in FLAGS.items():
        parser.add_argument(flag, type=kind, help=f"{meaning}; short for --set {key}=...")
    arguments = parser.parse_args(argv)
    for flag, (key, _, _) in FLAGS.items():
        value = getattr(arguments, flag.strip("-").replace("-", "_"))
        if value is not None:
            arguments.overrides.append(f"{key}={json.dumps(value)}")

    def work() -> None:
        from lib.molecules.landing_writer import write_landing_zone

        settings = settings_from(arguments)
        started = time.monotonic()
        num_drawings = write_landing_zone(settings.drawing, settings.landing.path)
        logger.info(
            "draw_molecules finished: %d drawings in %.1f s, in %s",
            num_drawings,
            time.monotonic() - started,
            settings.landing.path,
        )

    exit_with_one_sentence(work)


if __name__ == "__main__":
    main()
