import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.GenerationType;
import jakarta.persistence.Id;
import jakarta.persistence.LockModeType;
import jakarta.persistence.ManyToOne;
import jakarta.persistence.JoinColumn;
import jakarta.persistence.Table;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import org.hibernate.SessionFactory;
import org.hibernate.annotations.Generated;
import org.hibernate.annotations.JdbcType;
import org.hibernate.cfg.Configuration;
import org.hibernate.dialect.type.PostgreSQLEnumJdbcType;

/** Hibernate ORM over pgjdbc: what an ORM sends, with JDBC batches, locks, streams and the check of the schema. */
final class UseHibernate {
  enum mood { sad, ok, happy }

  @Entity(name = "Account")
  @Table(name = "account", schema = "work")
  static class Account {
    @Id Integer id;
    String owner;
    BigDecimal balance;

    Account() {}

    Account(int id, String owner, int balance) {
      this.id = id;
      this.owner = owner;
      this.balance = BigDecimal.valueOf(balance);
    }
  }

  @Entity(name = "Entry")
  @Table(name = "entry", schema = "work")
  static class Entry {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Long id;
    @ManyToOne @JoinColumn(name = "account") Account account;
    BigDecimal amount;
    @JdbcType(PostgreSQLEnumJdbcType.class) mood feeling;
    @Generated @Column(insertable = false, updatable = false) BigDecimal doubled;
    String[] tags;
  }

  private static SessionFactory factory;

  public static void main(String[] arguments) {
    java.util.logging.LogManager.getLogManager().reset();
    factory = build("");
    Harness.answer("connect", () -> factory.fromSession(db -> db.createNativeQuery("select current_database()::text", String.class).getResultList()));
    Harness.answer("tls", () -> {
      try (var own = build("?sslmode=verify-full&sslrootcert=" + Harness.env("CA"))) {
        return own.fromSession(db -> db.createNativeQuery("select 1", Integer.class).getSingleResult());
      }
    });
    Harness.answer("simple", () -> factory.fromSession(db -> db.createQuery("select a.id, a.owner, a.balance from Account a order by a.id", Object[].class).getResultList()));
    Harness.answer("types", UseHibernate::entries);
    Harness.answer("binary", Harness.unsupported("as pgjdbc decides"));
    Harness.answer("prepared", () -> factory.fromSession(db -> {
      var seen = new ArrayList<>();
      for (int n = 1; n <= 50; n++) seen.add(db.createQuery("select a.owner from Account a where a.id = :id", String.class).setParameter("id", n % 3).getResultList());
      return seen;
    }));
    Harness.answer("pipeline", () -> factory.fromTransaction(db -> {
      for (int n = 100; n < 400; n++) db.persist(new Account(n, "many " + n, n));
      db.flush();
      return db.createMutationQuery("delete from Account a where a.id >= 100").executeUpdate();
    }));
    Harness.answer("cursor", () -> factory.fromTransaction(db -> {
      try (var rows = db.createNativeQuery("select n from work.numbers order by n", Integer.class).setFetchSize(999).getResultStream()) {
        return rows.mapToLong(n -> n).sum();
      }
    }));
    Harness.answer("large", () -> factory.fromSession(db -> db.createNativeQuery("select t from work.numbers order by n", String.class).getResultList().hashCode()));
    Harness.answer("copy-in", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("copy-out", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("transaction", UseHibernate::transaction);
    Harness.answer("savepoint", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("notice", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("listen", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("cancel", () -> Harness.codeOf(() -> factory.fromSession(db -> db.createNativeQuery("select 1 from pg_sleep(30)", Integer.class).setTimeout(1).getResultList())));
    Harness.answer("error", UseHibernate::errors);
    Harness.answer("reconnect", Harness.unsupported("its pool's affair"));
    Harness.answer("large-object", Harness.unsupported("by pgjdbc's own means"));
    Harness.answer("catalogue", () -> {
      factory.getSchemaManager().validate();
      return "the mapping fits the schema";
    });
    factory.close();
  }

  private static SessionFactory build(String parameters) {
    return new Configuration()
        .addAnnotatedClass(Account.class)
        .addAnnotatedClass(Entry.class)
        .setProperty("hibernate.connection.url", Harness.url() + (parameters.isEmpty() ? "?sslmode=disable" : parameters))
        .setProperty("hibernate.connection.username", Harness.env("USER"))
        .setProperty("hibernate.connection.password", Harness.env("PASSWORD"))
        .setProperty("hibernate.jdbc.batch_size", "50")
        .buildSessionFactory();
  }

  private static Object entries() {
    return factory.fromTransaction(db -> {
      var entry = new Entry();
      entry.account = db.find(Account.class, 1);
      entry.amount = new BigDecimal("12.50");
      entry.feeling = mood.happy;
      entry.tags = new String[] {"a", "b,c"};
      db.persist(entry);
      db.flush();
      db.clear();
      var found = db.createQuery("from Entry e join fetch e.account where e.feeling = :mood", Entry.class).setParameter("mood", mood.happy).getSingleResult();
      return List.of(found.account.owner, found.amount, found.doubled, found.feeling, List.of(found.tags));
    });
  }

  private static Object transaction() {
    var seen = new ArrayList<>();
    factory.inTransaction(db -> db.persist(new Account(10, "tom", 1)));
    seen.add(Harness.codeOf(() -> {
      factory.inTransaction(db -> {
        db.persist(new Account(11, "tim", 1));
        db.persist(new Account(12, "tom", 1));
      });
      return null;
    }));
    factory.inTransaction(db -> {
      var tom = db.find(Account.class, 10, LockModeType.PESSIMISTIC_WRITE);
      tom.balance = BigDecimal.TEN;
    });
    seen.add(factory.fromSession(db -> db.createQuery("select a.id, a.balance from Account a where a.id >= 10", Object[].class).getResultList()));
    return seen;
  }

  private static Object errors() {
    var seen = new ArrayList<>();
    for (String sql : Harness.BROKEN)
      seen.add(Harness.codeOf(() -> factory.fromTransaction(db -> db.createNativeMutationQuery(sql).executeUpdate())));
    return seen;
  }
}
