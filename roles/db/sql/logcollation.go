package sql

import (
	"cmp"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// sayCollations is a statement for the binary log that names the collation wherever it defines tables or a database and names
// utf8mb4 alone, which has other collations on servers of other kinds.
func sayCollations(text string) string {
	d := definedCollations{scanner: scanner{text: text}, ofOptions: gms.CharacterSet_utf8mb4.DefaultCollation()}
	switch {
	case d.accept("CREATE", "TABLE"):
		d.ofOptions = defaultCollation // prepareTableSpec
	case d.accept("ALTER", "TABLE"), d.accept("ALTER", "IGNORE", "TABLE"):
		d.name()
		d.alters = true
	case d.accept("CREATE", "DATABASE"), d.accept("CREATE", "SCHEMA"), d.accept("ALTER", "DATABASE"), d.accept("ALTER", "SCHEMA"):
	default:
		return text
	}
	d.read()
	slices.SortFunc(d.missing, func(a, b missingCollation) int { return cmp.Compare(a.at, b.at) })
	var out strings.Builder
	from := 0
	for _, m := range d.missing {
		out.WriteString(text[from:m.at] + " COLLATE " + m.collation.Name())
		from = m.at
	}
	return out.String() + text[from:]
}

// definedCollations reads which character sets and collations a statement names.
type definedCollations struct {
	scanner
	alters    bool            // it is ALTER TABLE
	ofOptions gms.CollationID // of utf8mb4 alone among the options of the table or the database
	options   namedCollation
	column    namedCollation // of ALTER TABLE
	inner     namedCollation // a column in parentheses
	missing   []missingCollation
}

// namedCollation is what one column says, or all options of a table or a database.
type namedCollation struct {
	at   int  // behind utf8mb4; 0: it is not named
	said bool // a collation is
}

type missingCollation struct {
	at        int
	collation gms.CollationID
}

// read goes through the statement. What stands in more than one pair of parentheses is an expression.
func (d *definedCollations) read() {
	outer := d.clause()
	for depth := 0; ; {
		token := strings.ToUpper(d.next())
		switch {
		case token == "":
			d.end(&d.column)
			d.end(&d.options)
			return
		case token == "(":
			depth++
		case token == ")":
			if depth--; depth == 0 {
				d.end(&d.inner)
			}
		case depth > 1:
		case token == "," && depth == 1:
			d.end(&d.inner)
		case token == "," && d.alters:
			d.end(&d.column)
			outer = d.clause()
		case depth == 1:
			d.take(token, &d.inner)
		default:
			d.take(token, outer)
		}
	}
}

// clause is what the next clause of ALTER TABLE defines. Options that stand in several belong together.
func (d *definedCollations) clause() *namedCollation {
	switch {
	case d.alters && (d.accept("ADD") || d.accept("MODIFY")):
	case d.alters && d.accept("CHANGE"):
		d.accept("COLUMN")
		d.next() // the old name, which may be CHARSET
	default:
		return &d.options
	}
	return &d.column
}

// take looks whether a token, or it and the next, name a character set or a collation.
func (d *definedCollations) take(token string, n *namedCollation) {
	switch {
	case token == "COLLATE", token == "BINARY": // the attribute means utf8mb4_bin everywhere
		n.said = true
	case token == "CHARSET", token == "CHARACTER" && d.accept("SET"):
		d.accept("=")
		if strings.Trim(d.peek(), "'\"`") == "UTF8MB4" {
			d.next()
			n.at = d.pos
		}
	}
}

// end is where another definition begins.
func (d *definedCollations) end(n *namedCollation) {
	if n.at > 0 && !n.said {
		m := missingCollation{n.at, gms.CharacterSet_utf8mb4.DefaultCollation()}
		if n == &d.options {
			m.collation = d.ofOptions
		}
		d.missing = append(d.missing, m)
	}
	*n = namedCollation{}
}
