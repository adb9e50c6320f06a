//! sqlx: binary, a cache of prepared statements for each connection, no simple protocol but for scripts.
use chrono::{DateTime, NaiveDate, Utc};
use clients::{BROKEN, COPY_OUT, Outcome, answer, digest, env, unsupported};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgListener, PgPoolOptions, PgRow, PgSslMode};
use sqlx::types::{Decimal, Json, Uuid};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Executor, Row, Statement, TypeInfo};
use std::error::Error;
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut db = options().connect().await?;
    answer("connect", sign_in()).await;
    answer("tls", tls()).await;
    answer("simple", simple(&mut db)).await;
    answer("types", async { unsupported("binary format only") }).await;
    answer("binary", binary(&mut db)).await;
    answer("prepared", prepared(&mut db)).await;
    answer("pipeline", async { unsupported("one statement at a time") }).await;
    answer("cursor", cursor(&mut db)).await;
    answer("large", large(&mut db)).await;
    answer("copy-in", copy_in(&mut db)).await;
    answer("copy-out", copy_out(&mut db)).await;
    answer("transaction", transaction(&mut db)).await;
    answer("savepoint", savepoint(&mut db)).await;
    answer("notice", async { unsupported("logged only") }).await;
    answer("listen", listen()).await;
    answer("cancel", async { unsupported("none; it closes the connection") }).await;
    answer("error", broken(&mut db)).await;
    answer("reconnect", reconnect()).await;
    answer("large-object", async { unsupported("none") }).await;
    answer("catalogue", catalogue(&mut db)).await;
    Ok(())
}

fn options() -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&env("HOST"))
        .port(env("PORT").parse().expect("a port"))
        .username(&env("USER"))
        .password(&env("PASSWORD"))
        .database(&env("DATABASE"))
        .ssl_mode(PgSslMode::Disable)
}

async fn sign_in() -> Outcome {
    let mut own = options().connect().await?;
    let row: (String, String) = sqlx::query_as("select current_database()::text, current_user::text").fetch_one(&mut own).await?;
    own.close().await?;
    Ok(json!(row))
}

async fn tls() -> Outcome {
    let mut own = options().ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(env("CA")).connect().await?;
    Ok(json!(sqlx::query_scalar::<_, i32>("select 1").fetch_one(&mut own).await?))
}

async fn simple(db: &mut PgConnection) -> Outcome {
    let script = "select 1 as a; select 'x' as b, null as c; create temp table tmp(i int); insert into tmp values (1), (2)";
    let results: Vec<_> = sqlx::raw_sql(script).fetch_many(&mut *db).try_collect().await?;
    let shown = |one: &sqlx::Either<_, PgRow>| match one {
        sqlx::Either::Left(_) => json!("done"),
        sqlx::Either::Right(row) => json!(row.columns().iter().map(|column| column.name()).collect::<Vec<_>>()),
    };
    Ok(json!(results.iter().map(shown).collect::<Vec<_>>()))
}

