"""train_patch_reader: trains what reads bonds, labels or whole graphs on drawings stored by train_on_drawings."""

import logging
from collections.abc import Sequence
from pathlib import Path

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job from the command line."""
    start_process()
    parser = argument_parser("train_patch_reader", __doc__ or "")
    parser.add_argument(
        "--of", choices=("edges", "nodes", "graphs"), required=True, help="bonds, atoms' labels, or whole drawings"
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder of train_on_drawings")
    parser.add_argument("--publish", type=Path, required=True, help="file of the weights, which is replaced")
    parser.add_argument("--start", action="store_true", help="go on from the pretrained weights (graphs alone)")
    parser.add_argument("--drawings", type=int, default=24_000, help="number of drawings to learn from (graphs: all)")
    parser.add_argument("--steps", type=int, default=4_000, help="steps of 256 patches (graphs: of 32 drawings)")
    arguments = parser.parse_args(argv)
    if arguments.start and arguments.of != "graphs":
        parser.error("--start goes with --of graphs")

    def work() -> None:
        from torch import nn

        from lib.molecules.drawing_store import DrawingStore
        from lib.molecules.graph_training import train_graph_reader
        from lib.molecules.reader_training import publish_reader, train_edge_reader, train_node_reader
        from model.checkpoint import load_captioner
        from model.graph_reader import pretrained_graph_reader

        settings = settings_from(arguments)
        captioner, vocabulary, _ = load_captioner(arguments.folder / "captioner")
        store = DrawingStore(arguments.folder / "drawings")
        reader: nn.Module
        if arguments.of == "graphs":
            start = pretrained_graph_reader(settings.dataset) if arguments.start else None
            reader, right = train_graph_reader(store, captioner, vocabulary, settings, arguments.steps, start)
        else:
            train = train_edge_reader if arguments.of == "edges" else train_node_reader
            reader, right = train(store, vocabulary, settings, arguments.drawings, arguments.steps)
        told = ", ".join(f"{name} {fraction:.3f}" for name, fraction in right.items())
        logger.info("train_patch_reader: fraction classified correctly on held-out drawings: %s", told)
        publish_reader(reader, arguments.publish)

    exit_with_one_sentence(work)


if __name__ == "__main__":
    main()
