"""Which caption files have arrived, loose or in archives: those to be read, and those whose captions count no more."""

import logging
from itertools import groupby
from typing import NamedTuple

from lib.captions.notations import notation_named
from lib.errors import LandingZoneError
from lib.fingerprints import fingerprint
from lib.lake.delta_tables import Lake
from lib.landing.archived_tables import list_archived_tables
from lib.landing.caption_file_names import (
    base_name,
    is_captions_file,
    is_layouts_file,
    is_named,
    is_plain_text,
    is_split_list,
    may_hold_captions,
)
from lib.landing.caption_files import LAST_RESORT, CaptionFile, examine, source_of
from lib.landing.ledger import Ledger
from lib.landing.zone import MEMBER_MARK, LandedFile, LandingZone
from lib.sections.captions import CaptionSettings
from lib.sections.landing import LandingSettings

logger = logging.getLogger(__name__)

NUM_NAMES_SHOWN = 10
# Of an archive with more caption files than this that are not read, the first few show whether they are any.
MANY_MEMBERS, NUM_TRIED = 100, 20


class FoundCaptions(NamedTuple):
    """Caption files that are new, changed, or to be read by other settings than before.

    `read` is for the ledger, once their captions are in the table. `dropped` are sources that are no caption files any
    more: not named by the settings now, lists of splits now, or no longer in their archive. `fault` is a sentence if
    there are caption files and none fits.
    """

    files: list[CaptionFile]
    read: list[LandedFile]
    dropped: list[str]
    fault: str | None
    unchanged: list[tuple[str, str]]  # path and member of the others, whose captions are in the table
    archived_lists: list[tuple[str, str]]  # path and member of lists of splits in archives


class _Table(NamedTuple):
    """A table as it arrived: a file, or a member of an archive. `landed.path` is its source."""

    path: str
    member: str
    landed: LandedFile

    @property
    def name(self) -> str:
        return base_name(self.member or self.path)


def find_captions(
    lake: Lake, ledger: Ledger, zone: LandingZone, landing: LandingSettings, settings: CaptionSettings
) -> FoundCaptions:
    """Look for caption files. One that does not fit, and one that is left alone, is said in the log and stops nothing.

    Raises NotationError if captions.notation or landing.captions_notation is none.
    """
    read_by = _name_of_reading(landing, settings)
    searches = {file.path: _marked(file, file.path + MEMBER_MARK, read_by) for file in zone.archives}
    new = {search.path.removesuffix(MEMBER_MARK): search for search in ledger.unread(list(searches.values()))}
    tables = [_Table(file.path, "", _marked(file, file.path, read_by)) for file in zone.captions]
    tables += _in_archives(lake, [file for file in zone.archives if file.path in new], new, landing)
    lists = [table for table in tables if table.member and is_split_list(table.name, landing)]
    named = [table for table in tables if is_captions_file(table.name, landing)]
    set_of_named = set(named)
    used = set_of_named.union(lists)
    unused = [table for table in tables if table not in used]
    others = [table.landed.path for table in unused if may_hold_captions(table.name, landing)]
    _say_layouts_in_archives([table.landed.path for table in unused if is_layouts_file(table.name, landing)])
    _say_what_is_left_alone(others, landing)
    files, read, faults = _examined(named, set(ledger.unread([table.landed for table in named])), landing)
    new_lists = ledger.unread([table.landed for table in lists if table not in set_of_named])
    read += [search for path, search in new.items() if path not in faults] + new_lists

    known = ledger.paths
    lists_now = {file.path for file in new_lists} | {file.path for file in zone.split_lists} - {
        file.path for file in zone.captions
    }
    searched_anew = tuple(search.path for search in new.values())  # they end with MEMBER_MARK
    gone = {path for path in known if path.startswith(searched_anew) and path not in searched_anew} - {
        table.landed.path for table in named + lists
    }
    dropped = known & {*others, *zone.unnamed_texts, *lists_now} | gone
    # Members of archives that were read before, as far as they were not listed again just now.
    listed_before = known - dropped - {table.landed.path for table in tables}
    members = _members(listed_before, tuple(search.path for search in searches.values()))
    known_lists = [one for one in members if is_split_list(base_name(one[1]), landing)]
    plain_lists = {one for one in known_lists if not is_captions_file(base_name(one[1]), landing)}
    known_named = [table for table in named if table.landed.path in known]
    are_read = set(read)
    unchanged = [one for one in members if one not in plain_lists]
    unchanged += [(table.path, table.member) for table in known_named if table.landed not in are_read]
    fault = None if files or known_named or unchanged else next(iter(faults.values()), None)
    archived_lists = known_lists + [(table.path, table.member) for table in lists]
    return FoundCaptions(files, read, sorted(dropped), fault, unchanged, archived_lists)


