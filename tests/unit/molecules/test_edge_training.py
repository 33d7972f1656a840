"""An edge reader learns from stored drawings what lies between two atoms."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.molecules.drawing_store import DrawingStore, fill_store, token_counts
from lib.molecules.edge_training import OPEN_EDGES, UNBOUND_PAIRS, _pairs, publish_edge_reader, train_edge_reader
from lib.settings import Settings, load_settings
from model import edge_reader
from model.edge_kinds import KINDS, NOTHING, TURNED_ROUND
from model.edge_reader import EdgeReader, pretrained_edge_reader
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
    vocabulary = Vocabulary.from_tokens(token_counts(store))
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


def test_published_weights_are_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = EdgeReader().eval()
    (tmp_path / "edges").mkdir()
    publish_edge_reader(reader, tmp_path / "edges" / "other.safetensors")
    monkeypatch.setattr(edge_reader, "PRETRAINED", tmp_path)
    patches = torch.rand(3, 1, 16, 32)
    assert torch.allclose(pretrained_edge_reader("other")(patches), reader(patches), atol=1e-2)
