package sql

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"
)

var onlySuite = flag.String("suite", "", "run this suite of TestEngine only")

const (
	knownFile = "testdata/enginetest-known.txt"
	// maxKnown is the number of assertions that may be known to fail. It goes down only: 2 were
	// added with TIME(n). Their table has a plain TIME, of which the authors expect six digits ("time
	// length not supported"); MariaDB 10.11 keeps none there, as MySQL. 7 were added where the authors
	// expect what MySQL does not do: '2018-05-02' + INTERVAL 1 DAY, DEFAULT (NOW()) shown without brackets,
	// COALESCE(1, 0.0) without a digit behind the point. 12 were added with EXPLAIN, which has MySQL's columns, and WEEK, which is NULL of
	// 0 and TRUE, as in MariaDB; of the year 0 it is wrong by one. 8 were added with SHOW EXTENDED COLUMNS, which says of the hidden columns of
	// indexes that they are generated, as MySQL does, and 4 with procedures, whose definer is who made them.
	maxKnown = 449
)

// knownFailures is the content of knownFile: identities of assertions by reason.
type knownFailures struct {
	reasons []string // in the order of the file
	entries map[string][]string
	reason  map[string]string // of an identity
}

func readKnown(path string) (*knownFailures, error) {
	k := &knownFailures{entries: map[string][]string{}, reason: map[string]string{}}
	f, err := os.Open(path)
	if err != nil {
		return k, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	reason := ""
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "":
		case strings.HasPrefix(line, "# "):
			reason = line[2:]
			k.reasons = append(k.reasons, reason)
		default:
			k.entries[reason] = append(k.entries[reason], line)
			k.reason[line] = reason
		}
	}
	return k, lines.Err()
}

func (k *knownFailures) of(suite string) map[string]bool {
	of := map[string]bool{}
	for id := range k.reason {
		if id == suite || strings.HasPrefix(id, suite+"\t") {
			of[id] = true
		}
	}
	return of
}

// accept takes over new failures and forgets what passes.
func (k *knownFailures) accept(tallies map[string]engineTally) error {
	for _, t := range tallies {
		for _, f := range t.failures {
			if k.reason[f.id] == "" {
				k.reason[f.id] = "?"
			}
		}
		for _, id := range t.unneeded {
			delete(k.reason, id)
		}
	}
	by := map[string][]string{}
	for id, reason := range k.reason {
		by[reason] = append(by[reason], id)
	}
	if len(by["?"]) > 0 {
		k.reasons = append(k.reasons, "?")
	}
	var b strings.Builder
	written := map[string]bool{}
	for _, reason := range k.reasons {
		if len(by[reason]) == 0 || written[reason] {
			continue
		}
		written[reason] = true
		sort.Strings(by[reason])
		fmt.Fprintf(&b, "# %s\n%s\n\n", reason, strings.Join(by[reason], "\n"))
	}
	return os.WriteFile(knownFile, []byte(b.String()), 0o644)
}

// TestEngine runs the planner's own tests against the store. The fast run takes the
// suites that ask most of the store.
func TestEngine(t *testing.T) {
	known, err := readKnown(knownFile)
	if err != nil && !*rewriteAnomalies {
		t.Fatal(err)
	}
	tallies := map[string]engineTally{}
	for _, s := range engineSuites() {
		if testing.Short() && !s.short || *onlySuite != "" && s.name != *onlySuite {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			tallies[s.name] = runSuite(t, s, known.of(s.name))
		})
	}
	if n := len(known.reason); n > maxKnown && !*rewriteAnomalies {
		t.Errorf("%d assertions are listed as failing in %s, at most %d may be: the number goes down only", n, knownFile, maxKnown)
	}
	if *rewriteAnomalies {
		if err := known.accept(tallies); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() || *onlySuite != "" || t.Failed() {
		return
	}
	table := engineTable(known, tallies)
	if *rewriteAnomalies {
		if err := os.WriteFile(tableFile, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if have, err := os.ReadFile(tableFile); err != nil || string(have) != table {
		t.Errorf("%s is not what the tests give (%v): run them with -rewrite", tableFile, err)
	}
}

// TestEngineStatistics runs suites with statistics of every table: what the planner makes
// of them must not change a result.
func TestEngineStatistics(t *testing.T) {
	known, err := readKnown(knownFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range engineSuites() {
		switch s.name {
		case "queries", "joins", "scripts", "indexes", "index scripts", "null ranges", "sql logic", "update", "delete", "order and group":
		default:
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			of := known.of(s.name)
			r := &engineRun{t: t, suite: s, known: of, seen: map[string]bool{}, gathers: true}
			s.run(r)
			r.stop()
			for _, f := range r.tally.failures {
				t.Errorf("with statistics: %s\n  %s", f.id, f.why)
			}
		})
	}
}

func runSuite(t *testing.T, s engineSuite, known map[string]bool) engineTally {
	r := &engineRun{t: t, suite: s, known: known, seen: map[string]bool{}}
	start := time.Now()
	s.run(r)
	r.finish()
	t.Logf("%s: %d hold, %d known to fail, %d new failures, %d off, %.1f s", s.name, r.tally.passed, r.tally.known, len(r.tally.failures), r.tally.off, time.Since(start).Seconds())
	if *rewriteAnomalies {
		for _, f := range r.tally.failures {
			t.Logf("%s\n  %s", f.id, f.why)
		}
		return r.tally
	}
	for _, f := range r.tally.failures {
		t.Errorf("%s\n  %s", f.id, f.why)
	}
	for _, id := range r.tally.unneeded {
		t.Errorf("%s\n  is listed in %s and holds: take it off the list", id, knownFile)
	}
	return r.tally
}
