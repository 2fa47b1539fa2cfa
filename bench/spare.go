package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

var echoLine = regexp.MustCompile(`(?m)^BenchmarkEcho/(procs=\S+?)(?:-\d+)?\s.*?([\d.]+) cpu-ns/op`)

// printSpare shows what the two processors cost that loop.Start gives the Go scheduler
// beside those of the loops. The binary has no switch for it, so a benchmark of the loop
// itself runs with and without them.
func printSpare(ctx context.Context, w io.Writer, s settings) error {
	c := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(underTest), "go", "test", "-run", "^$", "-bench", "^BenchmarkEcho$",
		"-benchtime", s.duration.String(), "-count", strconv.Itoa(s.rounds), "./roles/internal/loop")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "ECHO_CLIENT_CORE="+strconv.Itoa(loadCore))
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test: %w: %s", err, out)
	}
	values := make(map[string][]float64)
	for _, m := range echoLine.FindAllStringSubmatch(string(out), -1) {
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return err
		}
		values[m[1]] = append(values[m[1]], ns/1e3)
	}
	with, without := values["procs=loops+2"], values["procs=loops"]
	if len(with) == 0 || len(without) == 0 {
		return fmt.Errorf("BenchmarkEcho printed no result: %s", out)
	}
	fmt.Fprintf(w, "\nAn echo of 200 B through one loop, 64 connections, CPU µs: %.2f with GOMAXPROCS = loops + 2, %.2f with GOMAXPROCS = loops.\n",
		middle(with), middle(without))
	return nil
}
