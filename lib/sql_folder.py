"""Where the folder sql is, with the text of the views."""

from pathlib import Path

SQL = Path(__file__).resolve().parents[1] / "sql"


def sql_folder(conf: str | None) -> Path:
    """The folder sql beside the folder of settings that --conf names: on Databricks neither is in the wheel."""
    return Path(conf).parent / "sql" if conf else SQL
