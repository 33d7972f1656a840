"""What training is given: `pytest tests/spark/training/test_training_data.py`."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from pyspark.sql import SparkSession

from lib.captions.notations import notation_named
from lib.captions.vocabulary_tables import build_vocabulary
from lib.errors import MissingInputError, SettingsError
from lib.fingerprints import fingerprint
from lib.images.cleaning import decode_png
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_REVIEWS
from lib.molecules.drawing_marks import LABELS
from lib.molecules.landing_writer import write_landing_zone
from lib.molecules.smiles import inchi_of_smiles, read_inchi, split_smiles
from lib.sections.lake import StorageSettings
from lib.training.training_data import describe_training_data, training_rows
from lib.training.training_runs import plan_training
from lib.training.training_samples import as_sample
from model.vocabulary import Vocabulary
from tests.spark.images.test_clean_images import clean
from tests.spark.landing.test_ingest_images import ingest
from tests.spark.landing_files import settings_for

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
DRAWN = ("captions.notation=smiles_drawn_kekule", "captions.test_fraction=0", "captions.validation_fraction=0")
MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "OCC(Cl)CN", "C[C@H](N)C(=O)O", "C#CC(O)(C)C", "[Se]=C(N)N"]
TOKENS = {token for text in MOLECULES[:4] for token in split_smiles(text)} | {"=", "1", "2", "[C@@H]", "[C@H]"}


@pytest.fixture(scope="module")
def drawn_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of five molecules, three of them turned sideways or drawn higher than wide, ingested and cleaned."""
    root, landing = tmp_path_factory.mktemp("drawn"), tmp_path_factory.mktemp("landing")
    lake = Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None))
    (landing / "smiles.smi").write_text("\n".join(MOLECULES))
    drawing = settings_for(
        landing,
        f"storage.root={root}",
        f"drawing.smiles_file={landing}/smiles.smi",
        "drawing.sideways_fraction=0.5",
        "drawing.num_processes=1",
        "drawing.noise=0",
    ).drawing
    write_landing_zone(drawing, str(landing))
    ingest(lake, landing, *DRAWN)
    clean(lake)
    return root


@pytest.fixture
def drawn(copied: Callable[[Path], Lake], drawn_once: Path) -> Lake:
    """A copy of that lake."""
    return copied(drawn_once)


def captions(lake: Lake, *overrides: str):
    return settings_for(Path("unused"), f"storage.root={lake.storage.root}", *DRAWN, *overrides).captions


def test_atoms_lie_on_the_ink_of_the_cleaned_image_and_tokens_follow_them(drawn: Lake) -> None:
    vocabulary = Vocabulary.from_tokens(TOKENS)
    rows = training_rows(drawn, captions(drawn), vocabulary, "train", 1).collect()
    assert {row.rotation_deg for row in drawn.read("images_clean").collect()} == {0, 90}
    assert len(rows) == 4  # selenium is not in the vocabulary
    for row in rows:
        pixels = decode_png(row.image)
        assert inchi_of_smiles("".join(vocabulary.decode(row.token_ids))) == row.caption
        named = [atom for atom in row.marks_of_tokens if atom >= 0]
        num_atoms = read_inchi(row.caption).GetNumAtoms()
        assert sorted(named) == list(range(num_atoms))
        assert len(row.atom_x) == num_atoms + ("/t" in row.caption)  # Indigo draws alanine's hydrogen at the centre
        position = [row.atom_x[atom] + 0.3 * row.atom_y[atom] for atom in named]
        assert position[0] == min(position)
        for x, y in zip(row.atom_x, row.atom_y, strict=True):
            left, top = max(0, round(x) - 6), max(0, round(y) - 6)
            assert pixels[top : top + 13, left : left + 13].min() < 230  # thin lines are grey when shrunk


