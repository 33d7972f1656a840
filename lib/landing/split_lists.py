"""Lists of images by split, which a dataset brings with it: they win over the hash of the image id."""

import logging
import posixpath

import pyspark.sql.functions as F

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake
from lib.landing.caption_files import DAMAGE, encoding_of, open_text, source_of
from lib.landing.zone import LandingZone, image_id_of
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

UNLISTED = "train"  # where lists are, an image that none of them names must not be tested on


def splits_in_lists(lists: list[tuple[str, str]], landing: LandingSettings) -> dict[str, str]:
    """The split by image_id as the lists have it; lists are read in the encodings that caption files may be in.

    `lists` are paths, each with the name of a member if it is an archive, else ''. Raises LandingZoneError if two lists
    name one image, or one cannot be read.
    """
    split_of: dict[str, str] = {}
    for split, name in landing.split_files.items():
        for path, member in lists:
            if posixpath.basename(member or path).lower() != name.lower():
                continue
            source = source_of(path, member)
            try:
                with open_text(path, member, landing.captions_encoding or encoding_of(path, member)) as text:
                    names = [line.strip() for line in text]
            except DAMAGE as error:
                raise LandingZoneError(f"{source} cannot be read to its end: {error}") from None
            for image_id in (image_id_of(name, landing) for name in names if name):
                if split_of.setdefault(image_id, split) != split:
                    raise LandingZoneError(
                        f"{source} lists {image_id} for split {split}, another list of landing.split_files for "
                        f"{split_of[image_id]}: take it out of one"
                    )
    return split_of


def apply_split_lists(lake: Lake, zone: LandingZone, archived: list[tuple[str, str]], landing: LandingSettings) -> None:
    """Move captions to the split whose list names their image, if there are lists, loose ones or `archived`.

    Raises LandingZoneError if two lists name one image, or one cannot be read.
    """
    split_of = splits_in_lists([*((file.path, "") for file in zone.split_lists), *archived], landing)
    if not split_of:
        return
    listed = lake.spark.createDataFrame(list(split_of.items()), "image_id string, listed string")
    captions = lake.read("captions").join(F.broadcast(listed), on="image_id", how="left")
    if captions.where(F.col("listed").isNotNull()).isEmpty():
        logger.warning(
            "ingest_images: the lists of landing.split_files name no image that has a caption (they name %s): all "
            "captions are of split %s now",
            next(iter(split_of)),
            UNLISTED,
        )
    wanted = F.coalesce("listed", F.lit(UNLISTED))
    with lake.staging():
        moved = lake.stage(captions.where(wanted != F.col("split")).withColumn("split", wanted).drop("listed"))
        num_moved = moved.count()
        if num_moved:
            lake.upsert("captions", moved)
    logger.info("ingest_images: %d images are in lists of splits; %d captions moved", len(split_of), num_moved)
