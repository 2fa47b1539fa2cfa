package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	requestsLine = regexp.MustCompile(`(\d+) requests in ([\d.]+)(us|ms|s|m)`)
	failuresLine = regexp.MustCompile(`(?m)^\s*(Socket errors:.*|Non-2xx.*)$`)
)

// measure loads one contender and returns its CPU time per request and throughput.
// An answer that is not 2xx or a broken connection makes the run worthless: an error.
func measure(ctx context.Context, f *field, c benchCase, name string, s settings) (sample, error) {
	who := f.running[name]
	port := who.proxy
	if c.static {
		port = who.static
	}
	url := fmt.Sprintf("http://127.0.0.1:%d%s", port, c.path)
	if _, _, err := load(ctx, url, c.connections, s.warm); err != nil {
		return sample{}, err
	}
	before, err := cpuTime(who.command.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	requests, took, err := load(ctx, url, c.connections, s.duration)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuTime(who.command.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	return sample{
		cpu:  float64((after - before).Nanoseconds()) / 1e3 / float64(requests),
		rate: float64(requests) / took.Seconds(),
	}, nil
}

// load runs wrk on the load core.
func load(ctx context.Context, url string, connections int, d time.Duration) (requests int, took time.Duration, err error) {
	seconds := strconv.Itoa(max(1, int(d.Seconds()))) + "s"
	out, err := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(loadCore),
		"wrk", "-t1", "-c", strconv.Itoa(connections), "-d", seconds, "--timeout", "10s", url).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if bad := failuresLine.FindString(string(out)); bad != "" {
		return 0, 0, fmt.Errorf("%s: %s", url, strings.TrimSpace(bad))
	}
	m := requestsLine.FindStringSubmatch(string(out))
	if m == nil {
		return 0, 0, fmt.Errorf("wrk printed no result: %s", out)
	}
	requests, _ = strconv.Atoi(m[1])
	took, err = time.ParseDuration(m[2] + m[3])
	if err == nil && requests == 0 {
		err = fmt.Errorf("%s answered nothing", url)
	}
	return requests, took, err
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
