package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// ddlKind is a change of definitions and the one that takes it back. {T} is the table that the clerks write, {n} a
// number that is the same in both, and another one each time.
type ddlKind struct {
	up, down string
	before   [2]string // what is run before up and before down
	logged   string    // the text of up in the binary log, where it is another one
	follows  bool      // rows are read or written while the clerks go on
	keyed    bool      // up needs the table's primary key: rows are numbered, in an order that the log gives too
}

var ddlKinds = []ddlKind{
	{up: "ALTER TABLE {T} ADD COLUMN extra{n} INT NOT NULL DEFAULT 7", down: "ALTER TABLE {T} DROP COLUMN extra{n}"},
	{up: "CREATE INDEX more{n} ON {T} (code, bal)", down: "DROP INDEX more{n} ON {T}", follows: true},
	{up: "CREATE UNIQUE INDEX once{n} ON {T} (code)", down: "DROP INDEX once{n} ON {T}", follows: true},
	{up: "ALTER TABLE {T} ADD FULLTEXT KEY words{n} (code)", down: "ALTER TABLE {T} DROP KEY words{n}", follows: true},
	{up: "ALTER TABLE {T} MODIFY bal BIGINT NOT NULL", down: "ALTER TABLE {T} MODIFY bal INT NOT NULL", follows: true},
	{up: "ALTER TABLE {T} DROP PRIMARY KEY, ADD KEY byid (id)", down: "ALTER TABLE {T} DROP KEY byid, ADD PRIMARY KEY (id)", follows: true},
	{up: "ALTER TABLE {T} CONVERT TO CHARACTER SET latin1", down: "ALTER TABLE {T} CONVERT TO CHARACTER SET utf8mb4", follows: true},
	{up: "ALTER TABLE {T} ADD COLUMN twice BIGINT AS (grp * 2) STORED, ADD KEY twice (twice)", down: "ALTER TABLE {T} DROP COLUMN twice", follows: true},
	{up: "ALTER TABLE {T} ADD COLUMN no BIGINT NOT NULL AUTO_INCREMENT UNIQUE", down: "ALTER TABLE {T} DROP COLUMN no", keyed: true},
	{up: "ALTER TABLE {T} ADD CONSTRAINT few{n} CHECK (grp < 1000)", down: "ALTER TABLE {T} DROP CHECK few{n}", follows: true},
	{up: "ALTER TABLE {T} ADD CONSTRAINT fk{n} FOREIGN KEY (grp) REFERENCES parent (id)", down: "ALTER TABLE {T} DROP FOREIGN KEY fk{n}", follows: true},
	{up: "ALTER TABLE {T} RENAME COLUMN memo TO memo_, RENAME INDEX bal TO bal_, COMMENT 'of {n}'", down: "ALTER TABLE {T} RENAME COLUMN memo_ TO memo, RENAME INDEX bal_ TO bal"},
	{up: "RENAME TABLE acct TO acct_away", down: "RENAME TABLE acct_away TO acct"},
	{up: "RENAME TABLE blue TO purple, red TO blue, purple TO red", down: "RENAME TABLE red TO purple, blue TO red, purple TO blue"},
	{up: "RENAME TABLE wanderer TO elsewhere.wanderer", down: "RENAME TABLE elsewhere.wanderer TO wanderer"},
	{up: "TRUNCATE TABLE emptied", down: "TRUNCATE TABLE emptied", before: [2]string{"INSERT INTO emptied SELECT * FROM side", "INSERT INTO emptied SELECT * FROM side"}},
	{up: "CREATE TABLE copy{n} (KEY (v)) SELECT * FROM side", down: "DROP TABLE copy{n}", logged: "CREATE TABLE `shop`.`copy{n}`"},
	{up: "CREATE TABLE plain{n} LIKE side", down: "DROP TABLE plain{n}, second{n}", before: [2]string{"", "CREATE TABLE second{n} SELECT * FROM side"}},
	{up: "CREATE DATABASE d{n} CHARACTER SET latin1", down: "DROP DATABASE d{n}", before: [2]string{"", "CREATE TABLE d{n}.t SELECT * FROM side; CREATE VIEW d{n}.v AS SELECT id FROM d{n}.t"}},
	{up: "CREATE VIEW seen{n} AS SELECT id, v FROM side WHERE id > 10", down: "DROP VIEW seen{n}"},
	{up: "CREATE TRIGGER fires{n} BEFORE INSERT ON {T} FOR EACH ROW SET NEW.code = CONCAT(NEW.code, '')", down: "DROP TRIGGER fires{n}"},
	{up: "CREATE PROCEDURE does{n}() SELECT 1", down: "DROP PROCEDURE does{n}"},
}

