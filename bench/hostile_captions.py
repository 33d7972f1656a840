"""Caption files that strangers may send, each with what is right."""

import gzip
import random
from collections.abc import Iterator

from bench.hostile_images import CUT_EVERY_BYTES, READ, HostileFile

WHOLE = frozenset({READ})
CAPTIONS_HEADER = "image_id,InChI\n"
INCHI = "InChI=1S/CH4/h1H4"


def hostile_captions() -> Iterator[HostileFile]:
    """Caption files; READ or reasons by image_id. Rows without a usable id are called `row` and their number."""
    row = {"unpaired_quote": "unpaired_quote", "uneven": "uneven_row", "empty": "empty_caption"}
    rows = {
        "=cmd|' /C calc'!A0": INCHI,
        "\u202egnp": INCHI,
        "ok1": f'"{INCHI}"',
        "empty": "",
        "uneven": f"{INCHI},x",
        "unpaired_quote": f'"{INCHI}',
        "smiles": "CCO",
        "ok2": INCHI,
        "formula": '=HYPERLINK("x")',
    }
    right = {name: frozenset({row.get(name, READ)}) for name in rows}
    right |= {"=cmd|' /C calc'!A0": WHOLE, "smiles": frozenset({"other_notation"})}
    right["formula"] = frozenset({"unpaired_quote", "other_notation"})
    table = CAPTIONS_HEADER + "".join(f"{name},{caption}\n" for name, caption in rows.items())
    # An id with a slash is a path: its last part counts.
    right["C calc'!A0"] = right.pop("=cmd|' /C calc'!A0")
    yield HostileFile("odd_labels.csv", table.encode(), right)
    unreadable, long_id = frozenset({"unreadable_row"}), "long"
    for name, caption in (("nul", f"{INCHI}\0"), (long_id, INCHI + "C" * 2**20), ("lost", f"{INCHI}\ufffd")):
        yield HostileFile(
            f"{name}_labels.csv",
            f"{CAPTIONS_HEADER}{name},{caption}\nlast,{INCHI}\n".encode(),
            {name: unreadable, "last": WHOLE},
        )
    many = CAPTIONS_HEADER + "".join(f"n{i:03},{INCHI}\n" for i in range(200))
    whole = many.encode()
    all_right = {f"n{i:03}": WHOLE for i in range(200)}
    for encoding in ("utf-8-sig", "utf-16"):
        yield HostileFile(f"{encoding}_labels.csv", many.encode(encoding), all_right)
    yield HostileFile("packed_labels.csv.gz", gzip.compress(whole, mtime=0), all_right)
    lots = random.Random(0)
    for end in range(len(CAPTIONS_HEADER), len(whole), CUT_EVERY_BYTES):
        complete = whole[:end].decode().count("\n") - 1
        half = frozenset({READ, "uneven_row", "empty_caption", "other_notation"})
        right = {f"n{i:03}": WHOLE for i in range(complete)}
        unfinished = {f"n{complete:03}"[:length] for length in range(1, 5)} | {f"row {complete + 1}"}
        right |= dict.fromkeys(unfinished, half)
        yield HostileFile(f"cut{end}_labels.csv", whole[:end], right, may_lack=True)
    for turn in range(60):
        flipped = bytearray(whole)
        flipped[lots.randrange(len(CAPTIONS_HEADER), len(whole))] ^= 1 << lots.randrange(8)
        yield HostileFile(f"flip{turn}_labels.csv", bytes(flipped), {}, may_lack=True)
