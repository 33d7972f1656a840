"""Archives for the tests of the landing zone, and what arrives from them."""

import io
import tarfile
import zipfile
from pathlib import Path

from lib.landing.archives import list_arrivals, read_arrivals
from lib.landing.zone import Arrival, list_landing_zone
from lib.sections.landing import LandingSettings

MEMBERS = {f"train/{i}/0/pic{i}.png": bytes([i]) * (100 + i) for i in range(5)}


def settings(path: Path | str, **changes: object) -> LandingSettings:
    values: dict[str, object] = {
        "path": str(path),
        "image_suffixes": (".png", ".jpg"),
        "image_id": "name",
        "member_name_encoding": None,
        "captions_files": "*labels*",
        "captions_notation": None,
        "captions_encoding": None,
        "image_id_column": "image_id",
        "caption_column": "caption",
        "max_captions_per_image": 1,
        "layouts_files": "*_layouts.parquet",
        "split_files": {},
        "max_image_bytes": 1000,
        "images_per_commit": 10,
    }
    return LandingSettings.model_validate(values | changes)


def write_zip(path: Path, members: dict[str, bytes] = MEMBERS, compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_zip_with_raw_names(path: Path, members: dict[bytes, bytes], is_called_utf8: bool = False) -> None:
    """A zip whose names are these bytes; ZipInfo writes names that cp437 has without the UTF-8 flag."""
    stand_ins = {bytes([ord("A") + i]) * len(name): name for i, name in enumerate(members)}
    with zipfile.ZipFile(path, "w") as archive:
        for stand_in, name in stand_ins.items():
            archive.writestr(stand_in.decode(), members[name])
    content = path.read_bytes()
    for stand_in, name in stand_ins.items():
        content = content.replace(stand_in, name)
    if is_called_utf8:
        at = content.index(b"PK\x01\x02") + 9
        content = content[:at] + bytes([content[at] | 0x08]) + content[at + 1 :]
    path.write_bytes(content)


def write_tar(path: Path, mode: str, members: dict[str, bytes] = MEMBERS) -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def arrivals_in(path: Path, **changes: object) -> list[Arrival]:
    landing = settings(path, **changes)
    zone = list_landing_zone(landing)
    return [arrival for file in zone.images + zone.archives for arrival in list_arrivals(file, landing)]


def contents(arrivals: list[Arrival]) -> dict[str, bytes | None]:
    return {arrival.image_id: content for arrival, content, _, _ in read_arrivals(arrivals)}
