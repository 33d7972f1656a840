"""The server of the review page: its parts put together, and uvicorn around it."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from lib.errors import SettingsError, StorageError
from lib.lake.delta_rows import DeltaRows
from lib.reviewing.access import AccessControl
from lib.reviewing.app import make_app
from lib.reviewing.attention_reader import AttentionReader
from lib.reviewing.caption_desk import CaptionDesk
from lib.reviewing.doubt_queue import DoubtQueue
from lib.reviewing.drop_page import DropCaptioner
from lib.reviewing.image_details import DetailsReader
from lib.reviewing.image_files import ImageFiles
from lib.reviewing.lake_figures import LakeFigures
from lib.reviewing.page_parts import Parts
from lib.reviewing.review_log import ReviewLog
from lib.reviewing.review_thresholds import read_thresholds
from lib.reviewing.sessions import Sessions
from lib.reviewing.structure_editor import editor_folder
from lib.reviewing.thumbnails import Thumbnails
from lib.serving.api_keys import ApiKeys
from lib.serving.metrics import Metrics
from lib.serving.server import check_tls_and_keys, listen_and_run, print_line, requires_key_for, server_of
from lib.settings import Settings
from lib.storage_faults import storage_fault

logger = logging.getLogger(__name__)


def make_parts(settings: Settings) -> Parts:
    """What the pages read from and write to.

    Raises SettingsError if the tables are in a catalog, StorageError if storage.root is not writable, NotationError.
    """
    if settings.storage.catalog:
        raise SettingsError("storage.catalog is set: the review page reads tables in storage.root alone")
    root = settings.storage.root
    rows = DeltaRows(root)
    files = ImageFiles(rows, settings.cleaning)
    try:
        sessions = Sessions(root, settings.reviewing.session_hours)
    except OSError as error:
        raise storage_fault(str(error)) or StorageError(
            f"storage.root {root} cannot be written to, where sessions and reviews are kept ({error})"
        ) from error
    return Parts(
        settings,
        rows,
        DoubtQueue(rows, read_thresholds(settings.conf)),
        ReviewLog(rows),
        DetailsReader(rows),
        files,
        Thumbnails(files, settings.cleaning),
        LakeFigures(rows),
        CaptionDesk(settings.captions.notation, settings.reviewing.max_caption_characters),
        AccessControl(settings.reviewing, ApiKeys(root), sessions),
        editor_folder(),
    )


def serve_reviews(settings: Settings, overrides: Sequence[str]) -> None:
    """Answer requests until the process is told to end.

    `overrides` are those that `settings` were made with. Raises SettingsError, NotationError if it cannot start.
    """
    asks_for_key = requires_key_for(settings.reviewing) and not settings.reviewing.proxy_header
    check_tls_and_keys(settings.reviewing, ApiKeys(settings.storage.root) if asks_for_key else None)
    parts, metrics = make_parts(settings), Metrics()
    captioner = DropCaptioner(settings, overrides, metrics)
    reader = AttentionReader(settings, overrides)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await captioner.close()
        reader.close()
        parts.desk.close()

    parts.warm_up()
    app = make_app(parts, captioner, reader, metrics, lifespan, print_line)
    listen_and_run(server_of(app, settings.reviewing, believes_proxy=False), settings.reviewing)