async fn binary(db: &mut PgConnection) -> Outcome {
    let query = "select $1::int2, $2::int4, $3::int8, $4::float8, $5::numeric, $6::text, $7::bool, $8::bytea, $9::date,
        $10::timestamptz, $11::uuid, $12::jsonb, $13::int[], $14::text[], $15::text, $16::text::work.mood";
    let day = NaiveDate::from_ymd_opt(2026, 2, 28).ok_or("a day")?;
    let row = sqlx::query(query)
        .bind(i16::MIN)
        .bind(i32::MAX)
        .bind(i64::MIN)
        .bind(1e-300f64)
        .bind(Decimal::new(1_234_567_890_123, 4))
        .bind("Grüße \u{1F600} \\ ' \" $1")
        .bind(true)
        .bind(vec![0u8, 1, 255, 39, 92])
        .bind(day)
        .bind(day.and_hms_micro_opt(12, 0, 0, 123_456).ok_or("a time")?.and_utc())
        .bind(Uuid::from_u128(7))
        .bind(Json(json!({"a": [1, null]})))
        .bind(vec![Some(1), Some(2), None])
        .bind(vec!["a", "b,c", "d\"e"])
        .bind(None::<String>)
        .bind("happy")
        .fetch_one(&mut *db)
        .await?;
    Ok(json!([
        row.columns().iter().map(|one| one.type_info().name()).collect::<Vec<_>>(),
        row.get::<i16, _>(0), row.get::<i32, _>(1), row.get::<i64, _>(2), row.get::<f64, _>(3),
        row.get::<Decimal, _>(4).to_string(), row.get::<String, _>(5), row.get::<bool, _>(6), row.get::<Vec<u8>, _>(7),
        row.get::<NaiveDate, _>(8), row.get::<DateTime<Utc>, _>(9), row.get::<Uuid, _>(10).to_string(), row.get::<Value, _>(11),
        row.get::<Vec<Option<i32>>, _>(12), row.get::<Vec<String>, _>(13), row.get::<Option<String>, _>(14),
        row.try_get_unchecked::<String, _>(15)?,
    ]))
}

async fn prepared(db: &mut PgConnection) -> Outcome {
    let mut seen = vec![];
    for n in 1..=50i32 {
        seen.push(sqlx::query_scalar::<_, i32>("select $1 * $2").bind(n).bind(2i32).fetch_one(&mut *db).await?);
    }
    let cached = db.cached_statements_size();
    db.clear_cached_statements().await?;
    Ok(json!([seen, cached > 0, sqlx::query_scalar::<_, i64>("select count(*) from pg_prepared_statements").persistent(false).fetch_one(&mut *db).await?]))
}

async fn cursor(db: &mut PgConnection) -> Outcome {
    let mut rows = sqlx::query_as::<_, (i32, String)>("select n, t from work.numbers where n <= $1 order by n").bind(100_000).fetch(&mut *db);
    let mut read = vec![];
    while let Some((n, text)) = rows.try_next().await? {
        read.push(format!("{n} {text}"));
    }
    drop(rows);
    let mut left = sqlx::query("select n from work.numbers").fetch(&mut *db);
    left.try_next().await?;
    drop(left);
    Ok(json!([read.len(), digest(read.iter().map(String::as_bytes)), sqlx::query_scalar::<_, i32>("select 1").fetch_one(&mut *db).await?]))
}

async fn large(db: &mut PgConnection) -> Outcome {
    let texts: Vec<String> = sqlx::query_scalar("select repeat(chr(65 + n % 26), 1000) from generate_series(1, 25000) n").fetch_all(&mut *db).await?;
    Ok(json!([texts.len(), digest(texts.iter().map(String::as_bytes))]))
}

async fn copy_in(db: &mut PgConnection) -> Outcome {
    let lines: String = (0..5000).map(|n| format!("{n}\ttext {n}\\\\\t\\\\x00ff\t2026-01-01 00:00:00+00\n")).collect();
    let mut copy = db.copy_in_raw("copy work.copied from stdin").await?;
    copy.send(lines.into_bytes()).await?;
    let count = copy.finish().await?;
    let mut copy = db.copy_in_raw("copy work.copied from stdin").await?;
    copy.send(&b"a\tb\tc\td\n"[..]).await?;
    let bad = copy.finish().await.err().map(|error| fields(&error));
    let copy = db.copy_in_raw("copy work.copied from stdin").await?;
    copy.abort("given up").await?;
    Ok(json!([count, bad, sqlx::query_scalar::<_, i64>("select count(*) from work.copied").fetch_one(&mut *db).await?]))
}

