package db

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/appliance/config"
)

var rowsFlag = flag.Int("rows", 10_000_000, "rows of the large table of TestPointSelectsInALargeTable")

// loadRows fills a table as sysbench makes it, rows of about 190 bytes with numbers from 1 on,
// by several clients at a time.
func loadRows(t *testing.T, p *process, table string, rows int) {
	t.Helper()
	if err := tryLoadRows(p, table, rows); err != nil {
		t.Fatal(err)
	}
}

// tryLoadRows is loadRows for other goroutines than that of a test.
func tryLoadRows(p *process, table string, rows int) error {
	const loaders, each = 4, 500
	var next atomic.Int64
	var wg sync.WaitGroup
	db := p.rootDB("wordpress")
	failed := make([]error, loaders)
	for loader := range loaders {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(loader), 1))
			var text []byte
			for {
				first := int(next.Add(each)) - each
				if first >= rows {
					return
				}
				text = append(append(text[:0], "INSERT INTO "...), table+" VALUES "...)
				for id := first; id < min(first+each, rows); id++ {
					text = fmt.Appendf(text, "(%d,%d,'", id+1, r.IntN(1e6))
					text = appendNumbers(text, r, 10)
					text = appendNumbers(append(text, "','"...), r, 5)
					text = append(text, "'),"...)
				}
				if _, failed[loader] = db.Exec(string(text[:len(text)-1])); failed[loader] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// appendNumbers appends n numbers of 11 digits with lines between.
func appendNumbers(dst []byte, r *rand.Rand, n int) []byte {
	for i := range n {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = strconv.AppendInt(dst, 1e10+r.Int64N(9e10), 10)
	}
	return dst
}

const sysbenchColumns = " (id INT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, KEY (k))"

// startLimited starts a server with this db.memory, which is the limit of its heap too.
func startLimited(t *testing.T, memory int64) *process {
	return startProcess(t, limitedNode(t, memory))
}

func limitedNode(t *testing.T, memory int64) *config.Node {
	node := testNode(t)
	node.DB.Memory, node.DB.MaxConnections = memory, 200
	t.Setenv("GOMEMLIMIT", strconv.FormatInt(memory, 10))
	return node
}

// residentMiB is the memory of a process.
func residentMiB(t *testing.T, pid int) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}

// A row is found in ten million about as fast as in a hundred thousand.
func TestPointSelectsInALargeTable(t *testing.T) {
	if testing.Short() {
		t.Skip("loads 10 million rows")
	}
	const small, clients, run = 100_000, 8, 10 * time.Second
	p := startLimited(t, 1<<30)
	root := p.rootDB("wordpress")
	p99 := map[string]time.Duration{}
	for _, table := range []struct {
		name string
		rows int
	}{{"small", small}, {"large", *rowsFlag}} {
		mustExec(t, root.Exec, "CREATE TABLE "+table.name+sysbenchColumns)
		began := time.Now()
		loadRows(t, p, table.name, table.rows)
		t.Logf("%d rows loaded in %v, resident %.0f MiB", table.rows, time.Since(began), residentMiB(t, p.cmd.Process.Pid))
	}
	// In turn, so that a disturbance from outside hits both; the first turn warms up.
	took := map[string]*latencies{"small": {start: time.Now()}, "large": {start: time.Now()}}
	for turn := range 3 {
		for _, table := range []struct {
			name string
			rows int
		}{{"small", small}, {"large", *rowsFlag}} {
			l := took[table.name]
			if turn == 0 {
				l = &latencies{start: time.Now()}
			}
			pointSelects(t, p, table.name, table.rows, clients, run, l)
		}
	}
	for name, l := range took {
		p, n := l.p99(0, time.Hour)
		p99[name] = p
		t.Logf("%s: p99 %v of %d", name, p, n)
	}
	if p99["large"] > 2*p99["small"] {
		t.Errorf("a select takes %v in %d rows and %v in %d (99th percentile)", p99["large"], *rowsFlag, p99["small"], small)
	}
	t.Logf("resident %.0f MiB", residentMiB(t, p.cmd.Process.Pid))
}

func pointSelects(t *testing.T, p *process, table string, rows, clients int, run time.Duration, into *latencies) {
	var wg sync.WaitGroup
	end := time.Now().Add(run)
	for client := range clients {
		c := p.session(t)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(client), uint64(end.UnixNano())))
			for time.Now().Before(end) {
				var text string
				began := time.Now()
				if err := c.QueryRowContext(context.Background(), fmt.Sprintf("SELECT c FROM %s WHERE id=%d", table, 1+r.IntN(rows))).Scan(&text); err != nil {
					t.Error(err)
					return
				}
				into.add(began)
			}
		})
	}
	wg.Wait()
}

// An UPDATE of a million rows keeps little in memory, and others commit meanwhile, whether the
// block cache is full or cold.
func TestUpdateOfAMillionRows(t *testing.T) {
	if testing.Short() {
		t.Skip("changes a million rows")
	}
	const rows = 1_000_000
	node := limitedNode(t, 512<<20)
	p := startProcess(t, node)
	mustExec(t, p.rootDB("wordpress").Exec, "CREATE TABLE large"+sysbenchColumns, "CREATE TABLE other (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT)")
	loadRows(t, p, "large", rows)
	for _, cold := range []bool{false, true} {
		t.Run(fmt.Sprintf("cold %v", cold), func(t *testing.T) {
			if cold {
				p.kill()
				p = startProcess(t, node)
			}
			updateAll(t, p, cold)
		})
	}
}

func updateAll(t *testing.T, p *process, cold bool) {
	root, c := p.rootDB("wordpress"), p.session(t)
	do(t, c, "INSERT INTO other (v) VALUES (1)")
	for range 2 {
		if cold {
			break
		}
		// What is in the block cache belongs to db.memory and not to the update.
		var sum int
		if err := root.QueryRow("SELECT SUM(LENGTH(pad)) + SUM(k > 0) FROM large").Scan(&sum); err != nil || sum == 0 {
			t.Fatal(sum, err)
		}
	}
	before := residentOf(t, p.cmd.Process.Pid)
	stalls := watchStalls(t, func() { do(t, c, "INSERT INTO other (v) VALUES (1)") })
	peak, stop := watchResident(t, p.cmd.Process.Pid)
	began := time.Now()
	_, err := root.Exec("UPDATE large SET k = k + 1")
	took := time.Since(began)
	stop()
	own := stalls.end(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("updated in %v; resident %d + %d MiB", took, before>>20, (*peak-before)>>20)
	if grown := *peak - before; grown > 200<<20 {
		t.Errorf("resident memory grew by %d MiB", grown>>20)
	}
	if own > 100*time.Millisecond {
		t.Errorf("the update held up a commit for %v longer than the disk", own)
	}
	var wrong int
	if err := root.QueryRow("SELECT COUNT(*) FROM large WHERE k < 1").Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d rows were not changed (%v)", wrong, err)
	}
}
