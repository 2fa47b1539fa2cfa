package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bulkLoad is a way to bring the rows of a dump into an empty table.
type bulkLoad struct {
	name   string
	wanted float64 // ratio stack / MariaDB in rows per second
	write  func(w *bufio.Writer, dir string, rows int) error
}

// The dump is the table of sysbench, with its index: INSERTs of about a megabyte, each a
// transaction, with and without the lines that mysqldump puts around them; and the
// same rows by LOAD DATA, all in one transaction.
var bulkLoads = []bulkLoad{
	{"INSERTs of 1 MB, autocommit", 1, writeInserts},
	{"the same as mysqldump writes it", 1, writeDump},
	{"LOAD DATA LOCAL", 0, writeLoadData},
}

const bulkTable = "CREATE TABLE bulk (id INT NOT NULL AUTO_INCREMENT, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', " +
	"pad CHAR(60) NOT NULL DEFAULT '', PRIMARY KEY (id), KEY k_1 (k))"

// bulkStatement is how long mysqldump lets an INSERT become, bytes.
const bulkStatement = 1 << 20

// bulkRows calls row with the values of each row; the same for every server.
func bulkRows(rows int, row func(id, k int, c, pad string) error) error {
	rnd := rand.New(rand.NewPCG(1, 2))
	group := func(n int) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte('-')
			}
			fmt.Fprintf(&b, "%011d", rnd.Int64N(100_000_000_000))
		}
		return b.String()
	}
	for id := 1; id <= rows; id++ {
		if err := row(id, rnd.IntN(rows)+1, group(10), group(5)); err != nil {
			return err
		}
	}
	return nil
}

func writeInserts(w *bufio.Writer, _ string, rows int) error {
	var statement strings.Builder
	err := bulkRows(rows, func(id, k int, c, pad string) error {
		switch {
		case statement.Len() == 0:
			statement.WriteString("INSERT INTO `bulk` VALUES ")
		default:
			statement.WriteByte(',')
		}
		fmt.Fprintf(&statement, "(%d,%d,'%s','%s')", id, k, c, pad)
		if statement.Len() < bulkStatement {
			return nil
		}
		_, err := w.WriteString(statement.String() + ";\n")
		statement.Reset()
		return err
	})
	if err == nil && statement.Len() > 0 {
		_, err = w.WriteString(statement.String() + ";\n")
	}
	return err
}

func writeDump(w *bufio.Writer, dir string, rows int) error {
	w.WriteString(`/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
LOCK TABLES ` + "`bulk`" + ` WRITE;
/*!40000 ALTER TABLE ` + "`bulk`" + ` DISABLE KEYS */;
`)
	if err := writeInserts(w, dir, rows); err != nil {
		return err
	}
	_, err := w.WriteString(`/*!40000 ALTER TABLE ` + "`bulk`" + ` ENABLE KEYS */;
UNLOCK TABLES;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
`)
	return err
}

func writeLoadData(w *bufio.Writer, dir string, rows int) error {
	path := filepath.Join(dir, "bulk.tsv")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	if err := bulkRows(rows, func(id, k int, c, pad string) error {
		_, err := fmt.Fprintf(out, "%d\t%d\t%s\t%s\n", id, k, c, pad)
		return err
	}); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "LOAD DATA LOCAL INFILE '%s' INTO TABLE bulk;\n", path)
	return err
}

// bulkSample is one load.
type bulkSample struct {
	rate float64 // rows per second
	cpu  float64 // CPU µs of the server per row
}

// measureBulk loads dumps into stack and MariaDB in turn and prints the table.
func measureBulk(ctx context.Context, w io.Writer, s settings) error {
	const section = "db: bulk load"
	if !strings.Contains(section, s.only) {
		return nil
	}
	dir, err := os.MkdirTemp(s.dataDir, "stack-bench-bulk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, stop, err := startDatabases(ctx, dir, s)
	defer stop()
	if err != nil {
		return err
	}
	for i, b := range bulkLoads {
		if err := writeBulk(dir, i, b, s.bulkRows); err != nil {
			return fmt.Errorf("%s: write the dump: %w", b.name, err)
		}
	}
	samples := map[string]map[string][]bulkSample{}
	for round := range s.rounds {
		for i, b := range bulkLoads {
			if samples[b.name] == nil {
				samples[b.name] = map[string][]bulkSample{}
			}
			for _, d := range turnedServers(servers, round) {
				got, err := d.bulk(ctx, bulkFile(dir, i), s.bulkRows)
				if err != nil {
					return fmt.Errorf("%s, %s, round %d: %w", b.name, d.name, round+1, err)
				}
				samples[b.name][d.name] = append(samples[b.name][d.name], got)
				fmt.Fprintf(os.Stderr, "round %d  bulk load: %-32s %-8s %9.0f rows/s %6.2f µs CPU/row\n", round+1, b.name, d.name, got.rate, got.cpu)
			}
		}
	}
	printBulk(w, s, samples)
	for _, d := range servers {
		bytes, err := d.tableSize(ctx)
		if err != nil {
			return fmt.Errorf("%s: size of the table: %w", d.name, err)
		}
		fmt.Fprintf(w, "\nSize of the table on disk, %s: %.0f MiB, %.0f bytes a row.\n", d.sizeOf(), float64(bytes)/(1<<20), float64(bytes)/float64(s.bulkRows))
	}
	return nil
}

func bulkFile(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("bulk%d.sql", i)) }

