"""What has arrived: the files of the landing zone by kind, listed through fsspec.

Knows nothing of Spark. What cannot be read is listed too, each with its reason.
"""

import os
import posixpath
import re
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from lib.errors import LandingZoneError
from lib.fingerprints import fingerprint
from lib.hidden_files import is_hidden
from lib.landing.caption_file_names import TEXT_SUFFIXES, is_layouts_file, is_split_list, may_hold_captions
from lib.landing.file_access import opened, relative_path
from lib.landing.file_listing import list_files
from lib.landing.image_names import escaped, image_id_of, unreadable_name
from lib.landing.unread_formats import unsupported_format
from lib.sections.landing import LandingSettings

ZIP_SUFFIXES = (".zip",)
ARCHIVE_SUFFIXES = (*ZIP_SUFFIXES, ".tar", ".tar.gz", ".tgz")
MEMBER_MARK = "!"  # stands between an archive and its member in `source`
END_OF_ARCHIVE = re.compile(f"(?:{'|'.join(map(re.escape, ARCHIVE_SUFFIXES))}){MEMBER_MARK}", re.IGNORECASE)
NEEDS = dict.fromkeys(("abfs", "abfss", "az"), "the package adlfs") | {"hdfs": "Hadoop's library libhdfs and Java"}


class LandedFile(NamedTuple):
    """A file of the landing zone. `modified_at` is the storage's time stamp or entity tag, as text.

    After it stands a name of the settings that say what is read from a file, so a file counts as changed when they do.
    """

    path: str
    num_bytes: int
    modified_at: str


class Arrival(NamedTuple):
    """One image that has arrived, or the reason why it cannot be read.

    `offset` is where the member's bytes begin in the (decompressed) archive, for a zip where its local header begins;
    `num_packed_bytes` is what it takes there. `reason` is one of lib.lake.schemas.REJECTION_REASONS or None.
    `file_version` tells versions of its bytes apart beside their number: a time stamp, an entity tag or a checksum.
    A member of a tar that has no time stamp has the tar's.
    """

    image_id: str
    source: str
    path: str
    kind: Literal["file", "zip", "tar", "tar.gz"] = "file"
    offset: int = 0
    num_bytes: int = 0
    num_packed_bytes: int = 0
    compression: int = 0
    checksum: int = 0
    reason: str | None = None
    detail: str | None = None
    file_version: str = ""


@dataclass
class LandingZone:
    """The files of a landing zone, by kind; `rejected` are those that should be read and cannot be.

    A COCO file may be in both `captions` and `split_lists`. `unnamed_texts` are paths of texts that no setting names,
    `others` paths of files of other kinds.
    """

    images: list[LandedFile] = field(default_factory=list)
    archives: list[LandedFile] = field(default_factory=list)
    captions: list[LandedFile] = field(default_factory=list)
    layouts: list[LandedFile] = field(default_factory=list)
    split_lists: list[LandedFile] = field(default_factory=list)
    unnamed_texts: list[str] = field(default_factory=list)
    rejected: list[Arrival] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    num_hidden: int = 0


def list_landing_zone(settings: LandingSettings, lake_root: str | None = None) -> LandingZone:
    """List the landing zone, without the lake's own files if their folder `lake_root` lies in it.

    Raises LandingZoneError if it is not there, or is the lake's folder, or nothing in it is an image.
    """
    try:
        filesystem, root = opened(settings.path)
        if not filesystem.exists(root):
            raise LandingZoneError(f"landing.path {settings.path} does not exist")
        is_local = isinstance(filesystem, LocalFileSystem)
        if is_local and lake_root and os.path.realpath(root) == os.path.realpath(lake_root):
            raise LandingZoneError(
                f"landing.path and storage.root are both {settings.path}, and the lake's own tables and reports would "
                "be taken in: set landing.path to a folder of its own"
            )
        files = list(list_files(filesystem, root, lake_root))
    except (ImportError, ValueError, OSError) as error:
        what = str(error).partition("\n")[0]
        needs = NEEDS.get(settings.path.partition("://")[0])
        what += f"; it needs {needs}" if needs else ""
        raise LandingZoneError(f"landing.path {settings.path} cannot be opened: {what}") from None
    zone = LandingZone()
    for path, info in files:
        url = str(filesystem.unstrip_protocol(path))
        relative = relative_path(url, settings)
        if is_hidden(relative):
            zone.num_hidden += 1
            continue
        name = posixpath.basename(path).lower()
        groups = _groups_of(zone, name, settings)
        fault = _fault_of(url, relative, info, settings)
        if fault and (groups or isinstance(info, OSError) or fault[0] == "unsupported_format"):
            zone.rejected.append(rejected_file(relative, url, *fault, settings))
        elif not groups:
            zone.others.append(relative)
            if name.endswith(TEXT_SUFFIXES):
                zone.unnamed_texts.append(url)
        else:
            assert not isinstance(info, OSError)
            if info["size"] is None:
                raise LandingZoneError(f"landing.path {settings.path} does not say how large its files are")
            for group in groups:
                group.append(LandedFile(url, int(info["size"]), _modified_at(info, settings)))
    if not zone.images and not zone.archives and not zone.rejected:
        raise LandingZoneError(
            f"landing.path {settings.path} holds no image ({', '.join(settings.image_suffixes)}) and no archive "
            f"({', '.join(ARCHIVE_SUFFIXES)})"
        )
    return zone


def rejected_file(relative: str, url: str, reason: str, detail: str, settings: LandingSettings) -> Arrival:
    """The row for a file of the landing zone that is not read."""
    image_id = image_id_of(escaped(relative), settings)
    return Arrival(image_id, escaped(url), escaped(url), reason=reason, detail=escaped(detail))


def _groups_of(zone: LandingZone, name: str, settings: LandingSettings) -> list[list[LandedFile]]:
    """The lists of `zone` to which a file of this name, in lower case, belongs."""
    if name.endswith(settings.image_suffixes):
        return [zone.images]
    if name.endswith(ARCHIVE_SUFFIXES):
        return [zone.archives]
    groups = [zone.split_lists] if is_split_list(name, settings) else []
    if may_hold_captions(name, settings):
        groups.append(zone.captions)
    if not groups and is_layouts_file(name, settings):
        groups.append(zone.layouts)
    return groups


def _fault_of(
    url: str, relative: str, info: dict[str, Any] | OSError, settings: LandingSettings
) -> tuple[str, str] | None:
    """Reason and detail if the file, of a path relative to the landing zone, cannot be read."""
    if unsupported := unsupported_format(posixpath.basename(relative).lower(), settings):
        return unsupported
    if isinstance(info, OSError):
        return "unreadable_file", str(info)
    if unreadable_name(url):
        return "unreadable_name", "the name or a folder's is not UTF-8: rename it"
    if END_OF_ARCHIVE.search(relative):
        return "unreadable_name", "it is called as a member of an archive would be: rename it"
    return None


def _modified_at(info: dict[str, Any], settings: LandingSettings) -> str:
    read_as = fingerprint(
        settings.image_id, settings.image_suffixes, settings.member_name_encoding, settings.max_image_bytes
    )
    for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created"):
        if info.get(key) is not None:
            return f"{info[key]} {read_as}"
    return read_as
