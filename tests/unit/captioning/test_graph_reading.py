"""A drawing is read node by node and edge by edge."""

import copy
import math

import cv2
import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from lib.captioning.graph_reading import (
    CLOSEST_PX,
    MAX_ODDS_WITHOUT_INK,
    SURE_FROM,
    UNSEEN_GAPS,
    _apart,
    _edges,
    _gap_fraction,
    _ink_of_nodes,
    _pass_a_node,
    _with_less_odds_without_ink,
    pretrained_readers,
    read_at_best_size,
    read_graph,
)
from lib.images.cleaning import clean_image
from lib.images.edge_patches import edge_patches
from lib.images.ink_between import ink_between
from lib.molecules.graph_assembly import assemble
from lib.molecules.rdkit_drawing import draw_with_rdkit
from lib.molecules.redrawn import PEN, draw_unworn_ink
from lib.molecules.smiles import inchi_of_smiles
from lib.settings import load_settings
from model.batches import as_ink
from model.graph_kinds import (
    CHARGES,
    DOUBLE,
    HASH,
    KINDS,
    NOTHING,
    SINGLE,
    TURNED_HASH,
    TURNED_WEDGE,
    WEDGE,
    WITH_HYDROGENS,
    WRITTEN_KINDS,
)
from model.graph_reader import CELL_PX, GraphReader

MOLECULES = [
    inchi_of_smiles(smiles)
    for smiles in (
        "CC(C)(C)[C@H]1CC[C@@H](C)CO1",
        "CCC(=O)N[C@H](C)Cc1ccccc1",
        "C[C@H](O)[C@@H](CC(C)C)c1ccncc1",
        "COc1ccc(Cl)c(SC)c1N",
        "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
        "C[N+](C)(C)CC(=O)[O-]",
        "O=C(O)c1ccccc1OC(C)=O",
        "FC(F)(F)c1ccc(C#N)cc1",
    )
]


def cleaned(pixels: np.ndarray) -> np.ndarray:
    settings = load_settings("molecules", "local", ["landing.path=u", "storage.root=u"])
    return clean_image(cv2.imencode(".png", pixels)[1].tobytes(), settings.cleaning).pixels


def cleaned_larger(pixels: np.ndarray) -> np.ndarray:
    settings = load_settings("molecules", "local", ["landing.path=u", "storage.root=u"])
    larger = clean_image(cv2.imencode(".png", pixels)[1].tobytes(), settings.cleaning).larger
    assert larger is not None
    return larger


def read(pixels: np.ndarray) -> str | None:
    graph = read_graph(pixels, pretrained_readers("molecules"))
    found = assemble(graph) if graph else []
    return inchi_of_smiles(found[0].text) if found else None


@pytest.mark.parametrize("drawer", ["indigo", "rdkit", "coordgen"])
def test_whole_drawings_are_read(drawer: str) -> None:
    images = [np.where(draw_unworn_ink(inchi, drawer), 0, 255).astype(np.uint8) for inchi in MOLECULES]
    right = [
        read(cleaned(np.pad(image, 9, constant_values=255))) == inchi
        for image, inchi in zip(images, MOLECULES, strict=True)
    ]
    assert sum(right) >= len(MOLECULES) - 2, right


def test_a_mirrored_drawing_has_the_other_hands() -> None:
    one, other = map(inchi_of_smiles, ("CCC(=O)N[C@H](C)c1ccccn1", "CCC(=O)N[C@@H](C)c1ccccn1"))
    assert [read(cleaned(draw_with_rdkit(inchi, PEN).pixels)) for inchi in (one, other)] == [one, other]


def test_paper_and_what_has_more_nodes_than_any_drawing_show_nothing() -> None:
    squared = np.full((384, 640), 255, np.uint8)
    squared[::14] = squared[:, ::14] = 0
    for pixels in (np.full((64, 96), 255, np.uint8), squared):
        assert read_graph(pixels, pretrained_readers("molecules")) is None


