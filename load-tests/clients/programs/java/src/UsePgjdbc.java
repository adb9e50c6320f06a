import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Timer;
import java.util.TimerTask;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.largeobject.LargeObjectManager;

/** pgjdbc: the extended protocol from the first statement on, named statements after five, FunctionCall for large objects. */
final class UsePgjdbc {
  private static Connection db;

  public static void main(String[] arguments) throws Exception {
    db = Harness.open();
    Harness.answer("connect", () -> { try (var own = Harness.open()) { return Harness.query(own, "select current_database(), current_user"); } });
    Harness.answer("tls", () -> { try (var own = Harness.open("sslmode", "verify-full", "sslrootcert", Harness.env("CA"))) { return Harness.query(own, "select 1"); } });
    Harness.answer("simple", UsePgjdbc::simple);
    Harness.answer("types", () -> types("false"));
    Harness.answer("binary", () -> types("true"));
    Harness.answer("prepared", UsePgjdbc::prepared);
    Harness.answer("pipeline", UsePgjdbc::batch);
    Harness.answer("cursor", UsePgjdbc::cursor);
    Harness.answer("large", () -> Harness.digest(Harness.query(db, "select repeat(chr(65 + n % 26), 1000) from generate_series(1, 25000) n")));
    Harness.answer("copy-in", UsePgjdbc::copyIn);
    Harness.answer("copy-out", UsePgjdbc::copyOut);
    Harness.answer("transaction", UsePgjdbc::transaction);
    Harness.answer("savepoint", UsePgjdbc::savepoint);
    Harness.answer("notice", UsePgjdbc::notice);
    Harness.answer("listen", UsePgjdbc::listen);
    Harness.answer("cancel", UsePgjdbc::cancel);
    Harness.answer("error", UsePgjdbc::errors);
    Harness.answer("reconnect", UsePgjdbc::reconnect);
    Harness.answer("large-object", UsePgjdbc::largeObject);
    Harness.answer("catalogue", UsePgjdbc::catalogue);
    db.close();
  }

  private static Object simple() throws Exception {
    var seen = new ArrayList<>();
    for (String mode : List.of("extended", "simple")) {
      try (var own = Harness.open("preferQueryMode", mode); var statement = own.createStatement()) {
        boolean isResult = statement.execute("select 1 as a; select 'x', null; create temp table tmp(i int); insert into tmp values (1), (2)");
        while (isResult || statement.getUpdateCount() >= 0) {
          seen.add(isResult ? Harness.rows(statement.getResultSet()) : statement.getUpdateCount());
          isResult = statement.getMoreResults();
        }
      }
    }
    return seen;
  }

  private static Object types(String binary) throws Exception {
    String sql = "select ?::int2, ?::int4, ?::int8, ?::float4, ?::float8, ?::numeric, ?::text, ?::varchar, ?::bool, ?::bytea, ?::date, ?::time,"
        + " ?::timestamp, ?::timestamptz, ?::interval, ?::uuid, ?::jsonb, ?::inet, ?::int[], ?::text[], ?::text, ?::int4range, ?::work.mood";
    var seen = new ArrayList<>();
    try (var own = Harness.open("binaryTransfer", binary, "prepareThreshold", binary.equals("true") ? "-1" : "5"); var query = own.prepareStatement(sql)) {
      List<Object> values = Arrays.asList((short) -32768, 2147483647, Long.MIN_VALUE, 1.5f, 1e-300, new BigDecimal("12345678901234567890.123456789"),
          "Grüße \ud83d\ude00 \\ ' \" $1", "varchar", true, new byte[] {0, 1, -1, 39, 92}, LocalDate.of(2026, 2, 28), LocalTime.of(23, 59, 59, 999999000),
          LocalDateTime.of(2026, 2, 28, 12, 0, 0, 123456000), OffsetDateTime.parse("2026-02-28T12:00:00.123456Z"), "1 year 2 mons 3 days 04:05:06.789",
          UUID.fromString("6f9619ff-8b86-d011-b42d-00c04fc964ff"), "{\"a\": [1, null]}", "10.1.2.3/24", own.createArrayOf("int4", new Integer[] {1, 2, null}),
          own.createArrayOf("text", new String[] {"a", "b,c", "d\"e", null}), null, "[1,10)", "happy");
      for (int at = 0; at < values.size(); at++) query.setObject(at + 1, values.get(at));
      for (int times = 0; times < 7; times++) seen.add(Harness.rows(query.executeQuery()));
      var meta = query.getMetaData();
      for (int at = 1; at <= meta.getColumnCount(); at++) seen.add(meta.getColumnTypeName(at) + " " + meta.getColumnClassName(at));
      var parameters = query.getParameterMetaData();
      seen.add(parameters.getParameterTypeName(6));
    }
    return seen;
  }

