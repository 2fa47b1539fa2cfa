package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sysbench is one of its tests with a number of threads, for stack and MariaDB.
type sysbench struct {
	test    string // as its script is called, without oltp_; filteredScan is one of our own
	threads int
	wanted  float64 // ratio stack / MariaDB
	durable bool    // writes: the ratio is of queries per second alone
	rows    int     // of the table that are used; 0: all
}

func (b sysbench) name() string {
	if b.rows == 1 {
		return fmt.Sprintf("db: hot row, %d threads", b.threads)
	}
	if b.test == filteredScan {
		return fmt.Sprintf("db: filtered scan, %d threads", b.threads)
	}
	return fmt.Sprintf("db: oltp_%s, %d threads", b.test, b.threads)
}

// filteredScan reads the whole table for a few rows, by conditions on columns without index.
const filteredScan = "filtered_scan"

// databaseCases are the rows of the table, in its order: those with a figure in the
// specification, 0 for no row.
func databaseCases() []sysbench {
	var all []sysbench
	add := func(test string, durable bool, wanted ...float64) {
		for i, threads := range []int{1, 8, 64} {
			if wanted[i] > 0 {
				all = append(all, sysbench{test, threads, wanted[i], durable, 0})
			}
		}
	}
	add("point_select", false, 1.2, 1.5, 1.5)
	add("read_only", false, 0, 0.9, 0)
	add(filteredScan, false, 1, 0, 0)
	for _, test := range []string{"insert", "update_index", "update_non_index", "delete"} {
		add(test, true, 1, 1.5, 2)
	}
	add("read_write", true, 0, 1, 1.2)
	// UPDATE … SET k=k+1 WHERE id=1 by everybody.
	return append(all, sysbench{"update_index", 64, 1, true, 1})
}

// databaseSample is one measurement of one server.
type databaseSample struct {
	rate   float64 // queries per second
	cpu    float64 // CPU µs of the server per query
	p95    float64 // ms of a transaction
	probe  float64 // µs of an fdatasync just before
	fsyncs float64 // per commit; NaN where the server does not tell or nothing was committed
}

// maxProbeRatio is how much slower the disk may be for one neighbour than for the other.
const maxProbeRatio = 1.5

// maxRepeats is how many pairs of neighbours of the whole run are measured again for that, so
// that the run has an end on a disk that is never the same.
const maxRepeats = 8

