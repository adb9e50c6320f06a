"""The same for every program of this folder: where to connect, and a line of JSON for each work."""
import datetime
import decimal
import hashlib
import json
import os
import sys
import traceback
import uuid

HOST = os.environ["CLIENT_HOST"]
PORT = int(os.environ["CLIENT_PORT"])
USER = os.environ["CLIENT_USER"]
PASSWORD = os.environ["CLIENT_PASSWORD"]
DATABASE = os.environ["CLIENT_DATABASE"]
CA = os.environ["CLIENT_CA"]

COPY_LINES = [f"{n}\ttext {n}\\\\\t\\\\x00ff\t2026-01-01 00:00:00+00\n" for n in range(5000)]
COPY_OUT = "(select n, t from work.numbers order by n limit 20000)"
BROKEN = [
    "select * from work.nowhere",
    "insert into work.account values (1, 'ann', 1)",
    "insert into work.account values (30, 'x', -1)",
    "insert into work.entry (account, amount) values (999, 1)",
    "insert into work.account (id) values (31)",
    "selec 1",
    "select 'x'::int",
]
TYPES = [
    "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bool", "bytea", "date", "time",
    "timestamp", "timestamptz", "interval", "uuid", "jsonb", "json", "inet", "int[]", "text[]", "text", "int4range",
    "work.mood",
]


class Unsupported(Exception):
    pass


def answer(work, perform_result):
    """Prints what a callable gives, or why it gives nothing. For coroutines see answer_async."""
    try:
        report(work, value=perform_result())
    except Unsupported as error:
        report(work, unsupported=str(error))
    except Exception:
        report(work, failed=traceback.format_exc())


async def answer_async(work, perform):
    try:
        report(work, value=await perform())
    except Unsupported as error:
        report(work, unsupported=str(error))
    except Exception:
        report(work, failed=traceback.format_exc())


def report(work, **parts):
    sys.stdout.write(json.dumps({"work": work, **parts}, default=plain, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def plain(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (decimal.Decimal, uuid.UUID, datetime.timedelta)):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    return repr(value)


class Digest:
    def __init__(self):
        self._hash = hashlib.sha256()
        self.size = 0

    def add(self, piece):
        data = piece if isinstance(piece, (bytes, bytearray, memoryview)) else repr(piece).encode()
        self._hash.update(data)
        self.size += len(data)

    def value(self):
        return {"bytes": self.size, "digest": self._hash.hexdigest()}