  private static Object prepared() throws Exception {
    var seen = new ArrayList<>();
    try (var query = db.prepareStatement("select ?::int * ?::int")) {
      for (int n = 1; n <= 50; n++) {
        query.setInt(1, n);
        query.setInt(2, 2);
        seen.add(Harness.rows(query.executeQuery()));
      }
    }
    seen.add(Harness.query(db, "select name, statement from pg_prepared_statements where statement like '%$2%' order by 1"));
    return seen;
  }

  private static Object batch() throws Exception {
    var seen = new ArrayList<>();
    for (String rewrite : List.of("false", "true")) {
      try (var own = Harness.open("reWriteBatchedInserts", rewrite); var insert = own.prepareStatement("insert into work.copied (id, t) values (?, ?)")) {
        Harness.query(own, "select 1");
        own.createStatement().execute("truncate work.copied");
        for (int n = 0; n < 3000; n++) {
          insert.setInt(1, n);
          insert.setString(2, "text " + n);
          insert.addBatch();
        }
        seen.add(Arrays.stream(insert.executeBatch()).sum());
        for (int n : new int[] {5000, 1, 5001}) {
          insert.setInt(1, n);
          insert.setString(2, "again");
          insert.addBatch();
        }
        try {
          insert.executeBatch();
        } catch (BatchUpdateException error) {
          seen.add(error.getSQLState() + " " + Arrays.toString(error.getUpdateCounts()));
        }
        seen.add(Harness.query(own, "select count(*), max(id) from work.copied"));
        var keys = own.prepareStatement("insert into work.entry (account, amount) values (1, ?)", Statement.RETURN_GENERATED_KEYS);
        for (int n = 0; n < 20; n++) {
          keys.setInt(1, n);
          keys.addBatch();
        }
        keys.executeBatch();
        seen.add(Harness.rows(keys.getGeneratedKeys()));
      }
    }
    return seen;
  }

  private static Object cursor() throws Exception {
    var seen = new ArrayList<>();
    db.setAutoCommit(false);
    try (var query = db.prepareStatement("select n, t from work.numbers where n <= ? order by n")) {
      query.setFetchSize(9999);
      query.setInt(1, 100_000);
      seen.add(Harness.digest(Harness.rows(query.executeQuery())));
      // Two portals at once, each read in pieces, one left half-read.
      query.setFetchSize(10);
      ResultSet one = query.executeQuery();
      try (var other = db.prepareStatement("select n from work.numbers order by n desc")) {
        other.setFetchSize(7);
        ResultSet two = other.executeQuery();
        long sum = 0;
        for (int n = 0; n < 40 && one.next() && two.next(); n++) sum += one.getInt(1) * 1000L + two.getInt(1);
        seen.add(sum);
      }
    }
    try (var scroll = db.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
      ResultSet result = scroll.executeQuery("select id, owner, balance from work.account order by id");
      result.last();
      result.updateBigDecimal(3, new BigDecimal(51));
      result.updateRow();
      result.absolute(1);
      seen.add(result.getString(2));
    }
    db.rollback();
    db.setAutoCommit(true);
    return seen;
  }

  private static Object copyIn() throws Exception {
    db.createStatement().execute("truncate work.copied");
    var copier = db.unwrap(PGConnection.class).getCopyAPI();
    var lines = new StringBuilder();
    for (int n = 0; n < 5000; n++) lines.append(n).append("\ttext ").append(n).append("\\\\\t\\\\x00ff\t2026-01-01 00:00:00+00\n");
    var seen = new ArrayList<>();
    seen.add(copier.copyIn("copy work.copied from stdin", new StringReader(lines.toString())));
    var out = new ByteArrayOutputStream();
    copier.copyOut("copy work.copied to stdout binary", out);
    db.createStatement().execute("truncate work.copied");
    seen.add(copier.copyIn("copy work.copied from stdin binary", new ByteArrayInputStream(out.toByteArray())));
    try {
      copier.copyIn("copy work.copied from stdin", new StringReader("a\tb\tc\td\n"));
    } catch (SQLException error) {
      seen.add(Harness.fields(error));
    }
    var given = copier.copyIn("copy work.copied from stdin");
    given.writeToCopy(new byte[] {'9'}, 0, 1);
    given.cancelCopy();
    seen.add(Harness.query(db, "select count(*), min(t), max(encode(b, 'hex')) from work.copied"));
    return seen;
  }

  private static Object copyOut() throws Exception {
    var seen = new ArrayList<>();
    for (String form : List.of("csv", "binary")) {
      var out = new ByteArrayOutputStream();
      seen.add(db.unwrap(PGConnection.class).getCopyAPI().copyOut("copy " + Harness.COPY_OUT + " to stdout (format " + form + ")", out));
      seen.add(Harness.digest(out.toByteArray()));
    }
    // cancelCopy is left out: its cancel may hit the statement after it, directly, too.
    return seen;
  }

