"""A caption's graph is laid on its image, and what its edges look like is read there."""

import cv2
import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from lib.captioning.captioner import Captioner
from lib.captioning.image_captioning import ImageCaptioner
from lib.captioning.tracing import attended_positions, fit, trace
from lib.captions.notations import Graph
from lib.images.cleaning import clean_image, encode_png
from lib.images.geometry import middle_of_widest_gap
from lib.images.trace_patches import LEFT, MIDDLE, RIGHT, edge_patches, node_patches
from lib.molecules.rdkit_drawing import draw_with_rdkit
from lib.molecules.redrawn import PEN, draw_unworn_ink
from lib.settings import load_settings
from model.checkpoint import PRETRAINED
from model.patch_reader import pretrained_readers
from model.trace_kinds import HASH, KINDS, NODE_KINDS, SINGLE, TURNED_HASH, TURNED_ROUND, TURNED_WEDGE, WEDGE

STRIDE_PX = 16
MOLECULES = [
    Chem.MolToInchi(Chem.MolFromSmiles(smiles))
    for smiles in ("CC(C)(C)[C@H]1CC[C@@H](C)CO1", "CCC(=O)N[C@H](C)Cc1ccccc1", "C[C@H](O)[C@@H](CC(C)C)c1ccncc1")
]


def cleaned_with_positions(inchi: str) -> tuple[np.ndarray, np.ndarray, Graph, np.ndarray]:
    """A drawing cleaned, where its atoms lie there, its graph, and its bonds' kinds; -1 = not single."""
    drawing = draw_with_rdkit(inchi, PEN)
    settings = load_settings("molecules", "local", ["landing.path=u", "storage.root=u"])
    cleaned = clean_image(cv2.imencode(".png", drawing.pixels)[1].tobytes(), settings.cleaning)
    layout = drawing.layout
    atoms = np.stack((layout.atom_x, layout.atom_y, np.ones_like(layout.atom_x)), axis=1)
    edges = list(zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), strict=True))
    graph = Graph(inchi, list(range(len(atoms))), edges, [False] * len(atoms), [])
    kinds = np.where(layout.bond_order == 1, np.array([SINGLE, WEDGE, HASH])[layout.bond_wedge], -1)
    return cleaned.pixels, (atoms @ cleaned.transform.T).astype(np.float32), graph, kinds


@pytest.mark.parametrize("inchi", MOLECULES)
def test_nodes_move_from_about_where_they_were_seen_to_where_they_lie(inchi: str) -> None:
    pixels, truth, graph, _ = cleaned_with_positions(inchi)
    seen = truth + np.random.default_rng(0).uniform(-5, 5, truth.shape).astype(np.float32)
    found, unexplained = fit(pixels, seen, np.array(graph.edges), np.zeros(len(truth), bool), 20.0)
    before, after = (np.linalg.norm(one - truth, axis=1).mean() for one in (seen, found))
    assert after < 2 < before
    assert unexplained < 0.15


