"""Images that nobody has captioned, through the pipeline as a newcomer runs it, in a process of its own.

`pytest tests/spark/captioning/test_without_captions.py`
"""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from deltalake import DeltaTable

from lib.captioning.captioner import Captioner
from lib.images.cleaning import decode_png
from lib.lake.delta_tables import Lake
from lib.lake.models import model_in_use, pretrained_model, why_nothing_is_trained
from lib.molecules.drawing import draw_molecule
from lib.sections.lake import StorageSettings
from lib.settings import load_settings
from tests.known_molecules import ASPIRIN, CAFFEINE
from tests.spark.landing_files import write_captions

ROOT = Path(__file__).resolve().parents[3]
VERSION = pretrained_model("molecules", "").version


def run_pipeline(root: Path, landing: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    words = ["--set", f"storage.root={root}", "--set", f"landing.path={landing}", "--set", "prediction.num_beams=2"]
    return subprocess.run(
        [sys.executable, "-m", "jobs.run_pipeline", *words, *flags], cwd=ROOT, capture_output=True, text=True
    )


def rows_of(root: Path) -> dict[str, dict[str, str]]:
    with (root / "reports" / f"{VERSION}.csv").open(newline="") as file:
        return {row["image_id"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as people have it: three formats, folders in folders, a scribble, and a file that is none."""
    folder = tmp_path_factory.mktemp("my images")
    drawing = load_settings("molecules", "local").drawing
    (folder / "scans" / "old").mkdir(parents=True)
    for name, inchi in (("aspirin.png", ASPIRIN), ("scans/caffeine.TIF", CAFFEINE), ("scans/old/again.jpg", ASPIRIN)):
        cv2.imwrite(str(folder / name), draw_molecule(inchi, drawing, np.random.default_rng(1)).pixels)
    scribble = np.full((200, 300), 255, np.uint8)
    cv2.putText(scribble, "Table 3", (20, 100), cv2.FONT_HERSHEY_SIMPLEX, 2, 0, 1)
    cv2.imwrite(str(folder / "scribble.png"), scribble)
    (folder / "letter.png").write_text("a text called .png")
    return folder


@pytest.fixture(scope="module")
def ended(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A lake, and what the run that made it said: nobody has asked for the pretrained model."""
    root = tmp_path_factory.mktemp("lake")
    return root, run_pipeline(root, landing)


def test_it_captions_them_with_the_pretrained_model_and_says_so(ended) -> None:
    root, run = ended
    assert run.returncode == 0, run.stderr
    said = [line.strip() for line in run.stderr.splitlines()]
    assert f"nothing is trained: no image in {root} has a caption to learn from" in said
    assert f"model {VERSION} captioned 4 new images" in said
    assert run.stdout.splitlines()[-1] == f"Captions: {root}/reports/{VERSION}.csv"
    assert f"Report: {root}/reports/{VERSION}.html" in run.stdout.splitlines()
    assert "Rejected: 1 not_an_image." in run.stdout
    assert (root / "reports" / f"{VERSION}.html").is_file()
    (clean,) = DeltaTable(str(root / "images_clean")).to_pandas().query("image_id == 'aspirin'").to_dict("records")
    assert decode_png(clean["larger_image"]).shape > (clean["height"], clean["width"])
    assert not (root / "vocabulary").exists()
    assert not (root / "checkpoints").exists()
    assert not (root / "mlflow.db").exists()


def test_the_rows_are_what_the_captioner_of_the_server_answers(ended, landing: Path) -> None:
    rows = rows_of(ended[0])
    paths = {path.stem: path for path in landing.rglob("*.*") if path.stem in rows and not rows[path.stem]["rejected"]}
    captioner = Captioner.pretrained("molecules", ["prediction.num_beams=2"])
    for name, answer in zip(paths, captioner.caption([path.read_bytes() for path in paths.values()]), strict=True):
        assert (rows[name]["caption"], rows[name]["is_valid"]) == (answer.caption, str(answer.is_valid).lower())
        assert float(rows[name]["confidence"]) == pytest.approx(answer.confidence, abs=1e-3)


def test_the_csv_file_flags_what_a_person_should_look_at(ended) -> None:
    rows = rows_of(ended[0])
    assert list(rows) == ["again", "aspirin", "caffeine", "scribble", "letter"]
    columns = ["image_id", "caption", "confidence", "is_valid", "flagged", "rejected"]
    assert [list(row) for row in rows.values()] == [columns] * 5
    assert (rows["aspirin"]["caption"], rows["aspirin"]["flagged"]) == (ASPIRIN, "false")
    assert (rows["caffeine"]["caption"], rows["caffeine"]["flagged"]) == (CAFFEINE, "false")
    assert float(rows["aspirin"]["confidence"]) > 0.5 > float(rows["scribble"]["confidence"])
    assert rows["scribble"]["flagged"] == "true"
    assert [row["rejected"] for row in rows.values()][:4] == [""] * 4


def test_the_csv_file_says_why_an_image_has_no_caption(ended) -> None:
    letter = rows_of(ended[0])["letter"]
    assert [letter[name] for name in ("caption", "confidence", "is_valid", "flagged")] == ["", "", "", "true"]
    assert letter["rejected"].startswith("not_an_image: ")


@pytest.mark.slow
def test_some_captions_are_scored_by_the_pretrained_model_and_nothing_is_trained(ended, landing, spark) -> None:
    root, _ = ended
    write_captions(landing / "labels.csv", {"aspirin": ASPIRIN, "caffeine": ASPIRIN})
    lake = Lake(spark, StorageSettings(root=str(root), catalog=None, schema_name=None))
    run = run_pipeline(root, landing, "--set", "prediction.model_version=pretrained")
    (landing / "labels.csv").unlink()
    assert run.returncode == 0, run.stderr
    assert "nothing is trained: prediction.model_version is pretrained" in run.stderr
    distances = {row.image_id: row.edit_distance for row in lake.read("caption_predictions").collect()}
    assert distances["aspirin"] == 0 < distances["caffeine"]
    assert distances["scribble"] is distances["again"] is None
    assert lake.read("evaluations").where("predictor = 'model'").selectExpr("sum(num_images)").first()[0] == 2
    assert rows_of(root)["caffeine"]["flagged"] == "true"  # far from its reference
    # With captions to learn from, `current` waits for a trained model again.
    assert why_nothing_is_trained(lake, "current") is None
    assert why_nothing_is_trained(lake, "pretrained") is not None
    assert model_in_use(lake, "pretrained", "molecules").version == VERSION


@pytest.mark.slow
def test_a_folder_without_a_readable_image_ends_well(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.png").write_text("a text called .png")
    run = run_pipeline(tmp_path / "lake", tmp_path / "in", "--set", "prediction.model_version=pretrained")
    assert run.returncode == 0, run.stderr
    assert "1 raw = 0 clean + 1 rejected at clean" in run.stdout
    assert list(rows_of(tmp_path / "lake")) == ["letter"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_without_images_gets_one_sentence(is_there: bool, tmp_path: Path) -> None:
    if is_there:
        (tmp_path / "in").mkdir()
    run = run_pipeline(tmp_path / "lake", tmp_path / "in")
    assert run.returncode == 2
    sentence = "holds no image" if is_there else "does not exist"
    assert run.stderr.splitlines()[-1].startswith(f"LandingZoneError: landing.path {tmp_path}/in {sentence}")
    assert "Traceback" not in run.stderr
