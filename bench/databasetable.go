package main

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// printDatabase prints medians, spreads and ratios.
func printDatabase(w io.Writer, s settings, cases []sysbench, all map[string]map[string][]databaseSample) {
	fmt.Fprintf(w, `
sysbench on one table of %d rows, medians of %d rounds of %v in turn, each after %v of load; before the first round of writes two memtables
are written, and the table has its rows again before it is deleted from. Both servers answer a commit when it is on disk (stack by default, MariaDB with innodb_flush_log_at_trx_commit=1, sync_binlog=1 and its binlog on). Server and client share the cores. Ratios are stack / MariaDB for
queries per second and MariaDB / stack for CPU per query: above 1 stack is ahead. Spread is (max − min) / median of the rounds.

| test | server | queries/s | spread | CPU µs/query | p95 ms | fsyncs/commit | queries ratio | CPU ratio | wanted |
|---|---|---|---|---|---|---|---|---|---|
`, s.rows, s.rounds, s.duration, s.warm)
	for _, b := range cases {
		own, peer := all[b.name()][stack], all[b.name()][mariadb]
		for _, name := range []string{stack, mariadb} {
			got := all[b.name()][name]
			if len(got) == 0 {
				continue
			}
			rate := middleOf(got, func(s databaseSample) float64 { return s.rate })
			fmt.Fprintf(w, "| %s | %s | %.0f | %.0f %% | %.2f | %.2f | %s |", b.name()[len("db: "):], name, rate, 100*spreadOfRates(got)/rate,
				middleOf(got, cpuOfQuery), middleOf(got, func(s databaseSample) float64 { return s.p95 }), perCommit(got))
			if name == stack || len(own) == 0 || len(peer) == 0 {
				fmt.Fprintln(w, " | | |")
				continue
			}
			rates := middleOf(own, rateOfQueries) / middleOf(peer, rateOfQueries)
			cpu := middleOf(peer, cpuOfQuery) / middleOf(own, cpuOfQuery)
			best := rates
			if !b.durable {
				best = max(rates, cpu) // the client shares the cores
			}
			fmt.Fprintf(w, " %.2f | %.2f | %s |\n", rates, cpu, verdict(best, b.wanted))
		}
	}
}

func rateOfQueries(s databaseSample) float64 { return s.rate }
func cpuOfQuery(s databaseSample) float64    { return s.cpu }

func middleOf[S any](samples []S, of func(S) float64) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, of(s))
	}
	return middle(values)
}

func spreadOfRates(samples []databaseSample) float64 {
	low := slices.MinFunc(samples, func(a, b databaseSample) int { return int(a.rate - b.rate) })
	high := slices.MaxFunc(samples, func(a, b databaseSample) int { return int(a.rate - b.rate) })
	return high.rate - low.rate
}

// perCommit is the median of fsyncs per commit, "" where nothing is known.
func perCommit(samples []databaseSample) string {
	var known []float64
	for _, s := range samples {
		if !math.IsNaN(s.fsyncs) {
			known = append(known, s.fsyncs)
		}
	}
	if len(known) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", middle(known))
}
