"""About a thousand hostile files for the landing zone, each with what is right: images, archives and names.

Each image has an image_id of its own, so that all can arrive at once.
"""

import gzip
import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Iterator

from bench.hostile_images import ANYTHING, CUT_EVERY_BYTES, READ, HostileFile, drawing, encoded, hostile_images

ANY_ARCHIVE = frozenset({"unreadable_archive"})
WHOLE = frozenset({READ})
NUM_MEMBERS = 4
NUM_FLIPS = 60
BOMB_BYTES = 2**25  # above landing.max_image_bytes
# What file systems allow in a name, and people, scripts and programs do.
NAMES = (
    "=cmd|' C calc'!A0",
    "+1+1",
    "-rf",
    "@SUM(A1)",
    "a b",
    " lead",
    "quote'",
    'double"',
    "back`tick",
    "semi;colon",
    "$(touch x)",
    "%2e%2e%2f",
    "a::b",
    "a!b",
    "#hash",
    "que?ry",
    "star*",
    "[range]",
    "{brace}",
    "comma,comma",
    "nul",
    "COM1",
    "tab\tbed",
    "line\nbreak",
    "\u202egnp",
    "zero\u200bwidth",
    "\u0644\u063a\u0629",
    "\u4e2d\u6587",
    "\U0001f600",
    "x" * 200,
    "00012e5",
    "1e400",
    "NaN",
    "null",
    "true",
    "dots..",
    "a.png.b",
    "~home",
    "&amp;",
    "<b>bold",
    "\u0130\u0131",
    "\ufb01",
    "\u00e9",
)


def members(prefix: str) -> dict[str, bytes]:
    return {f"{prefix}-{i}.png": encoded(drawing(seed=i), "PNG") for i in range(NUM_MEMBERS)}


