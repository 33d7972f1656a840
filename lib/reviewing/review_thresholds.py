"""The figures of the view review_thresholds, read from its file: they stand there alone."""

from typing import NamedTuple

import sqlglot
from sqlglot import expressions

from lib.errors import SettingsError
from lib.sql_folder import sql_folder


class Thresholds(NamedTuple):
    """Below which confidence and similarity, above which alternative a person looks at a caption, 0..1."""

    min_confidence: float
    min_sentence_confidence: float  # of captions with blanks
    max_alternative_probability: float  # of another caption, in one reading
    min_similarity: float


def read_thresholds(conf: str | None) -> Thresholds:
    """The figures of the folder sql beside the settings' folder `conf`. Raises SettingsError if they are not there."""
    path = sql_folder(conf) / "views" / "review_thresholds.sql"
    try:
        select = sqlglot.parse_one(path.read_text(), read="spark")
        found = {one.alias: float(one.find(expressions.Literal).this) for one in select.expressions}  # type: ignore[union-attr]
        return Thresholds(**found)
    except (OSError, sqlglot.ParseError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{path} does not name {', '.join(Thresholds._fields)} ({error})") from None
