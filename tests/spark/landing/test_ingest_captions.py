"""From caption files to captions: `pytest tests/spark/landing/test_ingest_captions.py`."""

import json
import os
from pathlib import Path

import pyspark.sql.functions as F
import pytest
from pyspark.testing import assertDataFrameEqual

from lib.errors import LandingZoneError, NotationError
from lib.lake.delta_tables import Lake
from lib.lake.splits import split_of
from lib.landing.caption_ingestion import ingest_captions
from lib.landing.caption_search import find_captions
from lib.landing.ledger import Ledger
from lib.landing.zone import list_landing_zone
from tests.spark.landing.test_ingest_images import ingest, num_commits, rejected
from tests.spark.landing_files import image, settings_for, write_captions, write_zip

METHANE, ETHANE = "InChI=1S/CH4/h1H4", "InChI=1S/C2H6/c1-2/h1-2H3"
HEADER = "image_id,InChI\n"


def ingest_words(lake: Lake, landing: Path, *overrides: str) -> None:
    ingest(lake, landing, "captions.notation=words", *overrides)


def captions_in(lake: Lake) -> dict[str, str]:
    return {row.image_id: row.caption for row in lake.read("captions").collect()}


@pytest.mark.slow
def test_captions_of_a_later_file_are_added_to_those_an_image_has(lake, arrived):
    (arrived / "a_labels.csv").write_text("image_id,InChI\np,one\np,two\n")
    ingest_words(lake, arrived, "landing.max_captions_per_image=3")
    (arrived / "b_labels.csv").write_text("image_id,InChI\np,two\np,three\np,four\n")
    ingest_words(lake, arrived, "landing.max_captions_per_image=3")
    rows = lake.read("captions").orderBy("caption_index").collect()
    assert [(row.caption_index, row.caption, row.source[-12:]) for row in rows] == [
        (0, "one", "a_labels.csv"),
        (1, "two", "a_labels.csv"),
        (2, "three", "b_labels.csv"),
    ]
    assert [row.detail for row in lake.read("images_rejected").collect()] == ["four"]

    (arrived / "a_labels.csv").write_text("image_id,InChI\np,ONE\n")
    ingest_words(lake, arrived, "landing.max_captions_per_image=3")
    captions = {row.caption_index: row.caption for row in lake.read("captions").collect()}
    assert captions == {0: "three", 1: "ONE", 2: "two"}  # which the other file says too
    assert [row.detail for row in lake.read("images_rejected").collect()] == ["four"]

    (arrived / "a_labels.csv").write_text("image_id,InChI\nq,ONE\n")
    ingest_words(lake, arrived, "landing.max_captions_per_image=3")
    captions = {row.caption_index: row.caption for row in lake.read("captions").where("image_id = 'p'").collect()}
    assert captions == {0: "three", 1: "two", 2: "four"}  # there is room for it now
    assert rejected(lake) == {}


def test_captions_keep_their_order_and_a_changed_one_replaces_the_old(lake, landing):
    arrived = landing / "a\nb row 2"  # the place of a row ends with its number, whatever its file is called
    arrived.mkdir()
    (arrived / "p.png").write_bytes(image(1))
    (arrived / "captions.csv").write_text(
        "image_id,InChI\np.png,first\np.png,second\nq,other\n,no id\np.png,\np.png,third\nq,other\n"
    )
    ingest_words(lake, arrived, "landing.max_captions_per_image=2")
    columns = ["image_id", "caption_index", "caption"]
    expected = [("p", 0, "first"), ("p", 1, "second"), ("q", 0, "other"), ("q", 1, "other")]
    schema = "image_id string, caption_index int, caption string"
    assertDataFrameEqual(lake.read("captions").select(*columns), lake.spark.createDataFrame(expected, schema))
    assert sorted(row.reason for row in lake.read("images_rejected").collect()) == [
        "empty_caption",
        "empty_caption",
        "too_many_captions",
    ]

    (arrived / "captions.csv").write_text("image_id,InChI\np.png,first corrected\np.png,second\nq,other\n")
    ingest_words(lake, arrived, "landing.max_captions_per_image=2")
    expected = [("p", 0, "first corrected"), *expected[1:3]]
    assertDataFrameEqual(lake.read("captions").select(*columns), lake.spark.createDataFrame(expected, schema))
    assert rejected(lake) == {}  # what the file said before is gone


