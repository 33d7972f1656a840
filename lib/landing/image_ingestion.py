"""Landing zone to images_raw: list what is new, then read it in commits of bounded size, many tasks at a time."""

import logging
import posixpath
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pandas as pd
import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Window

from lib.lake.delta_tables import Lake, commit_time
from lib.lake.pending_rows import batches_by_position, commit_batches, num_tasks
from lib.lake.schemas import IMAGES_RAW, IMAGES_REJECTED
from lib.lake.worker_counts import WorkerCounter
from lib.landing.archives import HIDDEN_MEMBERS, OTHER_MEMBERS, list_arrivals
from lib.landing.arrival_rows import ARRIVAL_SCHEMA, in_reading_order
from lib.landing.image_ids import HAS_SAME_PATH, archives_to_compare_again, check_ids, mark_duplicates
from lib.landing.image_reading import OUTCOME_SCHEMA, read_batches
from lib.landing.image_replacement import is_changed, replace_changed_images
from lib.landing.ledger import FILE_SCHEMA, Ledger
from lib.landing.rejected_images import as_rejected_at_ingest, outdated_rows, rejected_images, without_rejected_before
from lib.landing.zone import MEMBER_MARK, Arrival, LandedFile, LandingZone
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

TAKEN_IN = "taken in"
NUM_NAMED = 3  # files of other kinds that the log names

MAY_PASS_LATER = (
    "too_many_bytes",
    "decompression_bomb",
    "unreadable_member",
    "unreadable_file",
    "corrupt_image",  # as versions before 0.3 called a file that became shorter while it was read
    "unreadable_name",
    "unsupported_format",
    "duplicate_image_id",
)


def ingest_images(lake: Lake, ledger: Ledger, zone: LandingZone, settings: LandingSettings) -> None:
    """Read the images that are not in the lake yet into images_raw, or into images_rejected with a reason."""
    compared_again = archives_to_compare_again(lake)
    unread = set(ledger.unread(zone.archives))
    archives = [archive for archive in zone.archives if archive in unread or archive.path in compared_again]
    # Computed once, and cut off from the tables that change below: again, it would lack what was just taken in.
    listed = lake.stage(_with_known(_list_files(lake, zone.images + archives, zone.rejected, settings), lake))
    reason = F.coalesce("reason", F.lit(""))
    is_image = ~reason.isin(HIDDEN_MEMBERS, OTHER_MEMBERS)
    is_new = F.col("known_id").isNull() & is_image
    counts = listed.agg(
        F.count_if(is_new).alias("new"),
        F.count_if(is_changed()).alias("changed"),
        F.count_if(F.col("known_id").isNotNull() & F.col("reason").isNotNull() & is_image).alias("known_unread"),
        *(
            F.coalesce(F.sum(F.when(reason == skipped, F.col("num_bytes"))), F.lit(0)).alias(skipped)
            for skipped in (HIDDEN_MEMBERS, OTHER_MEMBERS)
        ),
        F.collect_set(F.when(reason == OTHER_MEMBERS, F.col("detail"))).alias("some_others"),
    ).first()
    assert counts is not None  # an aggregate has one row
    check_ids(listed)
    if counts.changed:  # first, since what comes is compared with what they are now
        replace_changed_images(lake, listed.where(is_image), settings)
    outcomes: Counter[str] = Counter()
    if counts.new:
        new = without_rejected_before(listed.where(is_new).select(*ARRIVAL_SCHEMA.names), lake)
        marked = mark_duplicates(lake, new, _holders_of_ids(lake, listed), settings)
        outcomes = _take_in(lake, lake.stage(_unsettled(lake, marked)), settings)
        unfinished = _paths_to_open_again(lake, marked)
        archives_read = [archive for archive in archives if archive.path not in unfinished]
    else:
        archives_read = archives
    _remove(lake, outdated_rows(lake))
    if counts.known_unread:
        logger.warning(
            "files of %d images that are in the lake cannot be read now: their old bytes are kept", counts.known_unread
        )
    _forget_mended_files(lake, zone, listed)
    _forget_members_gone(lake, archives, listed)
    _forget_taken_in(lake)
    ledger.remember(archives_read)
    num_others, num_hidden = len(zone.others) + counts.other_members, zone.num_hidden + counts.hidden_members
    beside = {
        f"opened {len(archives)} of {len(zone.archives)} archives": len(zone.archives),
        f"skipped {num_others} files of other kinds{_such_as(zone.others + counts.some_others, settings)}": num_others,
        f"skipped {num_hidden} hidden files": num_hidden,
    }
    said = [f"{outcomes.pop(TAKEN_IN, 0)} new images", *(words for words, number in beside.items() if number)]
    logger.info("%s", "; ".join(said))
    if outcomes:
        rejected = ", ".join(f"{number} {reason}" for reason, number in sorted(outcomes.items()))
        logger.warning("images rejected, as images_rejected says: %s", rejected)


def _such_as(names: list[str], settings: LandingSettings) -> str:
    """A few of the names, in brackets; first those with an image suffix that is not at the end."""

    def order(name: str) -> tuple[bool, str]:
        return not any(suffix in name.lower() for suffix in settings.image_suffixes), name

    few = sorted(names, key=order)[:NUM_NAMED]
    return f" (such as {', '.join(map(repr, few))})" if few else ""


