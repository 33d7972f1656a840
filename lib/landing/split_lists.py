"""Lists of images by split, which a dataset brings with it: they win over the hash of the image id."""

import logging
import posixpath

import pyspark.sql.functions as F

from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake
from lib.landing.zone import LandingZone, image_id_of, open_landed
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

UNLISTED = "train"  # where lists are, an image that none of them names must not be tested on


def apply_split_lists(lake: Lake, zone: LandingZone, landing: LandingSettings) -> None:
    """Move captions to the split whose list names their image, if there are lists.

    Raises LandingZoneError if two lists name one image.
    """
    split_of: dict[str, str] = {}
    for split, name in landing.split_files.items():
        for file in zone.split_lists:
            if posixpath.basename(file.path).lower() != name.lower():
                continue
            with open_landed(file.path) as stream:
                lines = stream.read().decode("utf-8-sig", errors="replace").splitlines()
            for image_id in (image_id_of(line.strip(), landing) for line in lines if line.strip()):
                if split_of.setdefault(image_id, split) != split:
                    raise LandingZoneError(
                        f"{file.path} lists {image_id} for split {split}, another list of landing.split_files for "
                        f"{split_of[image_id]}: take it out of one"
                    )
    if not split_of:
        return
    listed = lake.spark.createDataFrame(list(split_of.items()), "image_id string, listed string")
    captions = lake.read("captions").join(F.broadcast(listed), on="image_id", how="left")
    wanted = F.coalesce("listed", F.lit(UNLISTED))
    with lake.staging():
        moved = lake.stage(captions.where(wanted != F.col("split")).withColumn("split", wanted).drop("listed"))
        num_moved = moved.count()
        if num_moved:
            lake.upsert("captions", moved)
    logger.info("ingest_images: %d images are in lists of splits; %d captions moved", len(split_of), num_moved)
