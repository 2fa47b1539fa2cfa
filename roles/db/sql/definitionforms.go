package sql

import "strings"

// plainDefinitions says the definitions of a CREATE TABLE or ALTER TABLE in forms that the parser knows; ok is false
// where the text has no others. It is asked about texts only that do not parse. It moves a column's REFERENCES with
// actions to a FOREIGN KEY of its own, puts commas between table options of ALTER TABLE, leaves out MATCH, which InnoDB takes and ignores, and USING BTREE or HASH before an
// index's columns: behind them the parser knows it, and there is one kind of index.
func plainDefinitions(text string) (plain string, ok bool) {
	d := definitions{scanner: scanner{text: text}}
	switch {
	case d.accept("ALTER", "TABLE"):
		d.add = "ADD "
	case d.accept("CREATE", "TABLE"), d.accept("CREATE", "TEMPORARY", "TABLE"):
		for token := d.next(); token != "("; token = d.next() {
			if token == "" || token == ";" {
				return "", false
			}
		}
	default:
		return "", false
	}
	if d.add != "" {
		d.accept("IF", "EXISTS")
		d.name()
	}
	for d.definition() {
	}
	d.out.WriteString(text[d.from:])
	return d.out.String(), d.changed
}

// definitions are those of a statement, read one after the other.
type definitions struct {
	scanner
	// add stands before what ALTER TABLE adds.
	add     string
	out     strings.Builder
	from    int // up to here the text is written
	changed bool
}

// definition reads one, and says whether another follows it.
func (d *definitions) definition() (more bool) {
	if d.add != "" {
		d.tableOptions()
	}
	column := d.column()
	foreign, reference := false, ""
	for depth := 0; ; {
		d.skip()
		at := d.pos
		token := strings.ToUpper(d.next())
		switch {
		case token == "(":
			depth++
		case token == ")" && depth > 0:
			depth--
		case depth > 0 && token != "":
		case token == ",", token == ")", token == ";", token == "":
			if reference != "" {
				d.out.WriteString(d.text[d.from:at] + ", " + d.add + "FOREIGN KEY (" + column + ") " + reference)
				d.from = at
			}
			return token == ","
		case token == "FOREIGN":
			foreign = true
		case token == "USING" && (d.accept("BTREE") || d.accept("HASH")):
			if d.peek() == "(" {
				d.cut(at)
			}
		case token == "MATCH" && foreign:
			d.next()
			d.cut(at)
		case token == "REFERENCES" && column != "" && !foreign:
			if text, given := d.reference(at); given {
				reference = text
				d.cut(at)
			}
		}
	}
}

// column moves over what stands before the type of a column, and returns its name; empty where something else is
// defined.
func (d *definitions) column() string {
	if d.add != "" {
		if !d.accept("ADD") {
			return ""
		}
		d.accept("COLUMN")
		d.accept("IF", "NOT", "EXISTS")
	}
	switch d.peek() {
	case "(", "CONSTRAINT", "PRIMARY", "UNIQUE", "KEY", "INDEX", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK":
		return ""
	}
	return d.next()
}

// reference reads behind the REFERENCES at a place: its text without MATCH, and whether it has one or actions.
func (d *definitions) reference(at int) (text string, given bool) {
	d.name()
	if d.peek() == "(" {
		d.brackets()
	}
	text = d.text[at:d.pos]
	for {
		start := d.pos
		switch {
		case d.accept("MATCH"):
			d.next()
		case (d.accept("ON", "DELETE") || d.accept("ON", "UPDATE")) && d.action():
			text += d.text[start:d.pos]
		default:
			d.pos = start // ON UPDATE CURRENT_TIMESTAMP is the column's
			return text, given
		}
		given = true
	}
}

func (d *definitions) action() bool {
	return d.accept("CASCADE") || d.accept("RESTRICT") || d.accept("SET", "NULL") || d.accept("SET", "DEFAULT") || d.accept("NO", "ACTION")
}

// cut leaves out the text from a place up to here.
func (d *definitions) cut(at int) {
	d.out.WriteString(d.text[d.from:at])
	d.from, d.changed = d.pos, true
}

// tableOptions writes the options of ALTER TABLE that stand one after the other with commas between them, and DEFAULT
// CHARSET as CHARACTER SET: MySQL takes both forms, the parser these.
func (d *definitions) tableOptions() {
	d.skip()
	start := d.pos
	said := ""
	for option, joined := d.tableOption(); option != ""; option, joined = d.tableOption() {
		switch {
		case said == "":
		case joined && strings.HasPrefix(said[strings.LastIndexByte(said, ',')+1:], " CHARACTER SET"):
		default:
			said += ","
		}
		said += " " + option
	}
	if said != "" {
		d.out.WriteString(d.text[d.from:start] + said)
		d.from, d.changed = d.pos, true
	}
}

// tableOption reads one; joined: it is a collation, which belongs to the character set before it.
func (d *definitions) tableOption() (option string, joined bool) {
	start := d.pos
	d.accept("DEFAULT")
	name := ""
	switch {
	case d.accept("CHARSET"), d.accept("CHARACTER", "SET"):
		name = "CHARACTER SET"
	case d.accept("COLLATE"):
		name, joined = "COLLATE", true
	case tableOptionNames[d.peek()]:
		name = d.next()
	default:
		d.pos = start
		return "", false
	}
	d.accept("=")
	return name + " = " + d.next(), joined
}

// tableOptionNames are those of options with a value of one word or text.
var tableOptionNames = map[string]bool{
	"AUTO_INCREMENT": true, "AVG_ROW_LENGTH": true, "CHECKSUM": true, "COMMENT": true, "COMPRESSION": true, "DELAY_KEY_WRITE": true, "ENCRYPTION": true, "ENGINE": true,
	"INSERT_METHOD": true, "KEY_BLOCK_SIZE": true, "MAX_ROWS": true, "MIN_ROWS": true, "PACK_KEYS": true, "ROW_FORMAT": true, "STATS_AUTO_RECALC": true,
	"STATS_PERSISTENT": true, "STATS_SAMPLE_PAGES": true,
}
