"""The comments of a schema's columns."""

from collections.abc import Iterator

import pyspark.sql.types as T


def described_columns(data_type: T.DataType, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, comment) of every column, those inside arrays and structs too."""
    if isinstance(data_type, T.ArrayType):
        yield from described_columns(data_type.elementType, prefix)
    elif isinstance(data_type, T.StructType):
        for field in data_type:
            yield prefix + field.name, field.metadata.get("comment", "")
            yield from described_columns(field.dataType, f"{prefix}{field.name}.")
