"""Quartz cron expressions, as schedules on Databricks are written: what is wrong with one."""

import re

# Name, lowest, highest and words of each field, in order; the year may be left out.
_FIELDS = (
    ("seconds", 0, 59, ""),
    ("minutes", 0, 59, ""),
    ("hours", 0, 23, ""),
    ("day of month", 1, 31, ""),
    ("month", 1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"),
    ("day of week", 1, 7, "SUN MON TUE WED THU FRI SAT"),
    ("year", 1970, 2099, ""),
)
_SPECIAL = {
    "day of month": re.compile(r"\?|L(-\d+)?|LW|\d+W"),
    "day of week": re.compile(r"\?|L|[1-7](L|#[1-5])|(SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])"),
}


def quartz_fault(expression: str) -> str | None:
    """Why `expression` is no quartz cron; None if it is one."""
    fields = expression.upper().split()
    if len(fields) not in (6, 7):
        return "has not the 6 or 7 fields of quartz"
    for text, (name, lowest, highest, words) in zip(fields, _FIELDS, strict=False):
        if not all(_is_part(part, name, lowest, highest, words.split()) for part in text.split(",")):
            return f"has {text!r} for its {name}"
    if (fields[3] == "?") == (fields[5] == "?"):
        return "must have ? for either its day of month or its day of week"
    return None


def _is_part(text: str, name: str, lowest: int, highest: int, words: list[str]) -> bool:
    """Whether `text` is *, a value or a range, each with or without a step, or one of the field's special forms."""
    if name in _SPECIAL and _SPECIAL[name].fullmatch(text):
        return True
    span, slash, step = text.partition("/")
    if slash and not (step.isdigit() and 0 < int(step) <= highest):
        return False
    values = [str(words.index(value) + 1) if value in words else value for value in span.split("-")]
    are_in_range = all(value.isdigit() and lowest <= int(value) <= highest for value in values)
    return span == "*" or (len(values) <= 2 and are_in_range)
