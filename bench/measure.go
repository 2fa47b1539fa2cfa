package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is one measurement: CPU µs of the contender per unit of work, units per
// second, and for steady work latencies in µs.
type sample struct {
	cpu, rate     float64
	p50, p99, max float64
}

// results are the samples by case and contender, in the order of the rounds.
type results map[string]map[string][]sample

// rounds measures the cases, contenders interleaved.
func (f *field) rounds(ctx context.Context, cases []benchCase, s settings) (results, error) {
	all := make(results)
	for _, c := range cases {
		all[c.name] = make(map[string][]sample)
	}
	for round := range s.rounds {
		for _, c := range cases {
			for _, name := range turned(c.contenders, round) {
				if !s.runs(name) {
					continue
				}
				got, err := f.measure(ctx, c, name, s)
				if err != nil {
					return nil, fmt.Errorf("%s, %s, round %d: %w", c.name, name, round+1, err)
				}
				all[c.name][name] = append(all[c.name][name], got)
				fmt.Fprintf(os.Stderr, "round %d  %-36s %-14s %9.2f µs CPU/%s %9.1f/s", round+1, c.name, name, got.cpu, c.unit, got.rate)
				if got.max > 0 {
					fmt.Fprintf(os.Stderr, "  p50 %.0f p99 %.0f max %.0f µs", got.p50, got.p99, got.max)
				}
				fmt.Fprintln(os.Stderr)
			}
		}
	}
	return all, nil
}

// turned is another order each round, so that nobody always follows the same neighbour.
func turned(names []string, round int) []string {
	n := round % len(names)
	return slices.Concat(names[n:], names[:n])
}

// measure loads one contender and returns its CPU time per unit and throughput. An
// answer that is wrong or a broken connection makes the run worthless: an error.
func (f *field) measure(ctx context.Context, c benchCase, name string, s settings) (sample, error) {
	who := f.running[name]
	if _, err := c.work.load(ctx, who, s.warm); err != nil {
		return sample{}, err
	}
	before, err := cpuTime(who.command.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	o, err := c.work.load(ctx, who, s.duration)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuTime(who.command.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	if o.Count == 0 {
		return sample{}, fmt.Errorf("nothing was done in %v", o.Took)
	}
	if err := who.emptyLog(); err != nil {
		return sample{}, err
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return sample{
		cpu: us(after-before) / o.Count, rate: o.Count / o.Took.Seconds(),
		p50: us(o.P50), p99: us(o.P99), max: us(o.Max),
	}, nil
}

// cpuTime sums the CPU time of a process, its threads and descendants, in the
// nanoseconds of /proc/PID/task/TID/schedstat (proc(5)).
func cpuTime(root int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range pids(root) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range tasks {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // the thread ended
			}
			ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			total += time.Duration(ns)
		}
	}
	if total == 0 {
		return 0, fmt.Errorf("process %d has no CPU time in /proc: is schedstat built into this kernel?", root)
	}
	return total, nil
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, of(s))
	}
	return middle(values)
}

func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[n/2] + values[(n-1)/2]) / 2
}
