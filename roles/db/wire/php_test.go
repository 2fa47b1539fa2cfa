package wire

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"crypto/tls"
)

const phpCommon = `<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
set_error_handler(function($n, $m) { echo "PHP: $m\n"; });
[$_, $host, $port, $ca] = $argv;
`

// phpMysqli goes through mysqli (mysqlnd): text and binary protocol, long data, a
// server-side cursor, multi statements, change_user, TLS.
const phpMysqli = phpCommon + `
foreach ([['native', 'secret'], ['sha2', 's3cret']] as [$user, $password]) {
  $m = mysqli_init();
  $m->ssl_set(null, null, $ca, null, null);
  $m->real_connect($host, $user, $password, 'shop', $port, null, MYSQLI_CLIENT_SSL);
  echo "tls ", $m->query("SELECT 'yes'")->fetch_row()[0], "\n";
  $m->close();
  $m = new mysqli($host, $user, $password, 'shop', $port);
  echo "plain ", $m->query("SELECT 'yes'")->fetch_row()[0], "\n";
}
$m->set_charset('utf8mb4');
$m->query("CREATE TABLE p (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(100), n BIGINT, u BIGINT UNSIGNED, d DOUBLE, f FLOAT, dec1 DECIMAL(12,3), t DATETIME, tm TIME, b LONGBLOB)");
$st = $m->prepare("INSERT INTO p (s,n,u,d,f,dec1,t,tm,b) VALUES (?,?,?,?,?,?,?,?,?)");
$s = "Käse 🧀"; $n = -5; $u = "18446744073709551615"; $d = 0.1; $f = 2.5; $dec = "123.456"; $t = "2026-11-23 04:05:06"; $tm = "-01:02:03"; $b = null;
$st->bind_param("sisddsssb", $s, $n, $u, $d, $f, $dec, $t, $tm, $b);
for ($i = 0; $i < 3; $i++) $st->send_long_data(8, str_repeat(chr(65 + $i), 100000));
$st->execute();
echo "affected ", $st->affected_rows, " id ", $st->insert_id, "\n";
$row = $m->query("SELECT s,n,u,d,f,dec1,t,tm,LENGTH(b) FROM p")->fetch_row();
echo "text ", json_encode($row, JSON_UNESCAPED_UNICODE), "\n";
$st = $m->prepare("SELECT s,n,u,d,f,dec1,t,tm,LENGTH(b),NULL FROM p WHERE id=?");
$id = 1; $st->bind_param("i", $id); $st->execute();
echo "binary ", json_encode($st->get_result()->fetch_row(), JSON_UNESCAPED_UNICODE), "\n";
$in = $m->prepare("INSERT INTO p (s) VALUES (?)");
for ($i = 0; $i < 50; $i++) { $v = "row $i"; $in->bind_param("s", $v); $in->execute(); }
$st = $m->prepare("SELECT id, s FROM p ORDER BY id");
$st->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
$st->execute(); $st->bind_result($a, $bb); $c = 0; $last = '';
while ($st->fetch()) { $c++; $last = "$a $bb"; }
echo "cursor $c rows, last $last\n";
$st->close();
$m->multi_query("SELECT 1; UPDATE p SET n=1 WHERE id=1; SELECT 2");
do { $r = $m->store_result(); echo "multi ", $r ? $r->fetch_row()[0] : "ok " . $m->affected_rows, "\n"; if ($r) $r->free(); } while ($m->more_results() && $m->next_result());
try { $m->query("INSERT INTO p (id) VALUES (1)"); } catch (mysqli_sql_exception $e) { echo "error ", $e->getCode(), " ", $e->getSqlState(), "\n"; }
echo "warnings ", $m->query("SELECT 1/0") ? $m->warning_count : '', "\n";
echo "change ", $m->change_user('native', 'secret', 'shop') ? 'ok' : 'no', " ", $m->query("SELECT DATABASE()")->fetch_row()[0], "\n";
echo "ping ", $m->query("SET @x=1") ? 'ok' : '', " stat ", substr($m->stat(), 0, 6), "\n";
try { $m->change_user('native', 'wrong', 'shop'); } catch (mysqli_sql_exception $e) { echo "change ", $e->getCode(), "\n"; }
try { new mysqli($host, 'sha2', 'wrong', 'shop', $port); } catch (mysqli_sql_exception $e) { echo "login ", $e->getCode(), "\n"; }
`

