"""asyncpg: binary only, every statement prepared, introspects types by a large query of its own."""
import asyncio
import datetime
import decimal
import ssl
import uuid

import asyncpg

from harness import (BROKEN, CA, COPY_OUT, DATABASE, HOST, PASSWORD, PORT, TYPES, USER, Digest, Unsupported,
                     answer_async)

VALUES = [
    -32768, 2147483647, -9223372036854775808, 1.5, 1e-300, decimal.Decimal("12345678901234567890.123456789"),
    "Grüße \U0001f600 \\ ' \" $1", "varchar", True, b"\x00\x01\xff'\\", datetime.date(2026, 2, 28),
    datetime.time(23, 59, 59, 999999), datetime.datetime(2026, 2, 28, 12, 0, 0, 123456),
    datetime.datetime(2026, 2, 28, 12, 0, 0, 123456, datetime.timezone.utc), datetime.timedelta(days=3, seconds=14706),
    uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff"), '{"a": [1, null, "x"]}', '{"b": 2}', "10.1.2.3/24",
    [1, 2, None], ["a", "b,c", 'd"e', None], None, asyncpg.Range(1, 10), "happy",
]


def connect(**more):
    parts = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, "ssl": False}
    return asyncpg.connect(**{**parts, **more})


def rows(records):
    return [dict(record) for record in records]


def fields(error):
    names = ["severity", "sqlstate", "message", "detail", "hint", "position", "context", "schema_name", "table_name",
             "column_name", "data_type_name", "constraint_name", "server_source_function"]
    return {name: getattr(error, name, None) for name in names}


