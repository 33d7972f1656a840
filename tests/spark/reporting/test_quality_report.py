"""The report: what it says, what it marks, and that it needs nothing but itself."""

import base64
import io
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from lib.captioning.attention_sheet import attention_sheets
from lib.captions.marked_texts import marked
from lib.captions.scores import evaluate_captions
from lib.lake.delta_tables import Lake
from lib.lake.schemas import (
    CAPTION_PREDICTIONS,
    CAPTIONS,
    EVALUATIONS,
    IMAGES_CLEAN,
    IMAGES_RAW,
    IMAGES_REJECTED,
    TRAINING_METRICS,
)
from lib.reporting.headline import headline
from lib.reporting.quality_report import verdict, write_report
from lib.reporting.report_charts import deciles
from lib.sections.lake import StorageSettings
from lib.sections.reporting import ReportSettings
from lib.settings import load_settings
from model.checkpoint import PRETRAINED
from model.errors import EncoderWeightsError

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SETTINGS = ReportSettings(num_best=1, num_worst=1, num_random=4, num_with_attention=1)
CLEANING = load_settings("molecules", "local").cleaning
NO_IMAGES = ReportSettings(num_best=0, num_worst=0, num_random=0, num_with_attention=0)


def image(file_format: str, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (1200, 300)).save(file, file_format)
    return file.getvalue()


