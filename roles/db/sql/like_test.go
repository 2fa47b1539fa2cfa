package sql

import (
	"testing"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
)

// FuzzLike holds the matcher against the planner's.
func FuzzLike(f *testing.F) {
	for _, seed := range []struct{ text, pattern string }{{"some text", "%me%t"}, {"", "%"}, {"", ""}, {"a", "_"}, {"é", "E"}, {"ab", "a\\_"}, {"a_", "a\\_"},
		{"aab", "%ab"}, {"abab", "a%b"}, {"😀x", "_x"}, {"x%", "x\\%%"}, {"aXbXc", "%x%x%"}, {"ab", "abc"}, {"\xff", "%"}, {"\xffa", "%a"}, {"a", "a\\"}, {"a\xff", "a%"}} {
		f.Add(seed.text, seed.pattern)
	}
	f.Fuzz(func(t *testing.T, text, of string) {
		for _, collation := range []gms.CollationID{gms.Collation_utf8mb4_unicode_520_ci, gms.Collation_utf8mb4_bin, gms.Collation_utf8mb3_general_ci} {
			for _, escape := range []rune{'\\', '|', '%', '_'} {
				p, ok := newPattern(weightsOf(collation), of, escape)
				if !ok || !utf8.ValidString(text) {
					continue
				}
				theirs, err := expression.ConstructLikeMatcher(collation, of, escape)
				if err != nil {
					t.Fatalf("%q escape %q: the planner's matcher refuses it: %v", of, escape, err)
				}
				if got, want := p.match(text), theirs.Match(text); got != want {
					t.Fatalf("%q LIKE %q escape %q in %s: %v, the planner says %v", text, of, escape, collation.Name(), got, want)
				}
			}
		}
	})
}
