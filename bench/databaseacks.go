package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	ackSection = "db: pair, acknowledged"
	// ackWanted is stack ÷ MariaDB in commits per second.
	ackWanted = 1.2
	// catchUpPatience is how long a replica may take to execute what a measurement wrote.
	catchUpPatience = 5 * time.Minute
)

// ackCases are what is written to pairs: each statement is a commit.
func ackCases(s settings) (cases []sysbench) {
	for _, test := range []string{"update_non_index", "insert"} {
		for _, threads := range []int{8, 64} {
			if slices.Contains(s.threads, threads) {
				cases = append(cases, sysbench{test, threads, ackWanted, true, 0})
			}
		}
	}
	return cases
}

// ackSample is one measurement of a pair.
type ackSample struct {
	databaseSample
	primary, replica float64       // CPU µs per commit, until the replica has executed it
	behind           time.Duration // what the replica needed for that after the load had ended
	groups           [2]float64    // syncs of the log for commits, per commit, of either; 0: not known
}

// measureAcks writes to stack's primary and MariaDB's in turn, each with a replica whose
// acknowledgement every commit waits for, and prints the table.
func measureAcks(ctx context.Context, w io.Writer, s settings) error {
	cases := ackCases(s)
	if !s.wants(ackSection) || len(cases) == 0 {
		return nil
	}
	setup, err := startPairs(ctx, s, true)
	if err != nil {
		return err
	}
	defer setup.stop()
	for _, p := range setup.pairs {
		if err := p.primary.ready(ctx, s.rows); err != nil {
			return fmt.Errorf("pair of %s: warm up: %w", p.name, err)
		}
		if _, err := p.caughtUp(ctx, catchUpPatience); err != nil {
			return err
		}
	}
	all := map[string]map[string][]ackSample{}
	for _, b := range cases {
		all[b.name()] = map[string][]ackSample{}
		for round := range s.rounds {
			for i := range setup.pairs {
				p := setup.pairs[(i+round)%len(setup.pairs)]
				got, err := p.measure(ctx, b, s)
				if err != nil {
					return fmt.Errorf("%s, pair of %s, round %d: %w", b.name(), p.name, round+1, err)
				}
				all[b.name()][p.name] = append(all[b.name()][p.name], got)
				fmt.Fprintf(os.Stderr, "round %d  %-36s %-8s %9.0f/s  CPU µs/commit %6.1f + %6.1f  p95 %6.2f ms  replica behind %v  fdatasync %5.0f µs  syncs/commit %.2f + %.2f\n",
					round+1, b.name(), p.name, got.rate, got.primary, got.replica, got.p95, got.behind.Round(time.Millisecond), got.probe, got.groups[0], got.groups[1])
			}
		}
	}
	printAcks(w, s, cases, all)
	var lags strings.Builder
	for _, b := range cases {
		if b.threads != backlogThreads {
			continue
		}
		for _, p := range setup.pairs {
			line, err := p.lag(ctx, b, s, middleOf(all[b.name()][p.name], func(a ackSample) float64 { return a.rate })/2)
			if err != nil {
				return fmt.Errorf("%s, lag, pair of %s: %w", b.name(), p.name, err)
			}
			fmt.Fprint(os.Stderr, ackSection, line)
			fmt.Fprint(&lags, line)
		}
	}
	if lags.Len() > 0 {
		printLags(w, s, lags.String())
	}
	return nil
}

// measure loads the primary as measure of a server alone does, and waits for the replica.
func (p *databasePair) measure(ctx context.Context, b sysbench, s settings) (out ackSample, err error) {
	if s.warm > 0 {
		if _, err := p.primary.sysbench(ctx, b, s.rows, s.warm); err != nil {
			return out, err
		}
		if _, err := p.caughtUp(ctx, catchUpPatience); err != nil {
			return out, err
		}
	}
	if out.probe, err = probeDisk(p.primary.dir); err != nil {
		return out, err
	}
	primary, replica, err := p.cpu()
	if err != nil {
		return out, err
	}
	groups, err := p.groups(ctx)
	if err != nil {
		return out, err
	}
	alone, err := p.unacknowledged(ctx)
	if err != nil {
		return out, err
	}
	text, err := p.primary.sysbench(ctx, b, s.rows, s.duration)
	if err != nil {
		return out, err
	}
	if out.behind, err = p.caughtUp(ctx, catchUpPatience); err != nil {
		return out, err
	}
	primaryAfter, replicaAfter, err := p.cpu()
	if err != nil {
		return out, err
	}
	groupsAfter, err := p.groups(ctx)
	if err != nil {
		return out, err
	}
	after, err := p.unacknowledged(ctx)
	if err != nil {
		return out, err
	}
	if after > alone {
		return out, fmt.Errorf("%d commits were answered without the replica", after-alone)
	}
	commits, took := figure(queriesLine, text), figure(timeLine, text)
	if commits == 0 || took == 0 {
		return out, fmt.Errorf("sysbench printed no result: %s", text)
	}
	for i := range groups {
		out.groups[i] = (groupsAfter[i] - groups[i]) / commits
	}
	out.rate, out.p95 = commits/took, figure(p95Line, text)
	out.primary = float64((primaryAfter - primary).Nanoseconds()) / 1e3 / commits
	out.replica = float64((replicaAfter - replica).Nanoseconds()) / 1e3 / commits
	return out, nil
}

func printAcks(w io.Writer, s settings, cases []sysbench, all map[string]map[string][]ackSample) {
	fmt.Fprintf(w, `
Commits of a primary that answers when its replica has acknowledged: medians of %d rounds of %v in turn, each after %v of load. stack: ack one, strict; the replica
acknowledges what it has received and synced. MariaDB: semi-sync, AFTER_SYNC; the replica, with four applier threads, acknowledges what is in its relay log, which it does not sync for that. All four
servers sync for every group of commits and write logs of their own. CPU is of both servers until the replica has executed everything; what it needed for that after the load's end is in the last column.

| test | pair | commits/s | CPU µs/commit of primary and replica | p95 ms | commits ratio | CPU ratio | wanted | replica behind, s |
|---|---|---|---|---|---|---|---|---|
`, s.rounds, s.duration, s.warm)
	rate := func(a ackSample) float64 { return a.rate }
	cpu := func(a ackSample) float64 { return a.primary + a.replica }
	for _, b := range cases {
		own, peer := all[b.name()][stack], all[b.name()][mariadb]
		for _, name := range []string{stack, mariadb} {
			got := all[b.name()][name]
			if len(got) == 0 {
				continue
			}
			ratios := " | |"
			if name == mariadb && len(own) > 0 {
				rates := middleOf(own, rate) / middleOf(peer, rate)
				ratios = fmt.Sprintf("%.2f | %.2f | %s", rates, middleOf(peer, cpu)/middleOf(own, cpu), verdict(rates, b.wanted))
			}
			fmt.Fprintf(w, "| %s | %s | %.0f | %.1f + %.1f | %.2f | %s | %.2f |\n", strings.TrimPrefix(b.name(), "db: "), name, middleOf(got, rate),
				middleOf(got, func(a ackSample) float64 { return a.primary }), middleOf(got, func(a ackSample) float64 { return a.replica }),
				middleOf(got, func(a ackSample) float64 { return a.p95 }), ratios, middleOf(got, func(a ackSample) float64 { return a.behind.Seconds() }))
		}
	}
}
