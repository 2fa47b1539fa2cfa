package wire

import (
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The scripts get host, port and CA of a server that runs SQL, then the port of one that
// runs the stub's words, and a file to send.

// pythonScript goes through PyMySQL: both plugins, TLS, errors, transactions, change of
// the database, files of the client.
const pythonScript = `import sys, pymysql
host, port, ca, stub, path = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
for user, password, ssl in [('native', 'secret', None), ('sha2', 's3cret', {'ca': ca}), ('sha2', 's3cret', None)]:
    c = pymysql.connect(host=host, port=port, user=user, password=password, database='shop', charset='utf8mb4', ssl=ssl)
    with c.cursor() as cur:
        cur.execute("SELECT %s, %s, NULL", ("Käse 🧀", 5))
        print(user, 'tls' if ssl else 'plain', cur.fetchone())
    c.close()
c = pymysql.connect(host=host, port=port, user='native', password='secret', database='shop', charset='utf8mb4', autocommit=False, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
with c.cursor() as cur:
    cur.execute("CREATE TABLE py (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(50), d DECIMAL(8,2), t DATETIME, b BLOB)")
    print('affected', cur.executemany("INSERT INTO py (s, d, t, b) VALUES (%s, %s, %s, %s)", [("a'b", '1.50', '2026-11-29 08:00:00', b'\x00\xff'), (None, None, None, None)]), 'id', cur.lastrowid)
    c.commit()
    cur.execute("SELECT * FROM py ORDER BY id")
    print(cur.fetchall())
    cur.execute("SELECT 1; UPDATE py SET s = 'x' WHERE id = 2; SELECT 2")
    out = [cur.fetchall()]
    while cur.nextset():
        out.append(cur.fetchall())
    print(out)
    try:
        cur.execute("INSERT INTO py (id) VALUES (1)")
    except pymysql.err.IntegrityError as e:
        print('error', e.args[0])
    c.select_db('shop'); c.ping()
c.close()
c = pymysql.connect(host=host, port=stub, user='root', local_infile=True)
with c.cursor() as cur:
    print('sent', cur.execute("infile " + path))
    cur.execute("ok")
c.close()
try:
    pymysql.connect(host=host, port=port, user='sha2', password='wrong', ssl={'ca': ca})
except pymysql.err.OperationalError as e:
    print('login', e.args[0])
`

const pythonOutput = `native plain ('Käse 🧀', 5, None)
sha2 tls ('Käse 🧀', 5, None)
sha2 plain ('Käse 🧀', 5, None)
affected 2 id 1
((1, "a'b", Decimal('1.50'), datetime.datetime(2026, 11, 29, 8, 0), b'\x00\xff'), (2, None, None, None, None))
[((1,),), (), ((2,),)]
error 1062
sent 600000
login 1045
`

// nodeScript goes through mysql2: both plugins, TLS, compression, prepared statements,
// change of user, what a session tracks, files of the client.
const nodeScript = `const mysql = require('mysql2/promise'), fs = require('fs');
const [host, port, ca, stub, path] = process.argv.slice(2);
const connect = (more) => mysql.createConnection({host, port: +port, database: 'shop', charset: 'utf8mb4', ...more});
(async () => {
  for (const [name, more] of [
    ['native', {user: 'native', password: 'secret'}],
    ['tls', {user: 'sha2', password: 's3cret', ssl: {ca: fs.readFileSync(ca)}}],
    ['rsa', {user: 'sha2', password: 's3cret'}],
    ['compressed', {user: 'native', password: 'secret', compress: true}],
    ['compressed tls', {user: 'sha2', password: 's3cret', compress: true, ssl: {ca: fs.readFileSync(ca)}}],
  ]) {
    const c = await connect(more);
    const [rows] = await c.query("SELECT 'Käse 🧀' AS s, LENGTH(REPEAT('x', 300000)) AS n, REPEAT('y', 200000) AS big");
    const [one] = await c.execute("SELECT ? + 1 AS n, ? AS s", [41, 'q'.repeat(100000)]);
    console.log(name, rows[0].s, rows[0].n, rows[0].big.length, one[0].n, one[0].s.length);
    await c.end();
  }
  const c = await connect({user: 'native', password: 'secret', multipleStatements: true, supportBigNumbers: true});
  await c.query("CREATE TABLE js (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(50), u BIGINT UNSIGNED, t DATETIME, b BLOB, f DOUBLE)");
  const [r] = await c.execute("INSERT INTO js (s, u, t, b, f) VALUES (?,?,?,?,?)", ["a'b", '18446744073709551615', new Date(2026, 10, 29, 8), Buffer.from([0, 255]), 0.1]);
  console.log('affected', r.affectedRows, 'id', r.insertId);
  for (const how of ['query', 'execute']) {
    const [rows] = await c[how]("SELECT s, u, f, HEX(b) AS h, NULL AS n FROM js");
    console.log(how, JSON.stringify(rows));
  }
  const [many] = await c.query("SELECT 1 AS a; UPDATE js SET f = 1; SELECT 2 AS b");
  console.log(many[0][0].a, many[1].affectedRows, many[2][0].b);
  try { await c.query("INSERT INTO js (id) VALUES (1)"); } catch (e) { console.log('error', e.errno, e.sqlState); }
  await c.changeUser({user: 'sha2', password: 's3cret', database: 'shop'});
  console.log((await c.query("SELECT CURRENT_USER() AS u"))[0][0].u);
  await c.end();
  const s = await mysql.createConnection({host, port: +stub, user: 'root'});
  const [done] = await s.query({sql: 'infile ' + path, infileStreamFactory: (p) => fs.createReadStream(p)});
  console.log('sent', done.affectedRows);
  const [changed] = await s.query('variable time_zone');
  console.log(JSON.stringify(changed.stateChanges.systemVariables), JSON.stringify(changed.stateChanges.gtids.map(String)));
  console.log((await s.query('use news'))[0].stateChanges.schema);
  await s.end();
  try { await connect({user: 'sha2', password: 'wrong'}); } catch (e) { console.log('login', e.errno); }
})().catch((e) => { console.log(e); process.exit(1); });
`

const nodeOutput = `native Käse 🧀 300000 200000 42 100000
tls Käse 🧀 300000 200000 42 100000
rsa Käse 🧀 300000 200000 42 100000
compressed Käse 🧀 300000 200000 42 100000
compressed tls Käse 🧀 300000 200000 42 100000
affected 1 id 1
query [{"s":"a'b","u":"18446744073709551615","f":0.1,"h":"00FF","n":null}]
execute [{"s":"a'b","u":"18446744073709551615","f":0.1,"h":"00FF","n":null}]
1 1 2
error 1062 23000
sha2@localhost
sent 600000
{"time_zone":"new"} ["u:1"]
news
login 1045
`

// script runs a script of a language against both servers.
func script(t *testing.T, text, want, name string, args ...string) {
	t.Helper()
	cert, _ := certificate(t)
	e := newMemoryEngine(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
	e.kill = s.Kill
	words := newStub()
	_, stubAddr := serve(t, Config{}, words)
	host, port, _ := net.SplitHostPort(addr)
	_, stubPort, _ := net.SplitHostPort(stubAddr)
	dir := t.TempDir()
	path, file := filepath.Join(dir, "script"), filepath.Join(dir, "in.csv")
	for name, content := range map[string]string{path: text, file: string(make([]byte, 600_000))} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := program(t, "", name, append(append(args, path), host, port, certFile(t, cert), stubPort, file)...)
	if err != nil || out != want {
		t.Errorf("%v\n%s", err, difference(out, want))
	}
}

func TestPython(t *testing.T) {
	const python = "/usr/bin/python3" // the one that Debian's packages are for
	if err := exec.Command(python, "-c", "import pymysql").Run(); err != nil {
		t.Skip("PyMySQL is not installed")
	}
	script(t, pythonScript, pythonOutput, python)
}

func TestNode(t *testing.T) {
	modules, err := filepath.Abs("../../../dist/tools/node/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "mysql2")); err != nil {
		t.Skip("mysql2 for Node is not installed")
	}
	t.Setenv("NODE_PATH", modules)
	t.Setenv("NODE_NO_WARNINGS", "1") // that TLS to an address names no server
	script(t, nodeScript, nodeOutput, "node")
}
