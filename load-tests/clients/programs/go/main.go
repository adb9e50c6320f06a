// pgx 5: binary wherever it can, statement cache, batches, pipeline mode, COPY, large objects.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

var ctx = context.Background()

type values = []any

func main() {
	db, err := open()
	if err != nil {
		panic(err)
	}
	defer db.Close(ctx)
	with := func(perform func(*pgx.Conn) (any, error)) func() (any, error) {
		return func() (any, error) { return perform(db) }
	}
	works := []struct {
		name    string
		perform func() (any, error)
	}{
		{"connect", signIn},
		{"tls", inTLS},
		{"simple", with(simple)},
		{"types", func() (any, error) { return types(pgx.QueryExecModeExec) }},
		{"binary", func() (any, error) { return types(pgx.QueryExecModeCacheStatement) }},
		{"prepared", with(prepared)},
		{"pipeline", pipeline},
		{"cursor", with(cursor)},
		{"large", with(large)},
		{"copy-in", with(copyIn)},
		{"copy-out", with(copyOut)},
		{"transaction", with(transaction)},
		{"savepoint", with(savepoint)},
		{"notice", notice},
		{"listen", listen},
		{"cancel", cancel},
		{"error", with(brokenStatements)},
		{"reconnect", reconnect},
		{"large-object", with(largeObject)},
		{"catalogue", with(catalogue)},
	}
	for _, work := range works {
		value, err := work.perform()
		answer := map[string]any{"value": value}
		if err != nil {
			answer = map[string]any{"failed": err.Error()}
		}
		text, err := json.Marshal(answer)
		if err != nil {
			panic(err)
		}
		fmt.Printf("{\"work\":%q,%s\n", work.name, text[1:])
	}
}

func open(change ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(os.Getenv("CLIENT_PORT"))
	if err != nil {
		return nil, err
	}
	config.Host, config.Port = os.Getenv("CLIENT_HOST"), uint16(port)
	config.User, config.Password = os.Getenv("CLIENT_USER"), os.Getenv("CLIENT_PASSWORD")
	config.Database = os.Getenv("CLIENT_DATABASE")
	for _, one := range change {
		one(config)
	}
	return pgx.ConnectConfig(ctx, config)
}

func rowsOf(rows pgx.Rows, err error) ([]values, error) {
	if err != nil {
		return nil, err
	}
	seen := []values{}
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			return nil, err
		}
		seen = append(seen, row)
	}
	return seen, rows.Err()
}

func codeOf(err error) string {
	var failed *pgconn.PgError
	if errors.As(err, &failed) {
		return failed.Code
	}
	return fmt.Sprint(err)
}

func fieldsOf(err error) any {
	var failed *pgconn.PgError
	if !errors.As(err, &failed) {
		return fmt.Sprint(err)
	}
	return values{failed.Severity, failed.SeverityUnlocalized, failed.Code, failed.Message, failed.Detail, failed.Hint,
		failed.Position, failed.Where, failed.SchemaName, failed.TableName, failed.ColumnName, failed.DataTypeName,
		failed.ConstraintName, failed.Routine}
}

func signIn() (any, error) {
	own, err := open()
	if err != nil {
		return nil, err
	}
	defer own.Close(ctx)
	return rowsOf(own.Query(ctx, "select current_database()::text, current_user::text"))
}

func inTLS() (any, error) {
	pem, err := os.ReadFile(os.Getenv("CLIENT_CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	own, err := open(func(config *pgx.ConnConfig) {
		config.TLSConfig = &tls.Config{RootCAs: roots, ServerName: config.Host, MinVersion: tls.VersionTLS13}
	})
	if err != nil {
		return nil, err
	}
	defer own.Close(ctx)
	return rowsOf(own.Query(ctx, "select 1"))
}

func simple(db *pgx.Conn) (any, error) {
	script := "select 1 as a; select 'x' as b, null as c; create temp table tmp(i int); insert into tmp values (1), (2)"
	results, err := db.PgConn().Exec(ctx, script).ReadAll()
	if err != nil {
		return nil, err
	}
	seen := values{}
	for _, result := range results {
		seen = append(seen, values{result.CommandTag.String(), result.Rows})
	}
	plain, err := rowsOf(db.Query(ctx, "select $1::int, $2::text", pgx.QueryExecModeSimpleProtocol, 7, "it's"))
	return append(seen, plain), err
}