@pytest.mark.slow
def test_what_a_file_says_twice_is_two_captions_and_what_two_files_say_is_of_the_first(lake, arrived):
    def ingested() -> tuple[list[tuple[str, str, int]], list[tuple[str, str]]]:
        """Captions by their index with file and row, and those without room."""
        ingest_words(lake, arrived, "landing.max_captions_per_image=4")
        rows = lake.read("captions").orderBy("caption_index").collect()
        assert [row.caption_index for row in rows] == list(range(len(rows)))
        rest = [(row.detail, Path(row.source).name) for row in lake.read("images_rejected").orderBy("source").collect()]
        return [(row.caption, Path(row.source).name[0], row.row) for row in rows], rest

    (arrived / "a_labels.csv").write_text(HEADER + "p,x\np,y\np,x\n")
    assert ingested() == ([("x", "a", 1), ("y", "a", 2), ("x", "a", 3)], [])
    (arrived / "b_labels.csv").write_text(HEADER + "p,x\np,z\np,z\np,x\n")
    first = [("x", "a", 1), ("y", "a", 2), ("x", "a", 3), ("z", "b", 2)], [("z", "b_labels.csv row 3")]
    assert ingested() == first

    # A run that is killed may leave a row both in the table and among those without room.
    row_2 = F.lit(f"file://{arrived}/b_labels.csv row 2")
    lake.upsert("images_rejected", lake.read("images_rejected").withColumn("source", row_2))
    again = [("z", "b", 2), ("x", "a", 1), ("y", "a", 2), ("x", "a", 3)], [("z", "b_labels.csv row 3")]
    for name, expected in (("a_labels.csv", again), ("b_labels.csv", first)):
        os.utime(arrived / name, (0, 0))
        assert ingested() == expected

    (arrived / "a_labels.csv").write_text(HEADER + "p,y\n")
    assert ingested() == ([("z", "b", 2), ("y", "a", 1), ("x", "b", 1), ("z", "b", 3)], [("x", "b_labels.csv row 4")])


@pytest.mark.slow
def test_a_corrected_file_leaves_nothing_behind_and_closes_the_gap_before_other_files_captions(lake, arrived):
    (arrived / "a_labels.csv").write_text('image_id,InChI\np,wrong\nq,"open\nr,one,two\n')
    ingest_words(lake, arrived, "landing.max_captions_per_image=2")
    (arrived / "b_labels.csv").write_text("image_id,InChI\np,right\n")
    ingest_words(lake, arrived, "landing.max_captions_per_image=2")
    assert rejected(lake) == {"q": "unpaired_quote", "r": "uneven_row"}
    (arrived / "a_labels.csv").write_text("image_id,InChI\ns,new,\n")
    ingest_words(lake, arrived, "landing.max_captions_per_image=2")
    rows = lake.read("captions").collect()
    assert [(row.image_id, row.caption_index, row.caption) for row in rows] == [("p", 0, "right")]
    assert rejected(lake) == {"s": "uneven_row"}
    (arrived / "a_labels.csv").unlink()
    (arrived / "b_labels.csv").unlink()
    ingest_words(lake, arrived, "landing.max_captions_per_image=2")
    assert captions_in(lake) == {"p": "right"}  # captions stay, as images do


def test_the_split_follows_from_the_image_id_alone(spark, landing):
    asked = settings_for(landing, "captions.test_fraction=0.2", "captions.validation_fraction=0.1").captions
    ids = spark.range(1000).select(F.concat(F.lit("id"), F.col("id").cast("string")).alias("image_id"))
    splits = {row.image_id: row.split for row in ids.withColumn("split", split_of(F.col("image_id"), asked)).collect()}
    few = ids.where("image_id in ('id1', 'id500', 'id999')").withColumn("split", split_of(F.col("image_id"), asked))
    assert all(splits[row.image_id] == row.split for row in few.collect())
    seen = {split: list(splits.values()).count(split) / 1000 for split in ("train", "validation", "test")}
    assert seen == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.04)


FLICKR = "Flickr_8k.{}Images.txt"
SPLIT_FILES = ", ".join(
    f"{split}: {FLICKR.format(name)}" for split, name in {"train": "train", "validation": "dev", "test": "test"}.items()
)


