package main

import (
	"fmt"
	"io"
	"slices"
)

func cpuOf(s sample) float64  { return s.cpu }
func rateOf(s sample) float64 { return s.rate }

// enough is how much of a wanted ratio counts as reached: medians of a shared machine
// move by more than the rest.
const enough = 0.9

// printRatios prints the table of CPU time and throughput.
func printRatios(w io.Writer, cases []benchCase, all results) {
	if len(cases) == 0 {
		return
	}
	fmt.Fprint(w, `
Ratios are peer / stack for CPU and stack / peer for throughput: above 1 stack is ahead. CPU is µs of user and system time of
all processes of the server, per request (per handshake, per GiB).

| work | server | CPU µs | per second | CPU ratio | wanted | throughput ratio |
|---|---|---|---|---|---|---|
`)
	for _, c := range cases {
		own := all[c.name][stack]
		for _, name := range c.contenders {
			got := all[c.name][name]
			if len(got) == 0 {
				continue
			}
			fmt.Fprintf(w, "| %s | %s | %.2f | %.*f |", c.name, name, median(got, cpuOf), digits(median(got, rateOf)), median(got, rateOf))
			if name == stack || len(own) == 0 {
				fmt.Fprintln(w, " | | |")
				continue
			}
			cpu := median(got, cpuOf) / median(own, cpuOf)
			fmt.Fprintf(w, " %.2f | %s | %.2f |\n", cpu, verdict(cpu, c.wanted[name]), median(own, rateOf)/median(got, rateOf))
		}
	}
}

func digits(value float64) int {
	if value < 100 {
		return 2
	}
	return 0
}

// verdict is the wanted ratio, and whether it is met.
func verdict(got, wanted float64) string {
	switch {
	case wanted == 0:
		return ""
	case got >= wanted:
		return fmt.Sprintf("≥ %.2f", wanted)
	case got >= wanted*enough:
		return fmt.Sprintf("≥ %.2f (within 10 %%)", wanted)
	}
	return fmt.Sprintf("≥ %.2f (**missed**)", wanted)
}

// printLatencies prints the latencies at a fixed rate.
func printLatencies(w io.Writer, cases []benchCase, all results) {
	for _, c := range cases {
		fmt.Fprintf(w, `
Latency of a proxied request of 200 B at %s, counted from the moment it was due; µs, medians of the rounds
(p99 of every round behind it).

| server | p50 | p99 | max | CPU µs/request | p99 by round |
|---|---|---|---|---|---|
`, c.name)
		for _, name := range c.contenders {
			got := all[c.name][name]
			if len(got) == 0 {
				continue
			}
			fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.2f |", name, median(got, func(s sample) float64 { return s.p50 }),
				median(got, func(s sample) float64 { return s.p99 }), median(got, func(s sample) float64 { return s.max }), median(got, cpuOf))
			for _, s := range got {
				fmt.Fprintf(w, " %.0f", s.p99)
			}
			fmt.Fprintln(w, " |")
		}
	}
}

// printLogCost prints what the access log adds, as the median over the rounds of the
// difference between the two measurements of a round.
func printLogCost(w io.Writer, cases []benchCase, all results) {
	for _, c := range cases {
		fmt.Fprintf(w, "\n%s, written to a file:\n\n| server | CPU µs/request without | with | added |\n|---|---|---|---|\n", c.name)
		for _, pair := range [][2]string{{stack, stackLogs}, {nginx, nginxLogs}} {
			without, with := all[c.name][pair[0]], all[c.name][pair[1]]
			if len(without) == 0 {
				continue
			}
			var added []float64
			for i := range with {
				added = append(added, with[i].cpu-without[i].cpu)
			}
			slices.Sort(added)
			fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f |\n", pair[0], median(without, cpuOf), median(with, cpuOf), middle(added))
		}
	}
}
