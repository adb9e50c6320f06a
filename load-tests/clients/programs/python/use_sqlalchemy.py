"""SQLAlchemy 2.1 over psycopg 3: Core, ORM, two-phase commit, reflection."""
import datetime
import decimal
import uuid

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from harness import BROKEN, CA, DATABASE, HOST, PASSWORD, PORT, USER, Digest, Unsupported, answer

URL = sa.URL.create("postgresql+psycopg", USER, PASSWORD, HOST, PORT, DATABASE, {"sslmode": "disable"})
engine = sa.create_engine(URL)


class Base(orm.DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    __table_args__ = {"schema": "work"}
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    owner: orm.Mapped[str]
    balance: orm.Mapped[decimal.Decimal] = orm.mapped_column(default=decimal.Decimal(0))
    entries: orm.Mapped[list["Entry"]] = orm.relationship(back_populates="of", order_by="Entry.id")


class Entry(Base):
    __tablename__ = "entry"
    __table_args__ = {"schema": "work"}
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(always=True), primary_key=True)
    account: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("work.account.id"))
    amount: orm.Mapped[decimal.Decimal]
    feeling: orm.Mapped[str] = orm.mapped_column(postgresql.ENUM("sad", "ok", "happy", name="mood", schema="work"))
    doubled: orm.Mapped[decimal.Decimal] = orm.mapped_column(sa.Computed("amount * 2"))
    tags: orm.Mapped[list[str]] = orm.mapped_column(postgresql.ARRAY(sa.Text))
    of: orm.Mapped[Account] = orm.relationship(back_populates="entries")


numbers = sa.table("numbers", sa.column("n"), sa.column("t"), schema="work")


def rows(result):
    return [list(row) for row in result]


def sign_in():
    with engine.connect() as own:
        return rows(own.execute(sa.text("select current_database(), current_user")))


def tls():
    own = sa.create_engine(URL.set(query={"sslmode": "verify-full", "sslrootcert": CA}))
    with own.connect() as connection:
        return rows(connection.execute(sa.text("select 1")))


def simple():
    with engine.connect() as own:
        return rows(own.exec_driver_sql("select 1, 'x', null"))


def types():
    values = {
        "a": (sa.Integer, 2147483647), "b": (sa.BigInteger, -9223372036854775808), "c": (sa.Float, 1.5),
        "d": (sa.Numeric, decimal.Decimal("12345678901234567890.123456789")), "e": (sa.Text, "Grüße \U0001f600 ' \\"),
        "f": (sa.Boolean, True), "g": (sa.LargeBinary, b"\x00\x01\xff"), "h": (sa.Date, datetime.date(2026, 2, 28)),
        "i": (sa.DateTime(True), datetime.datetime(2026, 2, 28, tzinfo=datetime.timezone.utc)),
        "j": (sa.Interval, datetime.timedelta(days=3, seconds=14706)), "k": (sa.Uuid, uuid.UUID(int=7)),
        "l": (postgresql.JSONB, {"a": [1, None]}), "m": (postgresql.INET, "10.1.2.3/24"),
        "n": (postgresql.ARRAY(sa.Integer), [1, 2, None]), "o": (postgresql.INT4RANGE, postgresql.Range(1, 10)),
    }
    query = sa.select(*[sa.cast(sa.bindparam(name, value, kind), kind).label(name) for name, (kind, value) in values.items()])
    with engine.connect() as own:
        return rows(own.execute(query))


def prepared():
    own = sa.create_engine(URL, connect_args={"prepare_threshold": 0})
    with own.connect() as connection:
        query = sa.select(numbers).where(numbers.c.n == sa.bindparam("n"))
        seen = [rows(connection.execute(query, {"n": n})) for n in range(1, 51)]
        return [seen, connection.execute(sa.text("select count(*) from pg_prepared_statements")).scalar() > 0]


def batch():
    with engine.begin() as own:
        own.execute(sa.text("insert into work.copied (id, t) values (:id, :t)"), [{"id": n, "t": str(n)} for n in range(2000)])
        inserted = own.execute(
            sa.insert(Entry).returning(Entry.id, Entry.doubled, sort_by_parameter_order=True),
            [{"account": 1, "amount": n, "feeling": "ok", "tags": []} for n in range(300)])
        return [len(rows(inserted)), own.execute(sa.text("select count(*) from work.copied")).scalar()]


