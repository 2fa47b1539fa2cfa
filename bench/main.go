// Command bench measures stack beside haproxy and nginx on the same work in one
// interleaved run, and prints the tables of docs/performance.md. The proxy or server
// under test is pinned to one core, the load generator and the origin to the other.
// Virtual addresses are measured beside keepalived in network namespaces, the database
// beside MariaDB by sysbench.
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"stack/e2e/lan"
)

type settings struct {
	rounds   int
	duration time.Duration
	warm     time.Duration
	strikes  int
	saturate time.Duration
	only     string
	who      string
	binary   string
	threads  []int  // of sysbench
	rows     int    // of its table
	bulkRows int    // of the dump of "db: bulk load"
	dataDir  string // under which the databases keep their data
	backlog  time.Duration
}

// runs says whether a contender takes part: its program was asked for, or all were.
func (s settings) runs(name string) bool {
	return s.who == "" || slices.Contains(strings.Split(s.who, ","), program(name))
}

// wants says whether a section that is no case was asked for.
func (s settings) wants(section string) bool { return strings.Contains(section, s.only) }

func main() {
	lan.Helper()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) > 0 {
		switch arguments[0] {
		case generatorArgument:
			return runGenerator(arguments[1:])
		case standardArgument:
			return serveStandard(arguments[1:])
		case busyArgument:
			return keepBusy()
		}
	}
	var s settings
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "interleaved rounds; medians are printed")
	flags.DurationVar(&s.duration, "duration", 4*time.Second, "of one measurement")
	flags.DurationVar(&s.warm, "warm", time.Second, "load before each measurement that does not count")
	flags.StringVar(&s.only, "only", "", "only the cases whose name contains this; also \"memory\", \"spare\", \"db\", \"failover\" and \"adverts\"")
	flags.StringVar(&s.who, "who", "", "only these programs, by comma: stack, haproxy, nginx, net/http, mariadb, keepalived")
	flags.IntVar(&s.strikes, "strikes", 20, "times that each fault strikes the holder of a virtual address")
	flags.DurationVar(&s.saturate, "saturate", time.Minute, "how long adverts are watched while all processors are busy")
	flags.StringVar(&s.binary, "binary", "dist/stack", "the stack binary")
	flags.Func("threads", "only these numbers of sysbench's threads, by comma (default 1,8,64)", func(text string) error {
		s.threads = nil
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return err
			}
			s.threads = append(s.threads, n)
		}
		return nil
	})
	flags.IntVar(&s.rows, "rows", 100_000, "rows of sysbench's table")
	flags.IntVar(&s.bulkRows, "bulk-rows", 1_000_000, "rows of the dump that is loaded")
	flags.DurationVar(&s.backlog, "backlog", time.Minute, "how long is written while a replica does not follow")
	flags.StringVar(&s.dataDir, "data", "", "where the databases keep their data (default: the folder for temporary files)")
	s.threads = []int{1, 8, 64}
	flags.Parse(arguments)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !s.onlyVIP() && !s.onlyDatabase() {
		if err := measureAll(ctx, s); err != nil {
			return err
		}
	}
	if err := measureDatabase(ctx, os.Stdout, s); err != nil {
		return err
	}
	if err := measureHotRow(ctx, os.Stdout, s); err != nil {
		return err
	}
	if err := measureBulk(ctx, os.Stdout, s); err != nil {
		return err
	}
	if err := measureReader(ctx, os.Stdout, s); err != nil {
		return err
	}
	if err := measureAcks(ctx, os.Stdout, s); err != nil {
		return err
	}
	if err := measureBehind(ctx, os.Stdout, s); err != nil {
		return err
	}
	if err := measureSwitchover(ctx, os.Stdout, s); err != nil {
		return err
	}
	if err := measureWordPress(ctx, os.Stdout, s); err != nil {
		return err
	}
	return measureVIP(ctx, os.Stdout, s)
}

// onlyDatabase says that nothing else than the database was asked for.
func (s settings) onlyDatabase() bool { return strings.HasPrefix(s.only, "db") }

// measureAll runs the cases in one interleaved run, then the figures taken once, and
// prints the tables.
func measureAll(ctx context.Context, s settings) error {
	field, err := startField(ctx, s)
	if err != nil {
		return err
	}
	defer field.stop()
	chosen := func(cases ...benchCase) []benchCase {
		return slices.DeleteFunc(cases, func(c benchCase) bool { return !c.named(s.only) })
	}
	main, steady, logged, fair := chosen(slices.Clone(allCases)...), chosen(steadyCase), chosen(logCase), chosen(slices.Clone(fairCases)...)
	all, err := field.rounds(ctx, slices.Concat(main, steady, fair, logged), s)
	if err != nil {
		return err
	}
	out := os.Stdout
	if len(all) > 0 {
		fmt.Fprintf(out, "Medians of %d interleaved rounds of %v after %v of warm-up.\n", s.rounds, s.duration, s.warm)
	}
	printRatios(out, main, all)
	printLatencies(out, steady, all)
	printFairness(out, fair, all)
	printLogCost(out, logged, all)
	if s.wants("memory") {
		if err := field.printMemory(ctx, out, s); err != nil {
			return err
		}
	}
	if s.wants("spare") && s.runs(stack) {
		return printSpare(ctx, out, s)
	}
	return nil
}