// ddlTables are the tables of the kinds above; their rows are the same on every server.
var ddlTables = []string{
	"CREATE DATABASE elsewhere",
	"CREATE TABLE parent (id INT PRIMARY KEY)",
	"CREATE TABLE side (id INT PRIMARY KEY, v VARCHAR(100) NOT NULL)",
	"CREATE TABLE emptied LIKE side", "CREATE TABLE blue LIKE side", "CREATE TABLE red (r INT PRIMARY KEY)", "CREATE TABLE wanderer LIKE side",
}

// openDDLTables makes and fills them.
func openDDLTables(k *ddlServer) {
	k.exec(ddlTables...)
	var parents, rows []string
	for id := 1; id <= ddlGroups; id++ {
		parents = append(parents, fmt.Sprintf("(%d)", id))
	}
	for id := range 1000 {
		rows = append(rows, fmt.Sprintf("(%d, REPEAT('side %d ', 9))", id, id))
	}
	k.exec("INSERT INTO parent VALUES "+strings.Join(parents, ", "), "INSERT INTO side VALUES "+strings.Join(rows, ", "),
		"INSERT INTO blue SELECT * FROM side WHERE id < 100", "INSERT INTO wanderer SELECT * FROM side WHERE id < 100")
}

// ddlStep is one statement.
type ddlStep struct {
	before  []string // statements to run first
	text    string
	logged  string // what it says in the binary log, and no other statement
	kind    string // the same for all of its kind
	follows bool
}

// ddlDeck gives one step after the other, each kind as often as any other.
type ddlDeck struct {
	random *rand.Rand
	cards  []int
	up     map[int]int // numbers of the kinds that have been done and not taken back
	given  int
	// Behind the steps that were given:
	table   string // that the clerks write
	keyless bool   // it has no primary key
}

func newDDLDeck(random *rand.Rand) *ddlDeck {
	return &ddlDeck{random: random, up: map[int]int{}, table: "acct"}
}

func (d *ddlDeck) next() ddlStep {
	if len(d.cards) == 0 {
		d.cards = d.random.Perm(len(ddlKinds))
	}
	card := d.cards[0]
	d.cards = d.cards[1:]
	kind := ddlKinds[card]
	number, down := d.up[card]
	if kind.keyed && !down && d.keyless {
		return d.next()
	}
	d.given++
	text, before := kind.down, kind.before[1]
	if !down {
		number, text, before = d.given, kind.up, kind.before[0]
		d.up[card] = number
	} else {
		delete(d.up, card)
	}
	filled := strings.NewReplacer("{T}", d.table, "{n}", fmt.Sprint(number)).Replace
	s := ddlStep{text: fmt.Sprintf("%s /* ddl-%d */", filled(text), d.given), logged: fmt.Sprintf("/* ddl-%d */", d.given), kind: text, follows: kind.follows}
	if kind.logged != "" && !down {
		s.logged = filled(kind.logged)
	}
	if before != "" {
		s.before = strings.Split(filled(before), "; ")
	}
	switch {
	case strings.HasPrefix(text, "RENAME TABLE acct "):
		d.table = "acct_away"
	case strings.HasPrefix(text, "RENAME TABLE acct_away "):
		d.table = "acct"
	case strings.Contains(text, "PRIMARY KEY"):
		d.keyless = !down
	}
	return s
}