HELD_OUT = ("captions.validation_fraction=0.49", "captions.test_fraction=0.49")  # one image in fifty falls into train


def splits_in(lake: Lake) -> dict[str, list[str]]:
    """The distinct splits of each image's captions."""
    rows = lake.read("captions").groupBy("image_id").agg(F.array_sort(F.collect_set("split")).alias("splits")).collect()
    return {row.image_id: row.splits for row in rows}


def test_an_image_keeps_its_split_when_lists_or_fractions_change(lake, arrived, caplog):
    of_fractions = ("captions.validation_fraction=0", "captions.test_fraction=0")
    asked = (f"landing.split_files={{{SPLIT_FILES}}}", "landing.max_captions_per_image=3")
    write_captions(arrived / "a_labels.csv", dict.fromkeys("pqrs", "first"))
    lists = {FLICKR.format(name): image_id for name, image_id in (("train", "p"), ("dev", "q"), ("test", "r"))}
    for name, image_id in lists.items():
        (arrived / name).write_text(f"{image_id}.jpg\n")
    caplog.set_level("INFO")
    ingest_words(lake, arrived, *asked, *of_fractions)
    given = {"p": ["train"], "q": ["validation"], "r": ["test"], "s": ["train"]}
    assert splits_in(lake) == given
    assert "3 images are in lists of splits; 1 images with captions are in none and of split train" in caplog.text

    for name in lists:
        (arrived / name).unlink()
    write_captions(arrived / "b_labels.csv", dict.fromkeys("pqrst", "second"))
    ingest_words(lake, arrived, *asked, *HELD_OUT)
    assert caplog.text.count("no list that landing.split_files names has arrived (Flickr_8k.trainImages.txt, ") == 1
    given["t"] = splits_in(lake)["t"]
    assert splits_in(lake) == given
    assert lake.read("captions").count() == 9

    (arrived / FLICKR.format("train")).write_text("r.jpg\n")  # lists win, but not some of them
    with pytest.raises(LandingZoneError, match=r"and not Flickr_8k\.devImages\.txt \(split validation\) or"):
        ingest_words(lake, arrived, *asked)
    assert splits_in(lake) == given
    (arrived / FLICKR.format("dev")).write_text("t.jpg\n")
    (arrived / FLICKR.format("test")).write_text("p.jpg\n")
    ingest_words(lake, arrived, *asked)
    assert splits_in(lake) == {"p": ["test"], "q": ["train"], "r": ["train"], "s": ["train"], "t": ["validation"]}


@pytest.mark.slow
def test_a_caption_that_an_older_version_put_into_another_split_joins_the_others_of_its_image(lake, arrived):
    write_captions(arrived / "a_labels.csv", {"p": "first"})
    ingest_words(lake, arrived, *HELD_OUT)
    (split,) = splits_in(lake)["p"]
    assert split == "test"
    strays = lake.read("captions").withColumns({"caption_index": F.lit(1), "split": F.lit("train")})
    lake.upsert("captions", strays.withColumns({"caption": F.lit("stray"), "source": F.lit("file:///gone.csv")}))
    write_captions(arrived / "b_labels.csv", {"p": "third"})
    ingest_words(lake, arrived, "landing.max_captions_per_image=3")
    assert (lake.read("captions").count(), splits_in(lake)) == (3, {"p": ["test"]})


@pytest.mark.slow
def test_cocos_own_splits_are_kept_and_its_captions_are_taken_in(lake, landing, caplog):
    def coco(number: int, name: str) -> str:
        images = [{"id": number, "file_name": name}, {"id": 9, "file_name": f"bare_{name}"}]
        return json.dumps({"images": images, "annotations": [{"image_id": number, "caption": "x" * 1500}]})

    (landing / "p.png").write_bytes(image(1))
    (landing / "captions_train2017.json").write_text(coco(1, "p.jpg"))
    write_zip(landing / "annotations.zip", {"annotations/captions_val2017.json": coco(1, "q.jpg").encode()})
    lists = "landing.split_files={train: captions_train2017.json, validation: captions_val2017.json}"
    caplog.set_level("INFO")
    ingest_words(lake, landing, lists, *HELD_OUT)
    assert splits_in(lake) == {"p": ["train"], "q": ["validation"]}
    assert "xxx" not in caplog.text
    before = num_commits(lake)
    ingest_words(lake, landing, lists, *HELD_OUT)
    assert num_commits(lake) == before
    write_captions(landing / "more_labels.csv", {"q": "y"})
    ingest_words(lake, landing, lists, *HELD_OUT, "landing.max_captions_per_image=2")
    assert splits_in(lake) == {"p": ["train"], "q": ["validation"]}
    assert lake.read("captions").count() == 3


