"""Reference captions: caption files (CSV, TSV, lines of text, COCO's JSON) to the captions table, with splits."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial, reduce
from itertools import starmap

import pandas as pd
import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Window

from lib.captions.notation_process import SafeNotation
from lib.captions.notations import notation_named
from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.pending_rows import num_tasks
from lib.lake.schemas import IMAGES_REJECTED
from lib.lake.splits import split_of
from lib.landing.archives import path_of_member
from lib.landing.caption_files import TABLE_ERRORS, CaptionFile, examine, read_rows, source_of
from lib.landing.caption_folders import names_folders, with_folder_faults
from lib.landing.caption_rows import MAX_DETAIL_CHARS, CaptionRow
from lib.landing.caption_search import FoundCaptions
from lib.landing.file_access import relative_path
from lib.landing.image_ids import rivals_of_images
from lib.landing.image_names import image_path_of
from lib.landing.ledger import Ledger
from lib.landing.zone import MEMBER_MARK
from lib.sections.captions import CaptionSettings
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

ROWS_PER_CHUNK = 100_000
CHARS_PER_CHUNK = 2**24
FILE_SCHEMA = (
    "path string, member string, encoding string, separator string, num_columns int, id_index int, caption_index int, "
    "has_header boolean, is_coco boolean"
)
ROW_SCHEMA = "image_id string, caption string, source string, position long, reason string, detail string, path string"
FOLDER_SCHEMA = "source string, folder string"
ROW_PLACE = r"(?s)^(.*) row (\d+)$"  # of a row of a captions file in images_rejected.source; names may have line feeds


def ingest_captions(
    lake: Lake, ledger: Ledger, found: FoundCaptions, landing: LandingSettings, settings: CaptionSettings
) -> None:
    """Read the caption files that were found.

    A new file adds captions to those an image has. A changed file replaces all that it said before, rejected rows
    too, and leaves other files' alone: what it says no longer stays where another file says it too. A file that is
    deleted leaves its captions, as images stay. Captions whose image has come since and lies in another folder than
    they name are rejected, and so are those beside an image that has come since and was rejected.
    """
    found = _with_images_since(lake, found, landing)
    sources = [source_of(file.path, file.member) for file in found.files] + found.dropped
    read = found.read
    rivals = lake.stage(rivals_of_images(lake))
    known = lake.read("captions").withColumn("rank", F.lit(0))
    has_rival = F.col("rivals").isNotNull()
    judgeable = known.join(rivals, on="image_id", how="left").where(names_folders() | has_rival).drop("rivals")
    judged = with_folder_faults(judgeable, lake.read("images_raw"), rivals, landing)
    misplaced = judged.where(F.col("reason").isNotNull()).select("image_id")
    if sources or not (judgeable.isEmpty() or misplaced.isEmpty()):  # the second costs more, and is seldom asked
        unread = _replace(lake, found, sources, misplaced, rivals, landing, settings)
        read = [file for file in found.read if not _is_unread(file.path, unread)]
    ledger.remember(read)
    ledger.forget(sorted(set(found.dropped) - {file.path for file in read}))


def _is_unread(path: str, unread: set[str]) -> bool:
    """Whether a path of the ledger is of one of these sources, or of the search through an archive that holds one."""
    return path in unread or (path.endswith(MEMBER_MARK) and any(source.startswith(path) for source in unread))


def _replace(
    lake: Lake,
    found: FoundCaptions,
    sources: list[str],
    misplaced: DataFrame,
    rivals: DataFrame,
    landing: LandingSettings,
    settings: CaptionSettings,
) -> set[str]:
    """Write what the files say in place of what `sources` said before; `misplaced` are further image ids to judge.

    `rivals` is as `rivals_of_images` returns it. Returns the sources that could not be read to their end, as they could
    when they were found: what they said before stays.
    """
    now = F.lit(commit_time())
    rows = lake.stage(_read_rows(lake, found.files, landing, settings))
    unread = {row.source for row in rows.where(F.col("position") == 0).select("source").collect()}
    rows = rows.where(~F.col("source").isin(list(unread)) | (F.col("position") == 0))
    sources = [source for source in sources if source not in unread]
    accepted = rows.where(F.col("reason").isNull())
    known = lake.read("captions")
    touched = lake.stage(_image_ids(accepted, known.where(F.col("source").isin(sources)), misplaced))
    known = lake.stage(known.join(touched, on="image_id", how="left_semi"))
    known_rejected = lake.stage(_rejected_rows(lake, touched, sources))
    waiting = known_rejected.where(~F.col("source").isin(sources)).withColumnRenamed("detail", "caption")
    waiting = waiting.withColumn("path", F.lit(None).cast("string"))
    lost = _lost(known.where(F.col("source").isin(sources)), accepted, rivals)
    needy = lake.stage(_image_ids(lost, waiting, misplaced))
    if found.unchanged and not needy.isEmpty():
        again = (_examined_again(path, member, landing) for path, member in found.unchanged)
        files = [file for file in again if file is not None]
        waiting = _with_what_others_say(lake, waiting, needy, known, files, landing, settings)
        known_rejected = known_rejected.unionByName(_rejected_for_folders(lake, needy, files))
    ranked = lake.stage(_ranked(accepted, known, waiting, sources))
    judged = lake.stage(with_folder_faults(ranked, lake.read("images_raw"), rivals, landing))
    wanted = lake.stage(_numbered(judged.where(F.col("reason").isNull()).drop("reason", "detail")))
    is_beyond = F.col("caption_index") >= landing.max_captions_per_image
    beyond = wanted.where(is_beyond).withColumns({"reason": F.lit("too_many_captions"), "detail": F.col("caption")})
    in_other_folders = judged.where(F.col("reason").isNotNull())
    at_their_rows = (one.withColumn("position", F.coalesce("row", "position")) for one in (beyond, in_other_folders))
    parts = (rows.where(F.col("reason").isNotNull()), *at_their_rows)
    rejected = reduce(DataFrame.unionByName, (part.select(*known_rejected.columns) for part in parts))
    num_rejected = _replace_rejected(lake, rejected, known_rejected, now)
    kept = _with_splits(wanted.where(~is_beyond), known, settings)
    changes = _changes(kept, known).withColumn("ingested_at", now).transform(lake.stage)
    num_changes = changes.count()
    if num_changes:
        lake.upsert("captions", changes, delete_when="new.caption is null")
    _log(lake, num_changes, len(found.files), num_rejected)
    return unread


def _image_ids(*parts: DataFrame) -> DataFrame:
    """The image ids of all parts, each once."""
    return reduce(DataFrame.union, (part.select("image_id") for part in parts)).distinct()


def _lost(known: DataFrame, accepted: DataFrame, rivals: DataFrame) -> DataFrame:
    """The captions that were `known` and are perhaps not said any more."""
    still_said = accepted.where(F.col("path") == F.col("image_id"))  # one with folders may be rejected for them
    still_said = still_said.join(rivals, on="image_id", how="left_anti")  # and one with rivals for these
    return known.select("image_id", "caption").join(still_said, on=["image_id", "caption"], how="left_anti")


def _log(lake: Lake, num_changes: int, num_files: int, num_rejected: dict[str, int]) -> None:
    images = lake.read("images_raw").select("image_id")
    logger.info(
        "%d new or changed captions from %d files; %d captions in the lake have no image yet",
        num_changes,
        num_files,
        lake.read("captions").join(images, on="image_id", how="left_anti").count(),
    )
    if num_rejected:
        logger.warning(
            "rows of these files rejected, as images_rejected says: %s",
            ", ".join(f"{count} {reason}" for reason, count in num_rejected.items()),
        )


def _with_what_others_say(
    lake: Lake,
    waiting: DataFrame,
    needy: DataFrame,
    known: DataFrame,
    files: list[CaptionFile],
    landing: LandingSettings,
    settings: CaptionSettings,
) -> DataFrame:
    """Rows that wait for a place, and what unchanged files say of images that lost a caption or have such rows.

    A text that another file said first has no row of its own, and one that waits has lost its path: files have both.
    """
    again = _read_rows(lake, files, landing, settings).where(F.col("reason").isNull())
    again = again.join(needy, on="image_id", how="left_semi").select(*waiting.columns)
    is_known = F.expr(
        "again.image_id = known.image_id and again.source = known.source and again.caption = known.caption "
        "and again.position = coalesce(known.row, again.position)"  # the row is unknown before version 0.3
    )
    again = lake.stage(again.alias("again").join(known.alias("known"), on=is_known, how="left_anti"))
    read_again = [source_of(file.path, file.member) for file in files]
    return waiting.where(~F.col("source").isin(read_again)).unionByName(again)


def _examined_again(path: str, member: str, landing: LandingSettings) -> CaptionFile | None:
    """How to read a file that could be read before; None if it is damaged now, which the run that finds it so says."""
    try:
        return examine(path, member, landing)
    except (LandingZoneError, OSError):
        return None


def _rejected_for_folders(lake: Lake, needy: DataFrame, files: list[CaptionFile]) -> DataFrame:
    """Rejected rows of these files for captions of other folders of these images, which are judged again."""
    rows = _rejected(lake).where(F.col("source").isin([source_of(file.path, file.member) for file in files]))
    return lake.stage(rows.where("reason = 'other_folder'").join(needy, on="image_id", how="left_semi"))


def _rejected_rows(lake: Lake, touched: DataFrame, sources: list[str]) -> DataFrame:
    """Rejected rows of these sources, and of other files those that had no room beside captions of touched images."""
    rows = _rejected(lake)
    is_own = F.col("source").isin(sources)
    had_no_room = rows.where(~is_own & (F.col("reason") == "too_many_captions"))
    return rows.where(is_own).unionByName(had_no_room.join(touched, on="image_id", how="left_semi"))


def _rejected(lake: Lake) -> DataFrame:
    """All rejected rows of captions files, as image_id, source, position, reason and detail."""
    row_number = F.regexp_extract("source", ROW_PLACE, 2).cast("long")
    return (
        lake.read("images_rejected")
        .where(F.col("stage") == "captions")
        .select(
            "image_id",
            F.regexp_extract("source", ROW_PLACE, 1).alias("source"),
            row_number.alias("position"),
            "reason",
            "detail",
        )
    )


def _replace_rejected(lake: Lake, rows: DataFrame, known: DataFrame, now: Column) -> dict[str, int]:
    """Put rejected caption rows into images_rejected in place of those it had; their numbers by reason."""
    rows = rows.select(*known.columns)
    gone = known.join(rows, on=["image_id", "source", "position"], how="left_anti")
    new = rows.join(known, on=known.columns, how="left_anti")
    changes = (
        new.unionByName(gone.withColumn("reason", F.lit(None).cast("string")))
        .select(
            "image_id",
            F.lit("captions").alias("stage"),
            "reason",
            "detail",
            F.concat("source", F.lit(" row "), F.col("position").cast("string")).alias("source"),
            F.lit(None).cast("string").alias("cleaning_version"),
            now.alias("rejected_at"),
        )
        .select(*IMAGES_REJECTED.schema.names)
        .transform(lake.stage)
    )
    if not changes.isEmpty():
        lake.upsert("images_rejected", changes, delete_when="new.reason is null")
    return {row["reason"]: row["count"] for row in rows.groupBy("reason").count().orderBy("reason").collect()}


def _read_rows(lake: Lake, files: list[CaptionFile], landing: LandingSettings, settings: CaptionSettings) -> DataFrame:
    """All rows of the files as ROW_SCHEMA, converted to the captions of captions.notation where settings say how."""
    prefixes = notation_named(settings.notation).caption_prefixes

    def read(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            for file in batch.itertuples(index=False):
                yield from _chunks(_rows_to_the_end(CaptionFile(*file), landing, prefixes))

    listed = lake.spark.createDataFrame(files, FILE_SCHEMA)
    rows = listed.repartition(max(1, len(files))).mapInPandas(read, ROW_SCHEMA)
    rows = _of_images_beside(lake, rows, files, landing)
    if not landing.captions_notation:
        return rows
    rows = lake.stage(rows)  # read once, though counted first
    is_other = F.col("reason").eqNullSafe("other_notation")
    others = rows.where(is_other)
    convert = partial(_convert, notation_name=landing.captions_notation, prefixes=prefixes)
    converted = others.repartition(num_tasks(lake.spark, others.count())).mapInPandas(convert, ROW_SCHEMA)
    return rows.where(~is_other).unionByName(converted)


def _of_images_beside(lake: Lake, rows: DataFrame, files: list[CaptionFile], landing: LandingSettings) -> DataFrame:
    """The rows, where a name without folders is that of an image in the folder of the file, if there is one.

    So HuggingFace's image folders are laid out. Where ids are names, folders are compared instead: with_folder_faults.
    """
    folders = {source_of(file.path, file.member): _folder_of(file.path, file.member, landing) for file in files}
    known = [(source, folder) for source, folder in folders.items() if folder]
    if landing.image_id == "name" or not known:
        return rows
    folder_of_file = F.broadcast(lake.spark.createDataFrame(known, FOLDER_SCHEMA))
    images = _ids_of_images(lake).select(F.col("image_id").alias("beside"), F.lit(True).alias("is_there"))
    beside = F.when(~F.col("image_id").contains("/"), F.concat("folder", F.lit("/"), "image_id"))
    found = rows.join(folder_of_file, on="source", how="left").withColumn("beside", beside)
    found = found.join(images, on="beside", how="left")
    return found.withColumns(
        {name: F.when(F.col("is_there"), F.col("beside")).otherwise(F.col(name)) for name in ("image_id", "path")}
    ).select(*rows.columns)


def _ids_of_images(lake: Lake) -> DataFrame:
    """The image_id of each image that has arrived, rejected or not."""
    return _image_ids(lake.read("images_raw"), rivals_of_images(lake))


def _with_images_since(lake: Lake, found: FoundCaptions, landing: LandingSettings) -> FoundCaptions:
    """What was found, and unchanged files to read again as images in their folders have come after them.

    Where ids are paths, a name without folders is of the image in the folder of the file, if there is one: see
    `_of_images_beside`.
    """
    if landing.image_id == "name" or not found.unchanged:
        return found
    folders = {
        source_of(path, member): (path, member, folder)
        for path, member in found.unchanged
        if (folder := _folder_of(path, member, landing))
    }
    if not folders:
        return found
    known = lake.spark.createDataFrame([(source, folder) for source, (_, _, folder) in folders.items()], FOLDER_SCHEMA)
    beside = F.concat("folder", F.lit("/"), "image_id").alias("image_id")
    said = (lake.read("captions"), _rejected(lake).where("reason = 'too_many_captions'"))
    captions = reduce(DataFrame.union, (one.select("image_id", "source") for one in said))
    captions = captions.where(~F.col("image_id").contains("/")).join(known, on="source", how="inner")
    if captions.select(beside).join(_ids_of_images(lake), on="image_id", how="left_semi").isEmpty():
        return found
    # All of them: what two files say of one name is in the table once.
    again = {source: _examined_again(path, member, landing) for source, (path, member, _) in sorted(folders.items())}
    files = {source: file for source, file in again.items() if file is not None}
    return found._replace(
        files=[*found.files, *files.values()],
        unchanged=[one for one in found.unchanged if source_of(*one) not in files],
    )


def _folder_of(path: str, member: str, landing: LandingSettings) -> str:
    """The folder of a caption file, as the ids of the images in it begin; empty if it lies in none."""
    path = path_of_member(path, member, landing) if member else relative_path(path, landing)
    return image_path_of(path, landing).rpartition("/")[0]


def _rows_to_the_end(file: CaptionFile, landing: LandingSettings, prefixes: tuple[str, ...]) -> Iterator[CaptionRow]:
    """The rows of a file; where it cannot be read on, as it could when it was found, one row of position 0 says so."""
    try:
        yield from read_rows(file, landing, prefixes)
    except (LandingZoneError, *TABLE_ERRORS, OSError) as error:
        source = source_of(file.path, file.member)
        yield CaptionRow(source, None, source, 0, "unreadable_row", str(error)[:MAX_DETAIL_CHARS], source)


def _chunks(rows: Iterator[CaptionRow]) -> Iterator[pd.DataFrame]:
    """Rows by ROWS_PER_CHUNK, or fewer where their captions are long."""
    chunk: list[CaptionRow] = []
    num_chars = 0
    for row in rows:
        chunk.append(row)
        num_chars += len(row.caption or "")
        if len(chunk) == ROWS_PER_CHUNK or num_chars > CHARS_PER_CHUNK:
            yield pd.DataFrame(chunk, columns=CaptionRow._fields)
            chunk, num_chars = [], 0
    if chunk:
        yield pd.DataFrame(chunk, columns=CaptionRow._fields)


def _convert(batches: Iterator[pd.DataFrame], notation_name: str, prefixes: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Rows with captions in another notation; those that it reads get the caption they stand for and no reason."""
    with closing(SafeNotation(notation_named(notation_name))) as notation:
        for rows in batches:
            converted = []
            for row in starmap(CaptionRow, rows.itertuples(index=False, name=None)):
                caption = notation.read(row.caption or "")
                if caption and caption.startswith(prefixes):
                    converted.append(row._replace(caption=caption, reason=None, detail=None))
                else:
                    converted.append(row._replace(detail=f"{row.caption!r} is no {notation_name}"))
            yield pd.DataFrame(converted, columns=rows.columns)


