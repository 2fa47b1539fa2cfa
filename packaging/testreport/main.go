// Command testreport reads the events of `go test -json` and prints what a person needs:
// a line per package, everything that a failed test said, and at the end each reason for
// which tests were skipped, once. It exits with 1 if anything failed or nothing ran. With
// -failed it writes the tests that failed to a file, "package test" a line, unless something
// failed that a second run cannot excuse: a build, a panic, a data race, a time-out, what comes
// after tests.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of test2json; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

type report struct {
	out                     io.Writer
	said                    map[string]*strings.Builder // by package and test
	reasons                 map[string]int
	passed, failed, skipped int
	blamed                  []string // "package test" of failed tests, without their parts
	beyond                  bool     // something else failed
}

func main() {
	r := &report{out: os.Stdout, said: make(map[string]*strings.Builder), reasons: make(map[string]int)}
	failed := flag.String("failed", "", "file for the names of the tests that failed")
	flag.Parse()
	good := r.read(os.Stdin)
	if *failed != "" {
		if err := os.WriteFile(*failed, []byte(r.again()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "testreport:", err)
			os.Exit(1)
		}
	}
	if !good {
		os.Exit(1)
	}
}

// again is what has to pass for all to have passed, a line each; empty if nothing failed or
// if that cannot be said.
func (r *report) again() string {
	if r.beyond || len(r.blamed) == 0 {
		return ""
	}
	return strings.Join(r.blamed, "\n") + "\n"
}

func (r *report) read(in io.Reader) (good bool) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(r.out, lines.Text()) // a message of the go command itself
			continue
		}
		r.event(&e)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(r.out, "testreport:", err)
		r.failed++
		r.beyond = true
	}
	r.close()
	return r.failed == 0 && r.passed > 0
}

func (r *report) event(e *event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed++
		r.beyond = true
	case "output":
		r.beyond = r.beyond || strings.HasPrefix(e.Output, "panic:") || strings.HasPrefix(e.Output, "WARNING: DATA RACE")
		if e.Test == "" {
			if strings.HasPrefix(e.Output, "ok ") || strings.HasPrefix(e.Output, "FAIL") || strings.HasPrefix(e.Output, "panic") || strings.HasPrefix(e.Output, "---") {
				fmt.Fprint(r.out, e.Output)
			}
		}
		said := r.said[key]
		if said == nil {
			said = new(strings.Builder)
			r.said[key] = said
		}
		if said.Len() < 1<<20 {
			said.WriteString(e.Output)
		}
	case "pass":
		if e.Test != "" {
			r.passed++
		}
		delete(r.said, key)
	case "skip":
		if e.Test != "" {
			r.skipped++
			r.reasons[reason(r.said[key])]++
		}
		delete(r.said, key)
	case "fail":
		if e.Test != "" || r.said[key] != nil {
			fmt.Fprintf(r.out, "\n%s %s:\n%s\n", e.Package, e.Test, r.said[key])
		}
		r.failed++
		delete(r.said, key)
		r.blame(e)
	}
}

func (r *report) blame(e *event) {
	switch {
	case e.Test == "":
		of := func(test string) bool { return strings.HasPrefix(test, e.Package+" ") }
		r.beyond = r.beyond || !slices.ContainsFunc(r.blamed, of)
	case !strings.Contains(e.Test, "/"):
		r.blamed = append(r.blamed, e.Package+" "+e.Test)
	}
}

// reason is the last line that a skipped test said, without its place.
func reason(said *strings.Builder) string {
	if said == nil {
		return "no reason given"
	}
	for _, line := range slices.Backward(strings.Split(said.String(), "\n")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") {
			continue
		}
		if _, rest, ok := strings.Cut(line, ".go:"); ok {
			_, line, _ = strings.Cut(rest, ": ")
		}
		return line
	}
	return "no reason given"
}

func (r *report) close() {
	if len(r.reasons) > 0 {
		fmt.Fprintln(r.out, "\nskipped:")
		var list []string
		for why, n := range r.reasons {
			list = append(list, fmt.Sprintf("  %3d × %s", n, why))
		}
		slices.Sort(list)
		fmt.Fprintln(r.out, strings.Join(list, "\n"))
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}
