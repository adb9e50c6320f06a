//! tokio-postgres: binary only, every statement prepared, pipelines what is polled at once.
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use clients::{BROKEN, COPY_OUT, Outcome, answer, digest, env, unsupported};
use futures_util::{SinkExt, StreamExt, TryStreamExt, future, pin_mut};
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config, IsolationLevel, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut db = open().await?;
    answer("connect", sign_in()).await;
    answer("tls", tls()).await;
    answer("simple", simple(&db)).await;
    answer("types", async { unsupported("binary format only") }).await;
    answer("binary", binary(&db)).await;
    answer("prepared", prepared(&db)).await;
    answer("pipeline", pipeline(&db)).await;
    answer("cursor", cursor(&mut db)).await;
    answer("large", large(&db)).await;
    answer("copy-in", copy_in(&db)).await;
    answer("copy-out", copy_out(&db)).await;
    answer("transaction", transaction(&mut db)).await;
    answer("savepoint", savepoint(&mut db)).await;
    answer("notice", listen("select work.tell()", 2)).await;
    answer("listen", listen("listen news; select pg_notify('news', 'extra extra')", 1)).await;
    answer("cancel", cancel(&db)).await;
    answer("error", broken(&db)).await;
    answer("reconnect", reconnect()).await;
    answer("large-object", async { unsupported("none") }).await;
    answer("catalogue", catalogue(&db)).await;
    Ok(())
}

fn config() -> Config {
    let mut config = Config::new();
    config.host(env("HOST")).port(env("PORT").parse().expect("a port"));
    config.user(env("USER")).password(env("PASSWORD")).dbname(env("DATABASE"));
    config
}

async fn open() -> Result<Client, Failure> {
    let (client, connection) = config().connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn sign_in() -> Outcome {
    let row = open().await?.query_one("select current_database()::text, current_user::text", &[]).await?;
    Ok(json!([row.get::<_, &str>(0), row.get::<_, &str>(1)]))
}

async fn tls() -> Outcome {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(env("CA"))?)?;
    let rules = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut wanted = config();
    wanted.ssl_mode(tokio_postgres::config::SslMode::Require);
    let (client, connection) = wanted.connect(MakeRustlsConnect::new(rules)).await?;
    tokio::spawn(connection);
    Ok(json!(client.query_one("select 1", &[]).await?.get::<_, i32>(0)))
}

fn shown(messages: Vec<SimpleQueryMessage>) -> Vec<Value> {
    let one = |message| match message {
        SimpleQueryMessage::Row(row) => json!((0..row.len()).map(|at| row.get(at)).collect::<Vec<_>>()),
        SimpleQueryMessage::CommandComplete(count) => json!(count),
        SimpleQueryMessage::RowDescription(columns) => json!(columns.iter().map(|one| one.name()).collect::<Vec<_>>()),
        _ => Value::Null,
    };
    messages.into_iter().map(one).collect()
}

async fn simple(db: &Client) -> Outcome {
    let script = "select 1 as a; select 'x' as b, null as c; create temp table tmp(i int); insert into tmp values (1), (2)";
    Ok(json!(shown(db.simple_query(script).await?)))
}

async fn binary(db: &Client) -> Outcome {
    let query = "select $1::int2, $2::int4, $3::int8, $4::float4, $5::float8, $6::text, $7::varchar, $8::bool, $9::bytea,
        $10::date, $11::time, $12::timestamp, $13::timestamptz, $14::uuid, $15::jsonb, $16::json, $17::int[], $18::text[], $19::text";
    let day = NaiveDate::from_ymd_opt(2026, 2, 28).ok_or("a day")?;
    let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).ok_or("a time")?;
    let at = NaiveDateTime::new(day, time);
    let bytes: &[u8] = &[0, 1, 255, 39, 92];
    let none: Option<&str> = None;
    let row = db
        .query_one(
            query,
            &[
                &i16::MIN, &i32::MAX, &i64::MIN, &1.5f32, &1e-300f64, &"Grüße \u{1F600} \\ ' \" $1", &"varchar", &true, &bytes,
                &day, &time, &at, &at.and_utc(), &Uuid::from_u128(7), &json!({"a": [1, null]}), &json!({"b": 2}),
                &vec![Some(1), Some(2), None], &vec!["a", "b,c", "d\"e"], &none,
            ],
        )
        .await?;
    Ok(json!([
        row.columns().iter().map(|one| one.type_().name()).collect::<Vec<_>>(),
        [json!(row.get::<_, i16>(0)), json!(row.get::<_, i32>(1)), json!(row.get::<_, i64>(2)), json!(row.get::<_, f32>(3)), json!(row.get::<_, f64>(4))],
        [row.get::<_, &str>(5), row.get::<_, &str>(6)],
        row.get::<_, bool>(7), row.get::<_, &[u8]>(8),
        row.get::<_, NaiveDate>(9), row.get::<_, NaiveTime>(10), row.get::<_, NaiveDateTime>(11), row.get::<_, DateTime<Utc>>(12),
        row.get::<_, Uuid>(13).to_string(), row.get::<_, Value>(14), row.get::<_, Value>(15),
        row.get::<_, Vec<Option<i32>>>(16), row.get::<_, Vec<String>>(17), row.get::<_, Option<String>>(18),
    ]))
}

