"""The ids of images by their paths, and names that are not UTF-8."""

import re
import unicodedata

from lib.sections.landing import LandingSettings


def image_id_of(path: str, settings: LandingSettings) -> str:
    """The id of the image at `path`, which is relative to the landing zone's root or to its archive's.

    `a/b/0001.png` gives `0001` if landing.image_id is `name`, else `a/b/0001`. The Unicode form is NFC.
    """
    whole = image_path_of(path, settings)
    return whole.rpartition("/")[2] if settings.image_id == "name" else whole


def image_path_of(path: str, settings: LandingSettings) -> str:
    """The path with its folders, without an image suffix and blanks at the ends of the name, in the Unicode form NFC.

    Programs that write lists of images leave such blanks out, or add some.
    """
    folders = unicodedata.normalize("NFC", path).replace("\\", "/").split("/")
    name = "/".join(part for part in folders if part not in ("", "."))
    suffix = next((one for one in sorted(settings.image_suffixes, key=len)[::-1] if name.lower().endswith(one)), "")
    folder, slash, stem = name[: len(name) - len(suffix)].rpartition("/")
    return folder + slash + stem.strip()


def unreadable_name(name: str) -> bool:
    """Whether a name holds bytes that are no UTF-8, or the sign U+FFFD that others put in their place."""
    return any(sign == "\ufffd" or "\ud800" <= sign <= "\udfff" for sign in name)


def escaped(name: str) -> str:
    """The name with each byte that makes it unreadable written as `%D6`."""
    return re.sub("[\udc80-\udcff]", lambda sign: f"%{ord(sign[0]) - 0xDC00:02X}", name.replace("\ufffd", "%EF%BF%BD"))


def unescaped(name: str, encoding: str | None) -> str:
    """The name that `escaped` has written, read in the encoding; as it is if it is not in that."""
    if not encoding or not re.search("%[89A-F][0-9A-F]", name):
        return name
    raw = re.sub("%([89A-F][0-9A-F])", lambda sign: chr(0xDC00 + int(sign[1], 16)), name)
    try:
        return raw.encode("utf-8", "surrogateescape").decode(encoding)
    except UnicodeDecodeError:
        return name
