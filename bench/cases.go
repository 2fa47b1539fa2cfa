package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// benchCase is one kind of work for several contenders.
type benchCase struct {
	name        string
	path        string
	connections int
	static      bool // served from files, else proxied to the origin
	contenders  []string
}

func (c benchCase) named(part string) bool { return strings.Contains(c.name, part) }

var (
	proxies = []string{"stack", "haproxy", "nginx"}
	servers = []string{"stack", "nginx"}
)

var allCases = []benchCase{
	{"proxy 200 B, 64 conns", "/200.bin", 64, false, proxies},
	{"proxy 200 B, 512 conns", "/200.bin", 512, false, proxies},
	{"proxy 64 KiB, 64 conns", "/64k.bin", 64, false, proxies},
	{"proxy 64 KiB, 512 conns", "/64k.bin", 512, false, proxies},
	{"static 4 KiB, 64 conns", "/4k.bin", 64, true, servers},
	{"static 1 MiB, 64 conns", "/1m.bin", 64, true, servers},
}

// files are what the origin and the static servers hold.
var files = map[string]int{"200.bin": 200, "4k.bin": 4 << 10, "64k.bin": 64 << 10, "1m.bin": 1 << 20}

// sample is one measurement: CPU µs of the contender per request, requests per second.
type sample struct {
	cpu, rate float64
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

func printTable(w io.Writer, cases []benchCase, results map[string]map[string][]sample, s settings) {
	cpu := func(x sample) float64 { return x.cpu }
	rate := func(x sample) float64 { return x.rate }
	fmt.Fprintf(w, "\nMedians of %d interleaved rounds of %s. Ratios are peer / stack for CPU and stack / peer for\nthroughput: above 1 stack is ahead.\n\n", s.rounds, s.duration)
	fmt.Fprintln(w, "| work | server | CPU µs/request | requests/s | CPU ratio | throughput ratio |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|")
	for _, c := range cases {
		own := results[c.name]["stack"]
		for _, name := range c.contenders {
			got := results[c.name][name]
			line := fmt.Sprintf("| %s | %s | %.2f | %.0f |", c.name, name, median(got, cpu), median(got, rate))
			if name == "stack" {
				fmt.Fprintln(w, line, "| |")
				continue
			}
			fmt.Fprintf(w, "%s %.2f | %.2f |\n", line, median(got, cpu)/median(own, cpu), median(own, rate)/median(got, rate))
		}
	}
}
