"""Images, archives and caption files for the tests, and the settings to read them with."""

import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np

from lib.settings import Settings, load_settings


def image(number: int) -> bytes:
    """A PNG with a number drawn on it: small, and different for each number."""
    pixels = np.full((60, 140), 255, np.uint8)
    cv2.putText(pixels, f"No {number}", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 1)
    return cv2.imencode(".png", pixels)[1].tobytes()


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_captions(path: Path, captions: dict[str, str], header: str = "image_id,InChI") -> None:
    path.write_text(header + "\n" + "".join(f'{image_id},"{caption}"\n' for image_id, caption in captions.items()))


def settings_for(landing: Path, *overrides: str) -> Settings:
    # Made-up captions are InChI in form alone, so they cannot be written as SMILES.
    return load_settings("molecules", "local", [f"landing.path={landing}", "captions.notation=inchi", *overrides])