def _take_in(lake: Lake, arrivals: DataFrame, settings: LandingSettings) -> Counter[str]:
    """Read the arrivals in commits of bounded size; how many were TAKEN_IN, and rejected by reason."""
    num_arrivals = arrivals.count()
    numbers: Counter[str] = Counter()

    def commit(batch: DataFrame, num_rows: int, counter: WorkerCounter) -> None:
        numbers.update(_commit_batch(lake, batch, num_rows, counter))

    if num_arrivals:
        batches = batches_by_position(arrivals, num_arrivals, settings.images_per_commit)
        commit_batches(lake, "ingest_images", batches, num_arrivals, commit)
    return numbers


def _list_files(lake: Lake, files: list[LandedFile], rejected: list[Arrival], settings: LandingSettings) -> DataFrame:
    """The arrivals in these files and those rejected already, as ARRIVAL_SCHEMA."""
    num_partitions = max(1, min(len(files), 4 * lake.spark.sparkContext.defaultParallelism))
    rows = lake.spark.createDataFrame(files, FILE_SCHEMA).repartition(num_partitions, "path")
    listed = rows.mapInPandas(partial(_list_batches, settings=settings), ARRIVAL_SCHEMA)
    return listed.unionByName(lake.spark.createDataFrame(rejected, ARRIVAL_SCHEMA))


def _with_known(listed: DataFrame, lake: Lake) -> DataFrame:
    """Arrivals with what images_raw has of their source: known_id, known_bytes and known_version, or null."""
    names = {"image_id": "known_id", "num_bytes": "known_bytes", "file_version": "known_version"}
    known = lake.read("images_raw").select("source", *names).withColumnsRenamed(names)
    return listed.join(known, on="source", how="left")


def _holders_of_ids(lake: Lake, listed: DataFrame) -> DataFrame:
    """The images that keep their id: all but those that cleaning has rejected and whose file is what it was then."""
    changed = listed.where(is_changed()).select(F.col("known_id").alias("image_id"))
    without_say = rejected_images(lake).join(changed, on="image_id", how="left_anti").select("image_id")
    raw = lake.read("images_raw").select("image_id", "source", "num_bytes", "sha256")
    return raw.join(without_say, on="image_id", how="left_anti")


def _unsettled(lake: Lake, marked: DataFrame) -> DataFrame:
    """Arrivals that were not rejected before for the same reason, numbered by `position` in order of their place."""
    said = lake.read("images_rejected").where((F.col("stage") == "ingest") & F.col("cleaning_version").isNull())
    rejected = said.select("image_id", "source", "reason", "detail")
    is_as_said = marked["reason"].eqNullSafe(rejected["reason"]) & (
        (rejected["reason"] != "duplicate_image_id") | marked["detail"].eqNullSafe(rejected["detail"])
    )
    # Refused before and still for the same reason, or for one that a new listing cannot see.
    is_settled = (
        (marked["source"] == rejected["source"])
        & (marked["image_id"] == rejected["image_id"])
        & (is_as_said | ~rejected["reason"].isin(*MAY_PASS_LATER))
    )
    return marked.join(rejected, on=is_settled, how="left_anti").withColumn(
        "position", F.row_number().over(Window.orderBy("path", "offset", "source")) - 1
    )


def _paths_to_open_again(lake: Lake, marked: DataFrame) -> set[str]:
    """Archives that may give more next time: damaged ones, and those with images whose image_id nobody has."""
    held = lake.read("images_raw").select("image_id")
    without_id = marked.where(F.col("reason") == "duplicate_image_id").join(held, on="image_id", how="left_anti")
    damaged = marked.where(F.col("reason") == "unreadable_archive")
    return {row.path for row in without_id.select("path").union(damaged.select("path")).distinct().collect()}


def _forget_mended_files(lake: Lake, zone: LandingZone, listed: DataFrame) -> None:
    """Remove what was said of folders, and of files that are no images, that can be read now.

    Such are archives half copied then, and folders on a disk that was away.
    """
    unread = listed.where(~F.col("reason").isin(HIDDEN_MEMBERS, OTHER_MEMBERS)).select("source")
    said = lake.read("images_rejected").where(F.col("stage") == "ingest")
    said = said.where(F.col("reason").isin("unreadable_archive", "unreadable_file"))
    sources = [row.source for row in said.join(unread, on="source", how="left_anti").select("source").collect()]
    if not sources:
        return
    readable = {file.path for file in zone.archives + zone.captions + zone.layouts + zone.split_lists}
    for path in [*readable, *(file.path for file in zone.images)]:
        while (path := posixpath.dirname(path)) and path not in readable:
            readable.add(path)
    mended = [(source,) for source in sources if source in readable]
    if mended:
        _remove(lake, said.join(lake.spark.createDataFrame(mended, "source string"), on="source", how="left_semi"))