func writeBulk(dir string, i int, b bulkLoad, rows int) error {
	file, err := os.Create(bulkFile(dir, i))
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	if err := b.write(w, dir, rows); err != nil {
		return err
	}
	return w.Flush()
}

// bulk loads a file into a new table with the mariadb client.
func (d *databaseServer) bulk(ctx context.Context, file string, rows int) (bulkSample, error) {
	var out bulkSample
	if _, err := d.client(ctx, "USE sbtest; DROP TABLE IF EXISTS bulk; "+bulkTable); err != nil {
		return out, err
	}
	input, err := os.Open(file)
	if err != nil {
		return out, err
	}
	defer input.Close()
	c := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--local-infile=1", "-uroot", "-S", filepath.Join(d.dir, "sql.sock"), "sbtest")
	if d.name == stack {
		c.Env = append(os.Environ(), "MYSQL_PWD="+benchPassword)
	}
	c.Stdin = input
	before, err := cpuTime(d.command.Process.Pid)
	if err != nil {
		return out, err
	}
	start := time.Now()
	if text, err := c.CombinedOutput(); err != nil {
		return out, fmt.Errorf("mariadb client: %w: %s", err, text)
	}
	took := time.Since(start)
	after, err := cpuTime(d.command.Process.Pid)
	if err != nil {
		return out, err
	}
	count, err := d.client(ctx, "SELECT COUNT(*) FROM sbtest.bulk")
	if err != nil {
		return out, err
	}
	if strings.TrimSpace(count) != fmt.Sprint(rows) {
		return out, fmt.Errorf("%s rows were loaded, not %d", strings.TrimSpace(count), rows)
	}
	out.rate = float64(rows) / took.Seconds()
	out.cpu = float64((after - before).Nanoseconds()) / 1e3 / float64(rows)
	return out, nil
}

func printBulk(w io.Writer, s settings, samples map[string]map[string][]bulkSample) {
	fmt.Fprintf(w, `
Bulk load of %d rows of sysbench's table with its index by the mariadb client, medians of %d rounds in turn, with the durability above.

| load | server | rows/s | CPU µs/row | rows ratio | CPU ratio | wanted |
|---|---|---|---|---|---|---|
`, s.bulkRows, s.rounds)
	for _, b := range bulkLoads {
		own, peer := samples[b.name][stack], samples[b.name][mariadb]
		for _, name := range []string{stack, mariadb} {
			rate, cpu := bulkMedians(samples[b.name][name])
			if rate == 0 {
				continue
			}
			fmt.Fprintf(w, "| %s | %s | %.0f | %.2f |", b.name, name, rate, cpu)
			if name == stack || len(own) == 0 || len(peer) == 0 {
				fmt.Fprintln(w, " | | |")
				continue
			}
			ownRate, ownCPU := bulkMedians(own)
			fmt.Fprintf(w, " %.2f | %.2f | %s |\n", ownRate/rate, cpu/ownCPU, verdict(ownRate/rate, b.wanted))
		}
	}
}

func bulkMedians(samples []bulkSample) (rate, cpu float64) {
	if len(samples) == 0 {
		return 0, 0
	}
	var rates, cpus []float64
	for _, s := range samples {
		rates, cpus = append(rates, s.rate), append(cpus, s.cpu)
	}
	return middle(rates), middle(cpus)
}

// sizeOf says what tableSize counts.
func (d *databaseServer) sizeOf() string {
	if d.name == mariadb {
		return "the .ibd of mariadb"
	}
	return "the table files of stack after a compaction"
}

// tableSize is what the loaded table takes on disk, bytes. stack's files hold
// the tail of its binary log too, at most 16 MiB, unless it has been sealed.
func (d *databaseServer) tableSize(ctx context.Context) (total int64, err error) {
	if d.name == mariadb {
		info, err := os.Stat(filepath.Join(d.dir, "data", "sbtest", "bulk.ibd"))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	if _, err := d.client(ctx, "FLUSH LOGS; OPTIMIZE TABLE sbtest.bulk"); err != nil {
		return 0, err
	}
	files, err := filepath.Glob(filepath.Join(d.dir, "data", "store", "*.sst"))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			continue // a compaction has just removed it
		}
		total += info.Size()
	}
	return total, nil
}
