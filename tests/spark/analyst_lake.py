"""A lake small enough to reckon every view's rows by hand: four images, two models, two nights, three refusals."""

from datetime import UTC, datetime

from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES
from tests.known_molecules import ETHANOL

NIGHT_1, NIGHT_2 = datetime(2026, 1, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 2, tzinfo=UTC)
METHANE = "InChI=1S/CH4/h1H4"  # 17 characters
ETHER = "InChI=1S/C2H6O/c1-3-2/h1-2H3"  # 28 characters
SALT = "InChI=1S/2ClH.Zn/h2*1H;/q;;+2/p-2"
PROTON = "InChI=1S/p+1"  # an InChI without a formula
PNG = b"\x89PNG of an image"


def fill(lake: Lake) -> None:
    """Write the rows of every table that a view reads."""
    write(lake, "images_raw", [(name, f"in/{name}.png", 9, "0", NIGHT_1, PNG, "", False) for name in "abcd"])
    write(lake, "images_clean", [("d", 256, 160, 0, 0, 0.01, [1.0], "k1", NIGHT_2, PNG, None)])
    write(
        lake,
        "images_rejected",
        [
            ("x", "ingest", "empty_file", "0 bytes", "in/x.png", None, NIGHT_1),
            ("y", "ingest", "empty_file", "no byte", "in/y.png", None, NIGHT_2),
            ("c", "clean", "blank_image", "no ink", "in/c.png", "k1", NIGHT_1),
            *(
                ("a", "captions", "other_notation", "a dog", f"in/labels.csv row {row}", None, NIGHT_2)
                for row in range(5, 10)
            ),
        ],
    )
    write(
        lake,
        "captions",
        [
            ("a", 0, METHANE, "labels.csv", "test", NIGHT_1, 1, "a"),
            ("b", 0, ETHANOL, "labels.csv", "test", NIGHT_1, 1, "b"),
            ("c", 0, SALT, "labels.csv", "train", NIGHT_1, 1, "c"),
            ("e", 0, "a dog in the snow", "labels.csv", "train", NIGHT_1, 1, "e"),
        ],
    )
    write(
        lake,
        "training_metrics",
        [
            ("m1", 1, 10, 2.0, None, None, None, 0.1, 50.0, 2, NIGHT_1),
            ("m1", 2, 20, 1.0, 1.5, 0.5, 3.0, 0.0, 50.0, 2, NIGHT_2),
            ("m3", 1, 10, 3.0, None, None, None, 0.1, 50.0, 1, NIGHT_2),
        ],
    )
    write_predictions(lake)
    write_reviews(lake)
    write(
        lake,
        "evaluations",
        [
            evaluation(NIGHT_1, "m1", "model", 2, 0.5, 4.5, 0.75, 0.5, 0.7),
            evaluation(NIGHT_1, "m1", "constant_caption", 2, 0.0, 20.0, 0.25, None, None),
            evaluation(NIGHT_1, "m1", "shuffled_pictures", 2, 0.0, 16.0, 0.5, None, None),
            evaluation(NIGHT_2, "m2", "model", 2, 0.5, 4.0, 0.75, 1.0, 0.95),
            evaluation(NIGHT_2, "m2", "constant_caption", 0, None, None, None, None, None),
            evaluation(NIGHT_2, "m2", "shuffled_pictures", 2, 0.0, 14.0, 0.25, None, None),
            *(
                evaluation(
                    NIGHT_1, "m4", predictor, 1, 0.0, 9.0, 0.25, None, None, sentences=(1, 0, *bleus, 0.5, 0.5, cider)
                )
                for predictor, bleus, cider in (
                    ("model", (0.5, 0.25, 0.25, 0.25), 1.0),
                    ("constant_caption", (0.25, 0.0, 0.0, 0.0), 0.125),
                    ("shuffled_pictures", (0.25, 0.0, 0.0, 0.0), None),
                    ("nearest_neighbour", (0.5, 0.25, 0.25, 0.125), 0.25),
                )
            ),
        ],
    )


def write_predictions(lake: Lake) -> None:
    """m1 captions a, b and c on night 1, m2 a, b, d and v on night 2; c gets no caption, d has no reference."""
    write(
        lake,
        "caption_predictions",
        [
            ("a", "m1", METHANE, 0.9, True, [], METHANE, 0, 1.0, "test", "k1", NIGHT_1),
            ("b", "m1", ETHER, 0.5, False, [(ETHANOL, -0.9)], ETHANOL, 9, 0.5, "test", "k1", NIGHT_1),
            ("c", "m1", None, None, None, [], SALT, None, None, "train", "k1", NIGHT_1),
            ("a", "m2", "InChI=1S/C", 0.9, True, [], METHANE, 8, 0.5, "test", "k1", NIGHT_2),
            ("b", "m2", ETHANOL, 1.0, True, [], ETHANOL, 0, 1.0, "test", "k2", NIGHT_2),
            ("d", "m2", PROTON, 0.25, False, [], None, None, None, None, "k1", NIGHT_2),
            ("v", "m2", METHANE, 0.9, True, [], METHANE, 0, 1.0, "validation", "k1", NIGHT_2),
        ],
    )


def write_reviews(lake: Lake) -> None:
    """anna and bert agree on a, not on b; anna cannot tell about d; r6 took r5 back; c was captioned anew after r9."""
    write(
        lake,
        "caption_reviews",
        [
            ("r1", "a", "m1", METHANE, "wrong", None, None, "anna", None, NIGHT_1),
            ("r2", "a", "m1", METHANE, "accept", 5, None, "anna", None, NIGHT_2),
            ("r3", "a", "m1", METHANE, "accept", 4, None, "bert", None, NIGHT_1),
            ("r4", "b", "m1", ETHER, "correct", None, ETHANOL, "anna", None, NIGHT_1),
            ("r5", "b", "m1", ETHER, "wrong", None, None, "bert", None, NIGHT_2),
            ("r6", "b", "m1", ETHER, "undo", None, None, "bert", "r5", NIGHT_2),
            ("r7", "b", "m1", ETHER, "accept", None, None, "bert", None, NIGHT_1),
            ("r8", "d", "m2", PROTON, "skip", None, None, "anna", None, NIGHT_2),
            ("r9", "c", "m1", METHANE, "accept", None, None, "anna", None, NIGHT_1),
        ],
    )


def evaluation(
    evaluated_at: datetime,
    model_version: str,
    predictor: str,
    num_images: int,
    *figures: float | None,
    sentences: tuple[float | None, ...] = (None,) * 9,
) -> tuple[object, ...]:
    """A row of evaluations for the split test; `figures` begin with exact_match, `sentences` with num_sentences."""
    no_percentiles, no_control_caption = [None] * 10, None
    return (
        model_version,
        "test",
        predictor,
        num_images,
        *figures,
        *no_percentiles,
        no_control_caption,
        evaluated_at,
        *sentences,
        "f1",
    )


def write(lake: Lake, name: str, rows: list[tuple[object, ...]]) -> None:
    lake.replace(name, lake.spark.createDataFrame(rows, TABLES[name].schema))