async fn prepared(db: &Client) -> Outcome {
    let statement = db.prepare_typed("select $1 * $2", &[Type::INT4, Type::INT4]).await?;
    let mut seen = vec![];
    for n in 1..=50i32 {
        seen.push(db.query_one(&statement, &[&n, &2i32]).await?.get::<_, i32>(0));
    }
    drop(statement);
    Ok(json!([seen, db.query_one("select count(*) from pg_prepared_statements where statement like '%$2'", &[]).await?.get::<_, i64>(0)]))
}

async fn pipeline(db: &Client) -> Outcome {
    let statement = db.prepare("select $1::int4").await?;
    let numbers: Vec<i32> = (0..100).collect();
    let first = future::try_join_all(numbers.iter().map(|n| {
        let statement = &statement;
        async move { db.query_one(statement, &[n]).await.map(|row| row.get::<_, i32>(0)) }
    }))
    .await?;
    let divide = db.prepare("select 6 / $1::int4").await?;
    let divisors = [1, 0, 3];
    let second = future::join_all(divisors.iter().map(|n| {
        let divide = &divide;
        async move { db.query_one(divide, &[n]).await.map(|row| row.get::<_, i32>(0)) }
    }))
    .await;
    let second: Vec<Value> = second.into_iter().map(|one| one.map_or_else(|error| code(&error), |n| json!(n))).collect();
    Ok(json!([first, second]))
}

async fn cursor(db: &mut Client) -> Outcome {
    let tx = db.transaction().await?;
    let portal = tx.bind("select n, t from work.numbers where n <= $1 order by n", &[&100_000i32]).await?;
    let (mut pieces, mut read) = (vec![], vec![]);
    loop {
        let rows = tx.query_portal(&portal, 9_999).await?;
        if rows.is_empty() {
            break;
        }
        pieces.push(rows.len());
        for row in &rows {
            read.push(format!("{} {}", row.get::<_, i32>(0), row.get::<_, &str>(1)));
        }
    }
    tx.commit().await?;
    Ok(json!([pieces, digest(read.iter().map(String::as_bytes))]))
}

async fn large(db: &Client) -> Outcome {
    let none: [i32; 0] = [];
    let rows = db.query_raw("select repeat(chr(65 + n % 26), 1000) from generate_series(1, 25000) n", none.iter()).await?;
    let texts: Vec<String> = rows.map_ok(|row| row.get(0)).try_collect().await?;
    Ok(json!([texts.len(), digest(texts.iter().map(String::as_bytes))]))
}

async fn copy_in(db: &Client) -> Outcome {
    let sink = db.copy_in("copy work.copied from stdin").await?;
    pin_mut!(sink);
    for n in 0..5000 {
        sink.send(Bytes::from(format!("{n}\ttext {n}\\\\\t\\\\x00ff\t2026-01-01 00:00:00+00\n"))).await?;
    }
    let text = sink.as_mut().finish().await?;
    let sink = db.copy_in("copy work.copied (id, t) from stdin binary").await?;
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]);
    pin_mut!(writer);
    for n in 5000..7000i32 {
        writer.as_mut().write(&[&n, &format!("text {n}")]).await?;
    }
    let binary = writer.finish().await?;
    let sink = db.copy_in("copy work.copied from stdin").await?;
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"a\tb\tc\td\n")).await?;
    let bad = sink.as_mut().finish().await.err().map(|error| fields(&error));
    {
        // Dropped before its end: given up.
        let sink = db.copy_in::<_, Bytes>("copy work.copied from stdin").await?;
        drop(sink);
    }
    Ok(json!([text, binary, bad, db.query_one("select count(*) from work.copied", &[]).await?.get::<_, i64>(0)]))
}

async fn copy_out(db: &Client) -> Outcome {
    let mut seen = vec![];
    for form in ["csv", "binary"] {
        let blocks: Vec<Bytes> = db.copy_out(&format!("copy {COPY_OUT} to stdout (format {form})")).await?.try_collect().await?;
        seen.push(json!([blocks.iter().map(Bytes::len).sum::<usize>(), digest(blocks.iter().map(|one| one.as_ref()))]));
    }
    let rows = BinaryCopyOutStream::new(db.copy_out(&format!("copy {COPY_OUT} to stdout binary")).await?, &[Type::INT4, Type::TEXT]);
    let sum: i64 = rows.map_ok(|row| i64::from(row.get::<i32>(0))).try_fold(0, |sum, n| future::ok(sum + n)).await?;
    Ok(json!([seen, sum]))
}