def test_a_landing_zone_drawn_by_indigo_becomes_marks_on_the_ink_of_what_training_reads(drawn: Lake) -> None:
    vocabulary = Vocabulary.from_tokens(TOKENS)
    captioner = settings_for(Path("unused"), f"storage.root={drawn.storage.root}", *DRAWN).captioner
    rows = training_rows(drawn, captions(drawn), vocabulary, "train", 1).collect()
    notation = notation_named(captions(drawn).notation)
    samples = [as_sample(row.asDict(), captioner, notation) for row in rows]
    near, named = [], set()
    for row, sample in zip(rows, samples, strict=True):
        marks = sample["marks"]
        assert len(marks["positions_xy"]) == len(marks["labels"]) == len(row.atom_x) + len(row.bond_begin)
        assert marks["labels"].shape[1] == captioner.num_cell_labels == len(LABELS)
        assert len(marks["marks_of_tokens"]) == len(sample["token_ids"])
        distances = cv2.distanceTransform((sample["pixels"] > 230).astype(np.uint8), cv2.DIST_L2, 5)
        near += [distances[round(float(y)), round(float(x))] for x, y in marks["positions_xy"]]
        named |= {LABELS[position] for position in np.flatnonzero(marks["labels"].any(axis=0))}
    assert np.mean(np.array(near) <= 3) > 0.95
    assert {"explicit hydrogen", "stereo centre", "double bond", "triple bond", "N", "Cl"} <= named
    assert {"wedge", "hash"} & named


def test_layouts_are_part_of_the_name_of_the_data(drawn: Lake) -> None:
    data = describe_training_data(drawn, captions(drawn), Vocabulary.from_tokens(TOKENS))
    assert data.num_train == 4
    assert data.max_tokens == max(
        len(row.token_ids) for row in training_rows(drawn, captions(drawn), data.vocabulary, "train", 1).collect()
    )
    drawn.upsert(
        "image_layouts",
        drawn.read("image_layouts").selectExpr(
            "image_id",
            "transform(atom_x, x -> x + 1) as atom_x",
            "atom_y",
            "bond_begin",
            "bond_end",
            "bond_order",
            "bond_wedge",
            "source",
            "ingested_at",
        ),
    )
    moved = describe_training_data(drawn, captions(drawn), data.vocabulary)
    assert moved.fingerprint != data.fingerprint


def test_what_cannot_be_learned_is_left_out_and_said_in_one_sentence(drawn: Lake) -> None:
    vocabulary = Vocabulary.from_tokens(TOKENS)
    lacking = "captions with a token that the vocabulary lacks, such as '[SeH]': 1"
    assert describe_training_data(drawn, captions(drawn), vocabulary).left_out == lacking
    rows = training_rows(drawn, captions(drawn), vocabulary, "train", 1).collect()
    longest = max(len(row.token_ids) for row in rows)
    short = describe_training_data(drawn, captions(drawn, f"captions.max_tokens={longest - 1}"), vocabulary)
    assert short.num_train == 3
    assert short.left_out == f"captions longer than captions.max_tokens {longest - 1}: 1, {lacking}"
    with pytest.raises(MissingInputError, match=r"no train image .*\(captions longer than captions.max_tokens 2: 5"):
        describe_training_data(drawn, captions(drawn, "captions.max_tokens=2"), vocabulary)


def test_an_empty_validation_split_is_refused_where_there_should_be_one(drawn: Lake) -> None:
    asked = captions(drawn).model_copy(update={"validation_fraction": 0.05})
    with pytest.raises(MissingInputError, match="the validation split is empty: of 4 images"):
        describe_training_data(drawn, asked, Vocabulary.from_tokens(TOKENS))


def test_steps_too_small_for_the_workers_are_refused_before_a_cluster_starts(drawn: Lake) -> None:
    small = ("training.batch_size=2", "cluster.num_workers=4", "training.start_from=null")
    settings = settings_for(Path("unused"), f"storage.root={drawn.storage.root}", *DRAWN, *small)
    build_vocabulary(drawn, settings.captions)
    with pytest.raises(SettingsError, match=r"batch_size 2 and 5 train images .* 1 images, too few for 4 workers"):
        plan_training(drawn, settings)


@pytest.mark.slow
def test_a_plan_names_the_versions_of_the_tables_that_it_learns_from(drawn: Lake) -> None:
    alone = ("cluster.num_workers=1", "training.start_from=null")
    settings = settings_for(Path("unused"), f"storage.root={drawn.storage.root}", *DRAWN, *alone)
    build_vocabulary(drawn, settings.captions)
    first = plan_training(drawn, settings)
    assert set(first.table_versions) == {"captions", "image_layouts", "images_clean", "vocabulary"}
    drawn.replace("vocabulary", drawn.read("vocabulary"))
    second = plan_training(drawn, settings)
    assert second.table_versions == first.table_versions | {"vocabulary": first.table_versions["vocabulary"] + 1}
    assert second.model_version == first.model_version


