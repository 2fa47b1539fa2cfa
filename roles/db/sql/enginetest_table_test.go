package sql

import (
	"fmt"
	"strings"
)

const tableFile = "../../../docs/db-enginetest.md"

// engineTable is the page that says what holds.
func engineTable(known *knownFailures, tallies map[string]engineTally) string {
	var b strings.Builder
	b.WriteString(`# The planner's own tests on this store

go-mysql-server comes with tables of statements and what they must answer (its package enginetest). ` + "`TestEngine`" + ` in roles/db/sql runs
them against the store on a file system in memory: a part in ` + "`make test`" + `, all in ` + "`make test-full`" + `. It runs every assertion, those that
are known to fail too: one that fails and is not listed fails the test, one that is listed and holds does so as well, and
the number of listed ones is asserted, so that it can only go down. The list with each assertion is
` + "`roles/db/sql/testdata/enginetest-known.txt`" + `. This page is made by ` + "`go test ./roles/db/sql -run TestEngine -rewrite`" + `.

The tables are run by a runner of our own: the package's runner needs modules that the project does not have. Not run: tables of
exact plans and of versioned tables (AS OF), external procedures, tests over the wire (roles/db/wire has its own), and what the
authors have switched off ("off").

| suite | holds | known to fail | off |
|---|---|---|---|
`)
	var all engineTally
	for _, s := range engineSuites() {
		t := tallies[s.name]
		n := t.known + len(t.failures)
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", s.name, t.passed, n, t.off)
		all.passed, all.known, all.off = all.passed+t.passed, all.known+n, all.off+t.off
	}
	fmt.Fprintf(&b, "| **all** | %d | %d | %d |\n\n## Why they fail\n\nBy entries of the list; a script whose preparation fails is one.\n\n| entries | reason |\n|---|---|\n", all.passed, all.known, all.off)
	for _, reason := range known.reasons {
		n := 0
		for _, r := range known.reason {
			if r == reason {
				n++
			}
		}
		if n > 0 {
			fmt.Fprintf(&b, "| %d | %s |\n", n, reason)
		}
	}
	return b.String()
}