def attention_at(positions: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Attention on the cells in which nodes lie."""
    height, width = (-(-side // STRIDE_PX) for side in pixels.shape)
    attention = np.zeros((len(positions), height, width), np.float32)
    columns, rows = (positions / STRIDE_PX).astype(int).T
    attention[np.arange(len(positions)), rows.clip(0, height - 1), columns.clip(0, width - 1)] = 1
    return attention


def test_letters_are_read_where_nodes_lie() -> None:
    told = []
    for smiles in ("OC(=O)c1cc(I)cs1", "Brc1cnc(OCC)c(F)c1", "COc1ccc(Cl)c(SC)c1N"):
        inchi = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
        pixels, truth, graph, _ = cleaned_with_positions(inchi)
        ends = truth[graph.edges]
        length = float(np.median(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)))
        patches = torch.from_numpy(node_patches((1 - pixels / 255).astype(np.float32), truth, length))
        with torch.inference_mode():
            kinds = pretrained_readers("molecules").nodes(patches[:, None]).argmax(dim=1)
        symbols = [atom.GetSymbol() for atom in Chem.MolFromInchi(inchi).GetAtoms()]
        told += [NODE_KINDS[kind] == symbol for kind, symbol in zip(kinds.tolist(), symbols, strict=True)]
    assert np.mean(told) > 0.95


def test_wedges_are_seen_at_the_end_where_they_are_narrow() -> None:
    told = []
    for inchi in MOLECULES:
        pixels, truth, graph, kinds = cleaned_with_positions(inchi)
        attention = attention_at(truth, pixels)
        readers = pretrained_readers("molecules")
        for turned in (False, True):
            edges = [(second, first) for first, second in graph.edges] if turned else graph.edges
            found = trace(pixels, graph._replace(edges=edges), attention, STRIDE_PX, readers).kinds.argmax(axis=1)
            told += [
                found[index] == (TURNED_ROUND[kind] if turned else kind)
                for index, kind in enumerate(kinds)
                if kind >= 0
            ]
            wedges = [index for index, kind in enumerate(kinds) if kind in (WEDGE, HASH)]
            assert wedges
            assert all(found[index] in ((TURNED_WEDGE, TURNED_HASH) if turned else (WEDGE, HASH)) for index in wedges)
    assert np.mean(told) > 0.9


def test_attention_is_where_its_peak_is_and_what_lies_beside_it() -> None:
    attention = np.zeros((2, 3, 4), np.float32)
    attention[0, 1, 2] = 1
    attention[1, 0, 0], attention[1, 0, 1], attention[1, 2, 3] = 0.5, 0.3, 0.2
    assert attended_positions(attention, 16).tolist() == [[40, 24], pytest.approx([8 + 16 * 0.3 / 0.8, 8])]


def test_an_image_without_ink_moves_nothing() -> None:
    seen = np.array([[8.0, 8.0], [24.0, 8.0]], np.float32)
    white = np.full((32, 32), 255, np.uint8)
    found, unexplained = fit(white, seen, np.array([[0, 1]]), np.zeros(2, bool), 20.0)
    assert (found == seen).all()
    assert unexplained == 1


def test_a_lone_node_is_traced_to_nothing() -> None:
    letter = np.full((32, 32), 255, np.uint8)
    letter[12:20, 12:20] = 0
    attention = np.full((1, 2, 2), 0.25, np.float32)
    found = trace(letter, Graph("O", [0], [], [True], []), attention, STRIDE_PX, pretrained_readers("molecules"))
    assert found.kinds.shape == found.open_kinds.shape == (0, len(KINDS))
    assert found.unexplained == 1


def test_a_patch_has_the_first_point_on_its_left() -> None:
    ink = np.zeros((60, 60), np.float32)
    ink[20:50, 30] = 1  # a stroke down from (30, 20)
    ink[18:22, 28:33] = 1  # a blot at its first end
    (down, back, none) = edge_patches(
        ink, np.array([[[30, 20], [30, 48]], [[30, 48], [30, 20]], [[30, 20], [31, 20]]], np.float32)
    )
    left, right, middle = round(LEFT), round(RIGHT), round(MIDDLE)
    assert down[middle - 1 : middle + 2, left].sum() > 1.5 * down[middle - 1 : middle + 2, right - 1].sum() > 0
    assert np.allclose(down[::-1, ::-1], np.roll(back, -1, axis=1), atol=0.6)
    assert not none.any()


def test_a_nodes_patch_has_it_in_the_middle_at_one_length_of_edges() -> None:
    ink = np.zeros((80, 120), np.float32)
    ink[36:45, 56:65] = 1  # a blot around (60, 40)
    for length in (20.0, 40.0):
        (patch,) = node_patches(ink, np.array([[60, 40]], np.float32), length)
        rows, columns = np.nonzero(patch > 0.5)
        assert (rows.mean(), columns.mean()) == pytest.approx(
            ((patch.shape[0] - 1) / 2, (patch.shape[1] - 1) / 2), abs=0.6
        )
        assert np.ptp(columns) + 1 == pytest.approx(9 * 20 / length, abs=1.1)


def test_the_widest_gap_goes_round() -> None:
    assert middle_of_widest_gap([0.0, 1.0, -1.0]) == pytest.approx(np.pi)
    assert middle_of_widest_gap([0.0]) == pytest.approx(np.pi)


def drawn_turned(smiles: str, turn_deg: float) -> bytes:
    """A molecule as RDKit draws it, and as no drawer of ours lays it out."""
    canvas = rdMolDraw2D.MolDraw2DCairo(500, 400)
    canvas.drawOptions().rotate = turn_deg
    canvas.drawOptions().useBWAtomPalette()
    canvas.DrawMolecule(Chem.MolFromSmiles(smiles))
    canvas.FinishDrawing()
    return canvas.GetDrawingText()


def test_stereo_is_read_off_layouts_that_the_network_does_not_know() -> None:
    smiles = ("N#C[C@@H]1CCN(C)C1", "C[C@@H](O)C(=O)Nc1ccccc1", "C[C@H](Cl)C(=O)NCC")
    right = [Chem.MolToInchi(Chem.MolFromSmiles(one)) for one in smiles for _ in (50, 110)]
    images = [drawn_turned(one, turn_deg) for one in smiles for turn_deg in (50, 110)]
    alone = ["prediction.is_read_as_graph=false"]
    traced, written = (
        sum(found.caption == inchi for found, inchi in zip(captioner.caption(images), right, strict=True))
        for captioner in (
            Captioner.pretrained("molecules", alone),
            Captioner.pretrained("molecules", [*alone, "prediction.is_traced=false"]),
        )
    )
    assert traced >= written + 2


def test_a_caption_with_another_letter_is_confirmed_by_its_drawing_and_not_by_its_trace() -> None:
    settings = load_settings("molecules", "local", ["landing.path=u", "storage.root=u"])
    captioner = ImageCaptioner(PRETRAINED / "molecules", settings.prediction)
    inchi = Chem.MolToInchi(Chem.MolFromSmiles("CC(C)(C)c1ccc(SCC(=O)N2CCCC2)cc1"))
    drawn = np.pad(np.where(draw_unworn_ink(inchi, "indigo"), 0, 255).astype(np.uint8), 30, constant_values=255)
    pixels = clean_image(encode_png(drawn), settings.cleaning).pixels
    ((right,),) = captioner.read([pixels], num_beams=1)
    assert right.caption == inchi
    sulphur, oxygen = (captioner.vocabulary.tokens.index(symbol) for symbol in "SO")
    text = right.text.replace("S", "O")
    ids = tuple(oxygen if one == sulphur else one for one in right.token_ids)
    wrong = right._replace(text=text, caption=captioner.asked.read(text), token_ids=ids)
    confirmed = [
        captioner._confirmed(one, captioner.prepared(pixels)) is not None
        and (traced is None or traced.agrees_with(pixels, one))
        for one in (right, wrong)
        for traced in (None, captioner.traceable())
    ]
    assert confirmed == [True, True, True, False]