const typesQuery = `select $1::int2, $2::int4, $3::int8, $4::float4, $5::float8, $6::numeric, $7::text, $8::varchar, $9::bool,
  $10::bytea, $11::date, $12::time, $13::timestamp, $14::timestamptz, $15::interval, $16::uuid, $17::jsonb, $18::json,
  $19::inet, $20::int[], $21::text[], $22::text, $23::int4range, $24::work.mood`

func typesValues() values {
	at := time.Date(2026, 2, 28, 12, 0, 0, 123456000, time.UTC)
	digits, _ := new(big.Int).SetString("12345678901234567890123456789", 10)
	return values{int16(-32768), int32(2147483647), int64(-9223372036854775808), float32(1.5), 1e-300,
		pgtype.Numeric{Int: digits, Exp: -9, Valid: true}, "Grüße \U0001f600 \\ ' \" $1", "varchar", true,
		[]byte{0, 1, 255, 39, 92}, pgtype.Date{Time: at, Valid: true}, pgtype.Time{Microseconds: 86399999999, Valid: true},
		pgtype.Timestamp{Time: at, Valid: true}, pgtype.Timestamptz{Time: at, Valid: true},
		pgtype.Interval{Months: 14, Days: 3, Microseconds: 14706789000, Valid: true},
		pgtype.UUID{Bytes: [16]byte{1, 2, 3}, Valid: true}, []byte(`{"a": [1, null, "x"]}`), []byte(`{"b":  2}`), "10.1.2.3/24",
		[]int32{1, 2}, []string{"a", "b,c", "d\"e"}, pgtype.Text{},
		pgtype.Range[pgtype.Int4]{Lower: pgtype.Int4{Int32: 1, Valid: true}, Upper: pgtype.Int4{Int32: 10, Valid: true},
			LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true}, "happy"}
}

// Text parameters and results by QueryExecModeExec's inference of types, binary ones by the described statement.
func types(mode pgx.QueryExecMode) (any, error) {
	db, err := open(func(config *pgx.ConnConfig) { config.DefaultQueryExecMode = mode })
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	query, arguments := typesQuery, typesValues()
	if mode == pgx.QueryExecModeExec {
		// Its map of types needs registration for ranges, JSON as bytes and enumerations in this mode.
		query = "select $1::int2, $2::int4, $3::int8, $4::float4, $5::float8, $6::text, $7::bool, $8::bytea, $9::text[]"
		arguments = values{int16(-32768), int32(2147483647), int64(-9223372036854775808), float32(1.5), 1e-300,
			"Grüße \U0001f600 \\ ' \" $1", true, []byte{0, 1, 255, 39, 92}, []string{"a", "b,c", "d\"e"}}
	}
	rows, err := db.Query(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	kinds := values{}
	for column, field := range rows.FieldDescriptions() {
		oid := field.DataTypeOID
		if column == 23 {
			oid = 0
		}
		kinds = append(kinds, values{oid, field.Format, field.TypeModifier})
	}
	raw := values{}
	for rows.Next() {
		for _, one := range rows.RawValues() {
			raw = append(raw, hex.EncodeToString(one))
		}
	}
	return values{kinds, raw}, rows.Err()
}

func prepared(db *pgx.Conn) (any, error) {
	if _, err := db.Prepare(ctx, "times", "select $1::int * $2::int"); err != nil {
		return nil, err
	}
	seen := []int{}
	for n := 1; n <= 50; n++ {
		var product int
		if err := db.QueryRow(ctx, "times", n, 2).Scan(&product); err != nil {
			return nil, err
		}
		seen = append(seen, product)
	}
	if err := db.Deallocate(ctx, "times"); err != nil {
		return nil, err
	}
	_, gone := db.PgConn().Exec(ctx, "execute times(1, 2)").ReadAll()
	return values{seen, codeOf(gone)}, nil
}

func pipeline() (any, error) {
	db, err := open()
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	batch := &pgx.Batch{}
	for n := range 100 {
		batch.Queue("select $1::int", n)
	}
	results := db.SendBatch(ctx, batch)
	seen := []int{}
	for range 100 {
		var n int
		if err := results.QueryRow().Scan(&n); err != nil {
			return nil, err
		}
		seen = append(seen, n)
	}
	if err := results.Close(); err != nil {
		return nil, err
	}
	failing := &pgx.Batch{}
	failing.Queue("insert into work.copied (id) values (1)")
	failing.Queue("select 1 / $1::int", 0)
	failing.Queue("select 3")
	failed := db.SendBatch(ctx, failing).Close()
	var left int
	if err := db.QueryRow(ctx, "select count(*) from work.copied").Scan(&left); err != nil {
		return nil, err
	}
	told, err := pipelineMode(db.PgConn())
	return values{seen, codeOf(failed), left, told}, err
}

func pipelineMode(db *pgconn.PgConn) (values, error) {
	pipe := db.StartPipeline(ctx)
	pipe.SendPrepare("piped", "select $1::int + 1", nil)
	pipe.SendQueryPrepared("piped", [][]byte{[]byte("41")}, nil, nil)
	pipe.SendPipelineSync()
	pipe.SendQueryParams("select 1 / $1::int", [][]byte{[]byte("0")}, nil, nil, nil)
	pipe.SendPipelineSync()
	pipe.SendDeallocate("piped")
	pipe.SendPipelineSync()
	if err := pipe.Flush(); err != nil {
		return nil, err
	}
	told := values{}
	for range 12 {
		result, err := pipe.GetResults()
		if err != nil {
			told = append(told, codeOf(err))
			continue
		}
		if result == nil {
			break
		}
		if reader, ok := result.(*pgconn.ResultReader); ok {
			read := reader.Read()
			told = append(told, values{read.Rows, read.CommandTag.String(), codeOf(read.Err)})
		} else {
			told = append(told, fmt.Sprintf("%T", result))
		}
	}
	return told, pipe.Close()
}

func cursor(db *pgx.Conn) (any, error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "declare c no scroll cursor for select n, t from work.numbers order by n"); err != nil {
		return nil, err
	}
	sum, pieces := sha256.New(), []int{}
	for {
		rows, err := rowsOf(tx.Query(ctx, "fetch 9999 from c"))
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		pieces = append(pieces, len(rows))
		fmt.Fprint(sum, rows)
	}
	return values{pieces, hex.EncodeToString(sum.Sum(nil))}, tx.Commit(ctx)
}