async fn copy_out(db: &mut PgConnection) -> Outcome {
    let mut seen = vec![];
    for form in ["csv", "binary"] {
        let blocks: Vec<_> = db.copy_out_raw(&format!("copy {COPY_OUT} to stdout (format {form})")).await?.try_collect().await?;
        seen.push(json!([blocks.iter().map(|one| one.len()).sum::<usize>(), digest(blocks.iter().map(|one| one.as_ref()))]));
    }
    Ok(json!(seen))
}

async fn transaction(db: &mut PgConnection) -> Outcome {
    let mut tx = db.begin_with("begin isolation level serializable").await?;
    sqlx::query("insert into work.account values ($1, $2, $3)").bind(10).bind("tom").bind(Decimal::ONE).execute(&mut *tx).await?;
    tx.commit().await?;
    let mut tx = Connection::begin(&mut *db).await?;
    let twice = "insert into work.account values (11, 'tim', 1)";
    let mut codes = vec![];
    for sql in [twice, twice, "select 1"] {
        codes.push(sqlx::query(sql).execute(&mut *tx).await.map_or_else(|error| code(&error), |done| json!(done.rows_affected())));
    }
    tx.rollback().await?;
    Ok(json!([codes, sqlx::query_scalar::<_, i32>("select id from work.account where id >= 10").fetch_all(&mut *db).await?]))
}

async fn savepoint(db: &mut PgConnection) -> Outcome {
    let mut tx = Connection::begin(&mut *db).await?;
    tx.execute("insert into work.account values (20, 'una', 1)").await?;
    let mut inner = Connection::begin(&mut *tx).await?;
    let failed = inner.execute("update work.account set balance = -1 where id = 20").await.err().map(|error| code(&error));
    inner.rollback().await?;
    let mut inner = Connection::begin(&mut *tx).await?;
    inner.execute("update work.account set balance = 5 where id = 20").await?;
    inner.commit().await?;
    tx.commit().await?;
    Ok(json!([failed, sqlx::query_scalar::<_, String>("select balance::text from work.account where id = 20").fetch_one(&mut *db).await?]))
}

async fn listen() -> Outcome {
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen("news").await?;
    sqlx::query("select pg_notify('news', $1)").bind("extra extra").execute(&pool).await?;
    let heard = tokio::time::timeout(Duration::from_secs(5), listener.recv()).await??;
    Ok(json!([heard.channel(), heard.payload()]))
}

async fn broken(db: &mut PgConnection) -> Outcome {
    let mut seen = vec![];
    for sql in BROKEN {
        seen.push(sqlx::query(AssertSqlSafe(sql)).execute(&mut *db).await.err().map(|error| fields(&error)));
    }
    Ok(json!(seen))
}

async fn reconnect() -> Outcome {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options()).await?;
    let killed = sqlx::query("select pg_terminate_backend(pg_backend_pid())").execute(&pool).await.err().map(|error| code(&error));
    Ok(json!([killed, sqlx::query_scalar::<_, i32>("select 1").fetch_one(&pool).await?]))
}

async fn catalogue(db: &mut PgConnection) -> Outcome {
    let statement = db.prepare(sqlx::SqlStr::from_static("select feeling, tags, null::work.pair, null::work.positive from work.entry where feeling = $1")).await?;
    let columns: Vec<_> = statement.columns().iter().map(|one| json!([one.name(), one.type_info().name()])).collect();
    Ok(json!(columns))
}

fn code(error: &sqlx::Error) -> Value {
    error.as_database_error().and_then(|one| one.code()).map_or_else(|| json!(error.to_string()), |code| json!(code))
}

fn fields(error: &sqlx::Error) -> Value {
    let Some(one) = error.as_database_error().and_then(|one| one.try_downcast_ref::<PgDatabaseError>()) else {
        return json!(error.to_string());
    };
    json!([
        format!("{:?}", one.severity()), one.code(), one.message(), one.detail(), one.hint(), format!("{:?}", one.position()),
        one.r#where(), one.schema(), one.table(), one.column(), one.data_type(), one.constraint(), one.routine(),
    ])
}
