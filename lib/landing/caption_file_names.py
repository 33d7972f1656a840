"""Which landed files are caption files, by their names alone."""

import fnmatch
import posixpath

from lib.sections.landing import LandingSettings

TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
COCO_SUFFIXES = (".json", ".json.gz")
PLAIN_SUFFIXES = (".txt", ".txt.gz")
TEXT_SUFFIXES = (*PLAIN_SUFFIXES, *COCO_SUFFIXES)  # of caption files too if they are named, else of anything


def base_name(path: str) -> str:
    """The name of a file without its folders; in archives from Windows these end with a backslash."""
    return posixpath.basename(path.replace("\\", "/"))


def may_hold_captions(name: str, settings: LandingSettings) -> bool:
    """Whether a file of this name is a caption file or another table, which is left alone but reported."""
    return (name.lower().endswith(TABLE_SUFFIXES) and not _is_plain_list(name, settings)) or is_named(name, settings)


def is_table(name: str, settings: LandingSettings) -> bool:
    """Whether a file of this name, without folders, is a text or a table, or is called as settings call such files."""
    is_called_so = name.lower().endswith(TABLE_SUFFIXES + TEXT_SUFFIXES) or may_hold_captions(name, settings)
    return is_called_so or is_layouts_file(name, settings) or is_split_list(name, settings)


def is_captions_file(name: str, settings: LandingSettings) -> bool:
    """Whether a file of this name, without folders, is a caption file: named by landing.captions_files, and a table."""
    return name.lower().endswith(TABLE_SUFFIXES + TEXT_SUFFIXES) and is_named(name, settings)


def is_plain_text(name: str) -> bool:
    """Whether a file is called neither table nor JSON, as an archive may have one beside each of its images."""
    return name.lower().endswith(PLAIN_SUFFIXES)


def is_layouts_file(name: str, settings: LandingSettings) -> bool:
    """Whether landing.layouts_files names a file of this name, without folders."""
    return fnmatch.fnmatch(name.lower(), settings.layouts_files.lower())


def is_split_list(name: str, settings: LandingSettings) -> bool:
    """Whether landing.split_files names a file of this name, without folders. A COCO file may hold captions too."""
    return name.lower() in {one.lower() for one in settings.split_files.values()}


def is_named(name: str, settings: LandingSettings) -> bool:
    """Whether landing.captions_files names a file of this name, whatever its format, and no other setting claims it."""
    is_claimed = is_layouts_file(name, settings) or _is_plain_list(name, settings)
    return not is_claimed and any(fnmatch.fnmatch(name.lower(), pattern.lower()) for pattern in settings.captions_files)


def is_coco_file(name: str) -> bool:
    """Whether a file of this name, without folders, is in COCO's format."""
    return name.lower().endswith(COCO_SUFFIXES)


def _is_plain_list(name: str, settings: LandingSettings) -> bool:
    """Whether the file lists images of a split, and nothing else."""
    return is_split_list(name, settings) and not is_coco_file(name)