def zipped(images: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in images.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def tarred(images: dict[str, bytes], is_packed: bool = False) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in images.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(file.getvalue(), mtime=0) if is_packed else file.getvalue()


WRITERS = {"zip": zipped, "tar": tarred, "tar.gz": lambda images: tarred(images, is_packed=True)}


def legal_archives() -> Iterator[HostileFile]:
    """Archives of each kind, whole."""
    for suffix, write in WRITERS.items():
        prefix = f"whole-{suffix}"
        right = {f"{prefix}-{i}": WHOLE for i in range(NUM_MEMBERS)}
        yield HostileFile(f"{prefix}.{suffix}", write(members(prefix)), right)


def damaged_archives() -> Iterator[HostileFile]:
    """Archives cut at every 64th byte, or at 30 positions if those are fewer, and with bits flipped."""
    lots = random.Random(0)
    for suffix, write in WRITERS.items():
        whole = write(members("m"))
        step = max(CUT_EVERY_BYTES, len(whole) // 30 // CUT_EVERY_BYTES * CUT_EVERY_BYTES)
        for end in range(0, len(whole), step):
            prefix = f"cut{end}-{suffix}"
            content = write(members(prefix))
            name = f"{prefix}.{suffix}"
            # Of a tar that is cut after its last member there may be all.
            right = {f"{prefix}-{i}": WHOLE | {"unreadable_member"} for i in range(NUM_MEMBERS)}
            yield HostileFile(name, content[:end], right | {name: ANY_ARCHIVE}, may_lack=True)
        for turn in range(NUM_FLIPS):
            prefix = f"flip{turn}-{suffix}"
            flipped = bytearray(write(members(prefix)))
            for _ in range(lots.choice((1, 1, 6))):
                flipped[lots.randrange(len(flipped))] ^= 1 << lots.randrange(8)
            yield HostileFile(f"{prefix}.{suffix}", bytes(flipped), {}, may_lack=True)  # names too may be others


def hostile_archives() -> Iterator[HostileFile]:
    """Bombs, lies, locked members, bad paths, and crowds of members."""
    image = encoded(drawing(), "PNG")
    good = {"good": image}

    def of(name: str, content: bytes, **right: str) -> HostileFile:
        suffix = name.partition(".")[2]
        stem = name.partition(".")[0]
        return HostileFile(
            name,
            content,
            {f"{stem}-{member}": frozenset(reason.split("|")) for member, reason in right.items()}
            if "archive" not in right
            else {f"{stem}.{suffix}": ANY_ARCHIVE},
        )

    def named(stem: str, **images: bytes) -> dict[str, bytes]:
        return {f"{stem}-{name}.png": content for name, content in (good | images).items()}

    zeros = bytes(BOMB_BYTES)
    for suffix, reason in (("zip", "decompression_bomb"), ("tar", "too_many_bytes"), ("tar.gz", "too_many_bytes")):
        stem = f"bomb-{suffix.replace('.', '')}"
        yield of(f"{stem}.{suffix}", WRITERS[suffix](named(stem, bomb=zeros)), good=READ, bomb=reason)
    bomb = bytearray(zipped(named("liar", bomb=zeros)))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # the listed size, in both headers
        last = bomb.rindex(mark)
        bomb[last + at : last + at + 4] = struct.pack("<L", 100)
    yield of("liar.zip", bytes(bomb), good=READ, bomb="unreadable_member")
    locked = bytearray(zipped(named("locked", secret=image)))
    last = locked.rindex(b"PK\x01\x02")
    locked[last + 8] |= 1
    yield of("locked.zip", bytes(locked), good=READ, secret="unreadable_member")
    for at, value, what in ((42, 2**31 - 1, "far"), (42, 7, "inside"), (16, 1, "checksum"), (20, 2**32 - 2, "packed")):
        lying = bytearray(zipped(named(f"lying-{what}", lie=image)))
        last = lying.rindex(b"PK\x01\x02")
        lying[last + at : last + at + 4] = struct.pack("<L", value)
        reason = "too_many_bytes|unreadable_member" if what == "packed" else "unreadable_member"
        yield of(f"lying-{what}.zip", bytes(lying), good=READ, lie=reason)
    odd = {"../up": "unsafe_path", "/root": "unsafe_path", "C:drive": "unsafe_path", "a/../../b": "unsafe_path"}
    for suffix in ("zip", "tar"):
        for i, (path, reason) in enumerate(odd.items()):
            stem = f"path{i}-{suffix}"
            content = WRITERS[suffix](named(stem) | {f"{path}-{stem}.png": image})
            image_id = f"{path.rpartition('/')[2]}-{stem}"
            right = {f"{stem}-good": WHOLE, image_id: frozenset({reason})}
            yield HostileFile(f"{stem}.{suffix}", content, right)
    for name, member_type in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
        member = tarfile.TarInfo(f"{name}-special.png")
        member.type, member.linkname = member_type, "/etc/passwd"
        content = member.tobuf(tarfile.GNU_FORMAT) + tarred(named(name))
        yield of(f"{name}.tar", content, good=READ, special="unreadable_member")
    yield of("nothing.zip", b"", archive="")
    yield of("noise.zip", random.Random(0).randbytes(3000), archive="")
    yield of("noise.tar", random.Random(1).randbytes(3000), archive="")
    yield of("text.tar.gz", gzip.compress(b"I am a text"), archive="")
    yield of("twice.zip", zipped({"twice-a.png": image}) + zipped({"twice-good.png": image}), good=READ)
    yield of("crowd.zip", zipped({f"notes/{i}.txt": b"" for i in range(20_000)} | named("crowd")), good=READ)
    empty = {f"hollow-e{i}.png": b"" for i in range(300)}
    right = {name.removesuffix(".png"): frozenset({"empty_file"}) for name in empty} | {"hollow-good": WHOLE}
    yield HostileFile("hollow.tar", tarred(empty | named("hollow")), right)


def named_images() -> Iterator[HostileFile]:
    """A legal image under each odd name. Backslashes stand between folders; ids are NFC, without blanks at the ends."""
    content = encoded(drawing(), "PNG")
    for name in NAMES:
        yield HostileFile(f"{name}.png", content, {name.strip(): WHOLE})
    yield HostileFile("NFD-e\u0301.png", content, {"NFD-\u00e9": WHOLE})
    yield HostileFile("folder\\inside.PNG", content, {"inside": WHOLE})


def hostile_files() -> Iterator[HostileFile]:
    """All of them but caption files, which would stand in each other's way."""
    yield from hostile_images()
    yield from legal_archives()
    yield from damaged_archives()
    yield from hostile_archives()
    yield from named_images()


ALLOWED_ANYWHERE = (
    ANYTHING
    | ANY_ARCHIVE
    | {
        "unreadable_member",
        "unsafe_path",
        "unreadable_name",
        "unsupported_format",
        "too_many_bytes",
        "decompression_bomb",
        "uneven_row",
        "unpaired_quote",
        "unreadable_row",
        "other_notation",
        "empty_caption",
    }
)


def wrong_outcomes(file: HostileFile, found: list[tuple[str, str]]) -> list[str]:
    """What is not right in the (image_id, READ or reason) that a file led to, each as one line."""
    if not file.outcomes:
        return [f"{file.name}: {key} {what}" for key, what in found if what not in ALLOWED_ANYWHERE]
    wrong = [
        f"{file.name}: {key!r} {what}, not {' or '.join(sorted(file.outcomes.get(key, {'there'})))}"
        for key, what in found
        if what not in file.outcomes.get(key, ())
    ]
    keys = [key for key, _ in found]
    wrong += [f"{file.name}: {key!r} is there {keys.count(key)} times" for key in set(keys) if keys.count(key) > 1]
    if not file.may_lack:
        wrong += [f"{file.name}: {key!r} is lost" for key in file.outcomes if key not in keys]
    return wrong
