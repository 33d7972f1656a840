"""The label reader learns from stored drawings what is written at nodes."""

import numpy as np
import pytest
import torch
from rdkit import Chem

from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import free_style
from lib.molecules.graph_training import TaughtGraph, graph_of, worn_drawings
from lib.molecules.label_training import WRITTEN_CARBON, _cut, _fractions_cut, _log_prior_ratios, train_label_reader
from lib.molecules.patch_training import WornDrawing
from lib.molecules.smiles import inchi_of_smiles
from model.graph_kinds import PATCH_HEIGHT, PATCH_WIDTH, SINGLE, WRITTEN_KINDS
from model.label_reader import NOT_A_NODE, LabelReader
from tests.unit.molecules.drawn_molecules import SMILES, Drawn

MIDDLE = np.s_[PATCH_HEIGHT // 2 - 6 : PATCH_HEIGHT // 2 + 6, PATCH_WIDTH // 2 - 6 : PATCH_WIDTH // 2 + 6]


def test_patches_are_cut_around_nodes_and_say_what_is_written_there(drawn: Drawn) -> None:
    store, vocabulary, settings = drawn(SMILES)
    rng = np.random.default_rng(0)
    inks, kinds = [], []
    for index in range(len(store)):
        batch = worn_drawings(store, [index], vocabulary, settings, rng)
        assert batch.marks is not None
        graph = graph_of(store.drawing(index))
        worn = WornDrawing(graph, batch.images[0, 0].float().numpy(), batch.marks.positions_xy[0].numpy())
        cut = _cut(worn, rng)
        assert len(cut.pixels) == len(cut.kinds) == len(cut.charges)
        for kind in np.delete(np.arange(len(WRITTEN_KINDS)), [WRITTEN_KINDS.index(name) for name in "CNO"]):
            assert (cut.kinds == kind).sum() == (graph.kinds == kind).sum()  # all of a rare kind
        inks.append(255 - cut.pixels)
        kinds.append(cut.kinds)
    ink, kind = np.concatenate(inks), np.concatenate(kinds)
    assert ink.shape[1:] == (PATCH_HEIGHT, PATCH_WIDTH)
    has_ink = (ink[:, *MIDDLE] > 128).any(axis=(1, 2))
    assert has_ink[kind != NOT_A_NODE].mean() > 0.9
    assert has_ink[kind == NOT_A_NODE].all()
    assert (kind == NOT_A_NODE).sum() > len(store) / 10


def test_carbons_that_may_be_written_out_are_taken_oftener_than_corners(drawn: Drawn) -> None:
    store, _, _ = drawn(["CCCO", "CC(C)C"])
    for index in range(len(store)):
        graph = graph_of(store.drawing(index))
        num_edges = np.bincount(graph.edges.ravel(), minlength=len(graph.kinds))
        is_carbon = graph.kinds == WRITTEN_KINDS.index("C")
        at_ends, at_corners = (set(_fractions_cut(graph)[is_carbon & one]) for one in (num_edges == 1, num_edges > 1))
        assert len(at_ends) == len(at_corners) == 1
        assert min(at_ends) > 2 * max(at_corners)


@pytest.mark.parametrize("turn_deg", [0.0, 50.0])
def test_carbons_that_are_written_out_are_taken_as_a_kind_of_their_own(turn_deg: float) -> None:
    rng = np.random.default_rng(0)
    inchi = inchi_of_smiles("CC(=O)NC(C)c1ccccc1")
    molecule = Chem.MolFromInchi(inchi)
    kinds = np.array([WRITTEN_KINDS.index(atom.GetSymbol()) for atom in molecule.GetAtoms()])
    is_methyl = np.isin(np.arange(len(kinds)), molecule.GetSubstructMatches(Chem.MolFromSmarts("[CH3]")))
    for writes_methyl in (True, False):
        style = free_style((30.0, 30.0), rng)._replace(
            stroke_px=2.0, letter_height=0.4, letter_width=1.0, num_hash_lines=5, beside="", turn_deg=turn_deg,
            abbreviated_fraction=0.0, numbered_fraction=0.0, writes_chains=False, writes_carbons=False,
            writes_methyl=writes_methyl, ink_below=128, has_circles=False, spacing=0.12,
        )  # fmt: skip
        drawing = draw_freely(inchi, style, rng)
        layout = drawing.layout
        nodes_xy = np.stack((layout.atom_x, layout.atom_y), axis=1)[: len(kinds)]
        edges = np.stack((layout.bond_begin, layout.bond_end), axis=1)
        graph = TaughtGraph(np.arange(len(kinds)), kinds, 0 * kinds, 0 * kinds, edges, np.full(len(edges), SINGLE))
        taken = {tuple(one) for one in np.column_stack((kinds, is_methyl & writes_methyl))}
        found = set()
        for _ in range(20):
            cut = _cut(WornDrawing(graph, (drawing.pixels == 0).astype(np.float32), nodes_xy), rng)
            found |= {
                (int(kind), bool(how == WRITTEN_CARBON)) for kind, how in zip(cut.kinds, cut.sampled_as, strict=True)
            }
            assert (
                cut.sampled_as[cut.sampled_as != WRITTEN_CARBON] == cut.kinds[cut.sampled_as != WRITTEN_CARBON]
            ).all()
        assert found - {(NOT_A_NODE, False)} == taken


def test_kinds_are_told_oftener_the_more_of_them_are_left_out(drawn: Drawn) -> None:
    store, _, _ = drawn(SMILES)
    log_prior_ratios = _log_prior_ratios([graph_of(store.drawing(index)) for index in range(len(store))])
    common, rare = ([WRITTEN_KINDS.index(name) for name in names] for names in (("C", "N", "O"), ("S", "F", "Cl")))
    assert log_prior_ratios[common].min() > log_prior_ratios[rare].max() > 0  # corners of carbon do not count
    assert float(log_prior_ratios.mean()) == pytest.approx(0, abs=1e-5)
    reader = LabelReader().eval()
    patch = torch.zeros(1, 1, PATCH_HEIGHT, PATCH_WIDTH)
    with torch.inference_mode():
        before = reader(patch).kinds[0]
        reader.add_to_kind_logits(log_prior_ratios)
        after = reader(patch).kinds[0]
    torch.testing.assert_close(after[:NOT_A_NODE] - before[:NOT_A_NODE], log_prior_ratios)
    assert after[NOT_A_NODE] == before[NOT_A_NODE]


@pytest.mark.slow
def test_some_minutes_of_training_tell_letters_from_corners(drawn: Drawn) -> None:
    chains = [
        f"{'C' * before}{middle}{'C' * after}" for before in range(2, 8) for after in range(1, 6) for middle in "NOS"
    ]
    store, vocabulary, settings = drawn(chains)
    reader, right = train_label_reader(store, vocabulary, settings, num_steps=60)
    assert min(right[name] for name in "CNOS") > 0.5
    _, went_on = train_label_reader(store, vocabulary, settings, num_steps=1, start=reader)
    assert min(went_on[name] for name in "CNOS") > 0.4