def test_of_nodes_that_are_too_close_the_likeliest_stays() -> None:
    positions = torch.tensor([[0.0, 0.0], [CLOSEST_PX - 1, 0.0], [2 * CLOSEST_PX, 0.0], [3 * CLOSEST_PX - 1, 0.0]])
    assert _apart(positions, torch.tensor([0.5, 0.9, 0.6, 0.4])) == [1, 2]
    assert _apart(positions, torch.tensor([0.9, 0.5, 0.4, 0.6])) == [0, 3]


@pytest.mark.parametrize("num_gaps", [0, 1, 4])
def test_an_edge_without_ink_is_likelier_in_a_drawing_with_gaps(num_gaps: int) -> None:
    pixels = np.full((60, 260), 255, np.uint8)
    ends = np.array([[[10 + 40 * index, 30], [50 + 40 * index, 30]] for index in range(6)], np.float32)
    cv2.line(pixels, (10, 30), (205, 30), 0)  # all but the last
    for begin, _ in ends[:num_gaps].astype(int).tolist():
        pixels[:, begin[0] + 14 : begin[0] + 26] = 255
    told = torch.full((6, len(KINDS)), 0.1)
    told[:, SINGLE] = 1 - 0.1 * (len(KINDS) - 1)
    covered = torch.from_numpy(ink_between(pixels, ends))
    gap_fraction = _gap_fraction(covered, told)
    assert gap_fraction == pytest.approx((num_gaps + UNSEEN_GAPS) / 5)
    kinds = _with_less_odds_without_ink(told, covered, gap_fraction)
    np.testing.assert_allclose(kinds[:5], told[:5], rtol=1e-5)
    factor = min(MAX_ODDS_WITHOUT_INK, (num_gaps + UNSEEN_GAPS) / 5)
    assert float(kinds[5].sum()) == pytest.approx(1)
    assert 1 / float(kinds[5, NOTHING]) - 1 == pytest.approx(factor * (1 / float(told[5, NOTHING]) - 1), rel=1e-4)


@pytest.mark.parametrize("size", [400, 600])
def test_two_ends_that_are_a_bond_apart_are_no_ring(size: int) -> None:
    smiles = "COc1cc2nncc(N3CCC(Oc4ccccc4)CC3)c2cc1OC"
    molecule = rdMolDraw2D.PrepareMolForDrawing(Chem.MolFromSmiles(smiles), forceCoords=True)
    layout = molecule.GetConformer()
    ends = molecule.GetSubstructMatch(Chem.MolFromSmarts("[CH3]Occ(O[CH3])"))
    first, second = (layout.GetAtomPosition(ends[index]) for index in (1, 4))
    across = (second - first) / (second - first).Length()
    outwards = first - layout.GetAtomPosition(ends[2])
    outwards -= across * outwards.DotProduct(across)
    outwards.Normalize()
    for methyl, oxygen, inwards in ((ends[0], first, across), (ends[5], second, across * -1)):
        layout.SetAtomPosition(methyl, oxygen + (inwards * 0.5 + outwards * 0.866) * 1.5)
    assert read(cleaned_larger(drawn_as_prepared(molecule, size))) == inchi_of_smiles(smiles)