async fn transaction(db: &mut Client) -> Outcome {
    let tx = db.build_transaction().isolation_level(IsolationLevel::Serializable).start().await?;
    tx.execute("insert into work.account values (10, 'tom', 1)", &[]).await?;
    tx.commit().await?;
    let tx = db.transaction().await?;
    let twice = "insert into work.account values (11, 'tim', 1)";
    let mut codes = vec![];
    for sql in [twice, twice, "select 1"] {
        codes.push(tx.execute(sql, &[]).await.map_or_else(|error| code(&error), |count| json!(count)));
    }
    tx.rollback().await?;
    let left = db.query("select id from work.account where id >= 10", &[]).await?;
    Ok(json!([codes, left.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>()]))
}

async fn savepoint(db: &mut Client) -> Outcome {
    let mut tx = db.transaction().await?;
    tx.execute("insert into work.account values (20, 'una', 1)", &[]).await?;
    let inner = tx.savepoint("a").await?;
    let failed = inner.execute("update work.account set balance = -1 where id = 20", &[]).await.err().map(|error| code(&error));
    inner.rollback().await?;
    let inner = tx.transaction().await?;
    inner.execute("update work.account set balance = 5 where id = 20", &[]).await?;
    inner.commit().await?;
    tx.commit().await?;
    Ok(json!([failed, db.query_one("select balance::text from work.account where id = 20", &[]).await?.get::<_, &str>(0)]))
}

/// What comes beside the answers: notices and notifications.
async fn listen(sql: &str, wanted: usize) -> Outcome {
    let (client, mut connection) = config().connect(NoTls).await?;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    tokio::spawn(async move {
        pin_mut!(messages);
        while let Some(Ok(message)) = messages.next().await {
            let value = match message {
                AsyncMessage::Notice(notice) => db_fields(&notice),
                AsyncMessage::Notification(one) => json!([one.channel(), one.payload()]),
                _ => continue,
            };
            if tell.send(value).is_err() {
                return;
            }
        }
    });
    client.batch_execute(sql).await?;
    let mut heard = vec![];
    while heard.len() < wanted {
        let one = tokio::time::timeout(Duration::from_secs(5), told.recv()).await?;
        heard.push(one.ok_or("the connection ended")?);
    }
    Ok(json!(heard))
}

async fn cancel(db: &Client) -> Outcome {
    let token = db.cancel_token();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        token.cancel_query(NoTls).await
    };
    let (slept, asked) = future::join(db.execute("select pg_sleep($1)", &[&30f64]), stop).await;
    asked?;
    Ok(json!([slept.err().map(|error| code(&error)), db.query_one("select 1", &[]).await?.get::<_, i32>(0)]))
}

async fn broken(db: &Client) -> Outcome {
    let mut seen = vec![];
    for sql in BROKEN {
        seen.push(db.execute(sql, &[]).await.err().map(|error| fields(&error)));
        seen.push(db.batch_execute(sql).await.err().map(|error| fields(&error)));
    }
    Ok(json!(seen))
}

async fn reconnect() -> Outcome {
    let db = open().await?;
    let killed = db.execute("select pg_terminate_backend(pg_backend_pid())", &[]).await.err().map(|error| code(&error));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let again = open().await?;
    Ok(json!([killed, db.is_closed(), again.query_one("select 1", &[]).await?.get::<_, i32>(0)]))
}

async fn catalogue(db: &Client) -> Outcome {
    // Types it does not know are looked up by queries of its own.
    let statement = db.prepare("select feeling, tags, null::work.pair, null::work.positive, null::work.span from work.entry where feeling = $1").await?;
    let columns: Vec<Value> = statement.columns().iter().map(|one| json!([one.name(), one.type_().schema(), format!("{:?}", kind(one.type_()))])).collect();
    Ok(json!([columns, statement.params().iter().map(Type::name).collect::<Vec<_>>()]))
}

fn kind(of: &Type) -> String {
    use tokio_postgres::types::Kind;
    match of.kind() {
        Kind::Enum(labels) => labels.join(","),
        Kind::Composite(fields) => fields.iter().map(|one| format!("{} {}", one.name(), one.type_().name())).collect(),
        Kind::Array(of) | Kind::Domain(of) | Kind::Range(of) => of.name().to_string(),
        _ => of.name().to_string(),
    }
}

fn code(error: &tokio_postgres::Error) -> Value {
    error.code().map_or_else(|| json!(error.to_string()), |state| json!(state.code()))
}

fn fields(error: &tokio_postgres::Error) -> Value {
    error.as_db_error().map_or_else(|| json!(error.to_string()), db_fields)
}

fn db_fields(one: &tokio_postgres::error::DbError) -> Value {
    json!([
        one.severity(), one.code().code(), one.message(), one.detail(), one.hint(), format!("{:?}", one.position()), one.where_(),
        one.schema(), one.table(), one.column(), one.datatype(), one.constraint(), one.routine(),
    ])
}