@pytest.fixture(scope="module")
def evaluated(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(spark, StorageSettings(root=str(tmp_path_factory.mktemp("lake")), catalog=None, schema_name=None))
    write_tables(lake)
    evaluate_captions(lake, "m1")
    return lake


def write_tables(lake: Lake) -> None:
    """Four images: one exact, one a character off, one broken, one not in the test split."""
    raw = {"p1": image("PNG"), "p2": image("TIFF"), "p3": b"broken", "p4": image("JPEG", "RGB")}
    references = {"p1": "C2H6/c1-2", "p2": "C3H8/c1-2", "p3": "<script>", "p4": "CH4"}
    predicted = {
        "p1": ("C2H6/c1-2", 0, 1.0),
        "p2": ("C3H6/c1-2", 1, 1 - 1 / 9),
        "p3": ("", 8, 0.0),
        "p4": ("CH4", 0, 1.0),
    }
    split = {name: "train" if name == "p4" else "test" for name in raw}
    rows = {
        IMAGES_RAW: [(name, name, 1, "", NOW, bytearray(content), "", False) for name, content in raw.items()],
        IMAGES_CLEAN: [
            (name, 2, 2, 0, 0, 0.5, [], "c1", NOW, bytearray(image("PNG")), None) for name in raw if name != "p3"
        ],
        IMAGES_REJECTED: [("p5", "ingest", "not_an_image", "text", "p5.png", None, NOW)],
        CAPTIONS: [
            *((name, 0, text, "captions.csv", split[name], NOW, 1, name) for name, text in references.items()),
            ("p2", 1, "another <caption>", "captions.csv", "test", NOW, 2, "p2"),
        ],
        TRAINING_METRICS: [
            ("m1", 0, 10, 2.0, None, None, None, 0.1, 5.0, 1, NOW),
            ("m1", 1, 20, None, 1.5, 0.5, 3.0, 0.1, 5.0, 1, NOW),
        ],
        CAPTION_PREDICTIONS: [
            (name, "m1", caption, 0.5, None, [], references[name], distance, similarity, split[name], "c1", NOW)
            for name, (caption, distance, similarity) in predicted.items()
        ],
    }
    for table, values in rows.items():
        lake.replace(table.name, lake.spark.createDataFrame(values, table.schema))


def test_report_shows_figures_beside_controls_and_needs_no_network(evaluated: Lake) -> None:
    path = write_report(evaluated, SETTINGS, CLEANING, "m1")
    assert path == Path(evaluated.storage.root) / "reports" / "m1.html"
    assert list(path.parent.iterdir()) == [path]
    html = path.read_text(encoding="utf-8")
    # Similarities 1, 8/9 and 0. The only train caption, CH4, is 7, 7 and 8 edits from the references: 2/9, 2/9 and 0.
    assert "The model&#39;s mean similarity on test is 0.63; a constant caption gets 0.15" in html
    assert re.findall("<strong>(.*?)</strong>", html) == ["0.63", "33.3%", "3.0", "–", "0.50"]
    assert re.findall('<figure class="card">\n<h3>(.*?)</h3>', html) == [
        "Similarity",
        "Edit distance",
        "Does confidence tell?",
        "Training",
    ]
    assert html.count("data:image/svg+xml;base64,") == 4
    assert "not_an_image" in html
    assert [source for source in re.findall(r'src="([^"]*)"', html) if not source.startswith("data:")] == []
    assert re.search("https?://", html) is None
    assert "<script>" not in html  # a caption is text, whatever it says


def test_confidence_is_shown_by_tenths_of_the_images_least_confident_first(spark: SparkSession) -> None:
    rows = [
        (f"p{index:02}", "test", "model", 0 if index >= 10 else 3, 1.0 if index >= 10 else 0.4, index / 20)
        for index in range(20)
    ]
    names = "image_id string, split string, predictor string, edit_distance int, similarity double, confidence double"
    controls = [("p00", "test", "constant_caption", 0, 1.0, None)]
    found = deciles(spark.createDataFrame(rows + controls, names))
    assert [confidence for confidence, _, _ in found] == pytest.approx([0.025 + 0.1 * tenth for tenth in range(10)])
    assert [exact for _, exact, _ in found] == [0.0] * 5 + [1.0] * 5
    assert [similarity for _, _, similarity in found] == pytest.approx([0.4] * 5 + [1.0] * 5)


def test_gallery_shows_best_worst_and_random_images_with_differences_marked(evaluated: Lake) -> None:
    html = write_report(evaluated, SETTINGS, CLEANING, "m1").read_text(encoding="utf-8")
    sections = dict(re.findall(r"<h2>(Best|Worst|At random)</h2>(.*?)</section>", html, re.DOTALL))
    names = {title: re.findall(r"<h3>(.*?)</h3>", section) for title, section in sections.items()}
    assert names["Best"] == ["p1"]
    assert names["Worst"] == ["p3"]
    assert sorted(names["At random"]) == ["p1", "p2", "p3", "p4"]
    assert names["At random"][-1] == "p4"  # of another split, because there are too few of test
    assert "<li>train</li>" in sections["At random"]
    assert "C3H<del>6</del>/c1-2" in sections["At random"]
    assert "C3H<ins>8</ins>/c1-2" in sections["At random"]
    assert sections["Best"].count('src="data:image/png') == 2
    assert sections["Worst"].count("cannot be shown") == 2
    assert '<span class="soft">(empty)</span>' in sections["Worst"]
    assert "<ins>&lt;script&gt;</ins>" in sections["Worst"]
    further = r'<dt>further references</dt>\n<dd class="text">(.*?)</dd>'
    assert re.findall(further, sections["At random"]) == ["another &lt;caption&gt;"]  # of p2 alone


def test_a_report_is_made_without_maps_where_the_package_of_an_encoder_is_missing(
    evaluated: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    def without_package(_: object) -> list[bytes]:
        raise EncoderWeightsError("the package is not installed")

    (Path(evaluated.storage.root) / "reports" / "m1.html").unlink(missing_ok=True)
    assert "<details>" not in write_report(evaluated, SETTINGS, CLEANING, "m1", without_package).read_text(
        encoding="utf-8"
    )
    assert "does not show where attention looked: the package is not installed" in caplog.text
    again = write_report(evaluated, SETTINGS, CLEANING, "m1", lambda rows: [b"a PNG file"] * len(rows))
    assert "<details>" in again.read_text(encoding="utf-8")  # the package is there now


@pytest.mark.slow
def test_the_first_images_of_each_group_show_where_attention_looked(
    evaluated: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    prediction = load_settings("molecules", "local").prediction.model_copy(update={"num_beams": 1})
    (Path(evaluated.storage.root) / "reports" / "m1.html").unlink(missing_ok=True)
    sheets_of = partial(attention_sheets, checkpoint=PRETRAINED / "molecules", settings=prediction)
    html = write_report(evaluated, SETTINGS, CLEANING, "m1", sheets_of).read_text(encoding="utf-8")
    sections = dict(re.findall(r"<h2>(Best|Worst|At random)</h2>(.*?)</section>", html, re.DOTALL))
    shown = {
        title: re.findall(r'<details>.*?src="data:image/png;base64,(.*?)"', part, re.S)
        for title, part in sections.items()
    }
    assert {title: len(sheets) for title, sheets in shown.items()} == {"Best": 1, "Worst": 0, "At random": 1}
    width, height = Image.open(io.BytesIO(base64.b64decode(shown["Best"][0]))).size
    assert width > 1000
    assert height > 400  # two rows of tiles and more
    (Path(evaluated.storage.root) / "reports" / "m1.html").unlink()
    sheets_of = partial(attention_sheets, checkpoint=Path("nowhere"), settings=prediction)
    assert "<details>" not in write_report(evaluated, SETTINGS, CLEANING, "m1", sheets_of).read_text(encoding="utf-8")
    assert "the report does not show where attention looked: " in caplog.text


@pytest.mark.slow
def test_report_is_written_again_only_for_other_evaluations_or_settings(evaluated: Lake) -> None:
    path = write_report(evaluated, SETTINGS, CLEANING, "m1")
    first = path.stat().st_mtime_ns
    write_report(evaluated, SETTINGS, CLEANING, "m1")
    assert path.stat().st_mtime_ns == first
    write_report(evaluated, NO_IMAGES, CLEANING, "m1")
    assert path.stat().st_mtime_ns != first
    assert "<h2>Best</h2>" not in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_report_is_written_again_when_more_images_are_rejected(evaluated: Lake) -> None:
    assert "too_many_bytes" not in write_report(evaluated, SETTINGS, CLEANING, "m1").read_text(encoding="utf-8")
    rejected = dict.fromkeys(IMAGES_REJECTED.schema.names) | {
        "image_id": "late",
        "stage": "ingest",
        "source": "late.png",
        "reason": "too_many_bytes",
    }
    evaluated.insert_new("images_rejected", evaluated.spark.createDataFrame([rejected], IMAGES_REJECTED.schema))
    assert "too_many_bytes" in write_report(evaluated, SETTINGS, CLEANING, "m1").read_text(encoding="utf-8")


@pytest.mark.slow
def test_images_without_references_are_shown_with_their_captions_the_least_sure_first(lake: Lake) -> None:
    write_tables(lake)
    empty = {
        name: F.lit(None).cast(kind)
        for name, kind in (
            ("reference", "string"),
            ("edit_distance", "int"),
            ("similarity", "double"),
            ("split", "string"),
        )
    }
    predictions = lake.read("caption_predictions")
    kinds = dict(predictions.dtypes)
    unscored = predictions.withColumns({name: column.cast(kinds[name]) for name, column in empty.items()})
    confidences = F.when(F.col("image_id") == "p2", 0.125).otherwise(F.lit(0.75))
    lake.replace("caption_predictions", unscored.withColumn("confidence", confidences).localCheckpoint())
    html = write_report(lake, SETTINGS, CLEANING, "m1").read_text(encoding="utf-8")
    sections = re.findall(r"<h2>([^<]*)</h2>\s*<p class=\"soft\">[^<]*</p>\s*<section(.*?)</section>", html, re.DOTALL)
    names = {title: re.findall(r"<h3>(.*?)</h3>", section) for title, section in sections}
    assert names["Least sure"] == ["p2"]
    assert sorted(names["At random, without a reference"]) == ["p1", "p2", "p3", "p4"]
    assert "None of them has a reference, so nothing is scored." in html
    assert "C3H6/c1-2" in html
    assert ">reference<" not in html
    assert "Charts" not in html


def test_without_captions_there_is_no_report(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert write_report(lake, SETTINGS, CLEANING, "m1") is None
    assert "no report is written: model m1 has captioned no image" in caplog.text
    assert not Path(lake.storage.root).exists()


@pytest.mark.parametrize(
    ("model", "constant", "shuffled", "word", "says"),
    [
        (0.80, 0.48, 0.45, "better", "That is 0.32 above chance"),
        (0.50, 0.48, 0.45, "barely", "above chance by only 0.02"),
        (0.47, 0.48, 0.45, "chance", "no better than chance"),
        (0.44, None, 0.45, "chance", "no better than chance"),
        (0.80, None, None, "unknown", "no control"),
    ],
)
def test_verdict_compares_the_model_with_the_better_control(
    model: float, constant: float | None, shuffled: float | None, word: str, says: str
) -> None:
    def row(mean_similarity: float | None) -> Row:
        values = dict.fromkeys(EVALUATIONS.schema.names) | {
            "split": "test",
            "num_images": 500,
            "mean_similarity": mean_similarity,
        }
        return Row(**values)

    seen = verdict({"model": row(model), "constant_caption": row(constant), "shuffled_pictures": row(shuffled)})
    assert seen[0] == word
    assert says in seen[1]


def test_sentences_are_judged_by_cider() -> None:
    def row(cider: float | None) -> Row:
        values = {"split": "test", "num_images": 500, "mean_similarity": 0.1, "cider": cider}
        return Row(**dict.fromkeys(EVALUATIONS.schema.names) | values)

    rows = {"model": row(0.5), "constant_caption": row(0.125), "shuffled_pictures": row(None)}
    word, sentence = verdict(rows)
    assert word == "better"
    assert sentence.startswith("The model's CIDEr on test is 0.50; a constant caption gets 0.12. That is 0.38 above")
    cards = {label: values for label, _, _, values in headline(rows)}
    assert cards["CIDEr"] == {
        "model": 0.5,
        "constant_caption": 0.125,
        "shuffled_pictures": None,
        "nearest_neighbour": None,
    }
    assert "Exactly right" not in cards
    word, sentence = verdict(rows | {"nearest_neighbour": row(0.625)})
    assert word == "barely"
    assert "the captions of the most similar train images get 0.62. That is above chance, but no better" in sentence
    assert verdict(rows | {"nearest_neighbour": row(0.25)})[0] == "better"


def test_marked_texts_join_to_the_whole_and_differ_where_they_differ() -> None:
    assert marked("kitten", "sitten") == ([(True, "k"), (False, "itten")], [(True, "s"), (False, "itten")])
    assert marked("abc", "abXc") == ([(False, "ab"), (False, "c")], [(False, "ab"), (True, "X"), (False, "c")])
    assert marked("", "ab") == ([], [(True, "ab")])
    assert marked("", "") == ([], [])
