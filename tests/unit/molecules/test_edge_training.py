"""The edge reader learns from stored drawings what joins two nodes."""

import numpy as np
import pytest
import torch

from lib.molecules.drawing_store import DrawingStore
from lib.molecules.edge_training import FAR_FROM_NODES, _cut, _ends_at_no_node, _log_prior_ratios, train_edge_reader
from lib.molecules.graph_training import TaughtGraph, graph_of, worn_drawings
from lib.molecules.patch_training import WornDrawing
from lib.settings import Settings
from model.graph_kinds import (
    DOUBLE,
    EDGE_PATCH_HEIGHT,
    EDGE_PX,
    HASH,
    KINDS,
    NOTHING,
    SINGLE,
    TRIPLE,
    TURNED_HASH,
    TURNED_WEDGE,
    WEDGE,
)
from model.vocabulary import Vocabulary
from tests.unit.molecules.drawn_molecules import SMILES, Drawn

STEREO = (WEDGE, HASH, TURNED_WEDGE, TURNED_HASH)
MIDDLE = np.s_[EDGE_PATCH_HEIGHT // 2 - 4 : EDGE_PATCH_HEIGHT // 2 + 4, 18 + EDGE_PX // 4 : 18 + 3 * EDGE_PX // 4]


def worn(store: DrawingStore, index: int, vocabulary: Vocabulary, settings: Settings) -> WornDrawing:
    batch = worn_drawings(store, [index], vocabulary, settings, np.random.default_rng(index))
    assert batch.marks is not None
    ink, marks_xy = batch.images[0, 0].float().numpy(), batch.marks.positions_xy[0].numpy()
    return WornDrawing(graph_of(store.drawing(index)), ink, marks_xy)


def test_patches_are_cut_along_edges_and_say_what_joins_their_ends(drawn: Drawn) -> None:
    store, vocabulary, settings = drawn(SMILES)
    rng = np.random.default_rng(0)
    inks, kinds, lengths = [], [], []
    for index in range(len(store)):
        drawing = worn(store, index, vocabulary, settings)
        cut = _cut(drawing, rng)
        assert len(cut.pixels) == len(cut.kinds) == len(cut.lengths) == len(cut.are_inkless)
        for some in ((DOUBLE,), (TRIPLE,), STEREO):  # all of a rare kind, seen from either end
            assert np.isin(cut.kinds, some).sum() == np.isin(drawing.graph.edge_kinds, some).sum()
        inks.append(255 - cut.pixels)
        kinds.append(cut.kinds)
        lengths.append(cut.lengths)
    ink, kind, length = map(np.concatenate, (inks, kinds, lengths))
    has_ink = (ink[:, *MIDDLE] > 128).any(axis=(1, 2))
    assert has_ink[kind != NOTHING].mean() > 0.85
    assert 0.2 < has_ink[kind == NOTHING].mean() < 0.9
    assert {SINGLE, DOUBLE, *STEREO} <= set(kind.tolist())
    assert length[kind == SINGLE].mean() == pytest.approx(1, abs=0.1)
    assert length[kind == NOTHING].mean() > 1.2


def test_a_wedge_is_narrow_where_its_patch_begins_unless_it_is_turned(drawn: Drawn) -> None:
    store, vocabulary, settings = drawn(["C[C@H](O)CCl", "CC[C@@H](C)N", "CC(=O)[C@H](C)CO", "C[C@@H](F)CCBr"] * 3)
    rng = np.random.default_rng(0)
    widths: dict[int, list[float]] = {WEDGE: [], TURNED_WEDGE: []}
    for index in range(len(store)):
        for _ in range(8):
            cut = _cut(worn(store, index, vocabulary, settings), rng)
            columns = (cut.pixels < 128)[:, EDGE_PATCH_HEIGHT // 2 - 7 : EDGE_PATCH_HEIGHT // 2 + 7].sum(axis=1)
            narrow, wide = columns[:, 22:28].mean(axis=1), columns[:, 38:44].mean(axis=1)
            for kind, found in widths.items():
                found += (wide - narrow)[cut.kinds == kind].tolist()
    assert len(widths[WEDGE]) > 3
    assert len(widths[TURNED_WEDGE]) > 3
    assert np.mean(widths[WEDGE]) > 0.5
    assert np.mean(widths[TURNED_WEDGE]) < -0.5


def test_ends_at_no_node_lie_on_ink_far_from_all_nodes() -> None:
    ink = np.zeros((60, 120), np.float32)
    ink[30, 10:110] = 1
    nodes_xy = np.array([[10.0, 30.0], [60.0, 30.0], [109.0, 30.0]])
    rng = np.random.default_rng(0)
    pairs = np.concatenate([_ends_at_no_node(ink, nodes_xy, 50.0, rng) for _ in range(100)])
    distances = np.linalg.norm(pairs[:, :, None] - nodes_xy, axis=3).min(axis=2)  # of both ends
    assert len(pairs) > 50
    assert (distances.min(axis=1) == 0).all()
    assert (distances.max(axis=1) > FAR_FROM_NODES * 50).all()
    assert 0.3 < (distances[:, 0] == 0).mean() < 0.7
    assert (pairs[:, :, 1] == 30).all()
    assert _ends_at_no_node(np.zeros_like(ink), nodes_xy, 50.0, rng).shape == (0, 2, 2)


def test_a_drawing_without_edges_has_no_patches() -> None:
    one, none = np.zeros(1, np.int64), np.zeros(0, np.int64)
    alone = TaughtGraph(one, one, one, one, none.reshape(0, 2), none)
    cut = _cut(WornDrawing(alone, np.zeros((40, 40), np.float32), np.array([[20.0, 20.0]])), np.random.default_rng(0))
    assert [len(part) for part in cut] == [0, 0, 0, 0]


@pytest.mark.slow
def test_some_minutes_of_training_tell_single_bonds_from_double_ones(drawn: Drawn) -> None:
    ends = ["C" * number for number in range(6)]
    chains = [f"{before}C{bond}C{after}" for before in ends for after in ends for bond in ("=", "")]
    store, vocabulary, settings = drawn(chains)
    reader, right = train_edge_reader(store, vocabulary, settings, num_steps=80)
    assert min(right[KINDS[kind]] for kind in (NOTHING, SINGLE, DOUBLE)) > 0.6
    _, went_on = train_edge_reader(store, vocabulary, settings, num_steps=1, start=reader)
    assert min(went_on[KINDS[kind]] for kind in (NOTHING, SINGLE, DOUBLE)) > 0.5


def test_what_is_sampled_less_than_it_is_drawn_is_told_more_often(drawn: Drawn) -> None:
    store, vocabulary, settings = drawn(SMILES)
    rng = np.random.default_rng(0)
    graphs = [graph_of(store.drawing(index)) for index in range(len(store))]
    cuts = [_cut(worn(store, index, vocabulary, settings), rng) for index in range(len(store))]
    ratios = _log_prior_ratios(graphs, store, (cut for _ in range(99) for cut in cuts))
    assert float(ratios.mean()) == pytest.approx(0, abs=1e-5)
    assert ratios[NOTHING] > ratios[SINGLE] > ratios[DOUBLE]
    torch.testing.assert_close(ratios[DOUBLE], ratios[TRIPLE], atol=1.5, rtol=0)
