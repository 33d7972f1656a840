"""The graph reader learns from stored drawings where nodes lie, what is written there, and what joins them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from lib.molecules.drawing_marks import mark_labels, mark_positions
from lib.molecules.drawing_store import DrawingStore, StoredDrawing, all_tokens, fill_store
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import free_style
from lib.molecules.graph_training import (
    SAMPLING_WEIGHT_RANGE,
    UNKNOWN,
    TaughtGraph,
    _heat,
    class_weights,
    drawing_sampling_weights,
    graph_of,
    targets_of,
    train_graph_reader,
    worn_batches,
)
from lib.molecules.indigo_drawing import draw_with_indigo
from lib.molecules.layout import Drawing
from lib.molecules.smiles import inchi_of_smiles
from lib.settings import Settings, load_settings
from model.captioner import Captioner
from model.graph_kinds import (
    CHARGES,
    DOUBLE,
    HASH,
    NOTHING,
    SINGLE,
    TRIPLE,
    TURNED_HASH,
    TURNED_ROUND,
    TURNED_WEDGE,
    WEDGE,
    WRITTEN_KINDS,
)
from model.vocabulary import Vocabulary
from tests.unit.molecules.drawn_molecules import SMILES


def as_stored(inchi: str, drawing: Drawing) -> StoredDrawing:
    bonds = np.stack((drawing.layout.bond_begin, drawing.layout.bond_end), axis=1)
    return StoredDrawing(drawing.pixels == 0, mark_positions(drawing.layout), mark_labels(inchi, drawing.layout), bonds)


def names_of(graph: TaughtGraph) -> list[str]:
    return sorted("unknown" if kind == UNKNOWN else WRITTEN_KINDS[kind] for kind in graph.kinds.tolist())


def test_a_drawing_is_a_graph_of_what_is_written_and_drawn() -> None:
    inchi = inchi_of_smiles("C[C@H](O)CC#N")
    graph = graph_of(as_stored(inchi, draw_with_indigo(inchi, 40.0, 4, 120)))
    assert names_of(graph) == ["C", "C", "C", "C", "H", "N", "O"]
    kinds = graph.edge_kinds.tolist()
    assert kinds.count(TRIPLE) == 1
    assert sum(kind in (WEDGE, HASH) for kind in kinds) == 1
    assert kinds.count(SINGLE) == len(kinds) - 2 == 4
    wedge = graph.edges[[kind in (WEDGE, HASH) for kind in kinds]][0]
    assert WRITTEN_KINDS[graph.kinds[wedge[0]]] == "C"  # narrow at the centre


def test_charges_are_seen_at_their_nodes() -> None:
    inchi = inchi_of_smiles("C[N+](C)(C)CC(=O)[O-]")
    graph = graph_of(as_stored(inchi, draw_with_indigo(inchi, 40.0, 4, 120)))
    charged = {WRITTEN_KINDS[kind]: CHARGES[charge] for kind, charge in zip(graph.kinds, graph.charges, strict=True)}
    assert charged["N"] == 1
    assert -1 in [CHARGES[charge] for charge in graph.charges]


@pytest.mark.parametrize("group", ["C(F)(F)F", "OC", "[N+](=O)[O-]", "C(=O)[OH]", "c1ccccc1", "[NH]C(=O)OC(C)(C)C"])
def test_a_group_that_is_written_as_one_label_is_one_node(group: str) -> None:
    rng = np.random.default_rng(0)
    inchi = Chem.MolToInchi(Chem.MolFromSmiles(f"N1C(CCCCCCF)CSC1{group}"))
    for _ in range(40):
        style = free_style((30.0, 30.0), rng)._replace(abbreviated_fraction=1.0)
        graph = graph_of(as_stored(inchi, draw_freely(inchi, style, rng)))
        if group in names_of(graph):
            assert names_of(graph) == sorted(["N", "S", "F", *"CCCCCCCCC", group])
            assert UNKNOWN not in graph.kinds
            assert len(graph.edges) == 13
            return
    raise AssertionError("no drawing has the label")


def test_targets_are_every_edge_once_from_either_end_and_near_pairs_without_one() -> None:
    graph = TaughtGraph(
        np.array([0, 1, 2]),
        np.array([0, 1, UNKNOWN]),
        np.array([0, 1, 0]),
        np.array([UNKNOWN, 0, 1]),
        np.array([[0, 1], [2, 1]]),
        np.array([WEDGE, DOUBLE]),
    )
    positions = np.array([[[0.0, 0.0], [20.0, 0.0], [20.0, 20.0]]], np.float32)
    seen = set()
    for seed in range(20):
        targets = targets_of([graph], positions, np.random.default_rng(seed))
        assert targets.lengths_px.tolist() == [20.0] * 3
        for ends, kind in zip(targets.ends_xy.tolist(), targets.pair_kinds.tolist(), strict=True):
            seen.add((tuple(map(tuple, ends)), kind))
    one, two, three = ((float(x), float(y)) for x, y in positions[0])
    assert seen == {
        ((one, two), WEDGE),
        ((two, one), TURNED_WEDGE),
        ((two, three), DOUBLE),
        ((three, two), DOUBLE),
        ((one, three), NOTHING),
        ((three, one), NOTHING),
    }
    assert TURNED_ROUND[HASH] == TURNED_HASH


def test_a_cell_with_a_node_is_taught_most_and_the_cells_beside_it_less() -> None:
    heat = _heat(torch.Size((2, 4, 5)), torch.tensor([1]), torch.tensor([[2.5, 1.4]]))
    assert heat[1, 1, 2] == 1
    assert (heat == 1).sum() == 1
    assert heat[0].sum() == 0
    assert 0.2 < heat[1, 1, 1] < 0.6
    assert heat[1, 0, 2] > heat[1, 2, 2] * 0.9


def test_drawings_with_rare_kinds_are_taken_more_often() -> None:
    carbon, iodine = WRITTEN_KINDS.index("C"), WRITTEN_KINDS.index("I")
    kinds = [np.full(20, carbon)] * 50 + [np.array([carbon, iodine, UNKNOWN]), np.array([UNKNOWN])]
    weights = class_weights(kinds)
    sampling_weights = drawing_sampling_weights(kinds, weights)
    assert weights[iodine] > 5 * weights[carbon]
    assert sampling_weights[50] == pytest.approx(min(float(weights[iodine]), SAMPLING_WEIGHT_RANGE[1]))
    assert sampling_weights[0] == pytest.approx(float(weights[carbon]))
    assert sampling_weights[51] == SAMPLING_WEIGHT_RANGE[0]


@pytest.mark.slow
def test_some_seconds_of_training_tell_nodes_and_edges(tmp_path: Path) -> None:
    (tmp_path / "molecules.smi").write_text("\n".join(SMILES))
    asked: Settings = load_settings(
        "molecules",
        "local",
        [
            *(f"{key}={tmp_path}" for key in ("landing.path", "storage.root")),
            f"drawing.smiles_file={tmp_path}/molecules.smi",
            "drawing.num_processes=1",
        ],
    )
    fill_store(tmp_path / "drawings", asked.drawing, asked.cleaning)
    store = DrawingStore(tmp_path / "drawings")
    vocabulary = Vocabulary.from_tokens(all_tokens(store))
    captioner = Captioner(asked.captioner, len(vocabulary))
    only = np.eye(len(store))[-1]
    assert set(next(worn_batches(store, only, vocabulary, asked))[0]) == {len(store) - 1}
    reader, right = train_graph_reader(store, vocabulary, asked, 60, captioner)
    assert right["nodes"] > 0.5
    assert right["edges"] > 0.6
    _, went_on = train_graph_reader(store, vocabulary, asked, 1, reader)
    assert went_on["edges"] > 0.6
