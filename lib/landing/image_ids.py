"""Which of several images with one image_id is taken in: one whose bytes no other disputes, or none."""

import hashlib
import re
from collections.abc import Iterable, Iterator

import pandas as pd
import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Window

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake
from lib.lake.pending_rows import num_tasks
from lib.landing.archives import read_arrivals
from lib.landing.arrival_rows import ARRIVAL_SCHEMA, arrivals_of, in_reading_order
from lib.landing.unread_formats import UNREAD_IMAGES
from lib.landing.zone import END_OF_ARCHIVE, MEMBER_MARK
from lib.sections.landing import LandingSettings

PLACE = ["image_id", "source", "offset"]
HAS_SAME_PATH = "has the same path"
SAME_PATH = f"a member after it {HAS_SAME_PATH}"  # before it, in rows of versions before 0.3
OTHER_BYTES = "the bytes differ"  # in the detail of an image that was rejected for another one's id
SAME_BYTES = "the bytes are the same"
UNREAD_BYTES = "this one cannot be read"
COMPARED_WITH = "; SHA-256 of the other: "
NUM_DIGITS = 12  # of a SHA-256, which tell versions of an image apart
DIGEST_SCHEMA = "image_id string, source string, offset long, sha256 string, read_reason string, read_detail string"
WHAT_TO_CHANGE = {
    "name": "if they are different images, set landing.image_id=path, or path_with_archive if their archives differ",
    "path": "if they are different images, set landing.image_id=path_with_archive or rename one",
    "path_with_archive": "if they are different images, rename one",
}


def check_ids(listed: DataFrame) -> None:
    """Raises LandingZoneError if an arrival's image_id has more or fewer folders than its known_id.

    landing.image_id has changed then since images were taken in, and their ids do not change.
    """
    num_folders = F.size(F.split("image_id", "/")), F.size(F.split("known_id", "/"))
    renamed = listed.where(F.col("known_id").isNotNull() & (num_folders[0] != num_folders[1])).first()
    if renamed:
        raise LandingZoneError(
            f"{renamed.source} was taken in as {renamed.known_id} and the settings of landing now call it "
            f"{renamed.image_id}: set landing.image_id and landing.path to what they were, or storage.root to a new "
            "folder"
        )


def rivals_of_images(lake: Lake) -> DataFrame:
    """Columns image_id and `rivals`: the sources of images of this id that were not taken in, whatever was the reason.

    But for those whose bytes are those of the image that was. Images that were rejected for another one's id before
    version 0.3 are left out too: nobody compared their bytes. So are folders and archives.
    """
    is_image = F.lower("source").rlike(f"({'|'.join(map(re.escape, UNREAD_IMAGES))})$")
    is_of_image = (F.col("stage") == "ingest") & (F.col("reason") != "unreadable_archive")
    is_of_image &= (F.col("reason") != "unsupported_format") | is_image
    is_of_image &= (F.col("reason") != "unreadable_file") | F.col("source").rlike(r"\.[^./]+$")
    detail = F.coalesce("detail", F.lit(""))
    is_same = (F.col("reason") == "duplicate_image_id") & ~(
        detail.contains(OTHER_BYTES) | detail.contains(UNREAD_BYTES)
    )
    # A suffix that is none of landing.image_suffixes is part of the id, but captions do not name it.
    image_id = F.when(
        F.col("reason") == "unsupported_format", F.regexp_replace("image_id", r"(?<=[^/])\.[^./]+$", "")
    ).otherwise(F.col("image_id"))
    rejected = lake.read("images_rejected").where(is_of_image & ~is_same).withColumn("image_id", image_id)
    return rejected.groupBy("image_id").agg(F.array_sort(F.collect_set("source")).alias("rivals"))


def mark_duplicates(lake: Lake, arrivals: DataFrame, known: DataFrame, settings: LandingSettings) -> DataFrame:
    """Give readable arrivals whose image_id another image has the reason duplicate_image_id.

    An image that is `known` (image_id, source, num_bytes, sha256) keeps its id. Of new images with one id and the same
    bytes the first by source is taken in; if their bytes differ none is, for captions could not tell them apart. Of
    members of one archive with the same path the last that can be read is meant. Images that cannot be read have no
    say. Bytes are compared once for each version of both images. The rows that are returned are staged.
    """
    advice = WHAT_TO_CHANGE[settings.image_id]
    said = lake.read("images_rejected").where("stage = 'ingest' and reason = 'duplicate_image_id'")
    said = said.select("image_id", "source", F.col("detail").alias("said"))
    known = known.withColumnsRenamed({name: f"known_{name}" for name in ("source", "num_bytes", "sha256")})
    is_duplicate = F.col("reason").isNull() & F.col("known_source").isNotNull()
    was_said = F.coalesce(F.col("said").endswith(_compared()), F.lit(False))
    may_be_same = is_duplicate & (F.col("num_bytes") == F.col("known_num_bytes")) & ~was_said
    same_id = Window.partitionBy("image_id", F.col("reason").isNull())
    is_rival = F.col("reason").isNull() & (F.count("*").over(same_id) > 1)
    of_path = Window.partitionBy("image_id", "source", "reason")
    is_last = F.col("offset") == F.max("offset").over(of_path)
    marked = lake.stage(
        arrivals.join(known, on="image_id", how="left")
        .withColumn("is_last", is_last)
        .where("known_source is null or is_last")  # of members with the same path, of which one has a row
        .join(said, on=["image_id", "source"], how="left")
        .withColumn("is_compared", may_be_same | (is_rival & ~is_duplicate))
        .withColumns(
            {
                "detail": F.when(is_duplicate & was_said, F.col("said"))
                .when(is_duplicate, F.concat(_taken(f" and {OTHER_BYTES}; {advice}"), _compared()))
                .otherwise(F.col("detail")),
                "reason": F.when(is_duplicate, "duplicate_image_id").otherwise(F.col("reason")),
            }
        )
    )
    compared = marked.where("is_compared")
    num_compared = compared.count()
    if not num_compared:
        return marked.select(*ARRIVAL_SCHEMA.names)
    readable = compared.select(*ARRIVAL_SCHEMA.names).withColumns(
        {"reason": F.lit(None).cast("string"), "detail": F.lit(None).cast("string")}
    )
    digests = in_reading_order(readable, num_tasks(lake.spark, num_compared)).mapInPandas(
        _digest_batches, DIGEST_SCHEMA
    )
    versions = compared.select(*PLACE, "known_source", "known_sha256", "num_bytes", "file_version")
    digests = digests.join(versions, on=PLACE, how="inner")
    verdicts = _verdicts(lake.stage(digests), advice)
    return lake.stage(
        marked.join(verdicts, on=PLACE, how="left")
        .withColumns({"reason": F.coalesce("reason", "verdict"), "detail": F.coalesce("verdict_detail", "detail")})
        .select(*ARRIVAL_SCHEMA.names)
    )