@pytest.mark.slow
def test_what_a_file_said_goes_when_settings_make_a_list_of_it_or_name_it_no_longer(lake, arrived):
    lists, named = (
        "landing.split_files={train: a_labels.txt, test: b_labels.txt}",
        "landing.captions_files=['*labels*']",
    )
    write_zip(arrived / "in.zip", {"a_labels.txt": b"p.png#0\tof a member\n"})
    (arrived / "b_labels.txt").write_text("q.png#0\tof a list\n")
    (arrived / "c_labels.txt").write_text(f"{HEADER}r,of a text\n")
    (arrived / "captions.csv").write_text(f"{HEADER}s,of all\n")
    ingest_words(lake, arrived)
    assert captions_in(lake).keys() == {"p", "q", "r", "s"}
    ingest_words(lake, arrived, lists)
    assert captions_in(lake).keys() == {"r", "s"}
    before = num_commits(lake)
    ingest_words(lake, arrived, lists)
    assert num_commits(lake) == before
    ingest_words(lake, arrived, lists, "landing.captions_files=[captions.csv]")
    assert captions_in(lake).keys() == {"s"}
    ingest_words(lake, arrived, named)
    assert captions_in(lake).keys() == {"p", "q", "r"}
    ingest_words(lake, arrived)
    assert captions_in(lake).keys() == {"p", "q", "r", "s"}


@pytest.mark.slow
def test_kaggles_folder_is_read_as_it_unzips(lake, arrived, caplog):
    write_captions(arrived / "train_labels.csv", {"p": METHANE})
    write_captions(arrived / "sample_submission.csv", {"t1": "InChI=1S/H2O/h1H2", "t2": "InChI=1S/H2O/h1H2"})
    (arrived / "extra_approved_InChIs.csv").write_text(f"InChI\n{ETHANE}\n")
    (arrived / "notes.csv").write_text("whatever\n")
    with caplog.at_level("INFO"):
        ingest(lake, arrived)
    assert captions_in(lake) == {"p": METHANE}
    assert "3 tables left alone, since landing.captions_files does not name them: " in caplog.text
    assert f"{arrived}/sample_submission.csv" in caplog.text
    # Named once and no more: what was taken from it goes, and comes back when it is named again.
    named = "landing.captions_files=[train_labels.csv, sample_*]"
    ingest(lake, arrived, named)
    assert captions_in(lake).keys() == {"p", "t1", "t2"}
    ingest(lake, arrived)
    assert captions_in(lake) == {"p": METHANE}
    before = num_commits(lake)
    ingest(lake, arrived)
    assert num_commits(lake) == before
    ingest(lake, arrived, named)
    assert captions_in(lake).keys() == {"p", "t1", "t2"}


@pytest.mark.slow
def test_caption_files_that_do_not_fit_stop_nothing_while_one_fits(lake, arrived, caplog):
    write_captions(arrived / "labels.csv", {"p": METHANE})
    (arrived / "my_captions.csv").write_text("name,text\np,hello\n")
    (arrived / "captions.csv").write_bytes(b"")
    (arrived / "labels.csv.gz").write_bytes(b"\x1f\x8bcut")
    ingest(lake, arrived)
    assert captions_in(lake) == {"p": METHANE}
    assert f"{arrived}/captions.csv is empty" in caplog.text
    assert f"{arrived}/labels.csv.gz cannot be read to its end" in caplog.text
    assert "no column 'image_id' and no column 'InChI' (it has: name, text)" in caplog.text
    # A file that is not whole yet takes nothing back; it is read when it is.
    (arrived / "labels.csv").write_bytes(b"")
    ingest(lake, arrived)
    assert captions_in(lake) == {"p": METHANE}
    write_captions(arrived / "labels.csv", {"p": ETHANE})
    ingest(lake, arrived)
    assert captions_in(lake) == {"p": ETHANE}