def cursor():
    total, pieces = Digest(), []
    with engine.connect().execution_options(stream_results=True, yield_per=9999) as own:
        for block in own.execute(sa.select(numbers).order_by(numbers.c.n)).partitions():
            pieces.append(len(block))
            total.add([tuple(row) for row in block])
    return [pieces, total.value()]


def large():
    total = Digest()
    with engine.connect() as own:
        for (text,) in own.execute(sa.text("select repeat(chr(65 + n % 26), 1000) from generate_series(1, 25000) n")):
            total.add(text.encode())
    return total.value()


def transaction():
    with orm.Session(engine) as session:
        tom = Account(id=10, owner="tom", balance=1)
        tom.entries = [Entry(amount=2, feeling="sad", tags=["a", "b,c"]), Entry(amount=3, feeling="happy", tags=[])]
        session.add(tom)
        session.commit()
        session.add(Account(id=11, owner="ann"))
        try:
            session.commit()
        except sa.exc.IntegrityError as error:
            code = error.orig.sqlstate
            session.rollback()
        found = session.scalars(sa.select(Account).options(orm.selectinload(Account.entries)).where(Account.id >= 10)).all()
        seen = [[one.id, one.owner, one.balance, [[e.amount, e.feeling, e.doubled, e.tags] for e in one.entries]] for one in found]
    with engine.connect() as own:
        levels = [own.execution_options(isolation_level=level).get_isolation_level() for level in ("SERIALIZABLE",)]
    return [code, seen, levels]


def savepoint():
    with engine.begin() as own:
        own.execute(sa.insert(Account).values(id=20, owner="una", balance=1))
        inner = own.begin_nested()
        try:
            own.execute(sa.update(Account).where(Account.id == 20).values(balance=-1))
        except sa.exc.IntegrityError as error:
            code = error.orig.sqlstate
            inner.rollback()
        with own.begin_nested():
            upsert = postgresql.insert(Account).values(id=20, owner="una", balance=5)
            own.execute(upsert.on_conflict_do_update(index_elements=["id"], set_={"balance": upsert.excluded.balance}))
        return [code, rows(own.execute(sa.select(Account.__table__).where(Account.id == 20)))]


def errors():
    seen = []
    for statement in BROKEN:
        with engine.connect() as own:
            try:
                own.execute(sa.text(statement))
            except sa.exc.DBAPIError as error:
                seen.append([type(error).__name__, error.orig.sqlstate, str(error.orig)])
    return seen


def reconnect():
    own = sa.create_engine(URL, pool_pre_ping=True, pool_size=1)
    with own.connect() as connection:
        try:
            connection.execute(sa.text("select pg_terminate_backend(pg_backend_pid())"))
        except sa.exc.OperationalError as error:
            seen = [error.connection_invalidated, str(error.orig).splitlines()[0]]
    with own.connect() as connection:
        return [seen, rows(connection.execute(sa.text("select 1")))]


def catalogue():
    # Another database, which nobody changes; what comes back has no order of its own.
    engine = sa.create_engine(URL.set(database="still"))
    look = sa.inspect(engine)
    tables = sorted(look.get_table_names("work"))
    seen = [look.get_schema_names(), tables, sorted(look.get_view_names("work")), look.get_enums("work")]
    for name in tables:
        columns = [{**column, "type": str(column["type"])} for column in look.get_columns(name, "work")]
        seen.append([name, columns, look.get_pk_constraint(name, "work"), look.get_foreign_keys(name, "work"),
                     look.get_indexes(name, "work"), look.get_unique_constraints(name, "work"),
                     look.get_check_constraints(name, "work")])
    reflected = sa.MetaData()
    reflected.reflect(engine, schema="work", views=True)
    return [seen, sorted(reflected.tables)]


def unsupported(why):
    def perform():
        raise Unsupported(why)

    return perform


for work, perform in {
    "connect": sign_in, "tls": tls, "simple": simple, "types": types,
    "binary": unsupported("as psycopg decides"), "prepared": prepared, "pipeline": batch, "cursor": cursor,
    "large": large, "copy-in": unsupported("by psycopg's own means"), "copy-out": unsupported("by psycopg's own means"),
    "transaction": transaction, "savepoint": savepoint, "notice": unsupported("by psycopg's own means"),
    "listen": unsupported("by psycopg's own means"), "cancel": unsupported("by psycopg's own means"), "error": errors,
    "reconnect": reconnect, "large-object": unsupported("none"), "catalogue": catalogue,
}.items():
    answer(work, perform)