def test_rows_lie_in_one_order_however_they_are_partitioned(drawn: Lake) -> None:
    vocabulary = Vocabulary.from_tokens(TOKENS)

    def ids(num_partitions: int, most: int | None = None) -> list[str]:
        rows = training_rows(drawn, captions(drawn), vocabulary, "train", num_partitions, most).collect()
        return [row.image_id for row in rows]

    assert len(set(ids(1))) == 4
    assert ids(1) == ids(3)
    assert ids(2, most=3) == ids(1)[:3]


def test_without_layouts_the_order_is_that_of_the_drawer(drawn: Lake) -> None:
    vocabulary = Vocabulary.from_tokens(TOKENS)
    known = {
        row.caption: list(row.token_ids)
        for row in training_rows(drawn, captions(drawn), vocabulary, "train", 1).collect()
    }
    drawn.replace("image_layouts", drawn.read("image_layouts").where("false"))
    rows = training_rows(drawn, captions(drawn), vocabulary, "train", 1).collect()
    assert all(row.atom_x is None for row in rows)
    rotations = {
        row.caption: row.rotation_deg
        for row in drawn.read("images_clean").join(drawn.read("captions"), on="image_id").collect()
    }
    upright = [row for row in rows if rotations[row.caption] == 0]
    assert upright
    assert all(list(row.token_ids) == known[row.caption] for row in upright)
    assert np.all([inchi_of_smiles("".join(vocabulary.decode(row.token_ids))) == row.caption for row in rows])


@pytest.mark.slow
def test_reviews_have_a_weight_which_is_part_of_the_name_of_data_and_model(drawn: Lake) -> None:
    vocabulary = Vocabulary.from_tokens(TOKENS)
    first, second = (row.asDict() for row in drawn.read("captions").orderBy("image_id").limit(2).collect())
    accepted = ("r1", first["image_id"], "m1", first["caption"], "accept", None, None, "anna", None, NOON)
    drawn.insert_new("caption_reviews", drawn.spark.createDataFrame([accepted], CAPTION_REVIEWS.schema))

    def described(*overrides: str) -> str:
        return describe_training_data(drawn, captions(drawn, *overrides), vocabulary).fingerprint

    weighed = ("captions.reviewed=instead", "captions.review_weight=3")
    names = [described(), described("captions.reviewed=instead"), described("captions.review_weight=3")]
    assert len(set(names)) == 1  # the caption is the one that the image had, and it weighs as it did
    assert len({names[0], described(*weighed), described(*weighed, "captions.review_weight=4")}) == 3
    rows = training_rows(drawn, captions(drawn, *weighed), vocabulary, "train", 1).collect()
    of_images = {row.image_id: row.caption_weight for row in rows}
    assert of_images[first["image_id"]] == 3.0
    assert of_images.get(second["image_id"], 1.0) == 1.0
    assert sorted(of_images.values()) == [1.0, 1.0, 1.0, 3.0]
    unweighed = training_rows(drawn, captions(drawn, "captions.reviewed=instead"), vocabulary, "train", 1)
    assert "caption_weight" not in unweighed.columns
    assert "caption_weight" not in training_rows(drawn, captions(drawn, *weighed), vocabulary, "validation", 1).columns


@pytest.mark.slow
def test_a_weight_that_weighs_nothing_leaves_models_their_names(drawn: Lake) -> None:
    build_vocabulary(drawn, captions(drawn))

    def version(*overrides: str) -> str:
        given = (f"storage.root={drawn.storage.root}", "training.start_from=null", "cluster.num_workers=1", *DRAWN)
        settings = settings_for(Path("unused"), *given, *overrides)
        plan = plan_training(drawn, settings)
        own = settings.captions.model_dump(mode="json", exclude={"review_weight"})
        before_weights = fingerprint(
            settings.captioner, settings.training, own, plan.data.fingerprint, plan.data.vocabulary.tokens
        )
        return "same" if plan.model_version.endswith(before_weights) else plan.model_version

    assert version() == version("captions.review_weight=2") == version("captions.reviewed=added") == "same"
    weighed = {version("captions.reviewed=added", f"captions.review_weight={weight}") for weight in (2, 3)}
    assert len(weighed | {"same"}) == 3
