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
		"select 1 --\tit's\n, 2 /*M! y */":              "select 1 --\tit's\n, 2          ",
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

func TestKeepWildcards(t *testing.T) {
	for query, want := range map[string]string{
		`select '100\%', "a\_b"`:         `select '100\\%', "a\\_b"`,
		`select '100\\%', '\\\_'`:        `select '100\\%', '\\\\_'`,
		"select `a\\%` -- '\\%\n, '\\%'": "select `a\\%` -- '\\%\n, '\\\\%'",
		`/* '\% */ 'it''s \%' # '\%`:     `/* '\% */ 'it''s \\%' # '\%`,
		`select '\%`:                     `select '\\%`,
		`select '\`:                      `select '\`,
		"select 1 --\tit's\n, '\\%'":     "select 1 --\tit's\n, '\\\\%'",
	} {
		if got := keepWildcards(query); got != want {
			t.Errorf("%s becomes %s, want %s", query, got, want)
		}
	}
}

func FuzzKeepWildcards(f *testing.F) {
	for _, seed := range []string{`'\%'`, `'\\%'`, `"\_" '`, "`\\%`", `/* '\% */`, `'\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := keepWildcards(query)
		if again := keepWildcards(got); again != got {
			t.Fatalf("%q becomes %q, then %q", query, got, again)
		}
	})
}

// \% and \_ in a string are what MySQL makes of them, whoever answers the statement.
func TestEscapedWildcards(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(20), KEY (s))")
	for _, direct := range []string{"1", "0"} {
		c.must("SET direct = "+direct, "DELETE FROM t WHERE id >= 0", `INSERT INTO t VALUES (1, 'a\%b'), (2, 'a%b'), (3, '100\_')`)
		c.want(`SELECT id FROM t WHERE s = 'a\%b'`, "1")
		c.want("SELECT HEX(s) FROM t WHERE id = 1", "615C2562")
		c.want(`SELECT id FROM t WHERE s LIKE 'a\%b'`, "2")
		c.want(`SELECT id FROM t WHERE s LIKE '100\\\_'`, "3")
		c.want(`SELECT a.id FROM t AS a JOIN t AS b ON a.id = b.id AND b.s LIKE 'a\%_'`, "2")
		c.want(`SELECT id FROM t WHERE id IN (SELECT id FROM t WHERE s LIKE 'a\%%')`, "2")
	}
	c.must("CREATE TABLE u (id INT PRIMARY KEY)", `INSERT INTO u SELECT id FROM t WHERE s LIKE 'a\%b'`, `CREATE VIEW v AS SELECT id FROM t WHERE s LIKE 'a\%b'`)
	c.want("SELECT * FROM u", "2")
	c.want("SELECT * FROM v", "2")
	c.must(`UPDATE t SET s = 'x' WHERE s LIKE 'a\%b'`)
	c.want("SELECT id FROM t WHERE s = 'x'", "2")
	c.must("UPDATE t SET s = 'a%b' WHERE id = 2")
	c.must(`CREATE PROCEDURE p() SELECT id FROM t WHERE s LIKE 'a\%b'`)
	c.want("CALL p()", "2\n--")
	for _, from := range []string{`'SELECT HEX(\'a\\%\') /*!99999 no */'`, "@q"} {
		c.must(`SET @q = 'SELECT HEX(\'a\\%\') /*!99999 no */'`, "PREPARE st FROM "+from)
		c.want("EXECUTE st", "615C25")
	}
	c.must("CREATE PROCEDURE again() BEGIN PREPARE st FROM @q; EXECUTE st; END", "CALL again()", `SET @q = 'SELECT HEX(\'\\_\')'`)
	c.want("CALL again()", "5C5F\n--")
}

func TestWithoutCommentEnd(t *testing.T) {
	for text, want := range map[string]string{
		"DELETE FROM t */":                         "DELETE FROM t",
		"DELETE FROM t */ \n":                      "DELETE FROM t",
		"BEGIN /* a */ SELECT '*/', \"*/\"; END*/": "BEGIN /* a */ SELECT '*/', \"*/\"; END",
		"DELETE FROM t /* all */":                  "DELETE FROM t /* all */",
		"DELETE FROM t /*! WHERE 1 */":             "DELETE FROM t /*! WHERE 1 */",
		"DELETE FROM t /*! WHERE 1 */ */":          "DELETE FROM t /*! WHERE 1 */",
		"SELECT 1 -- */":                           "SELECT 1 -- */",
		"SELECT ' */":                              "SELECT ' */",
		"":                                         "",
	} {
		if got := withoutCommentEnd(text); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}
