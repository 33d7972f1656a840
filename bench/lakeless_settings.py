"""The settings of molecules for what reads no landing zone and writes no lake."""

from collections.abc import Iterable

from lib.settings import Settings, load_settings


def lakeless_settings(overrides: Iterable[str] = ()) -> Settings:
    """Settings of the dataset molecules on one machine. Raises SettingsError as load_settings does."""
    return load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused", *overrides])
