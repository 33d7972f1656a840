"""What becomes of hostile files: one alone by the functions that jobs call in Spark's workers, or all in a lake."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from deltalake import DeltaTable

from bench.hostile_files import wrong_outcomes
from bench.hostile_images import READ, HostileFile
from lib.errors import CorruptImageError, LandingZoneError
from lib.images.cleaning import clean_image
from lib.landing.archives import HIDDEN_MEMBERS, list_arrivals, read_arrivals
from lib.landing.caption_files import examine, read_rows
from lib.landing.zone import list_landing_zone
from lib.settings import Settings

Outcomes = list[tuple[str, str]]  # image_id, READ or the reason of a rejection


def image_outcomes(file: HostileFile, folder: Path, settings: Settings) -> Outcomes:
    """An image or an archive that arrives alone: listed, read and cleaned. `folder` is left empty."""
    path = folder / file.name
    path.write_bytes(file.content)
    landing = settings.landing.model_copy(update={"path": str(folder)})
    try:
        zone = list_landing_zone(landing)
        listed = [arrival for one in zone.images + zone.archives for arrival in list_arrivals(one, landing)]
        return [
            (arrival.image_id, reason or cleaned_or_reason(content or b"", settings))
            for arrival, content, reason, _ in read_arrivals([*listed, *zone.rejected])
            if reason != HIDDEN_MEMBERS
        ]
    finally:
        path.unlink()


def cleaned_or_reason(content: bytes, settings: Settings) -> str:
    """READ if the image can be cleaned, or why not."""
    try:
        clean_image(content, settings.cleaning)
    except CorruptImageError as error:
        return error.reason
    return READ


def caption_outcomes(file: HostileFile, folder: Path, settings: Settings) -> Outcomes:
    """The rows of a caption file; none if it does not fit, which the job says in a sentence."""
    path = folder / file.name
    path.write_bytes(file.content)
    try:
        examined = examine(f"file://{path}", "", settings.landing)
        rows = read_rows(examined, settings.landing, ("InChI=",)) if examined else ()
        return [(row.image_id, row.reason or READ) for row in rows]
    except LandingZoneError:
        return []
    finally:
        path.unlink()


def write_hostile_files(landing: Path, files: Iterable[HostileFile]) -> None:
    """A landing zone of these files."""
    landing.mkdir()
    for file in files:
        (landing / file.name).write_bytes(file.content)


def wrong_in_lake(lake: Path, files: Iterable[HostileFile]) -> list[str]:
    """What is not right in a lake after ingest and cleaning of these files, a line each."""
    outcomes = defaultdict(list)
    for row in _rows(lake, "images_clean", "image_id"):
        outcomes[row["image_id"]].append(READ)
    for row in _rows(lake, "images_rejected", "image_id", "reason"):
        outcomes[row["image_id"]].append(row["reason"])
    return [
        line
        for file in files
        if file.outcomes
        for line in wrong_outcomes(file, [(key, what) for key in file.outcomes for what in outcomes[key]])
    ]


def _rows(lake: Path, table: str, *columns: str) -> list[dict[str, str]]:
    return DeltaTable(str(lake / table)).to_pyarrow_table(columns=list(columns)).to_pylist()