func large(db *pgx.Conn) (any, error) {
	rows, err := db.Query(ctx, "select repeat(chr(65 + n % 26), 1000) from generate_series(1, 25000) n")
	if err != nil {
		return nil, err
	}
	sum, count := sha256.New(), 0
	for rows.Next() {
		sum.Write(rows.RawValues()[0])
		count++
	}
	return values{count, hex.EncodeToString(sum.Sum(nil))}, rows.Err()
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("given up") }

func copyIn(db *pgx.Conn) (any, error) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	source := pgx.CopyFromSlice(5000, func(n int) ([]any, error) {
		return values{n, fmt.Sprint("text ", n), []byte{0, 255}, at}, nil
	})
	count, err := db.CopyFrom(ctx, pgx.Identifier{"work", "copied"}, []string{"id", "t", "b", "at"}, source)
	if err != nil {
		return nil, err
	}
	from := func(reader io.Reader) (string, error) {
		tag, err := db.PgConn().CopyFrom(ctx, reader, "copy work.copied from stdin")
		return tag.String(), err
	}
	tag, err := from(strings.NewReader("5000\tx\t\\\\x00\t2026-01-01 00:00:00+00\n"))
	if err != nil {
		return nil, err
	}
	_, bad := from(strings.NewReader("a\tb\tc\td\n"))
	_, givenUp := from(io.MultiReader(strings.NewReader("6000\tx\t"), failingReader{}))
	left, err := rowsOf(db.Query(ctx, "select count(*), min(t), max(encode(b, 'hex')) from work.copied"))
	return values{count, tag, fieldsOf(bad), codeOf(givenUp), left}, err
}

func copyOut(db *pgx.Conn) (any, error) {
	seen := values{}
	for _, form := range []string{"csv", "binary"} {
		var out bytes.Buffer
		sql := "copy (select n, t from work.numbers order by n limit 20000) to stdout (format " + form + ")"
		tag, err := db.PgConn().CopyTo(ctx, &out, sql)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(out.Bytes())
		seen = append(seen, values{tag.String(), out.Len(), hex.EncodeToString(sum[:])})
	}
	return seen, nil
}

func transaction(db *pgx.Conn) (any, error) {
	options := pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadWrite}
	err := pgx.BeginTxFunc(ctx, db, options, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into work.account values ($1, $2, $3)", 10, "tom", 1)
		return err
	})
	if err != nil {
		return nil, err
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return nil, err
	}
	codes := values{}
	twice := "insert into work.account values (11, 'tim', 1)"
	for _, sql := range []string{twice, twice, "select 1"} {
		_, err := tx.Exec(ctx, sql)
		codes = append(codes, codeOf(err))
	}
	codes = append(codes, string(db.PgConn().TxStatus()), codeOf(tx.Commit(ctx)))
	left, err := rowsOf(db.Query(ctx, "select id from work.account where id >= 10"))
	return values{codes, left}, err
}

