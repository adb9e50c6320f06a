"""psycopg 3 with its C accelerator: text and binary, pipeline mode, server-side cursors, COPY."""
import datetime
import decimal
import threading
import time
import uuid

import psycopg
from psycopg import pq
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb
from psycopg.types.range import Range

from harness import (BROKEN, CA, COPY_LINES, COPY_OUT, DATABASE, HOST, PASSWORD, PORT, TYPES, USER, Digest, Unsupported,
                     answer)


def connect(**more):
    parts = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "dbname": DATABASE, "sslmode": "disable"}
    return psycopg.connect(**{**parts, "autocommit": True, **more})


db = connect()

VALUES = [
    -32768, 2147483647, -9223372036854775808, 1.5, 1e-300, decimal.Decimal("12345678901234567890.123456789"),
    "Grüße \U0001f600 \\ ' \" $1", "varchar", True, b"\x00\x01\xff'\\", datetime.date(2026, 2, 28),
    datetime.time(23, 59, 59, 999999), datetime.datetime(2026, 2, 28, 12, 0, 0, 123456),
    datetime.datetime(2026, 2, 28, 12, 0, 0, 123456, datetime.timezone.utc), datetime.timedelta(days=3, seconds=14706),
    uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff"), Jsonb({"a": [1, None, "x"]}), Json({"b": 2}), "10.1.2.3/24",
    [1, 2, None], ["a", "b,c", 'd"e', None], None, Range(1, 10), "happy",
]


def types(binary):
    mark = "%b" if binary else "%s"
    columns = ", ".join(f"{mark}::{name} as c{at}" for at, name in enumerate(TYPES))
    cursor = db.cursor(binary=binary)
    values = VALUES if not binary else VALUES
    cursor.execute(f"select {columns}", values)
    kinds = [(column.name, 0 if at == 23 else column.type_code) for at, column in enumerate(cursor.description)]
    return {"row": cursor.fetchone(), "types": kinds}


def sign_in():
    with connect() as own:
        return own.execute("select current_database(), current_user").fetchall()


def tls():
    with connect(sslmode="verify-full", sslrootcert=CA, require_auth="password,scram-sha-256") as own:
        return [own.execute("select 1").fetchall(), own.pgconn.ssl_in_use]


def simple():
    cursor = db.execute("select 1 as a; select 'x' as b, null as c; create temp table tmp(i int); insert into tmp values (1), (2)")
    seen = []
    while True:
        seen.append([cursor.statusmessage, cursor.fetchall() if cursor.description else None])
        if not cursor.nextset():
            return seen


def prepared():
    seen = [db.execute("select %s::int * %s", (n, 2), prepare=True).fetchone()[0] for n in range(1, 51)]
    return [seen, db.execute("select count(*) from pg_prepared_statements").fetchall()]


def pipeline():
    with connect() as own:
        with own.pipeline():
            first = [own.execute("select %s::int", (n,)) for n in range(100)]
        rows = [cursor.fetchone()[0] for cursor in first]
        try:
            with own.pipeline() as pipe:
                one = own.execute("select 1")
                pipe.sync()
                two = own.execute("select 1 / %s", (0,))
                three = own.execute("select 3")
                pipe.sync()
            code = None
        except psycopg.Error as error:
            code = error.sqlstate
        return [rows, one.fetchall(), code, own.execute("select 5").fetchall()]


def cursor():
    total, pieces = Digest(), []
    with db.transaction(), db.cursor(name="all_numbers", binary=True) as own:
        own.execute("select n, t from work.numbers where n <= %s order by n", (100000,))
        while rows := own.fetchmany(9999):
            pieces.append(len(rows))
            total.add(rows)
    with db.transaction(), db.cursor(name="some", scrollable=True) as own:
        own.execute("select n from work.numbers order by n")
        own.scroll(50)
        left = own.fetchmany(3)
    streamed = sum(1 for _ in db.cursor().stream("select n from work.numbers limit 5000"))
    return [pieces, total.value(), left, streamed]


def large():
    total = Digest()
    for (text,) in db.execute("select repeat(chr(65 + n % 26), 1000) from generate_series(1, 25000) n"):
        total.add(text.encode())
    return total.value()


def copy_in():
    with db.cursor() as own:
        with own.copy("copy work.copied from stdin") as copy:
            for line in COPY_LINES:
                copy.write(line)
        with own.copy("copy work.copied (id, t, b, at) from stdin (format binary)") as copy:
            copy.set_types(["int4", "text", "bytea", "timestamptz"])
            for n in range(5000, 7000):
                copy.write_row((n, f"text {n}", b"\x00\xff", datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)))
        try:
            with own.copy("copy work.copied from stdin") as copy:
                copy.write("a\tb\tc\td\n")
        except psycopg.Error as error:
            bad = fields(error)
        try:
            with own.copy("copy work.copied from stdin") as copy:
                copy.write(COPY_LINES[0])
                raise KeyError("given up")
        except KeyError as error:
            given_up = str(error)
        return [own.execute("select count(*), min(t), max(encode(b, 'hex')) from work.copied").fetchall(), bad, given_up]


