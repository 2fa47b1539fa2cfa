package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	hotSection = "db: hot row over a minute"
	hotTime    = time.Minute
	hotSlice   = 10 * time.Second
	hotThreads = 64
)

var reportLine = regexp.MustCompile(`(?m)^\[ \d+s \].* qps: ([\d.]+)`)

// measureHotRow has 64 clients update one row for a minute, on each server in turn, and prints how many updates
// a second there were in each ten seconds: a server that gathers versions of the row becomes slower.
func measureHotRow(ctx context.Context, w io.Writer, s settings) error {
	if !s.wants(hotSection) {
		return nil
	}
	dir, err := os.MkdirTemp(s.dataDir, "stack-bench-hot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, stop, err := startDatabases(ctx, dir, s)
	defer stop()
	if err != nil {
		return err
	}
	const rows = 1000
	for _, d := range servers {
		if err := d.fill(ctx, rows); err != nil {
			return fmt.Errorf("%s: fill the table: %w", d.name, err)
		}
		if err := d.ready(ctx, rows); err != nil {
			return fmt.Errorf("%s: warm up: %w", d.name, err)
		}
	}
	fmt.Fprintf(w, "\n%s: %d clients, updates/s in each %v\n\n| round | server | updates/s | last ÷ first |\n|---|---|---|---|\n", hotSection, hotThreads, hotSlice)
	for round := range s.rounds {
		for _, d := range turnedServers(servers, round) {
			slices, err := d.hotRow(ctx)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", hotSection, d.name, err)
			}
			var texts []string
			for _, rate := range slices {
				texts = append(texts, fmt.Sprintf("%.0f", rate))
			}
			line := fmt.Sprintf("| %d | %s | %s | %.2f |", round+1, d.name, strings.Join(texts, ", "), slices[len(slices)-1]/slices[0])
			fmt.Fprintln(w, line)
			fmt.Fprintln(os.Stderr, line)
		}
	}
	return nil
}

// hotRow is the number of updates per second in each hotSlice.
func (d *databaseServer) hotRow(ctx context.Context) (rates []float64, err error) {
	text, err := d.run(ctx, "sysbench", "oltp_update_index", "--threads="+strconv.Itoa(hotThreads), "--time="+strconv.Itoa(int(hotTime.Seconds())),
		"--report-interval="+strconv.Itoa(int(hotSlice.Seconds())), "--table-size=1", "--mysql-ignore-errors=1062,1213,1205,1020", "--rand-type=uniform", "run")
	if err != nil {
		return nil, err
	}
	for _, m := range reportLine.FindAllStringSubmatch(text, -1) {
		rate, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	if len(rates) < 2 {
		return nil, fmt.Errorf("sysbench printed no reports: %s", text)
	}
	return rates, nil
}
