package sql

import (
	"strings"
	"testing"
)

func TestPlainComments(t *testing.T) {
	for query, want := range map[string]string{
		"select 1":                                      "select 1",
		"/*M!999999 enable the sandbox mode */ ":        strings.Repeat(" ", 38),
		"/*M!999999\n x */select 1":                     strings.Repeat(" ", 10) + "\n" + strings.Repeat(" ", 5) + "select 1",
		"/*!40101 SET NAMES utf8mb4 */":                 "/*!40101 SET NAMES utf8mb4 */",
		"/*!80040 a */ /*!80041 b */ c":                 "/*!80040 a */               c",
		"/*!100100 b */ c":                              "               c",
		"/*! a */ b":                                    "/*! a */ b",
		"select '/*M! x */', \"/*!99999 y */\", `/*M!`": "select '/*M! x */', \"/*!99999 y */\", `/*M!`",
		`select 'it''s', 'a\'/*M! x */'`:                `select 'it''s', 'a\'/*M! x */'`,
		"select 1 -- /*M! x\n, 2 /*M! y */":             "select 1 -- /*M! x\n, 2          ",
		"# /*M! x */\nselect 1":                         "# /*M! x */\nselect 1",
		"/* /*M! */ select 1":                           "/* /*M! */ select 1",
		"select 1 /*M! never ends":                      "select 1                ",
		"/*!99999":                                      "        ",
	} {
		if got := plainComments(query); got != want {
			t.Errorf("%q becomes %q, want %q", query, got, want)
		}
	}
}

func FuzzPlainComments(f *testing.F) {
	for _, seed := range []string{"select 1 /*M! x */", "/*!99999 'a */ b", "'\\", "`/*!80041", "-- /*M!\n/*M!*/", "/*M!"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := plainComments(query)
		if len(got) != len(query) {
			t.Fatalf("%q becomes %q: the length changed", query, got)
		}
		if again := plainComments(got); again != got {
			t.Fatalf("%q becomes %q, then %q", query, got, again)
		}
	})
}
