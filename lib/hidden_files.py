"""Which files nobody meant to hand over: those that systems and programs make for themselves."""

SERVICE_FOLDERS = {  # in lower case
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@sharebin",
    "@tmp",
    "__macosx",
    "lost+found",
    "network trash folder",
    "system volume information",
    "~snapshot",
}


def is_hidden(path: str) -> bool:
    """Whether a file or one of its folders begins with a dot, or a folder is one that systems make for themselves."""
    parts = path.replace("\\", "/").split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part.lower() in SERVICE_FOLDERS for part in parts)
