"""Readers learn from stored drawings what lies between two atoms, and what is written at one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.molecules.drawing_marks import LABELS, mark_labels, mark_positions
from lib.molecules.drawing_store import DrawingStore, StoredDrawing, all_tokens, fill_store
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import free_style
from lib.molecules.reader_training import (
    OPEN_EDGES,
    UNBOUND_PAIRS,
    _pairs,
    nodes_of,
    publish_reader,
    train_edge_reader,
    train_node_reader,
)
from lib.molecules.smiles import inchi_of_smiles
from lib.settings import Settings, load_settings
from model import patch_reader
from model.patch_reader import PatchReader, pretrained_readers
from model.trace_kinds import KINDS, NODE_KINDS, NOTHING, TURNED_ROUND
from model.vocabulary import Vocabulary
from tests.unit.molecules.drawn_molecules import SMILES


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("edges")
    (folder / "molecules.smi").write_text("\n".join(SMILES))
    paths = [f"{key}={folder}" for key in ("landing.path", "storage.root")]
    drawing = [f"drawing.smiles_file={folder}/molecules.smi", "drawing.num_processes=1"]
    return load_settings("molecules", "local", [*paths, *drawing])


@pytest.fixture(scope="module")
def store(asked: Settings) -> DrawingStore:
    folder = Path(asked.storage.root) / "drawings"
    fill_store(folder, asked.drawing, asked.cleaning)
    return DrawingStore(folder)


@pytest.mark.slow
def test_some_seconds_of_training_tell_bonds_from_paper(store: DrawingStore, asked: Settings) -> None:
    vocabulary = Vocabulary.from_tokens(all_tokens(store))
    _, right = train_edge_reader(store, vocabulary, asked, num_drawings=len(store), num_steps=200)
    assert min(right["nothing"], right["single"], right["double"]) > 0.5


def test_pairs_are_the_bonds_from_either_end_and_some_that_are_none(store: DrawingStore) -> None:
    drawing = store.drawing(0)
    rng = np.random.default_rng(0)
    ends, kinds = _pairs(drawing, drawing.positions_xy, rng)
    middles = drawing.positions_xy[len(drawing.positions_xy) - len(drawing.bonds) :]
    away = np.linalg.norm(ends.mean(axis=1)[:, None] - middles, axis=2).min(axis=1)
    typical = np.linalg.norm(np.diff(ends[kinds != NOTHING], axis=1), axis=2).mean()
    assert (away[kinds != NOTHING] < 0.3 * typical).all()
    assert OPEN_EDGES <= (kinds == NOTHING).sum() <= OPEN_EDGES + UNBOUND_PAIRS
    assert len(kinds) > 3


def test_kinds_turned_round_twice_are_the_same() -> None:
    assert [TURNED_ROUND[TURNED_ROUND[kind]] for kind in range(len(KINDS))] == list(range(len(KINDS)))


def test_nodes_are_atoms_and_the_labels_of_groups() -> None:
    rng = np.random.default_rng(0)
    smiles = "FC(F)(F)Oc1ccc(C(F)(F)F)c(I)c1"
    for _ in range(20):
        style = free_style((30.0, 30.0), rng)._replace(abbreviated_fraction=1.0)
        drawing = draw_freely(inchi_of_smiles(smiles), style, rng)
        marks, labels = mark_positions(drawing.layout), mark_labels(inchi_of_smiles(smiles), drawing.layout)
        bonds = np.stack((drawing.layout.bond_begin, drawing.layout.bond_end), axis=1)
        nodes, kinds = nodes_of(StoredDrawing(drawing.pixels == 0, marks, labels, bonds))
        named = sorted(NODE_KINDS[kind] for kind in kinds.tolist())
        if named.count("C") < 7:  # both groups are labels
            assert named == ["C"] * 6 + ["CF3", "I", "OCF3"]
            assert not (labels[nodes][:, LABELS.index("F")]).any()
            return
    raise AssertionError("no drawing had both labels")


@pytest.mark.slow
def test_some_seconds_of_training_tell_letters_from_corners(asked: Settings, tmp_path: Path) -> None:
    chains = [
        f"{'C' * before}{middle}{'C' * after}" for middle in "NOS" for before in range(2, 8) for after in range(1, 6)
    ]
    (tmp_path / "chains.smi").write_text("\n".join(chains))
    drawing = asked.drawing.model_copy(update={"smiles_file": str(tmp_path / "chains.smi")})
    fill_store(tmp_path / "drawings", drawing, asked.cleaning)
    store = DrawingStore(tmp_path / "drawings")
    vocabulary = Vocabulary.from_tokens(all_tokens(store))
    _, right = train_node_reader(store, vocabulary, asked, num_drawings=3 * len(store), num_steps=600)
    assert min(right["C"], right["N"], right["O"], right["S"]) > 0.5


def test_published_weights_are_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edges, nodes = PatchReader(len(KINDS)).eval(), PatchReader(len(NODE_KINDS)).eval()
    publish_reader(edges, tmp_path / "edges" / "other.safetensors")
    publish_reader(nodes, tmp_path / "nodes" / "other.safetensors")
    monkeypatch.setattr(patch_reader, "PRETRAINED", tmp_path)
    read = pretrained_readers("other")
    for reader, seen, shape in ((edges, read.edges, (16, 32)), (nodes, read.nodes, (24, 48))):
        patches = torch.rand(3, 1, *shape)
        assert torch.allclose(seen(patches), reader(patches), atol=1e-2)