def archives_to_compare_again(lake: Lake) -> set[str]:
    """Archives with an image that was compared with another of its id, which has had other bytes since."""
    said = lake.read("images_rejected").where("stage = 'ingest' and reason = 'duplicate_image_id'")
    said = said.where(F.col("detail").contains(COMPARED_WITH) & F.col("source").contains(MEMBER_MARK))
    now = lake.read("images_raw").select("image_id", "sha256")
    outdated = said.join(now, on="image_id", how="inner").where(
        ~F.col("detail").contains(F.concat(F.lit(COMPARED_WITH), F.substring("sha256", 1, NUM_DIGITS)))
    )
    sources = [row.source for row in outdated.select("source").collect()]
    # All that may be the archive: a folder may be called like one, and so may a member.
    return {source[: match.end() - 1] for source in sources for match in END_OF_ARCHIVE.finditer(source)}


def _compared(with_sha256: str = "known_sha256") -> Column:
    """Of which versions a verdict is, for people and to tell whether one has changed."""
    version = F.coalesce("file_version", F.lit(""))
    beginning = F.coalesce(F.substring(with_sha256, 1, NUM_DIGITS), F.lit(""))
    parts = (" (the file had ", F.col("num_bytes"), " bytes, version ", version, COMPARED_WITH, beginning, ")")
    return F.concat(*(F.lit(part) if isinstance(part, str) else part.cast("string") for part in parts))


def _taken(rest: str, by: str = "known_source") -> Column:
    return F.concat(F.lit("the image_id is taken by "), F.col(by), F.lit(rest))


def _verdicts(digests: DataFrame, advice: str) -> DataFrame:
    """Columns PLACE, verdict (a reason, or null for the image that is taken in) and verdict_detail.

    An image whose id a known one has is compared with that alone.
    """
    is_read, has_known = F.col("sha256").isNotNull(), F.col("known_source").isNotNull()
    of_source = Window.partitionBy("image_id", "source", is_read).orderBy(F.desc("offset"))
    of_id = Window.partitionBy("image_id", "is_meant")
    digests = digests.withColumn("is_meant", is_read & (F.row_number().over(of_source) == 1))
    digests = digests.withColumns(
        {
            "is_disputed": F.col("is_meant") & (F.min("sha256").over(of_id) != F.max("sha256").over(of_id)),
            "first_source": F.min("source").over(of_id),
            "last_source": F.max("source").over(of_id),
        }
    )
    another = F.when(F.col("source") == F.col("first_source"), F.col("last_source")).otherwise(F.col("first_source"))
    disputed = F.concat(F.lit("another image has this image_id, "), another, F.lit(f", and {OTHER_BYTES}; {advice}"))
    is_first = F.col("source") == F.col("first_source")
    return digests.select(
        *PLACE,
        F.when(has_known, "duplicate_image_id")
        .when(~is_read, F.col("read_reason"))
        .when(~F.col("is_meant") | F.col("is_disputed") | ~is_first, "duplicate_image_id")
        .alias("verdict"),
        F.when(has_known & (F.col("sha256") == F.col("known_sha256")), F.concat(_taken(f"; {SAME_BYTES}"), _compared()))
        .when(has_known & ~is_read, F.concat(_taken(f" and {UNREAD_BYTES}; {advice}"), _compared()))
        .when(has_known, F.concat(_taken(f" and {OTHER_BYTES}; {advice}"), _compared()))
        .when(~is_read, F.col("read_detail"))
        .when(~F.col("is_meant"), SAME_PATH)
        .when(F.col("is_disputed"), disputed)
        .when(~is_first, F.concat(_taken(f"; {SAME_BYTES}", "first_source"), _compared("sha256")))
        .alias("verdict_detail"),
    )


def _digest_batches(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    columns = [*PLACE, "sha256", "read_reason", "read_detail"]
    rows: list[tuple[object, ...]] = []
    for arrival, content, reason, detail in read_arrivals(arrivals_of(batches)):
        digest = hashlib.sha256(content).hexdigest() if content is not None else None
        rows.append((arrival.image_id, arrival.source, arrival.offset, digest, reason, detail))
        if len(rows) == 10_000:
            yield pd.DataFrame(rows, columns=columns)
            rows = []
    yield pd.DataFrame(rows, columns=columns)