async def main():
    db = await connect()

    async def sign_in():
        own = await connect()
        seen = rows(await own.fetch("select current_database(), current_user"))
        await own.close()
        return seen

    async def tls():
        own = await connect(ssl=ssl.create_default_context(cafile=CA))
        seen = rows(await own.fetch("select 1 as n"))
        await own.close()
        return seen

    async def simple():
        return await db.execute("select 1; create temp table tmp(i int); insert into tmp values (1), (2)")

    async def types():
        columns = ", ".join(f"${at + 1}::{name} as c{at}" for at, name in enumerate(TYPES))
        statement = await db.prepare(f"select {columns}")
        kinds = [[one.name, one.type.name, one.type.kind] for one in statement.get_attributes()]
        return [rows(await statement.fetch(*VALUES)), kinds]

    async def composite():
        return rows(await db.fetch("select a, array[a], $1::work.mood[] as moods from work.account a order by id", ["sad", None]))

    async def prepared():
        statement = await db.prepare("select $1::int * $2::int")
        seen = [await statement.fetchval(n, 2) for n in range(1, 51)]
        return [seen, await db.fetchval("select count(*) > 0 from pg_prepared_statements")]

    async def pipeline():
        await db.executemany("insert into work.copied (id, t) values ($1, $2)", [(n, str(n)) for n in range(3000)])
        many = rows(await db.fetchmany("select $1::int as n", [(n,) for n in range(100)]))
        try:
            await db.executemany("insert into work.copied (id) values ($1)", [(9000,), (1,), (9001,)])
        except asyncpg.PostgresError as error:
            failed = error.sqlstate
        return [many, failed, await db.fetchval("select count(*) from work.copied")]

    async def cursor():
        total, pieces = Digest(), []
        async with db.transaction():
            own = await db.cursor("select n, t from work.numbers where n <= $1 order by n", 100000)
            while block := await own.fetch(9999):
                pieces.append(len(block))
                total.add([tuple(record) for record in block])
        async with db.transaction():
            seen = [record["n"] async for record in db.cursor("select n from work.numbers order by n limit 700", prefetch=50)]
        return [pieces, total.value(), len(seen)]

    async def large():
        total = Digest()
        for record in await db.fetch("select repeat(chr(65 + n % 26), 1000) as t from generate_series(1, 25000) n"):
            total.add(record["t"].encode())
        return total.value()

    async def copy_in():
        await db.execute("truncate work.copied")
        at = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        records = [(n, f"text {n}", b"\x00\xff", at) for n in range(5000)]
        tag = await db.copy_records_to_table("copied", schema_name="work", records=records)
        try:
            await db.copy_records_to_table("copied", schema_name="work", records=records[:1])
        except asyncpg.PostgresError as error:
            bad = fields(error)
        return [tag, rows(await db.fetch("select count(*), min(t), max(encode(b, 'hex')) as b from work.copied")), bad]

    async def copy_out():
        seen = []
        for form in ("csv", "binary"):
            total = Digest()

            async def add(block):
                total.add(block)

            tag = await db.copy_from_query(f"select * from {COPY_OUT}", output=add, format=form)
            seen.append([tag, total.value()])
        return seen

    async def transaction():
        async with db.transaction(isolation="serializable"):
            await db.execute("insert into work.account values (10, 'tom', 1)")
        own = db.transaction()
        await own.start()
        await db.execute("insert into work.account values (11, 'tim', 1)")
        codes = []
        for statement in ("insert into work.account values (11, 'tim', 1)", "select 1"):
            try:
                await db.execute(statement)
            except asyncpg.PostgresError as error:
                codes.append(error.sqlstate)
        await own.rollback()
        return [codes, rows(await db.fetch("select id from work.account where id >= 10"))]

    async def savepoint():
        async with db.transaction():
            await db.execute("insert into work.account values (20, 'una', 1)")
            try:
                async with db.transaction():
                    await db.execute("update work.account set balance = $1 where id = 20", decimal.Decimal(-1))
            except asyncpg.CheckViolationError as error:
                code = error.sqlstate
            async with db.transaction():
                await db.execute("update work.account set balance = $1 where id = 20", decimal.Decimal(5))
        return [code, rows(await db.fetch("select * from work.account where id = 20"))]

    async def notice():
        told = []
        db.add_log_listener(lambda _, message: told.append(fields(message)))
        seen = rows(await db.fetch("select work.tell()"))
        await asyncio.sleep(0.05)
        return [seen, told]

    async def listen():
        own, other = await connect(), await connect()
        heard = asyncio.get_running_loop().create_future()
        await own.add_listener("news", lambda _c, _pid, channel, payload: heard.set_result([channel, payload]))
        await other.execute("select pg_notify('news', 'extra ' || $1)", "extra")
        seen = await asyncio.wait_for(heard, 5)
        await own.close()
        await other.close()
        return seen

    async def cancel():
        seen = []
        task = asyncio.create_task(db.fetch("select pg_sleep(30), $1::int", 1))
        await asyncio.sleep(0.2)
        task.cancel()
        try:
            await asyncio.wait_for(task, 10)
        except asyncio.CancelledError:
            seen.append("cancelled")
        seen.append(await db.fetchval("select 1"))
        try:
            await db.fetch("select pg_sleep(30)", timeout=0.2)
        except asyncio.TimeoutError:
            seen.append("timed out")
        return [*seen, await asyncio.wait_for(db.fetchval("select 2"), 10)]

    async def errors():
        seen = []
        for statement in BROKEN:
            for run in (db.execute, db.fetch):
                try:
                    await run(statement)
                except asyncpg.PostgresError as error:
                    seen.append([type(error).__name__, fields(error)])
        return seen

    async def reconnect():
        own = await connect()
        try:
            await own.fetch("select pg_terminate_backend(pg_backend_pid())")
        except asyncpg.PostgresError as error:
            seen = [type(error).__name__, error.sqlstate]
        again = await connect()
        return [seen, own.is_closed(), await again.fetchval("select 1")]

    async def large_object():
        raise Unsupported("none")

    async def catalogue():
        return [await composite(), db.get_server_version().major, db.get_settings().TimeZone]

    for name, perform in {
        "connect": sign_in, "tls": tls, "simple": simple, "types": types, "binary": types, "prepared": prepared,
        "pipeline": pipeline, "cursor": cursor, "large": large, "copy-in": copy_in, "copy-out": copy_out,
        "transaction": transaction, "savepoint": savepoint, "notice": notice, "listen": listen, "cancel": cancel,
        "error": errors, "reconnect": reconnect, "large-object": large_object, "catalogue": catalogue,
    }.items():
        await answer_async(name, perform)
    await db.close()


asyncio.run(main())
