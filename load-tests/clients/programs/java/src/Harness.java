import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** The same for every program of this folder: where to connect, and a line of JSON for each work. */
final class Harness {
  static final String COPY_OUT = "(select n, t from work.numbers order by n limit 20000)";
  static final List<String> BROKEN =
      List.of(
          "select * from work.nowhere",
          "insert into work.account values (1, 'ann', 1)",
          "insert into work.account values (30, 'x', -1)",
          "insert into work.entry (account, amount) values (999, 1)",
          "insert into work.account (id) values (31)",
          "selec 1",
          "select 'x'::int");
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  interface Work {
    Object perform() throws Exception;
  }

  /** The client has no such thing. */
  static final class Unsupported extends RuntimeException {
    Unsupported(String why) {
      super(why);
    }
  }

  static Work unsupported(String why) {
    return () -> {
      throw new Unsupported(why);
    };
  }

  static void answer(String name, Work work) {
    String said;
    try {
      said = "\"value\":" + json(work.perform());
    } catch (Unsupported none) {
      said = "\"unsupported\":" + json(none.getMessage());
    } catch (Exception error) {
      said = "\"failed\":" + json(error + " " + Arrays.toString(error.getStackTrace()));
    }
    OUT.println("{\"work\":" + json(name) + "," + said + "}");
  }

  static String env(String name) {
    return System.getenv("CLIENT_" + name);
  }

  static String url() {
    return "jdbc:postgresql://" + env("HOST") + ":" + env("PORT") + "/" + env("DATABASE");
  }

  /** Pairs of a property and its value. */
  static Connection open(String... more) throws SQLException {
    return openAt(env("DATABASE"), more);
  }

  static Connection openAt(String database, String... more) throws SQLException {
    var properties = new Properties();
    properties.setProperty("user", env("USER"));
    properties.setProperty("password", env("PASSWORD"));
    properties.setProperty("sslmode", "disable");
    for (int at = 0; at < more.length; at += 2) properties.setProperty(more[at], more[at + 1]);
    return DriverManager.getConnection("jdbc:postgresql://" + env("HOST") + ":" + env("PORT") + "/" + database, properties);
  }

  static List<Object> rows(ResultSet result) throws SQLException {
    var seen = new ArrayList<>();
    int width = result.getMetaData().getColumnCount();
    while (result.next()) {
      var row = new ArrayList<>();
      for (int at = 1; at <= width; at++) row.add(shown(result, at));
      seen.add(row);
    }
    return seen;
  }

  /** In the binary format the text of a bytea is the array's own name. */
  private static String shown(ResultSet result, int at) throws SQLException {
    boolean isBytes = result.getMetaData().getColumnTypeName(at).equals("bytea");
    byte[] bytes = isBytes ? result.getBytes(at) : null;
    return bytes == null ? result.getString(at) : HexFormat.of().formatHex(bytes);
  }

  static List<Object> query(Connection on, String sql) throws SQLException {
    try (Statement statement = on.createStatement()) {
      return rows(statement.executeQuery(sql));
    }
  }

  static String codeOf(Work work) {
    try {
      work.perform();
      return "no error";
    } catch (SQLException error) {
      return error.getSQLState();
    } catch (Exception error) {
      for (Throwable cause = error; cause != null; cause = cause.getCause())
        if (cause instanceof SQLException failed) return error.getClass().getSimpleName() + " " + failed.getSQLState();
      return error.toString();
    }
  }

  static Object fields(SQLException error) {
    ServerErrorMessage message = error instanceof PSQLException one ? one.getServerErrorMessage() : null;
    if (message == null) return error.getMessage();
    return Arrays.asList(
        message.getSeverity(), message.getSQLState(), message.getMessage(), message.getDetail(), message.getHint(),
        message.getPosition(), message.getWhere(), message.getSchema(), message.getTable(), message.getColumn(),
        message.getDatatype(), message.getConstraint(), message.getRoutine());
  }

  static String digest(byte[] bytes) throws Exception {
    return bytes.length + " " + new BigInteger(1, MessageDigest.getInstance("SHA-256").digest(bytes)).toString(16);
  }

  static String digest(Object value) throws Exception {
    return digest(String.valueOf(value).getBytes(StandardCharsets.UTF_8));
  }

  private static String json(Object value) {
    if (value == null || value instanceof Number || value instanceof Boolean) return String.valueOf(value);
    if (value instanceof Object[] array) return json(Arrays.asList(array));
    if (value instanceof List<?> list) return "[" + String.join(",", list.stream().map(Harness::json).toList()) + "]";
    var text = new StringBuilder("\"");
    for (char c : value.toString().toCharArray()) {
      if (c == '"' || c == '\\') text.append('\\').append(c);
      else if (c < ' ') text.append(String.format("\\u%04x", (int) c));
      else text.append(c);
    }
    return text.append('"').toString();
  }
}
