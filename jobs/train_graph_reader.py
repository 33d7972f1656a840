"""train_graph_reader: trains what reads drawings as graphs, on the drawings that train_on_drawings stored.

Three networks do that: one finds nodes and what joins them, two look at patches: at labels of nodes, and at edges.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from lib.job_entry import argument_parser, exit_with_one_sentence, settings_from, start_process, whole_number

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job from the command line."""
    start_process()
    parser = argument_parser("train_graph_reader", __doc__ or "")
    parser.add_argument("--reader", choices=("graph", "label", "edge"), required=True, help="which of the three")
    parser.add_argument("--folder", type=Path, required=True, help="folder of train_on_drawings")
    parser.add_argument("--output", type=Path, required=True, help="file of the weights, which is replaced")
    parser.add_argument("--from-pretrained", action="store_true", help="go on from the weights of the project")
    parser.add_argument("--steps", type=whole_number, default=4_000, help="steps of 32 drawings, or of 256 patches")
    arguments = parser.parse_args(argv)

    def work() -> None:
        from torch import nn

        from lib.molecules.drawing_store import DrawingStore
        from lib.molecules.edge_training import train_edge_reader
        from lib.molecules.graph_training import train_graph_reader
        from lib.molecules.label_training import train_label_reader
        from model.checkpoint import load_captioner
        from model.edge_reader import pretrained_edge_reader
        from model.graph_reader import pretrained_graph_reader
        from model.half_precision import save_in_half
        from model.label_reader import pretrained_label_reader

        settings = settings_from(arguments)
        captioner, vocabulary, _ = load_captioner(arguments.folder / "captioner")
        store = DrawingStore(arguments.folder / "drawings")
        how = vocabulary, settings, arguments.steps
        reader: nn.Module
        name = settings.dataset if arguments.from_pretrained else None
        if arguments.reader == "graph":
            start = pretrained_graph_reader(name) if name else captioner
            reader, right = train_graph_reader(store, *how, start)
        elif arguments.reader == "label":
            reader, right = train_label_reader(store, *how, pretrained_label_reader(name) if name else None)
        else:
            reader, right = train_edge_reader(store, *how, pretrained_edge_reader(name) if name else None)
        told = ", ".join(f"{name} {fraction:.3f}" for name, fraction in right.items())
        logger.info("fraction classified correctly on held-out drawings: %s", told)
        save_in_half(reader, arguments.output)

    exit_with_one_sentence(work)


if __name__ == "__main__":
    main()