@pytest.mark.slow
def test_a_caption_file_that_is_gone_when_it_is_read_takes_nothing_back_and_is_read_when_it_is_there_again(
    lake, arrived
):
    write_captions(arrived / "labels.csv", {"p": "old"})
    members = {"labels.csv": f"{HEADER}q,of zip\n".encode()}
    write_zip(arrived / "a.zip", members)
    ingest_words(lake, arrived)
    write_captions(arrived / "labels.csv", {"p": "newer"})
    write_zip(arrived / "a.zip", members | {"note.csv": b"x"})
    settings = settings_for(arrived, f"storage.root={lake.storage.root}", "captions.notation=words")
    ledger = Ledger(lake)
    zone = list_landing_zone(settings.landing, settings.storage.root)
    found = find_captions(lake, ledger, zone, settings.landing, settings.captions)
    for name in ("labels.csv", "a.zip"):
        (arrived / name).rename(arrived / f"{name}.part")
    with lake.staging():
        ingest_captions(lake, ledger, found, settings.landing, settings.captions)
    ledger.save()
    assert captions_in(lake) == {"p": "old", "q": "of zip"}
    sources = {f"file://{arrived}/{name}" for name in ("labels.csv", "a.zip!labels.csv")}
    assert rejected(lake) == dict.fromkeys(sources, "unreadable_row")
    for name in ("labels.csv", "a.zip"):
        (arrived / f"{name}.part").rename(arrived / name)
    ingest_words(lake, arrived)
    assert (captions_in(lake), rejected(lake)) == ({"p": "newer", "q": "of zip"}, {})


@pytest.mark.slow
def test_without_a_caption_file_that_fits_the_images_are_taken_in_and_the_job_names_the_setting(lake, arrived):
    (arrived / "labels.csv").write_text("name,text\np,hello\n")
    sentence = (
        r"^no captions were taken in: .*labels.csv has no column 'image_id' and no column 'InChI' \(it has: "
        r"name, text\): set landing.image_id_column and landing.caption_column, or landing.captions_files if"
    )
    for _ in range(2):
        with pytest.raises(LandingZoneError, match=sentence):
            ingest(lake, arrived)
    assert lake.read("images_raw").count() == 1
    ingest_words(lake, arrived, "landing.image_id_column=name", "landing.caption_column=text")
    assert captions_in(lake) == {"p": "hello"}


@pytest.mark.slow
def test_smiles_are_no_references_until_a_setting_converts_them(lake, arrived, caplog):
    (arrived / "labels.csv").write_text(f"{HEADER}p,{METHANE}\nq,CC\nr,no molecule\ns,[CH3\nt,{METHANE},2H\n")
    ingest(lake, arrived)
    assert captions_in(lake) == {"p": METHANE}
    assert rejected(lake) == dict.fromkeys("qrs", "other_notation") | {"t": "uneven_row"}
    assert lake.read("images_rejected").where("image_id = 't'").first().source == f"file://{arrived}/labels.csv row 5"
    assert "3 other_notation" in caplog.text
    detail = lake.read("images_rejected").where("image_id = 'q'").first().detail
    assert detail.startswith("'CC' does not begin with InChI=1S/ or InChI=1/: landing.captions_notation names")
    ingest(lake, arrived, "landing.captions_notation=smiles")
    assert captions_in(lake) == {"p": METHANE, "q": ETHANE}
    assert rejected(lake) == dict.fromkeys("rs", "other_notation") | {"t": "uneven_row"}
    with pytest.raises(NotationError, match=r"landing\.captions_notation is 'smile'; there are: inchi, .*smiles"):
        ingest(lake, arrived, "landing.captions_notation=smile")


