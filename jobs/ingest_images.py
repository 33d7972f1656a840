"""ingest_images: landing zone -> images_raw, captions, image_layouts, images_rejected."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: "SparkSession", settings: Settings) -> None:
    """Take in what has arrived since the last run."""
    from lib.errors import LandingZoneError
    from lib.lake.delta_tables import Lake
    from lib.landing.caption_ingestion import ingest_captions
    from lib.landing.caption_search import find_captions
    from lib.landing.image_ingestion import ingest_images
    from lib.landing.layout_ingestion import ingest_layouts
    from lib.landing.ledger import Ledger
    from lib.landing.split_lists import apply_split_lists
    from lib.landing.zone import list_landing_zone

    lake = Lake(spark, settings.storage)
    zone = list_landing_zone(settings.landing, settings.storage.root)
    ledger = Ledger(lake)
    found = find_captions(lake, ledger, zone, settings.landing, settings.captions)
    with lake.staging():
        ingest_images(lake, ledger, zone, settings.landing)
    with lake.staging():
        ingest_captions(lake, ledger, found, settings.landing, settings.captions)
    with lake.staging():
        ingest_layouts(lake, ledger, zone, settings.landing)
    # There to be counted, also when nothing is ever rejected; not before, since Spark plans more for an empty table.
    lake.create("images_rejected")
    ledger.save()
    apply_split_lists(lake, zone, found.archived_lists, settings.landing)
    if found.fault:
        raise LandingZoneError(f"no captions were taken in: {found.fault}")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task ingest_images."""
    main_of("ingest_images", __doc__, run, argv)


if __name__ == "__main__":
    main()
