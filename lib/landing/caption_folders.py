"""Which captions are for an image that was found by its name alone: by folders, and by what lies beside them."""

import re

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Window

from lib.landing.file_access import relative_path, root_url
from lib.landing.image_names import image_path_of, unescaped
from lib.landing.zone import ARCHIVE_SUFFIXES, END_OF_ARCHIVE, MEMBER_MARK
from lib.sections.landing import LandingSettings

OTHER, SAME, DEEPER = range(3)  # folders differ; the image has all that the caption names; the caption names more
# All before the last archive's member, else before the file's name. Greedy, as a folder may be called like a member.
HOME = f"(?is)^(.*(?:{'|'.join(map(re.escape, ARCHIVE_SUFFIXES))}){MEMBER_MARK}|.*/)"
ADVICE = "give both the same folders, name no folder in the captions file, or use landing.image_id=path in a new lake"
ADVICE_BESIDE = "use landing.image_id=path, or path_with_archive if their archives differ, in a new lake"
OF_OTHER_FOLDER = f"the caption is of %s and the image is %s: {ADVICE}"
OF_SEVERAL_FOLDERS = f"captions of %s and %s are for one image, %s: {ADVICE}"
OF_RIVAL = f"the caption lies beside %s, which is not taken in, and the image is %s: {ADVICE_BESIDE}"


def fit_of_folders(path: str, source: str, landing: LandingSettings) -> int:
    """OTHER, SAME or DEEPER: folders are compared from the innermost outwards, as far as both paths have any.

    Case does not count. An archive counts as a folder of its name without suffix.
    """
    archive, *members = END_OF_ARCHIVE.split(relative_path(source, landing))
    encoding = landing.member_name_encoding
    named_folders = _folders(path)
    # A member's name whose bytes pass for UTF-8 stands in `source` as that, whatever encoding it is in.
    for as_named in (unescaped, _read_in):
        own = image_path_of(
            "/".join([unescaped(archive, encoding), *(as_named(one, encoding) for one in members)]), landing
        )
        own_folders = _folders(own)
        if all(one == other for one, other in zip(named_folders, own_folders, strict=False)):
            return SAME if len(named_folders) <= len(own_folders) else DEEPER
    return OTHER


def _folders(path: str) -> list[str]:
    """The folders of a path, the innermost first, in lower case."""
    return [folder for folder in reversed(path.lower().split("/")[:-1]) if folder != ".."]


def _read_in(name: str, encoding: str | None) -> str:
    """The name whose bytes were read as UTF-8, read in the encoding; as it is if it is not in that."""
    try:
        return name.encode().decode(encoding or "utf-8")
    except UnicodeError:
        return name


def names_folders() -> Column:
    """Whether a caption's `path` names folders too, beside its image_id."""
    return F.coalesce(F.col("path") != F.col("image_id"), F.lit(False))


def with_folder_faults(
    captions: DataFrame, images: DataFrame, rivals: DataFrame, landing: LandingSettings
) -> DataFrame:
    """Captions with columns `reason` (other_folder, or null where nothing is wrong), `detail` and `is_beside`.

    `captions` has image_id, path, rank and source. `rivals` is as `rivals_of_images` returns it. `is_beside` says
    whether the image lies in the archive of the captions file, or in its folder if it is in no archive. If the image
    does not, and an image of this id that does was rejected, the caption is of that one. A caption of rank 0, which is
    in the lake already, is not judged again by the folders of an image that lies outside of the present landing.path.
    An image with fewer folders than its captions name takes theirs, unless they name different ones.
    """
    compared = _with_fits(captions, images, rivals, landing)
    of_image = Window.partitionBy("image_id")
    is_deeper = F.col("fit") == DEEPER
    deepest = F.max(F.when(is_deeper, F.struct(F.length("path").alias("length"), "path"))).over(of_image)["path"]
    is_within = F.lower(F.concat(F.lit("/"), "deepest")).endswith(F.lower(F.concat(F.lit("/"), "path")))
    another = F.max(F.when(is_deeper & ~is_within, F.col("path"))).over(of_image)
    is_of_rival = F.col("rival").isNotNull() & ~F.col("is_beside") & (~names_folders() | (F.col("rival_fit") != OTHER))
    detail = (
        F.when(F.col("fit") == OTHER, F.format_string(OF_OTHER_FOLDER, "path", "image_source"))
        .when(
            is_deeper & F.col("another").isNotNull(),
            F.format_string(OF_SEVERAL_FOLDERS, "deepest", "another", "image_source"),
        )
        .when(is_of_rival, F.format_string(OF_RIVAL, "rival", "image_source"))
    )
    return (
        compared.withColumn("deepest", deepest)
        .withColumn("another", another)
        .withColumn("detail", detail)
        .withColumn("reason", F.when(F.col("detail").isNotNull(), F.lit("other_folder")))
        .select(*captions.columns, "is_beside", "detail", "reason")
    )


def _with_fits(captions: DataFrame, images: DataFrame, rivals: DataFrame, landing: LandingSettings) -> DataFrame:
    """Captions with image_source, rival, is_beside, and how the folders they name fit those two: fit and rival_fit."""
    root = root_url(landing.path)
    # The landing zone may be one archive, or one image.
    is_within_root = F.col("image_source").startswith(root.rstrip("/") + "/") | (
        F.col("image_source").startswith(root + MEMBER_MARK) | (F.col("image_source") == root)
    )
    is_judged = names_folders() & ((F.col("rank") > 0) | is_within_root)
    has_folders = not captions.where(names_folders()).isEmpty()  # else no row need be sent to Python

    def fit_of(path: str | None, source: str | None) -> int | None:
        return None if path is None or source is None or "/" not in path else fit_of_folders(path, source, landing)

    def fit_to(source: str) -> Column:
        return F.udf(fit_of, "int")("path", source) if has_folders else F.lit(None).cast("int")

    sources = images.select("image_id", F.col("source").alias("image_source"))
    home = F.regexp_extract("source", HOME, 1)
    return (
        captions.join(sources, on="image_id", how="left")
        .join(rivals, on="image_id", how="left")
        .withColumn("rival", F.get(F.filter("rivals", lambda rival: rival.startswith(home)), F.lit(0)))
        .withColumn("is_beside", F.coalesce(F.col("image_source").startswith(home), F.lit(False)))
        .withColumn("fit", F.when(is_judged, fit_to("image_source")))  # asked for the other rows too
        .withColumn("rival_fit", fit_to("rival"))
    )