  private static Object transaction() throws Exception {
    db.setAutoCommit(false);
    db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    update(db, "insert into work.account values (10, 'tom', 1)");
    db.commit();
    String twice = "insert into work.account values (11, 'tim', 1)";
    var codes = new ArrayList<>();
    for (String sql : List.of(twice, twice, "select 1")) codes.add(Harness.codeOf(() -> update(db, sql)));
    codes.add(Harness.codeOf(() -> { db.commit(); return null; }));
    db.rollback();
    db.setAutoCommit(true);
    db.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
    codes.add(Harness.query(db, "select id from work.account where id >= 10"));
    return codes;
  }

  private static Object savepoint() throws Exception {
    var seen = new ArrayList<>();
    try (var own = Harness.open("autosave", "always")) {
      own.setAutoCommit(false);
      update(own, "insert into work.account values (20, 'una', 1)");
      var point = own.setSavepoint("a");
      seen.add(Harness.codeOf(() -> update(own, "update work.account set balance = -1 where id = 20")));
      own.rollback(point);
      update(own, "update work.account set balance = 5 where id = 20");
      own.releaseSavepoint(own.setSavepoint());
      own.commit();
      seen.add(Harness.query(own, "select * from work.account where id = 20"));
    }
    return seen;
  }

  private static Object notice() throws Exception {
    var seen = new ArrayList<>();
    try (var statement = db.createStatement()) {
      seen.add(Harness.rows(statement.executeQuery("select work.tell()")));
      for (SQLWarning one = statement.getWarnings(); one != null; one = one.getNextWarning()) seen.add(one.getSQLState() + " " + one.getMessage());
    }
    return seen;
  }

  private static Object listen() throws Exception {
    try (var own = Harness.open(); var other = Harness.open()) {
      update(own, "listen news");
      Harness.query(other, "select pg_notify('news', 'extra extra')");
      PGNotification[] heard = own.unwrap(PGConnection.class).getNotifications(5000);
      return List.of(heard.length, heard[0].getName(), heard[0].getParameter());
    }
  }

  private static Object cancel() throws Exception {
    var seen = new ArrayList<>();
    try (PreparedStatement sleep = db.prepareStatement("select pg_sleep(?)")) {
      sleep.setInt(1, 30);
      var timer = new Timer(true);
      timer.schedule(new TimerTask() {
        @Override
        public void run() {
          try {
            sleep.cancel();
          } catch (SQLException error) {
            throw new IllegalStateException(error);
          }
        }
      }, 200);
      seen.add(Harness.codeOf(sleep::executeQuery));
      sleep.setQueryTimeout(1);
      seen.add(Harness.codeOf(sleep::executeQuery));
    }
    seen.add(Harness.query(db, "select 1"));
    return seen;
  }

  private static Object errors() throws Exception {
    var seen = new ArrayList<>();
    for (String sql : Harness.BROKEN) {
      try {
        update(db, sql);
      } catch (SQLException error) {
        seen.add(Harness.fields(error));
      }
    }
    return seen;
  }

  private static Object reconnect() throws Exception {
    try (var own = Harness.open()) {
      String killed = Harness.codeOf(() -> Harness.query(own, "select pg_terminate_backend(pg_backend_pid())"));
      boolean valid = own.isValid(1);
      try (var again = Harness.open()) {
        return List.of(killed, valid, own.isClosed(), Harness.query(again, "select 1"));
      }
    }
  }

  private static Object largeObject() throws Exception {
    db.setAutoCommit(false);
    LargeObjectManager objects = db.unwrap(PGConnection.class).getLargeObjectAPI();
    long oid = objects.createLO();
    var object = objects.open(oid, LargeObjectManager.READWRITE);
    object.write("ab".repeat(250_000).getBytes());
    object.seek64(250_001, 0);
    var seen = new ArrayList<Object>(List.of(new String(object.read(7)), object.size64(), object.tell64()));
    object.truncate64(10);
    seen.add(object.size64());
    object.close();
    objects.delete(oid);
    db.commit();
    db.setAutoCommit(true);
    return seen;
  }

  private static Object catalogue() throws Exception {
    // In the database that nobody changes: some names have numbers of objects in them.
    try (var still = Harness.openAt("still")) {
      var meta = still.getMetaData();
      return List.of(
        Harness.rows(meta.getTables(null, "work", "%", null)), Harness.rows(meta.getColumns(null, "work", "%", "%")),
        Harness.rows(meta.getPrimaryKeys(null, "work", "account")), Harness.rows(meta.getImportedKeys(null, "work", "entry")),
        Harness.rows(meta.getIndexInfo(null, "work", "entry", false, true)), Harness.rows(meta.getFunctions(null, "work", "%")),
        Harness.rows(meta.getProcedures(null, "work", "%")), Harness.rows(meta.getSchemas(null, "work")), Harness.digest(Harness.rows(meta.getTypeInfo())),
        Harness.rows(meta.getTablePrivileges(null, "work", "account")), Harness.rows(meta.getUDTs(null, "work", "%", null)), meta.getDatabaseProductVersion());
    }
  }

  private static Object update(Connection on, String sql) throws SQLException {
    try (var statement = on.createStatement()) {
      return statement.execute(sql);
    }
  }
}
