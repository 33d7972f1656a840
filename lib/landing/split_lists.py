"""Lists of images by split, which a dataset brings with it: they win over the hash of the image id."""

import logging
from functools import partial

import pyspark.sql.functions as F

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake
from lib.landing.caption_file_names import base_name, is_coco_file
from lib.landing.caption_files import TABLE_ERRORS, encoding_of, open_text, source_of
from lib.landing.caption_rows import MAX_NAME_SHOWN, UNREADABLE
from lib.landing.coco_captions import file_names
from lib.landing.image_names import image_id_of
from lib.landing.zone import LandingZone
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

UNLISTED = "train"  # where lists are, an image that none of them names must not be tested on
MAX_LINE_CHARS = 1000  # of a plain list: a longer line is no image's name


def splits_in_lists(lists: list[tuple[str, str]], landing: LandingSettings) -> dict[str, str]:
    """The split by image_id as the lists have it; lists are read in the encodings that caption files may be in.

    A list has one image's name a line, or is a COCO file with the names in `images`. `lists` are paths, each with the
    name of a member if it is an archive, else ''.
    Raises LandingZoneError if two lists name one image, one cannot be read, or there are some, but not those of the
    validation and test splits that the settings name.
    """
    _check_all_are_there(lists, landing)
    split_of: dict[str, str] = {}
    for split, name in landing.split_files.items():
        for path, member in lists:
            if base_name(member or path).lower() != name.lower():
                continue
            for image_id in (image_id_of(one, landing) for one in _names_in(path, member, landing)):
                if split_of.setdefault(image_id, split) != split:
                    raise LandingZoneError(
                        f"{source_of(path, member)} lists {image_id[:MAX_NAME_SHOWN]} for split {split}, another list "
                        f"of landing.split_files for {split_of[image_id]}: take it out of one"
                    )
    return split_of


def _check_all_are_there(lists: list[tuple[str, str]], landing: LandingSettings) -> None:
    """Warn if there are lists, but not that of the train split. Raises LandingZoneError if another one is missing."""
    names = {base_name(member or path).lower() for path, member in lists}
    missing = [(split, name) for split, name in landing.split_files.items() if names and name.lower() not in names]
    held_out = [f"{name} (split {split})" for split, name in missing if split != UNLISTED]
    if held_out:
        raise LandingZoneError(
            f"of the lists in landing.split_files some have arrived, and not {' or '.join(held_out)}: its images would "
            f"be of split {UNLISTED}: put it into the landing zone, or take it out of the setting"
        )
    for split, name in missing:
        logger.warning("%s has not arrived: images in no list are of split %s", name, split)


def _names_in(path: str, member: str, landing: LandingSettings) -> list[str]:
    """The names of images in a list. Raises LandingZoneError with one sentence if it cannot be read."""
    source = source_of(path, member)
    try:
        opened = partial(open_text, path, member, landing.captions_encoding or encoding_of(path, member))
        if is_coco_file(member or path):
            return [name for name in file_names(opened, source).values() if not UNREADABLE.search(name)]
        names = []
        with opened() as text:
            while line := text.readline(MAX_LINE_CHARS + 1):
                if len(line.removesuffix("\n")) > MAX_LINE_CHARS:
                    raise LandingZoneError(
                        f"{source} has a line of more than {MAX_LINE_CHARS:,} characters: lists that "
                        "landing.split_files names have one image's name a line, or are COCO's and end with .json"
                    )
                names += [name.strip() for name in line.split("\r")]
    except (*TABLE_ERRORS, OSError) as error:
        raise LandingZoneError(f"{source} cannot be read to its end: {error}") from None
    return [name for name in names if name]


def apply_split_lists(lake: Lake, zone: LandingZone, archived: list[tuple[str, str]], landing: LandingSettings) -> None:
    """Move captions to the split whose list names their image, if there are lists, loose ones or `archived`.

    Without lists every caption keeps its split. Raises LandingZoneError as splits_in_lists does.
    """
    lists = [*((file.path, "") for file in zone.split_lists), *archived]
    split_of = splits_in_lists(lists, landing)
    if not split_of:
        if landing.split_files and not lists and (zone.images or zone.archives):
            logger.warning(
                "no list that landing.split_files names has arrived (%s): images are split by the hash "
                "of their id; put the lists into the landing zone, or set landing.split_files={}",
                ", ".join(landing.split_files.values()),
            )
        return
    listed = lake.spark.createDataFrame(list(split_of.items()), "image_id string, listed string")
    captions = lake.read("captions").join(F.broadcast(listed), on="image_id", how="left")
    images = captions.groupBy("image_id").agg(F.first("listed").alias("listed"))
    num_images, num_listed = images.agg(F.count("*"), F.count("listed")).first() or (0, 0)
    if not num_listed:
        logger.warning(
            "the lists of landing.split_files name no image that has a caption (they name %s): all "
            "captions are of split %s now",
            next(iter(split_of))[:MAX_NAME_SHOWN],
            UNLISTED,
        )
    wanted = F.coalesce("listed", F.lit(UNLISTED))
    with lake.staging():
        moved = lake.stage(captions.where(wanted != F.col("split")).withColumn("split", wanted).drop("listed"))
        num_moved = moved.count()
        if num_moved:
            lake.upsert("captions", moved)
    logger.info(
        "%d images are in lists of splits; %d images with captions are in none and of split %s; %d captions moved",
        len(split_of),
        num_images - num_listed,
        UNLISTED,
        num_moved,
    )
