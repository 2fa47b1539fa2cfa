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
	test    string // as its script is called, without oltp_
	threads int
	wanted  float64 // ratio stack / MariaDB
	durable bool    // writes: the ratio is of queries per second alone
}

func (b sysbench) name() string { return fmt.Sprintf("db: oltp_%s, %d threads", b.test, b.threads) }

// databaseCases are the rows of the table, in its order, with the figures of the
// specification; where it has none, 0.
func databaseCases() []sysbench {
	var all []sysbench
	add := func(test string, durable bool, wanted ...float64) {
		for i, threads := range []int{1, 8, 64} {
			all = append(all, sysbench{test, threads, wanted[i], durable})
		}
	}
	add("point_select", false, 1.2, 1.5, 1.5)
	add("read_only", false, 0, 0.9, 0)
	for _, test := range []string{"insert", "update_index", "update_non_index", "delete"} {
		add(test, true, 1, 1.5, 2)
	}
	add("read_write", true, 0, 1, 1.2)
	return all
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

// maxRepeats is how often a pair of neighbours is measured again for that.
const maxRepeats = 3

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
	var servers []*databaseServer
	defer func() {
		for _, d := range servers {
			d.stop()
		}
	}()
	for _, name := range []string{stack, mariadb} {
		if !s.runs(name) {
			continue
		}
		d, err := startDatabase(ctx, name, dir, s)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, d)
		if err := d.fill(ctx, s.rows); err != nil {
			return fmt.Errorf("%s: fill the table: %w", name, err)
		}
	}
	all := map[string]map[string][]databaseSample{}
	for _, b := range cases {
		all[b.name()] = map[string][]databaseSample{}
	}
	for round := range s.rounds {
		for _, b := range cases {
			if err := measureNeighbours(ctx, b, round, turnedServers(servers, round), s, all[b.name()]); err != nil {
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
// same for all of them, they are measured again.
func measureNeighbours(ctx context.Context, b sysbench, round int, servers []*databaseServer, s settings, into map[string][]databaseSample) error {
	for try := 0; ; try++ {
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
		if high > low*maxProbeRatio && try < maxRepeats {
			fmt.Fprintln(os.Stderr, "         again: the disk changed in between")
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
// measurement.
func (d *databaseServer) measure(ctx context.Context, b sysbench, s settings) (databaseSample, error) {
	var out databaseSample
	if _, err := d.sysbench(ctx, b, s.rows, s.warm); err != nil {
		return out, err
	}
	var err error
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
	return d.run(ctx, "sysbench", "oltp_"+b.test, "--threads="+strconv.Itoa(b.threads), "--time="+strconv.Itoa(max(1, int(t.Seconds()))),
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