const phpMysqliOutput = `tls yes
plain yes
tls yes
plain yes
affected 1 id 1
text ["Käse 🧀","-5","18446744073709551615","0.1","2.5","123.456","2026-11-23 04:05:06","-01:02:03.000000","300000"]
binary ["Käse 🧀",-5,"18446744073709551615",0.1,2.5,"123.456","2026-11-23 04:05:06","-01:02:03.000000",300000,null]
cursor 51 rows, last 51 row 49
multi 1
multi ok 1
multi 2
error 1062 23000
warnings 1
change ok shop
ping ok stat Uptime
change 1045
login 1045
`

// phpPDO goes through PDO with and without emulated prepares, and transactions.
const phpPDO = phpCommon + `
foreach ([true, false] as $emulate) {
  $p = new PDO("mysql:host=$host;port=$port;dbname=shop;charset=utf8mb4", 'sha2', 's3cret',
    [PDO::ATTR_EMULATE_PREPARES => $emulate, PDO::MYSQL_ATTR_SSL_CA => $ca, PDO::ATTR_STRINGIFY_FETCHES => false]);
  $t = $emulate ? 'e' : 'n';
  $p->exec("CREATE TABLE q$t (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(100), f FLOAT, d DOUBLE, x DECIMAL(5,2), b TINYINT)");
  $st = $p->prepare("INSERT INTO q$t (s,f,d,x,b) VALUES (:s,:f,:d,:x,:b)");
  $st->execute(['s' => "it's 🧀", 'f' => 3.14, 'd' => 1e20, 'x' => '9.90', 'b' => 1]);
  echo "id ", $p->lastInsertId(), " rows ", $st->rowCount(), "\n";
  $p->beginTransaction(); echo $p->inTransaction() ? "in" : "out";
  $p->exec("UPDATE q$t SET b=2"); $p->commit(); echo $p->inTransaction() ? " in\n" : " out\n";
  $st = $p->prepare("SELECT * FROM q$t WHERE id = ?"); $st->execute([1]);
  echo json_encode($st->fetch(PDO::FETCH_ASSOC), JSON_UNESCAPED_UNICODE), "\n";
  $m = $st->getColumnMeta(1); echo $m['native_type'], " ", $m['table'], " ", $m['name'], "\n";
  try { $p->query("SELECT * FROM nothere"); } catch (PDOException $e) { echo $e->getCode(), "\n"; }
}
`

const phpPDOOutput = `id 1 rows 1
in out
{"id":1,"s":"it's 🧀","f":3.14,"d":1.0e+20,"x":"9.90","b":2}
VAR_STRING qe s
42S02
id 1 rows 1
in out
{"id":1,"s":"it's 🧀","f":3.14,"d":1.0e+20,"x":"9.90","b":2}
VAR_STRING qn s
42S02
`

// TestPHP runs both of PHP's interfaces.
func TestPHP(t *testing.T) {
	if out, err := exec.Command("php", "-m").Output(); err != nil || !strings.Contains(string(out), "mysqli") || !strings.Contains(string(out), "pdo_mysql") {
		t.Skip("php with mysqli and pdo_mysql is not installed")
	}
	cert, _ := certificate(t)
	for name, c := range map[string]struct{ script, want string }{"mysqli": {phpMysqli, phpMysqliOutput}, "PDO": {phpPDO, phpPDOOutput}} {
		t.Run(name, func(t *testing.T) {
			e := newMemoryEngine(t)
			_, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
			host, port, _ := net.SplitHostPort(addr)
			ca, script := certFile(t, cert), filepath.Join(t.TempDir(), "run.php")
			if err := os.WriteFile(script, []byte(c.script), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := program(t, "", "php", script, host, port, ca)
			if err != nil || out != c.want {
				t.Errorf("%v\n%s", err, difference(out, c.want))
			}
		})
	}
}

// difference shows the first line that differs.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %q\nwant %q", i+1, g[min(i, len(g)):], w[min(i, len(w)):])
		}
	}
	return ""
}
