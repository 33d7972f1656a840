"""Which landed files are caption files, by their names alone."""

import fnmatch

from lib.sections.landing import LandingSettings

TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TEXT_SUFFIXES = (".txt", ".txt.gz", ".json", ".json.gz")  # of caption files too if they are named, else of anything


def may_hold_captions(name: str, settings: LandingSettings) -> bool:
    """Whether a file of this name is a caption file or another table, which is left alone but reported."""
    return name.lower().endswith(TABLE_SUFFIXES) or is_named(name, settings)


def is_captions_file(name: str, settings: LandingSettings) -> bool:
    """Whether a file of this name, without folders, is a caption file: named by landing.captions_files, and a table."""
    return name.lower().endswith(TABLE_SUFFIXES + TEXT_SUFFIXES) and is_named(name, settings)


def is_layouts_file(name: str, settings: LandingSettings) -> bool:
    """Whether landing.layouts_files names a file of this name, without folders."""
    return fnmatch.fnmatch(name.lower(), settings.layouts_files.lower())


def is_split_list(name: str, settings: LandingSettings) -> bool:
    """Whether landing.split_files names a file of this name, without folders."""
    return name.lower() in {one.lower() for one in settings.split_files.values()}


def is_named(name: str, settings: LandingSettings) -> bool:
    """Whether landing.captions_files names a file of this name, whatever its format."""
    return not is_layouts_file(name, settings) and any(
        fnmatch.fnmatch(name.lower(), pattern.lower()) for pattern in settings.captions_files
    )
