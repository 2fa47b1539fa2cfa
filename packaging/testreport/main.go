// Command testreport reads the events of `go test -json` and prints what a person needs:
// a line per package, everything that a failed test said, and at the end each reason for
// which tests were skipped, once. It exits with 1 if anything failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
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
}

func main() {
	r := &report{out: os.Stdout, said: make(map[string]*strings.Builder), reasons: make(map[string]int)}
	if !r.read(os.Stdin) {
		os.Exit(1)
	}
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
	case "output":
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