def copy_out():
    seen = []
    for form in ("csv", "binary"):
        total = Digest()
        with db.cursor().copy(f"copy {COPY_OUT} to stdout (format {form})") as copy:
            for block in copy:
                total.add(block)
        seen.append(total.value())
    with db.cursor().copy("copy (select 1, 'x', null) to stdout (format binary)") as copy:
        copy.set_types(["int4", "text", "text"])
        seen.append(list(copy.rows()))
    return seen


def transaction():
    with connect(autocommit=False) as own:
        own.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        own.execute("insert into work.account values (10, 'tom', 1)")
        own.commit()
        own.execute("insert into work.account values (11, 'tim', 1)")
        codes = []
        for statement in ("insert into work.account values (11, 'tim', 1)", "select 1"):
            try:
                own.execute(statement)
            except psycopg.Error as error:
                codes.append(error.sqlstate)
        status = own.info.transaction_status.name
        own.rollback()
        return [codes, status, own.execute("select id from work.account where id >= 10").fetchall()]


def savepoint():
    with db.transaction():
        db.execute("insert into work.account values (20, 'una', 1)")
        try:
            with db.transaction(savepoint_name="a"):
                db.execute("update work.account set balance = %s where id = 20", (-1,))
        except psycopg.errors.CheckViolation as error:
            code = error.sqlstate
        with db.transaction():
            db.execute("update work.account set balance = %s where id = 20", (5,))
    return [code, db.execute("select * from work.account where id = 20").fetchall()]


def fields(error):
    names = ["severity", "severity_nonlocalized", "sqlstate", "message_primary", "message_detail", "message_hint",
             "statement_position", "context", "schema_name", "table_name", "column_name", "datatype_name",
             "constraint_name", "source_function"]
    return {name: getattr(error.diag, name) for name in names}


def notice():
    told = []
    with connect() as own:
        own.add_notice_handler(lambda diag: told.append([diag.severity, diag.sqlstate, diag.message_primary,
                                                         diag.message_detail, diag.message_hint, diag.context]))
        return [own.execute("select work.tell()").fetchall(), told]


def listen():
    with connect() as own, connect() as other:
        own.execute("listen news")
        other.execute("select pg_notify('news', 'extra ' || n) from generate_series(1, 3) n")
        return [[one.channel, one.payload] for one in own.notifies(timeout=5, stop_after=3)]


def cancel():
    seen = []
    for how in ("cancel", "cancel_safe"):
        with connect() as own:
            threading.Timer(0.2, getattr(own, how)).start()
            since = time.monotonic()
            try:
                own.execute("select pg_sleep(30)")
            except psycopg.errors.QueryCanceled as error:
                seen.append([error.sqlstate, str(error), time.monotonic() - since < 15])
            seen.append(own.execute("select 1").fetchall())
    return seen


def errors():
    seen = []
    for statement in BROKEN:
        try:
            db.execute(statement)
        except psycopg.Error as error:
            seen.append([type(error).__name__, fields(error)])
    return seen


def reconnect():
    own = connect()
    try:
        own.execute("select pg_terminate_backend(pg_backend_pid())")
    except psycopg.OperationalError as error:
        seen = [type(error).__name__, error.sqlstate, str(error).splitlines()[0], own.closed]
    with connect() as again:
        return [seen, again.execute("select 1").fetchall()]


def large_object():
    raise Unsupported("no interface of its own; by SQL functions only")


def catalogue():
    info = psycopg.types.TypeInfo.fetch(db, "work.mood")
    mood = psycopg.types.enum.EnumInfo.fetch(db, "work.mood")
    row = db.cursor(row_factory=dict_row).execute("select * from work.entry limit 1").fetchone()
    return [info.name, mood.labels, row, db.info.server_version, db.info.encoding, db.info.parameter_status("TimeZone")]


import psycopg.types.enum  # noqa: E402

for name, perform in {
    "connect": sign_in, "tls": tls, "simple": simple, "types": lambda: types(False), "binary": lambda: types(True),
    "prepared": prepared, "pipeline": pipeline, "cursor": cursor, "large": large, "copy-in": copy_in,
    "copy-out": copy_out, "transaction": transaction, "savepoint": savepoint, "notice": notice, "listen": listen,
    "cancel": cancel, "error": errors, "reconnect": reconnect, "large-object": large_object, "catalogue": catalogue,
}.items():
    answer(name, perform)