@pytest.mark.slow
def test_cocos_captions_are_taken_in_beside_rejected_entries(lake, arrived):
    images = [{"id": 1, "file_name": "p.png"}, {"id": 2, "file_name": "q.png"}]
    entries = [(1, "A man, a plan.\n"), (2, "A canal"), (1, "Panama"), (3, "of nobody"), (2, " ")]
    annotations = [{"image_id": image_id, "caption": caption} for image_id, caption in entries]
    content = json.dumps({"info": {}, "annotations": annotations, "images": images})
    (arrived / "captions_val2017.json").write_text(content)
    ingest_words(lake, arrived, "landing.max_captions_per_image=5")
    rows = lake.read("captions").orderBy("image_id", "caption_index").collect()
    assert [(row.image_id, row.caption) for row in rows] == [("p", "A man, a plan."), ("p", "Panama"), ("q", "A canal")]
    source = f"file://{arrived}/captions_val2017.json"
    assert {(row.image_id, row.reason, row.source) for row in lake.read("images_rejected").collect()} == {
        ("row 4", "unlisted_image", f"{source} row 4"),
        ("q", "empty_caption", f"{source} row 5"),
    }
    before = num_commits(lake)
    ingest_words(lake, arrived, "landing.max_captions_per_image=5")
    assert num_commits(lake) == before


@pytest.mark.slow
def test_a_caption_file_beside_the_images_of_a_zip_is_read(lake, landing):
    members = {"p.png": image(1), "in/labels.csv": f"{HEADER}p,{METHANE}\nq,x\n".encode(), "notes.csv": b"n"}
    write_zip(landing / "all.zip", members | {"__MACOSX/in/._labels.csv": b"\0\1", ".old/labels.csv": b"a"})
    ingest(lake, landing)
    row = lake.read("captions").first()
    assert (row.image_id, row.caption, row.source) == ("p", METHANE, f"file://{landing}/all.zip!in/labels.csv")
    assert rejected(lake) == {"q": "other_notation"}
    before = num_commits(lake)
    ingest(lake, landing)
    assert num_commits(lake) == before
    write_zip(landing / "all.zip", members | {"in/labels.csv": f"{HEADER}p,{ETHANE}\n".encode()})
    ingest(lake, landing)
    assert (captions_in(lake), rejected(lake)) == ({"p": ETHANE}, {})
    write_zip(landing / "all.zip", {"p.png": image(1), "in/labels.csv": b"name\nx\n"})
    ingest(lake, landing)
    (landing / "all.zip").write_bytes((landing / "all.zip").read_bytes()[:-30])
    ingest(lake, landing)
    assert captions_in(lake) == {"p": ETHANE}  # no damaged zip or member takes anything back
    write_zip(landing / "all.zip", {"p.png": image(1), "q.png": image(2)})
    ingest(lake, landing)
    assert captions_in(lake) == {}


@pytest.mark.slow
def test_a_file_in_latin1_is_read_and_said_to_be(lake, arrived, caplog):
    (arrived / "labels.csv").write_bytes("image_id;InChI\np;caf\u00e9\n".encode("latin-1"))
    ingest_words(lake, arrived)
    assert captions_in(lake) == {"p": "caf\u00e9"}
    assert f"{arrived}/labels.csv is no UTF-8 and is read as cp1252" in caplog.text


