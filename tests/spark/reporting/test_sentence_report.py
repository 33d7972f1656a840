"""The report and the summary where captions are scored as sentences."""

import re
from datetime import UTC, datetime

import pytest

from lib.captions.scores import evaluate_captions
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_PREDICTIONS, CAPTIONS
from lib.reporting.pipeline_summary import print_summary
from lib.reporting.quality_report import write_report
from lib.reporting.sentence_confidence import cider_deciles, ciders_of
from lib.sections.reporting import ReportSettings

pytest.importorskip("pycocoevalcap", reason="the extra photos is not installed")
NOW = datetime(2024, 1, 1, tzinfo=UTC)
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def fill(lake: Lake) -> None:
    """Twelve images of the test split; the captions of the first six are right, and the model is surer of them."""
    references = {f"p{index:02}": f"{word} dogs run over {word} hills" for index, word in enumerate(NUMBERS)}
    rows = [(image_id, 0, text, "captions.csv", "test", NOW, 1, image_id) for image_id, text in references.items()]
    lake.insert_new(
        "captions",
        lake.spark.createDataFrame([*rows, ("t", 0, "a cat", "captions.csv", "train", NOW, 1, "t")], CAPTIONS.schema),
    )
    captions = {image_id: text if image_id < "p06" else "nobody" for image_id, text in references.items()}
    predicted = [
        (
            image_id,
            "m1",
            captions[image_id],
            0.9 - 0.05 * index,
            None,
            [],
            text,
            0 if image_id < "p06" else 20,
            0.5,
            "test",
            "c1",
            NOW,
        )
        for index, (image_id, text) in enumerate(references.items())
    ]
    lake.insert_new("caption_predictions", lake.spark.createDataFrame(predicted, CAPTION_PREDICTIONS.schema))


@pytest.mark.slow
def test_sentences_lead_the_report_and_confidence_is_checked_by_cider(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(lake)
    evaluate_captions(lake, "m1", as_sentences=True)
    predictions = lake.read("caption_predictions")
    tenths = cider_deciles(predictions, ciders_of(predictions, lake.read("captions"), "test"), "test")
    # Twelve images make two groups of two, then eight of one; six times nothing, then ten for what is right.
    assert [cider for _, cider in tenths] == pytest.approx([0.0] * 4 + [10.0] * 6, abs=2.5)
    assert tenths[0][0] == pytest.approx((0.35 + 0.4) / 2)
    assert tenths[-1][0] == pytest.approx(0.9)

    # Both similarities are 0.5: sentences are chosen by CIDEr, of equal ones the most confident.
    html = write_report(
        lake, ReportSettings(num_best=1, num_worst=1, num_random=0, num_with_attention=0), "m1"
    ).read_text(encoding="utf-8")
    sections = dict(re.findall(r"<h2>(Best|Worst)</h2>(.*?)</section>", html, re.DOTALL))
    assert "The lowest CIDEr" in sections["Worst"]
    assert re.findall(r"\bp\d\d\b", sections["Worst"])[0] == "p06"
    assert re.findall(r"\bp\d\d\b", sections["Best"])[0] < "p06"
    assert "The model&#39;s CIDEr on test is " in html
    assert re.findall('<div class="card figure">\n<h3>(.*?)</h3>', html) == [
        "CIDEr",
        "BLEU-1",
        "BLEU-4",
        "METEOR",
        "ROUGE-L",
        "Mean confidence",
    ]
    assert "<h2>Sentences</h2>" in html
    assert "the bars rise to the right." in html
    print_summary(lake, "m1")
    printed = capsys.readouterr().out.splitlines()
    (header,) = (line.replace("┃", " ").split() for line in printed if "CIDEr" in line)
    assert header == ["split", "captions", "by", "images", "BLEU-1", "BLEU-4", "METEOR", "CIDEr"]
    assert sum(line.startswith("│ test") for line in printed) == 3