def _forget_members_gone(lake: Lake, archives: list[LandedFile], listed: DataFrame) -> None:
    """Remove what was said of members that an archive had before and has not now, where it was read to its end."""
    if not archives:
        return
    damaged = listed.where(F.col("reason") == "unreadable_archive").select("path").collect()
    readable = {file.path for file in archives} - {row.path for row in damaged}
    starts = [f"{path}{MEMBER_MARK}" for path in readable]
    prefixes = lake.spark.createDataFrame([(start,) for start in starts], "prefix string")
    said = lake.read("images_rejected").where(F.col("stage") == "ingest")
    said = said.join(F.broadcast(prefixes), on=F.col("source").startswith(F.col("prefix")), how="left_semi")
    _remove(lake, said.join(listed.select("source"), on="source", how="left_anti"))


def _forget_taken_in(lake: Lake) -> None:
    """Remove what was said of images that are in the lake: another run may have taken them in at the same time.

    So may a run have said that an image's id is another's now, and have been killed before the other was taken in.
    """
    is_rival = (F.col("reason") == "duplicate_image_id") & ~F.coalesce("detail", F.lit("")).endswith(HAS_SAME_PATH)
    has_lost_its_id = F.col("cleaning_version").isNotNull()
    said = lake.read("images_rejected").where((F.col("stage") == "ingest") & (is_rival | has_lost_its_id))
    if not said.isEmpty():
        _remove(
            lake, said.join(lake.read("images_raw").select("image_id", "source"), ["image_id", "source"], "left_semi")
        )


def _remove(lake: Lake, rejected: DataFrame) -> None:
    """Remove these rows of images_rejected."""
    gone = rejected.select(*IMAGES_REJECTED.schema.names).withColumn("reason", F.lit(None).cast("string"))
    gone = lake.stage(gone)
    if not gone.isEmpty():
        lake.upsert("images_rejected", gone, delete_when="new.reason is null")


def _commit_batch(lake: Lake, arrivals: DataFrame, num_rows: int, counter: WorkerCounter) -> dict[str, int]:
    """Read one batch and commit it: first what is rejected, then what is taken in; both may be repeated harmlessly.

    Returns the number of images TAKEN_IN, and of those rejected by reason.
    """
    now = F.lit(commit_time())
    outcomes = (
        in_reading_order(arrivals, num_tasks(lake.spark, num_rows))
        .mapInPandas(partial(read_batches, counter=counter), OUTCOME_SCHEMA)
        .transform(lake.stage)
    )
    by_reason = outcomes.groupBy(F.coalesce("reason", F.lit(TAKEN_IN)).alias("outcome")).count().collect()
    numbers = {row.outcome: row["count"] for row in by_reason}
    has_rejected = numbers.keys() > {TAKEN_IN} or TAKEN_IN not in numbers
    said = lake.read("images_rejected").where(F.col("stage") == "ingest")
    rejected = said.select("image_id", "source")
    if has_rejected or not rejected.isEmpty():
        keys = ["image_id", "source"]
        # What was rejected under another image_id, as landing.image_id was then, goes.
        renamed = rejected.join(outcomes, on="source", how="left_semi").join(outcomes, on=keys, how="left_anti")
        changed = lake.stage(
            outcomes.withColumn(
                "rank", F.row_number().over(Window.partitionBy(*keys).orderBy(F.col("reason").isNull()))
            )
            .where("rank = 1")
            .drop("rank")
            .unionByName(renamed, allowMissingColumns=True)
            .withColumns({"stage": F.lit("ingest"), "cleaning_version": F.lit(None).cast("string"), "rejected_at": now})
            .select(*IMAGES_REJECTED.schema.names)
            # A damaged member is read again in each run: what was said of it stays as it was said.
            .join(said.select(*keys, "reason", "detail"), on=[*keys, "reason", "detail"], how="left_anti")
            .select(*IMAGES_REJECTED.schema.names)
        )
        if not changed.isEmpty():
            lake.upsert("images_rejected", changed, delete_when="new.reason is null")
    taken = outcomes.where(F.col("reason").isNull()).withColumns({"ingested_at": now, "is_replaced": F.lit(False)})
    taken = taken.select(*IMAGES_RAW.schema.names)
    former = lake.stage(rejected_images(lake).join(taken, on="image_id", how="left_semi"))
    if not former.isEmpty():
        lake.upsert("images_rejected", as_rejected_at_ingest(former))
        successors = taken.join(former, on="image_id", how="left_semi").withColumn("is_replaced", F.lit(True))
        lake.upsert("images_raw", successors)
    lake.insert_new("images_raw", taken)
    return numbers


def _list_batches(files: Iterator[pd.DataFrame], settings: LandingSettings) -> Iterator[pd.DataFrame]:
    for batch in files:
        rows: list[Arrival] = []
        for path, num_bytes, modified_at in batch.itertuples(index=False):
            for arrival in list_arrivals(LandedFile(path, num_bytes, modified_at), settings):
                rows.append(arrival)
                if len(rows) == 10_000:
                    yield pd.DataFrame(rows, columns=ARRIVAL_SCHEMA.names)
                    rows = []
        yield pd.DataFrame(rows, columns=ARRIVAL_SCHEMA.names)