def drawn_as_prepared(molecule: Chem.Mol, size: int) -> np.ndarray:
    """An image of a molecule that PrepareMolForDrawing has returned, with what was changed of it since."""
    canvas = rdMolDraw2D.MolDraw2DCairo(size, size)
    canvas.drawOptions().useBWAtomPalette()
    canvas.drawOptions().prepareMolsBeforeDrawing = False
    canvas.DrawMolecule(molecule)
    canvas.FinishDrawing()
    return cv2.imdecode(np.frombuffer(canvas.GetDrawingText(), np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("size", [300, 600, 700])
def test_a_wavy_bond_says_nothing_of_stereo(size: int) -> None:
    seen = {}
    for smiles in ("C[C@H](c1ccccc1)N1CCCCC1", "C[C@@H](c1ccccc1)N1CCCCC1", "CC(c1ccccc1)N1CCCCC1"):
        molecule = rdMolDraw2D.PrepareMolForDrawing(Chem.MolFromSmiles(smiles))
        if "@" not in smiles:
            molecule.GetBondWithIdx(0).SetBondDir(Chem.BondDir.UNKNOWN)
        seen[smiles] = read(cleaned_larger(drawn_as_prepared(molecule, size)))
    assert seen == {smiles: inchi_of_smiles(smiles) for smiles in seen}


def test_both_readers_say_what_is_written_at_nodes() -> None:
    pixels = cleaned(draw_with_rdkit(inchi_of_smiles("CCOCC(C)CN(C)C"), PEN).pixels)
    readers = pretrained_readers("molecules")
    graph = read_graph(pixels, readers)
    assert graph is not None
    convinced = copy.deepcopy(readers.labels)
    with torch.no_grad():
        convinced.kinds.bias[WRITTEN_KINDS.index("S")] += 100
        convinced.charges.bias[CHARGES.index(-1)] += 100
    other = read_graph(pixels, readers._replace(labels=convinced))
    assert other is not None
    np.testing.assert_array_equal(other.positions_xy, graph.positions_xy)
    assert {WRITTEN_KINDS[kind] for kind in graph.kinds.argmax(axis=1)} == {"C", "O", "N"}
    assert {CHARGES[charge] for charge in graph.charges.argmax(axis=1)} == {0}
    is_asked = (other.kinds != graph.kinds).any(axis=1)
    assert is_asked[graph.kinds.argmax(axis=1) != WRITTEN_KINDS.index("C")].all()
    assert not is_asked.all()  # of some carbons the graph reader is sure
    other = read_graph(pixels, readers._replace(labels=convinced, sure_from=math.inf))
    assert other is not None
    assert {WRITTEN_KINDS[kind] for kind in other.kinds.argmax(axis=1)} == {"S"}
    assert {CHARGES[charge] for charge in other.charges.argmax(axis=1)} == {-1}


def test_nodes_keep_apart_and_pairs_are_each_looked_at_once() -> None:
    pixels = cleaned(draw_with_rdkit(MOLECULES[0], PEN).pixels)
    graph = read_graph(pixels, pretrained_readers("molecules"))
    assert graph is not None
    between = np.linalg.norm(graph.positions_xy[:, None] - graph.positions_xy[None], axis=2)
    assert between[~np.eye(len(between), dtype=bool)].min() > CLOSEST_PX
    assert (graph.pairs[:, 0] < graph.pairs[:, 1]).all()
    assert len({tuple(pair) for pair in graph.pairs.tolist()}) == len(graph.pairs)
    assert graph.kinds.sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert graph.edges.sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert (graph.edges[:, NOTHING] < 0.5).sum() >= len(graph.positions_xy) - 1


def test_edges_are_read_where_their_points_lie() -> None:
    torch.manual_seed(0)
    reader = GraphReader().eval()
    features = torch.zeros(2, 64, 8, 8)
    ends = torch.tensor([[[4.0, 4.0], [20.0, 20.0]]])
    owner, length = torch.tensor([1]), torch.tensor([20.0])
    with torch.inference_mode():
        before = reader.join(features, owner, ends, length)
        features[0] = 1.0  # another image
        assert torch.equal(reader.join(features, owner, ends, length), before)
        features[1, :, 2, 2] = 1.0  # x, y from 8 to 12
        assert not torch.allclose(reader.join(features, owner, ends, length), before)
        features[1, :, 2, 2], features[1, :, 6, 1] = 0.0, 1.0  # far from it
        assert torch.equal(reader.join(features, owner, ends, length), before)


def test_an_image_is_seen_in_cells() -> None:
    reader = GraphReader().eval()
    with torch.inference_mode():
        spots = reader(torch.rand(2, 1, 48, 64))
    assert spots.is_node.shape == (2, 48 // CELL_PX, 64 // CELL_PX)
    assert spots.kinds.shape == (2, len(WRITTEN_KINDS), 12, 16)
    assert (spots.charges.shape[1], spots.offsets.shape[1]) == (3, 2)


def test_a_drawing_that_is_too_large_is_read_smaller() -> None:
    readers, num_smaller = pretrained_readers("molecules"), 0
    for inchi in MOLECULES:
        image = np.where(draw_unworn_ink(inchi, "rdkit"), 0, 255).astype(np.uint8)
        pixels = cv2.resize(cleaned(np.pad(image, 9, constant_values=255)), None, fx=3, fy=3)
        graph, as_it_is = read_at_best_size(pixels, readers), read_graph(pixels, readers)
        assert graph is not None
        is_smaller = as_it_is is None or len(graph.positions_xy) != len(as_it_is.positions_xy)
        width = graph.positions_xy[:, 0].max() - graph.positions_xy[:, 0].min()
        assert width > 0.7 * np.ptp(np.nonzero((pixels < 128).any(axis=0)))  # places in the image as it is
        found = assemble(graph)
        num_smaller += bool(is_smaller and found and inchi_of_smiles(found[0].text) == inchi)
    assert num_smaller >= len(MOLECULES) - 3


def test_a_pair_passes_the_nodes_that_lie_on_its_way_and_no_others() -> None:
    positions = torch.tensor([[0.0, 0.0], [40.0, 0.0], [20.0, 3.0], [20.0, 12.0], [-10.0, 0.0], [38.0, 1.0]])
    pairs = torch.tensor([[0, 1], [1, 0], [0, 2], [0, 3], [4, 1], [2, 3]])
    assert _pass_a_node(positions, pairs).tolist() == [True, True, False, False, True, False]


@pytest.mark.parametrize("is_hashed", [False, True])
def test_the_edge_reader_tells_which_end_of_a_wedge_is_narrow(is_hashed: bool) -> None:
    reader, kinds = pretrained_readers("molecules").edges, []
    for turn_deg in range(0, 360, 45):
        way = 30 * np.array([math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))])
        begin, end = 60 - way / 2, 60 + way / 2
        aside = np.array([-way[1], way[0]]) / 6
        pixels = np.full((120, 120), 255, np.uint8)
        if is_hashed:
            for part in np.linspace(0.15, 1, 7):
                middle = begin + part * way
                ends = (np.rint(middle + sign * part * aside).astype(int).tolist() for sign in (1, -1))
                cv2.line(pixels, *ends, 0, 1)
        else:
            cv2.fillPoly(pixels, [np.rint([begin, end + aside, end - aside]).astype(np.int32)], 0)
        for side in (-0.6, 0.6):  # a carbon has other bonds
            corner = begin - 0.7 * way + side * np.array([-way[1], way[0]])
            cv2.line(pixels, np.rint(begin).astype(int).tolist(), np.rint(corner).astype(int).tolist(), 0, 1)
        patches = edge_patches(pixels, np.array([[begin, end], [end, begin]]))
        with torch.inference_mode():
            kinds.append(reader(as_ink(torch.from_numpy(patches))[:, None], torch.ones(2)).argmax(dim=1).tolist())
    asked = [HASH, TURNED_HASH] if is_hashed else [WEDGE, TURNED_WEDGE]
    assert sum(one == asked for one in kinds) >= 7, kinds


@pytest.mark.parametrize("drawer", ["indigo", "rdkit"])
def test_the_hydrogens_of_labels_are_counted(drawer: str) -> None:
    right = []
    for smiles, numbers in (
        ("Nc1ccc(CO)cc1", [1, 2]),
        ("COc1ccc(CNC)cc1", [0, 1]),
        ("Sc1ccccn1", [0, 1]),
        ("CC(=O)NCCO", [0, 1, 1]),
        ("CCOCCN(C)C", [0, 0]),
    ):
        image = np.where(draw_unworn_ink(inchi_of_smiles(smiles), drawer), 0, 255).astype(np.uint8)
        graph = read_graph(cleaned(np.pad(image, 9, constant_values=255)), pretrained_readers("molecules"))
        assert graph is not None
        has_hydrogens = np.isin(graph.kinds.argmax(axis=1), [WRITTEN_KINDS.index(name) for name in WITH_HYDROGENS])
        right.append(sorted(graph.hydrogens[has_hydrogens].argmax(axis=1).tolist()) == numbers)
    assert sum(right) >= 4, right


def test_ink_is_that_of_the_nearest_node_unless_it_is_further_away_than_an_edge_is_long() -> None:
    pixels = np.full((60, 200), 255, np.uint8)
    pixels[30, 20:41] = 0  # from the first node to the second
    pixels[30, 150:171] = 0  # far away
    positions = torch.tensor([[20.0, 30.0], [40.0, 30.0], [199.6, 70.0]])
    ink = _ink_of_nodes(pixels, positions[None, :2], positions)
    assert ink.tolist() == pytest.approx([0.25, 0.25, 0.0], abs=0.02)


@pytest.mark.parametrize("words", ["Table 3", "see page 7", "Figure 12"])
def test_words_are_no_molecule(words: str) -> None:
    pixels = np.full((200, 340), 255, np.uint8)
    cv2.putText(pixels, words, (10, 100), cv2.FONT_HERSHEY_SIMPLEX, 2.0 if len(words) < 9 else 1.6, 0, 1)
    clean = clean_image(cv2.imencode(".png", pixels)[1].tobytes(), load_settings("molecules", "local").cleaning)
    as_it_is_read = clean.pixels if clean.larger is None else clean.larger
    graph = read_at_best_size(as_it_is_read, pretrained_readers("molecules"))
    assert graph is None or assemble(graph) == []


@pytest.mark.parametrize(("sure_from", "least"), [(math.inf, 6), (SURE_FROM, 2)])
def test_the_edge_reader_is_asked_about_what_joins_nodes_unless_that_is_sure(sure_from: float, least: int) -> None:
    readers = pretrained_readers("molecules")._replace(sure_from=sure_from)
    pixels = cleaned(draw_with_rdkit(inchi_of_smiles("CCOCC=CC"), PEN).pixels)
    graph = read_graph(pixels, readers)
    assert graph is not None
    is_double = graph.edges.argmax(axis=1) == DOUBLE
    assert is_double.sum() == 1
    sees_double = copy.deepcopy(readers.edges)
    sees_double.add_to_kind_logits(40.0 * (torch.arange(len(KINDS)) == DOUBLE))
    other = read_graph(pixels, readers._replace(edges=sees_double))
    assert other is not None
    assert least <= (other.edges.argmax(axis=1) == DOUBLE).sum() < 2 * least  # six edges, and pairs near them


@torch.inference_mode()
def test_the_edge_reader_is_not_asked_about_a_pair_that_passes_a_node() -> None:
    readers = pretrained_readers("molecules")._replace(sure_from=math.inf)  # asked about all others
    pixels = cleaned(draw_with_rdkit(inchi_of_smiles("CCOCC"), PEN).pixels)
    graph = read_graph(pixels, readers)
    assert graph is not None
    pairs = torch.from_numpy(graph.pairs[graph.edges.argmax(axis=1) == SINGLE])
    assert len(pairs) == 4
    positions = torch.from_numpy(graph.positions_xy)
    length = float((positions[pairs[0, 0]] - positions[pairs[0, 1]]).norm())
    positions = torch.cat((positions, positions[pairs[:1]].mean(dim=1)))  # in the middle of the first bond
    sees_nothing = copy.deepcopy(readers.edges)
    sees_nothing.add_to_kind_logits(40.0 * (torch.arange(len(KINDS)) == NOTHING))
    features = readers.graphs(as_ink(torch.from_numpy(pixels))[None, None]).features
    kinds = _edges(pixels, features, positions, pairs, length, readers._replace(edges=sees_nothing))
    assert kinds.argmax(dim=1).tolist() == [SINGLE, NOTHING, NOTHING, NOTHING]
