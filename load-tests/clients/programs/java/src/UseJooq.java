import static org.jooq.impl.DSL.field;
import static org.jooq.impl.DSL.name;
import static org.jooq.impl.DSL.table;

import java.math.BigDecimal;
import java.sql.Connection;
import java.util.ArrayList;
import java.util.List;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.Record;
import org.jooq.SQLDialect;
import org.jooq.Table;
import org.jooq.impl.DSL;
import org.jooq.impl.SQLDataType;

/** jOOQ over pgjdbc: inlined and bound values, batches, MERGE and RETURNING, lazy cursors, nested transactions, meta data. */
final class UseJooq {
  private static final Table<Record> ACCOUNT = table(name("work", "account"));
  private static final Field<Integer> ID = field(name("id"), SQLDataType.INTEGER);
  private static final Field<String> OWNER = field(name("owner"), SQLDataType.VARCHAR);
  private static final Field<BigDecimal> BALANCE = field(name("balance"), SQLDataType.NUMERIC(12, 2));
  private static DSLContext db;

  public static void main(String[] arguments) throws Exception {
    System.setProperty("org.jooq.no-logo", "true");
    System.setProperty("org.jooq.no-tips", "true");
    Connection connection = Harness.open();
    db = DSL.using(connection, SQLDialect.POSTGRES);
    Harness.answer("connect", () -> db.fetch("select current_database(), current_user").formatCSV());
    Harness.answer("tls", () -> {
      try (var own = Harness.open("sslmode", "verify-full", "sslrootcert", Harness.env("CA"))) {
        return DSL.using(own, SQLDialect.POSTGRES).fetch("select 1").formatCSV();
      }
    });
    Harness.answer("simple", () -> db.select(ID, OWNER, BALANCE).from(ACCOUNT).orderBy(ID).fetch().formatCSV());
    Harness.answer("types", () -> db.select(DSL.val(1), DSL.val("Grüße ' \\"), DSL.val(new BigDecimal("1.50")), DSL.val(true), DSL.val(new byte[] {0, 1}),
        DSL.val(java.time.LocalDate.of(2026, 2, 28)), DSL.val(java.util.UUID.fromString("6f9619ff-8b86-d011-b42d-00c04fc964ff")),
        DSL.val(new Integer[] {1, 2}), DSL.val(org.jooq.JSONB.valueOf("{\"a\": 1}")), DSL.inline("it''s")).fetch().formatJSON());
    Harness.answer("binary", Harness.unsupported("as pgjdbc decides"));
    Harness.answer("prepared", () -> {
      var seen = new ArrayList<>();
      try (var query = db.select(OWNER).from(ACCOUNT).where(ID.eq(DSL.param("id", Integer.class))).keepStatement(true)) {
        for (int n = 1; n <= 50; n++) seen.add(query.bind("id", n % 3).fetch().getValues(OWNER));
      }
      return seen;
    });
    Harness.answer("pipeline", () -> {
      var batch = db.batch(db.insertInto(ACCOUNT, ID, OWNER).values((Integer) null, null));
      for (int n = 100; n < 400; n++) batch.bind(n, "many " + n);
      return List.of(batch.execute().length, db.deleteFrom(ACCOUNT).where(ID.ge(100)).execute());
    });
    Harness.answer("cursor", () -> db.transactionResult(inner -> {
      long sum = 0;
      try (var rows = inner.dsl().select(field("n", Integer.class)).from("work.numbers").orderBy(field("n")).fetchSize(999).fetchLazy()) {
        for (var row : rows) sum += row.value1();
      }
      return sum;
    }));
    Harness.answer("large", () -> Harness.digest(db.fetch("select t from work.numbers order by n").formatCSV()));
    Harness.answer("copy-in", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("copy-out", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("transaction", () -> {
      var inserted = db.insertInto(ACCOUNT).columns(ID, OWNER, BALANCE).values(10, "tom", BigDecimal.ONE).values(11, "tim", BigDecimal.TEN)
          .onConflict(ID).doUpdate().set(BALANCE, BigDecimal.ZERO).returningResult(ID, BALANCE).fetch().formatCSV();
      String code = Harness.codeOf(() -> db.transactionResult(inner -> inner.dsl().insertInto(ACCOUNT, ID, OWNER).values(12, "tom").execute()));
      return List.of(inserted, code, db.fetchCount(ACCOUNT));
    });
    Harness.answer("savepoint", () -> db.transactionResult(outer -> {
      outer.dsl().insertInto(ACCOUNT, ID, OWNER).values(20, "una").execute();
      String code = Harness.codeOf(() -> outer.dsl().transactionResult(inner -> inner.dsl().update(ACCOUNT).set(BALANCE, new BigDecimal(-1)).where(ID.eq(20)).execute()));
      outer.dsl().transaction(inner -> inner.dsl().update(ACCOUNT).set(BALANCE, BigDecimal.valueOf(5)).where(ID.eq(20)).execute());
      return List.of(code, outer.dsl().select(BALANCE).from(ACCOUNT).where(ID.eq(20)).fetch().formatCSV());
    }));
    Harness.answer("notice", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("listen", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("cancel", () -> Harness.codeOf(() -> db.resultQuery("select 1 from pg_sleep(30)").queryTimeout(1).fetch()));
    Harness.answer("error", () -> {
      var seen = new ArrayList<>();
      for (String sql : Harness.BROKEN) seen.add(Harness.codeOf(() -> db.execute(sql)));
      return seen;
    });
    Harness.answer("reconnect", Harness.unsupported("its pool's affair"));
    Harness.answer("large-object", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("catalogue", () -> {
      var seen = new ArrayList<>();
      for (var one : db.meta().filterSchemas(schema -> schema.getName().equals("work")).getTables())
        seen.add(one + " " + one.fieldsRow() + " " + one.getIndexes() + " " + one.getReferences());
      return seen;
    });
    connection.close();
  }
}
