// Command bench measures stack beside haproxy and nginx on the same work in one
// interleaved run, and prints CPU time per request and throughput with ratios
// peer / stack (higher is better for stack). The proxy or server under test is pinned
// to one core, the load generator and the origin to the other.
//
// It is a measurement, never a test: it fails only if something could not be run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

type settings struct {
	rounds   int
	duration time.Duration
	warm     time.Duration
	only     string
	binary   string
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 5, "interleaved rounds; medians are printed")
	flag.DurationVar(&s.duration, "duration", 4*time.Second, "of one measurement")
	flag.DurationVar(&s.warm, "warm", time.Second, "load before each measurement that does not count")
	flag.StringVar(&s.only, "only", "", "only the cases whose name contains this")
	flag.StringVar(&s.binary, "binary", "dist/stack", "the stack binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	field, err := startField(ctx, s.binary)
	if err != nil {
		return err
	}
	defer field.stop()

	cases := slices.DeleteFunc(slices.Clone(allCases), func(c benchCase) bool { return !c.named(s.only) })
	results := make(map[string]map[string][]sample)
	for _, c := range cases {
		results[c.name] = make(map[string][]sample)
	}
	for round := range s.rounds {
		for _, c := range cases {
			contenders := slices.Clone(c.contenders)
			// Another order each round, so that nobody always follows the same neighbour.
			for range round % len(contenders) {
				contenders = append(contenders[1:], contenders[0])
			}
			for _, name := range contenders {
				got, err := measure(ctx, field, c, name, s)
				if err != nil {
					return fmt.Errorf("%s, %s, round %d: %w", c.name, name, round+1, err)
				}
				results[c.name][name] = append(results[c.name][name], got)
				fmt.Fprintf(os.Stderr, "round %d  %-28s %-8s %7.2f µs CPU/request %9.0f requests/s\n", round+1, c.name, name, got.cpu, got.rate)
			}
		}
	}
	printTable(os.Stdout, cases, results, s)
	return field.printMemory(ctx, os.Stdout)
}