def write_images(landing: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (landing / name).parent.mkdir(exist_ok=True)
        (landing / name).write_bytes(image(number))


def test_a_name_without_folders_is_of_the_image_in_the_folder_of_its_file_where_ids_are_paths(lake, landing):
    write_images(landing, "1.png", "train/1.png", "test/1.png", "test/2.png")
    write_zip(landing / "valid.zip", {"valid/1.png": image(9), "valid/labels.csv": b"image_id,InChI\n1.png,valid 1\n"})
    write_captions(landing / "train" / "labels.csv", {"1.png": "train 1", "test/2.png": "by its path", "3": "early"})
    write_captions(landing / "test" / "labels.csv", {"1.png": "test 1"})
    write_captions(landing / "labels.csv", {"1.png": "root 1"})
    late, late_captions = landing / "late", {"4": "late 4", "5": "late 5"}
    for folder in (late, landing / "later"):
        folder.mkdir()
        write_captions(folder / "labels.csv", {"4.png": f"{folder.name} 4"})
    write_captions(late / "labels.csv", {"4.png": "late 4", "5.png": "late 5"})
    for _ in range(2):
        ingest_words(lake, landing, "landing.image_id=path", "landing.captions_files=labels.csv")
        write_images(landing, "5.png", "late/4.png", "later/4.png")
        (late / "5.png").write_bytes(b"")  # an image that is rejected, while another one has its name
        assert (
            captions_in(lake)
            == {
                "1": "root 1",
                "train/1": "train 1",
                "test/1": "test 1",
                "test/2": "by its path",
                "valid/1": "valid 1",
                "3": "early",
            }
            | late_captions
        )
        late_captions = {"late/4": "late 4", "late/5": "late 5", "later/4": "later 4"}


@pytest.mark.slow
def test_captions_that_name_folders_go_to_no_image_of_another_folder_whichever_comes_first(lake, landing):
    write_images(landing, "test/1.png", "train/2.png", "4.png", "5.png")
    rows = {"train/1": "of another", "train/2.png": "right", "train/3": "early", "images/4.png": "of none"}
    write_captions(
        landing / "labels.csv",
        rows
        | {"train/5": "of one", "test/5": "or of another", "valid/6": "alone"}
        | {"train/7": "first", "test/7": "second"},
    )
    ingest_words(lake, landing)
    assert captions_in(lake) == {"2": "right", "3": "early", "4": "of none", "6": "alone", "7": "first"}
    assert rejected(lake) == {"1": "other_folder", "5": "other_folder", "7": "too_many_captions"}
    details = {row.source: row.detail for row in lake.read("images_rejected").collect()}
    assert details[f"file://{landing}/labels.csv row 1"] == (
        f"the caption is of train/1 and the image is file://{landing}/test/1.png: give both the same folders, name no "
        "folder in the captions file, or use landing.image_id=path in a new lake"
    )
    assert details[f"file://{landing}/labels.csv row 6"].startswith(
        f"captions of train/5 and test/5 are for one image, file://{landing}/5.png: "
    )
    before = num_commits(lake)
    ingest_words(lake, landing)
    assert num_commits(lake) == before

    # An image that comes after its caption is held to it too, and a corrected file takes all this back.
    write_images(landing, "test/3.png", "valid/6.png", "test/7.png")
    ingest_words(lake, landing)
    assert captions_in(lake) == {"2": "right", "4": "of none", "6": "alone", "7": "second"}
    assert rejected(lake) == dict.fromkeys("1357", "other_folder")
    write_captions(landing / "labels.csv", {"test/1": "one", "3": "three", "valid/6": "alone"})
    ingest_words(lake, landing)
    assert (captions_in(lake), rejected(lake)) == ({"1": "one", "3": "three", "6": "alone"}, {})


@pytest.mark.slow
def test_captions_beside_an_image_whose_name_is_taken_go_to_no_image_outside_of_their_archive_or_folder(lake, landing):
    def ingested() -> list[tuple[str, int, str]]:
        ingest_words(lake, landing, "landing.max_captions_per_image=2")
        rows = lake.read("captions").orderBy("image_id", "caption_index").collect()
        return [(row.image_id, row.caption_index, row.caption) for row in rows]

    def write(folder: str, images: dict[str, int], captions: dict[str, str]) -> None:
        (landing / folder).mkdir(exist_ok=True)
        for name, number in images.items():
            (landing / folder / name).write_bytes(image(number))
        write_captions(landing / folder / "labels.csv", captions)

    def packed(images: dict[str, int], captions: str) -> dict[str, bytes]:
        return {name: image(number) for name, number in images.items()} | {"captions.csv": (HEADER + captions).encode()}

    write_zip(landing / "train.zip", packed({"1.png": 1, "2.png": 2}, "1,train one\n"))
    write("train", {"5.png": 5, "6.png": 6}, {"5": "train five", "6": "train six"})
    write("test", {}, {"5": "test five", "6": "test six", "7": "test seven"})
    # Of files that are read at once, that beside the image comes first.
    of_train = [("1", 0, "train one"), ("5", 0, "train five"), ("6", 0, "train six"), ("6", 1, "test six")]
    assert ingested() == sorted([*of_train, ("5", 1, "test five"), ("7", 0, "test seven")])

    write_zip(landing / "test.zip", packed({"1.png": 11, "2.png": 2, "3.png": 3}, "1,test one\n2,same\n3,three\n"))
    write("test", {"5.png": 55}, {"5": "test five", "6": "test six", "7": "test seven"})
    write("train", {"7.png": 7}, {"5": "train five", "6": "train six", "7": "train seven"})
    of_both = [("2", 0, "same"), ("3", 0, "three"), ("7", 0, "train seven"), ("7", 1, "test seven")]
    assert ingested() == sorted(of_train + of_both)
    rows = lake.read("images_rejected").where("stage = 'captions'").orderBy("source").collect()
    assert [(row.image_id, row.reason) for row in rows] == [("1", "other_folder"), ("5", "other_folder")]
    assert rows[0].detail.startswith(
        f"the caption lies beside file://{landing}/test.zip!1.png, which is not taken in, and the image is "
        f"file://{landing}/train.zip!1.png: "
    )
    # An image that arrives last takes its caption back from the other one.
    (landing / "test/7.png").write_bytes(image(77))
    (landing / "test/6.png").write_bytes(image(6))  # the same image
    assert ingested() == sorted(of_train + of_both[:-1])
    before = num_commits(lake)
    ingested()
    assert num_commits(lake) == before


def test_captions_beside_an_image_that_cannot_be_read_go_to_no_image_of_its_name_elsewhere(lake, landing):
    for number, name in enumerate(("x/1.png", "x/2.png", "x/3.png", "w/2.heic")):
        (landing / name).parent.mkdir(exist_ok=True)
        (landing / name).write_bytes(image(number))
    (landing / "w/1.png").write_bytes(b"")
    write_captions(landing / "w/labels.csv", {"1": "empty", "2": "of a format not read", "3": "of an image of x"})
    ingest_words(lake, landing)
    assert captions_in(lake) == {"3": "of an image of x"}
    rows = lake.read("images_rejected").where("stage = 'captions'").orderBy("source").collect()
    assert [(row.image_id, row.reason) for row in rows] == [("1", "other_folder"), ("2", "other_folder")]


@pytest.mark.slow
def test_a_caption_of_another_folder_does_not_come_in_when_there_is_room_again(lake, landing):
    write_captions(landing / "a_labels.csv", {"x": "first"})
    (landing / "b_labels.csv").write_text("image_id,InChI\ntrain/p,second\ntrain/p,third\n")
    write_images(landing, "test/q.png")
    ingest_words(lake, landing, "landing.max_captions_per_image=1")
    write_images(landing, "test/p.png")
    ingest_words(lake, landing, "landing.max_captions_per_image=1")
    assert captions_in(lake) == {"x": "first"}
    rows = lake.read("images_rejected").orderBy("source").collect()
    assert [(row.reason, row.source[-5:]) for row in rows] == [("other_folder", "row 1"), ("other_folder", "row 2")]


@pytest.mark.slow
def test_a_caption_that_was_rejected_beside_another_folders_comes_in_when_that_one_goes(lake, landing):
    write_images(landing, "5.png")
    (landing / "a_labels.csv").write_text(HEADER + "5,c\ntrain/5,a\n")
    write_captions(landing / "b_labels.csv", {"test/5": "b"})
    ingest_words(lake, landing)
    assert (captions_in(lake), rejected(lake)) == ({"5": "c"}, {"5": "other_folder"})
    write_captions(landing / "a_labels.csv", {"x": "y"})
    ingest_words(lake, landing)
    assert (captions_in(lake), rejected(lake)) == ({"5": "b", "x": "y"}, {})


@pytest.mark.slow
def test_what_another_file_says_stays_when_a_corrected_one_names_another_folder(lake, landing):
    write_images(landing, "test/7.png")
    write_captions(landing / "a_labels.csv", {"7": "x"})
    write_captions(landing / "b_labels.csv", {"test/7": "x"})
    ingest_words(lake, landing)
    write_captions(landing / "a_labels.csv", {"train/7": "x"})
    ingest_words(lake, landing)
    assert captions_in(lake) == {"7": "x"}
    assert lake.read("captions").first().source.endswith("b_labels.csv")
    assert rejected(lake) == {"7": "other_folder"}


@pytest.mark.slow
def test_an_image_that_can_no_longer_be_listed_keeps_its_bytes_and_is_said(lake, arrived, caplog):
    ingest_words(lake, arrived)
    ingest_words(lake, arrived, "landing.max_image_bytes=10")
    assert "files of 1 images that are in the lake cannot be read now: their old bytes are kept" in caplog.text
    assert lake.read("images_raw").count() == 1