def _ranked(rows: DataFrame, known: DataFrame, waiting: DataFrame, sources: list[str]) -> DataFrame:
    """First what other files said, then the rows, then what other files said and there was no room for, by `rank`."""
    others = known.where(~F.col("source").isin(sources)).withColumn("position", F.col("caption_index").cast("long"))
    parts = (others, *(part.withColumn("row", F.col("position")) for part in (rows, waiting)))
    columns = ("image_id", "caption", "source", "position", "row", "path")
    ranked = [part.select(*columns).withColumn("rank", F.lit(rank)) for rank, part in enumerate(parts)]
    # A caption that waited has lost its path: its file names the image as in other rows.
    path = F.coalesce("path", F.max("path").over(Window.partitionBy("image_id", "source")))
    return reduce(DataFrame.unionByName, ranked).withColumn("path", path)


def _numbered(texts: DataFrame) -> DataFrame:
    """The texts of `_ranked` with their caption_index: by rank, those beside their image first, by source and position.

    A text that a file says twice of an image is two captions. A text of several files is of the first of them alone.
    """
    order = ("rank", F.desc("is_beside"), "source", "position")
    first_source = F.first("source").over(Window.partitionBy("image_id", "caption").orderBy(*order))
    # A killed run may leave a row both in the table and among those that wait.
    nth_of_row = F.row_number().over(Window.partitionBy("image_id", "caption", "source", "row").orderBy(*order))
    index = F.row_number().over(Window.partitionBy("image_id").orderBy(*order)) - 1
    kept = texts.withColumns({"first_source": first_source, "nth_of_row": nth_of_row})
    kept = kept.where("source = first_source and nth_of_row = 1").drop("first_source", "nth_of_row")
    return kept.withColumn("caption_index", index)


def _with_splits(captions: DataFrame, known: DataFrame, settings: CaptionSettings) -> DataFrame:
    """Captions with the split that their image has in `known`, whatever settings say now, else that of its id.

    Of an image that an older version of the project put into two splits, all captions go to test if it is in that.
    """
    splits = known.groupBy("image_id").agg(F.min("split").alias("split"))
    split = F.coalesce("split", split_of(F.col("image_id"), settings))
    return captions.join(splits, on="image_id", how="left").withColumn("split", split)


def _changes(wanted: DataFrame, known: DataFrame) -> DataFrame:
    """Rows of the captions table that differ from `known`; caption is null where one must go."""
    columns = ("image_id", "caption_index", "caption", "source", "split", "row", "path")
    gone = known.join(wanted, on=["image_id", "caption_index"], how="left_anti")
    gone = gone.withColumn("caption", F.lit(None).cast("string"))
    return wanted.select(*columns).subtract(known.select(*columns)).unionByName(gone.select(*columns))