// measureDatabase runs sysbench against stack and MariaDB in turn and prints the table.
func measureDatabase(ctx context.Context, w io.Writer, s settings) error {
	cases := slices.DeleteFunc(databaseCases(), func(b sysbench) bool {
		return !strings.Contains(b.name(), s.only) || !slices.Contains(s.threads, b.threads)
	})
	if len(cases) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp(s.dataDir, "stack-bench-db-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, stop, err := startDatabases(ctx, dir, s)
	defer stop()
	if err != nil {
		return err
	}
	for _, d := range servers {
		if err := d.fill(ctx, s.rows); err != nil {
			return fmt.Errorf("%s: fill the table: %w", d.name, err)
		}
	}
	all := map[string]map[string][]databaseSample{}
	repeats := maxRepeats
	for i, b := range cases {
		samples := map[string][]databaseSample{}
		all[b.name()] = samples
		// Reading changes nothing that the next reader would meet.
		if i == 0 || b.durable {
			for _, d := range servers {
				if err := d.ready(ctx, s.rows); err != nil {
					return fmt.Errorf("%s, %s: warm up: %w", b.name(), d.name, err)
				}
			}
		}
		for round := range s.rounds {
			if err := measureNeighbours(ctx, b, round, turnedServers(servers, round), s, samples, &repeats); err != nil {
				return err
			}
		}
	}
	printDatabase(w, s, cases, all)
	for _, d := range servers {
		fmt.Fprintf(w, "\nSize on disk of %s after the run: %.0f MiB.\n", d.name, float64(d.size())/(1<<20))
	}
	return nil
}

// measureNeighbours measures the servers one after the other. If the disk was not the
// same for all of them, they are measured again while repeats lasts.
func measureNeighbours(ctx context.Context, b sysbench, round int, servers []*databaseServer, s settings, into map[string][]databaseSample, repeats *int) error {
	for {
		samples := map[string]databaseSample{}
		low, high := math.Inf(1), 0.0
		for _, d := range servers {
			got, err := d.measure(ctx, b, s)
			if err != nil {
				return fmt.Errorf("%s, %s, round %d: %w", b.name(), d.name, round+1, err)
			}
			samples[d.name] = got
			low, high = min(low, got.probe), max(high, got.probe)
			fmt.Fprintf(os.Stderr, "round %d  %-36s %-8s %9.0f/s %8.2f µs CPU/query  p95 %6.2f ms  fdatasync %5.0f µs  fsyncs/commit %.2f\n",
				round+1, b.name(), d.name, got.rate, got.cpu, got.p95, got.probe, got.fsyncs)
		}
		if high > low*maxProbeRatio && *repeats > 0 {
			*repeats--
			fmt.Fprintf(os.Stderr, "         again: the disk changed in between (%d more times)\n", *repeats)
			continue
		}
		for name, got := range samples {
			into[name] = append(into[name], got)
		}
		return nil
	}
}

func turnedServers(servers []*databaseServer, round int) []*databaseServer {
	n := round % max(1, len(servers))
	return slices.Concat(servers[n:], servers[:n])
}

var (
	queriesLine = regexp.MustCompile(`queries:\s+(\d+)\s+\(`)
	timeLine    = regexp.MustCompile(`total time:\s+([\d.]+)s`)
	p95Line     = regexp.MustCompile(`95th percentile:\s+([\d.]+)`)
)

// measure probes the disk and loads the server: a warm-up that does not count, then the
// measurement. Deleting begins with the rows there.
func (d *databaseServer) measure(ctx context.Context, b sysbench, s settings) (databaseSample, error) {
	var out databaseSample
	var err error
	if b.test == "delete" {
		if err := d.restore(ctx, s.rows); err != nil {
			return out, err
		}
	}
	if s.warm > 0 {
		if _, err := d.sysbench(ctx, b, s.rows, s.warm); err != nil {
			return out, err
		}
	}
	if out.probe, err = probeDisk(d.dir); err != nil {
		return out, err
	}
	syncs, commits, err := d.syncs(ctx)
	if err != nil {
		return out, err
	}
	before, err := cpuTime(d.command.Process.Pid)
	if err != nil {
		return out, err
	}
	text, err := d.sysbench(ctx, b, s.rows, s.duration)
	if err != nil {
		return out, err
	}
	after, err := cpuTime(d.command.Process.Pid)
	if err != nil {
		return out, err
	}
	syncsAfter, commitsAfter, err := d.syncs(ctx)
	if err != nil {
		return out, err
	}
	queries, took, p95 := figure(queriesLine, text), figure(timeLine, text), figure(p95Line, text)
	if queries == 0 || took == 0 {
		return out, fmt.Errorf("sysbench printed no result: %s", text)
	}
	out.rate, out.p95 = queries/took, p95
	out.cpu = float64((after - before).Nanoseconds()) / 1e3 / queries
	out.fsyncs = math.NaN()
	if commitsAfter > commits {
		out.fsyncs = (syncsAfter - syncs) / (commitsAfter - commits)
	}
	return out, nil
}

func figure(line *regexp.Regexp, text string) float64 {
	m := line.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	f, _ := strconv.ParseFloat(m[1], 64)
	return f
}

// sysbench runs a test for a while. Rows that others have deleted, and the same row
// twice, are no errors of the server.
func (d *databaseServer) sysbench(ctx context.Context, b sysbench, rows int, t time.Duration) (string, error) {
	return d.sysbenchAt(ctx, b, rows, t, 0)
}

// sysbenchAt runs it with a number of transactions per second; 0: as many as it gets.
func (d *databaseServer) sysbenchAt(ctx context.Context, b sysbench, rows int, t time.Duration, rate float64) (string, error) {
	if b.rows > 0 {
		rows = b.rows
	}
	script := "oltp_" + b.test
	if b.test == filteredScan {
		text, err := peers.ReadFile("peers/filtered_scan.lua")
		if err != nil {
			return "", err
		}
		script = filepath.Join(d.dir, "filtered_scan.lua")
		if err := os.WriteFile(script, text, 0o644); err != nil {
			return "", err
		}
	}
	return d.run(ctx, "sysbench", script, "--threads="+strconv.Itoa(b.threads), "--time="+strconv.Itoa(max(1, int(t.Seconds()))), "--rate="+strconv.Itoa(int(rate)),
		"--table-size="+strconv.Itoa(rows), "--mysql-ignore-errors=1062,1213,1205,1020", "--rand-type=uniform", "run")
}

// probeDisk is the median time, in µs, of an fdatasync behind 4 KiB in dir.
func probeDisk(dir string) (float64, error) {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 4096)
	var took []float64
	for range 50 {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := fdatasync(f); err != nil {
			return 0, fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		}
		took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
	}
	return middle(took), nil
}

// size is what the server's data takes on disk, in bytes.
func (d *databaseServer) size() (total int64) {
	filepath.Walk(filepath.Join(d.dir, "data"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			total += info.Size()
		}
		return nil
	})
	return total
}