def _in_archives(
    lake: Lake, archives: list[LandedFile], searches: dict[str, LandedFile], landing: LandingSettings
) -> list[_Table]:
    """Tables in archives. An archive that is damaged is said in the log and loses its search: what it held stays."""
    tables = []
    for path, member, num_bytes in list_archived_tables(lake, archives, landing):
        if not member:
            logger.warning("%s is damaged: captions in it are not looked for", path)
            del searches[path]
            continue
        landed = searches[path]._replace(path=source_of(path, member), num_bytes=num_bytes)
        tables.append(_Table(path, member, landed))
    return tables


def _members(sources: set[str], of_archives: tuple[str, ...]) -> list[tuple[str, str]]:
    """Path and member of those sources that lie in these archives, whose paths end with MEMBER_MARK here."""
    found = []
    for source in sorted(sources):
        beginning = next((one for one in of_archives if source.startswith(one) and source != one), "")
        if beginning:
            found.append((beginning.removesuffix(MEMBER_MARK), source.removeprefix(beginning)))
    return found


def _name_of_reading(landing: LandingSettings, settings: CaptionSettings) -> str:
    """The name of all settings that say what is read from a caption file: it is read again when they change."""
    prefixes = notation_named(settings.notation).caption_prefixes
    if landing.captions_notation:
        notation_named(landing.captions_notation, "landing.captions_notation")
    return fingerprint(
        landing.image_id,
        landing.image_suffixes,
        landing.image_id_column,
        landing.caption_column,
        landing.max_captions_per_image,
        landing.captions_files,
        sorted(landing.split_files.items()),
        landing.captions_notation,
        landing.captions_encoding,
        prefixes,
    )


def _marked(file: LandedFile, path: str, read_by: str) -> LandedFile:
    return file._replace(path=path, modified_at=f"{file.modified_at} {read_by}")


def _examined(
    named: list[_Table], unread: set[LandedFile], landing: LandingSettings
) -> tuple[list[CaptionFile], list[LandedFile], dict[str, str]]:
    """Files to read, their rows for the ledger, and a sentence by path for those that do not fit."""
    files, read, faults = [], [], {}
    for path, tables in groupby((table for table in named if table.landed in unread), key=lambda table: table.path):
        said: list[str] = []
        num_texts_fit = num_texts_unfit = 0
        members = sorted(tables, key=lambda table: is_plain_text(table.name))  # tables first: they are few
        num_texts = sum(is_plain_text(table.name) for table in members)
        for table in members:
            if not num_texts_fit and num_texts_unfit == NUM_TRIED and num_texts > MANY_MEMBERS:
                said = [
                    *said[:-NUM_TRIED],
                    f"all of the {num_texts:,} texts in {path} that landing.captions_files names: the first "
                    f"{NUM_TRIED} do not fit: narrow the names; the first: {said[-NUM_TRIED]}",
                ]
                break
            try:
                file = examine(table.path, table.member, landing)
            except LandingZoneError as error:
                said.append(str(error))
                num_texts_unfit += is_plain_text(table.name)
                continue
            num_texts_fit += is_plain_text(table.name)
            if file is None:
                logger.warning("left out: %s is empty", table.landed.path)
                continue
            if file.encoding == LAST_RESORT and not landing.captions_encoding:
                logger.warning(
                    "%s is no UTF-8 and is read as %s (Latin-1): if its captions look wrong, set "
                    "landing.captions_encoding",
                    table.landed.path,
                    LAST_RESORT,
                )
            files.append(file)
            read.append(table.landed)
        for sentence in said:
            logger.warning("left out: %s", sentence)
            faults[path] = sentence
    return files, read, faults


def _say_layouts_in_archives(layouts: list[str]) -> None:
    if layouts:
        logger.warning(
            "left out, since layouts are not read from archives: %s: put them beside the archive", _enumerated(layouts)
        )


def _say_what_is_left_alone(others: list[str], landing: LandingSettings) -> None:
    of_other_formats = [path for path in others if is_named(base_name(path), landing)]
    if of_other_formats:
        logger.warning(
            "left out, though landing.captions_files names them: %s: save them as .csv, .tsv or .txt",
            _enumerated(of_other_formats),
        )
    unnamed = [path for path in others if path not in of_other_formats]
    if unnamed:
        logger.info(
            "%d tables left alone, since landing.captions_files does not name them: %s",
            len(unnamed),
            _enumerated(unnamed),
        )


def _enumerated(names: list[str]) -> str:
    return ", ".join(names[:NUM_NAMES_SHOWN]) + (", ..." if len(names) > NUM_NAMES_SHOWN else "")
