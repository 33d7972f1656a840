"""Which statements the SQL prompt takes: `pytest tests/unit/sql/test_read_only.py`."""

import pytest

from lib.sql.read_only import only_reads


@pytest.mark.parametrize(
    "statement",
    [
        "select 1",
        "(select 1) union all (select 2)",
        "with x as (select 1) select * from x",
        "from x select *",
        "values (1)",
        "table captions limit 3",
        "describe history captions",
        "desc extended captions",
        "show tables",
        "explain delete from captions",
        "use main",
        "set time zone utc",
        "create or replace temporary view v as select 1",
        "select * from captions version as of 3",
        "select * from delta.`/lake/captions`",
        "select :model",
        "-- delete from captions\nselect 1",
        "select 'insert into x', \"delete from x\", `merge into`",
        "select update, delete from changes",
        "select transform(array(1), x -> x + 1)",
        "select * from captions join images_raw using (image_id)",
        "create temporary view v using csv options (path 'x.csv')",
        "select (1",
        "select 'not closed",  # Spark says what is wrong
    ],
)
def test_what_reads_is_taken(statement: str) -> None:
    assert only_reads(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "-- nothing",
        "delete from captions",
        "drop table captions",
        "insert into captions select * from captions",
        "with x as (select 1) insert into captions select * from x",
        "from x insert into captions select *",
        "optimize captions",
        "vacuum captions",
        "create view v as select 1",
        "create table t as select 1",
        "merge into a using b on a.x = b.x when matched then delete",
        "truncate table captions",
        "with x as (select 1) insert/**/into captions select * from x",
        "with x as (...) insert/**/into captions",
        "with x as (select 1) insert/*\n*/overwrite captions table x",
        "from x insert--\ninto captions select *",
        "with x as (select 1) load/**/data inpath 'x' into table captions",
        "insert/**/into captions select 1",
        "create temporary function f as 'a.B' using jar 'c'",
        "select transform (split) using 'rm' from captions",
        "from (from captions map split using 'rm' as b) x select *",
        "from (from captions reduce split using/**/ -- it\n 'rm' as b) x select *",
        "select Reflect('java.lang.System', 'exit', 0)",
        "select try_reflect /**/ ('java.lang.System', 'exit', 0)",
        "select java_method('java.lang.System', 'exit', 0)",
        "select `reflect`('java.lang.System', 'exit', 0)",
        "select `java_method` ('java.lang.System', 'exit', 0)",
        "select identifier('ref' || 'lect')('java.lang.System', 'exit', 0)",
        "create temporary view v as select `reflect`('java.lang.System', 'exit', 0)",
        "update captions set split = 'test'",
        "alter table captions drop column split",
        "insert into captions values ('(",
    ],
)
def test_what_writes_or_says_nothing_is_refused(statement: str) -> None:
    assert not only_reads(statement)