func savepoint(db *pgx.Conn) (any, error) {
	set := func(tx pgx.Tx, balance int) error {
		return pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "update work.account set balance = $1 where id = 20", balance)
			return err
		})
	}
	var code string
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into work.account values (20, 'una', 1)"); err != nil {
			return err
		}
		code = codeOf(set(tx, -1))
		return set(tx, 5)
	})
	if err != nil {
		return nil, err
	}
	left, err := rowsOf(db.Query(ctx, "select id, owner, balance::text from work.account where id = 20"))
	return values{code, left}, err
}

func notice() (any, error) {
	told := values{}
	db, err := open(func(config *pgx.ConnConfig) {
		config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
			told = append(told, fieldsOf((*pgconn.PgError)(notice)))
		}
	})
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	rows, err := rowsOf(db.Query(ctx, "select work.tell()"))
	return values{rows, told}, err
}

func listen() (any, error) {
	db, err := open()
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	other, err := open()
	if err != nil {
		return nil, err
	}
	defer other.Close(ctx)
	if _, err := db.Exec(ctx, "listen news"); err != nil {
		return nil, err
	}
	// It is already waiting when the other speaks: nothing but the notification wakes it.
	time.AfterFunc(100*time.Millisecond, func() { _, _ = other.Exec(ctx, "select pg_notify('news', $1)", "extra extra") })
	limited, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	heard, err := db.WaitForNotification(limited)
	if err != nil {
		return nil, err
	}
	return values{heard.Channel, heard.Payload}, nil
}

func cancel() (any, error) {
	db, err := open()
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	time.AfterFunc(200*time.Millisecond, func() { _ = db.PgConn().CancelRequest(ctx) })
	_, slept := db.Exec(ctx, "select pg_sleep($1)", 30)
	after, err := rowsOf(db.Query(ctx, "select 1"))
	if err != nil {
		return nil, err
	}
	limited, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	_, late := db.Exec(limited, "select pg_sleep(30)")
	return values{codeOf(slept), after, errors.Is(late, context.DeadlineExceeded), db.IsClosed()}, nil
}

func brokenStatements(db *pgx.Conn) (any, error) {
	seen := values{}
	for _, sql := range []string{"select * from work.nowhere", "insert into work.account values (1, 'ann', 1)",
		"insert into work.account values (30, 'x', -1)", "insert into work.entry (account, amount) values (999, 1)",
		"insert into work.account (id) values (31)", "selec 1", "select 'x'::int"} {
		_, err := db.Exec(ctx, sql)
		seen = append(seen, fieldsOf(err))
	}
	return seen, nil
}

func reconnect() (any, error) {
	db, err := open()
	if err != nil {
		return nil, err
	}
	_, killed := db.Exec(ctx, "select pg_terminate_backend(pg_backend_pid())")
	closed := db.IsClosed()
	again, err := open()
	if err != nil {
		return nil, err
	}
	defer again.Close(ctx)
	rows, err := rowsOf(again.Query(ctx, "select 1"))
	return values{codeOf(killed), closed, rows}, err
}

func largeObject(db *pgx.Conn) (any, error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	objects := tx.LargeObjects()
	oid, err := objects.Create(ctx, 0)
	if err != nil {
		return nil, err
	}
	object, err := objects.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	if err != nil {
		return nil, err
	}
	wrote, err := object.Write(bytes.Repeat([]byte("ab"), 250_000))
	if err != nil {
		return nil, err
	}
	at, err := object.Seek(250_001, io.SeekStart)
	if err != nil {
		return nil, err
	}
	read := make([]byte, 7)
	if _, err := io.ReadFull(object, read); err != nil {
		return nil, err
	}
	if err := object.Truncate(10); err != nil {
		return nil, err
	}
	size, err := object.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if err := objects.Unlink(ctx, oid); err != nil {
		return nil, err
	}
	return values{wrote, at, string(read), size}, tx.Commit(ctx)
}

func catalogue(db *pgx.Conn) (any, error) {
	loaded, err := db.LoadTypes(ctx, []string{"work.mood", "work._mood", "work.pair", "work.positive"})
	if err != nil {
		return nil, err
	}
	seen := values{}
	for _, one := range loaded {
		seen = append(seen, values{one.Name, fmt.Sprintf("%T", one.Codec)})
	}
	return seen, nil
}
