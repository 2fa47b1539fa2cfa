package dump

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// mariadb turns events into what a MariaDB replica of version 10.11 takes: documents are
// text, collations of MySQL 8 the nearest that it has, GTIDs may be skipped, statements
// are in its words.
//
// Such a replica counts its position by the sizes of the events that it gets, and takes the
// position in an event only where that is ahead. So within a transaction that has become
// shorter or longer, events say where it began to change. Where it is to go on within such
// a transaction, what it has counted is found by translating the transaction again (resume).
// So that this is never a place in another transaction, an event that would carry the count beyond
// its own end in the file says a position from apart on, where no file is, and at the end of
// the transaction the replica is told its position by a fake rotate, behind which it must get a
// format description. It must not be told anything within a transaction: MariaDB takes another
// name for a crash of the source, and a rotate between two events of rows for a fault.
type mariadb struct {
	checksum int // bytes behind each event that is sent

	tables map[uint64]*event.TextTable // of the transaction
	begin  uint64                      // where the transaction begins
	base   uint32                      // where it began to change; 0: it has not
	count  uint64                      // what the reader has counted up to
	apart  bool                        // beyond all files
}

// apart is where positions begin that are in no file, but in one that a single transaction has made so long.
const apart = 1 << 31

// translation is an event as it is sent.
type translation struct {
	body []byte // without checksum
	pos  uint32 // its position
	told bool   // behind it the reader must be told its position
}

// translate puts an event into the reader's words.
func (m *mariadb) translate(dst []byte, ev *binlog.Event) (t translation, err error) {
	b := bare(ev.Bytes)
	t = translation{body: b, pos: uint32(ev.End)}
	last := false
	switch event.Type(b[4]) {
	case event.TypeGTID:
		*m = mariadb{checksum: m.checksum, begin: ev.Offset, count: ev.End}
		t.body = append(dst, b...)
		event.SetIgnorable(t.body)
		return t, nil
	case event.TypeQuery:
		if t.body, last, err = m.query(dst, b); err != nil {
			return t, err
		}
	case event.TypeTableMap:
		t.body, err = m.table(dst, b)
	case event.TypeWriteRows, event.TypeUpdateRows, event.TypeDeleteRows:
		id, e := event.RowsTable(b)
		if err = e; m.tables[id] != nil && err == nil {
			t.body, err = m.tables[id].AppendRows(dst, b)
		}
	case event.TypeXID:
		last = true
	default:
		return t, nil
	}
	if err != nil {
		return t, refuseTable(err)
	}
	if len(t.body) != len(b) && m.base == 0 {
		m.base = uint32(ev.Offset)
	}
	if m.base == 0 {
		m.count = ev.End
		return t, nil
	}
	if !last {
		t.pos = m.base
	}
	size := uint64(len(t.body) + m.checksum)
	switch beyond := m.count+size > ev.End; {
	case beyond && !m.apart && m.count+size < apart:
		m.apart, m.count = true, apart+ev.Offset
		t.pos = uint32(m.count)
	default:
		m.count = max(m.count+size, uint64(t.pos))
	}
	if last {
		t.told = m.count != ev.End
		m.base = 0
	}
	return t, nil
}

// refuseTable names what a replica cannot have.
func refuseTable(err error) error {
	if errors.Is(err, event.ErrVector) {
		return Refused(fmt.Sprintf("MariaDB 10.11 cannot be sent what the source does: %v; drop the column, or replicate to a server that has it", err))
	}
	return err
}

// table notes a table whose rows are to be changed, and changes its map.
func (m *mariadb) table(dst, b []byte) ([]byte, error) {
	out, t, err := event.AppendTextMap(dst, b)
	if err != nil || t == nil {
		return b, err
	}
	if m.tables == nil {
		m.tables = map[uint64]*event.TextTable{}
	}
	m.tables[t.ID] = t
	return out, nil
}

// query changes a statement; last says that it is a transaction of its own.
func (m *mariadb) query(dst, b []byte) (out []byte, last bool, err error) {
	q, err := event.ParseQuery(b)
	if err != nil {
		return nil, false, err
	}
	if q.Text == "BEGIN" {
		return b, false, nil
	}
	last = !q.RowsFollow()
	text, err := forMariaDB(q.Plain(), q.Mode&noBackslashEscapes != 0)
	if err != nil {
		return nil, false, err
	}
	q.Text = text
	q.Mode &= mariadbModes
	for _, id := range []*uint16{&q.Client, &q.Connection, &q.Server} {
		*id = collationID(*id)
	}
	h, err := event.ParseHeader(b)
	if err != nil {
		return nil, false, err
	}
	return event.AppendMariaQuery(dst, h.Server, q), last, nil
}

// mariadbModes are the bits of sql_mode that mean the same in both; those above are
// other modes in MariaDB.
const mariadbModes = 1<<32 - 1

// noBackslashEscapes is the bit of the mode in which a backslash in a text stands for itself.
const noBackslashEscapes = 1 << 20

// Collations of MySQL 8 (those with 0900 in their names) have ids from 255 on; MariaDB has
// none of them. Its nopad collations compare the spaces at the end, as MySQL's do.
const (
	firstUCA9, lastUCA9 = 255, 323

	nopadIgnoresCase = "utf8mb4_unicode_520_nopad_ci"
	nopadBinary      = "utf8mb4_nopad_bin"

	idNopadIgnoresCase = 1270
	idNopadBinary      = 1070
	idUCA9Binary       = 309
)

func collationID(id uint16) uint16 {
	switch {
	case id == idUCA9Binary:
		return idNopadBinary
	case id >= firstUCA9 && id <= lastUCA9:
		return idNopadIgnoresCase
	}
	return id
}

// nearest is MariaDB's collation for one of MySQL 8: what tells accents or case apart there
// must not be equal here, where a unique key could not take it.
func nearest(name string) string {
	if strings.HasSuffix(strings.ToLower(name), "_ai_ci") {
		return nopadIgnoresCase
	}
	return nopadBinary
}

// unquoted are those of words that are no strings.
const unquoted = "`[^`]*`|/\\*!\\d{6}.*?\\*/|/\\*!(?:[0-4]\\d{4}|50[0-6]\\d\\d)|/\\*!\\d.*?\\*/|/\\*!|\\*/|/\\*.*?\\*/|--[ \\t][^\\n]*|#[^\\n]*|[^'\"`/#*-]+|."

// What a statement begins with in which a table or an index is defined: the bodies of others have the same words for other things.
const (
	tables = `^\s*(?:create\s+(?:or\s+replace\s+)?(?:temporary\s+)?|alter\s+(?:ignore\s+)?)table\b.*`
	index  = `(?:^\s*create\s+(?:unique\s+)?index\b|` + tables + `(?:[(,]|\badd\s)\s*(?:constraint\s+(?:[^\s(,]+\s+)?)?(?:unique(?:\s+(?:index|key))?|index|key)\b)[^(,;]*\(`
)

var (
	// words splits a text into what is to be looked at and what is not: strings, quoted names, comments, and the marks
	// around what runs in comments. MariaDB passes over those for MySQL 5.7 and later, this server those of six digits.
	words = regexp.MustCompile("(?s)'(?:[^'\\\\]|\\\\.|'')*'|\"(?:[^\"\\\\]|\\\\.|\"\")*\"|" + unquoted)

	// plainWords is words where a backslash in a string stands for itself.
	plainWords = regexp.MustCompile("(?s)'[^']*'|\"[^\"]*\"|" + unquoted)

	uca9       = regexp.MustCompile(`(?i)\butf8mb4_(?:[a-z_]+_)?0900_(?:ai_ci|as_ci|as_cs|bin)\b`)
	quotedUCA9 = regexp.MustCompile(`(?i)(\bcollate\s*=?\s*)['"](utf8mb4_(?:[a-z_]+_)?0900_(?:ai_ci|as_ci|as_cs|bin))['"]`)
	hashed     = regexp.MustCompile(`(?is)\bidentified\s+(?:with|via)\s+['"` + "`" + `]?caching_sha2_password['"` + "`" + `]?(?:\s+(?:as|using)\s+(?:0x[0-9a-f]*|'(?:[^'\\]|\\.|'')*'))?`)
	account    = regexp.MustCompile(`(?i)^\s*(?:create|alter)\s+user\b`)
	privileges = regexp.MustCompile(`(?is)^(\s*(?:grant|revoke)\s+)(.*?)(\s+on\s.*)`)
	// dynamic are MySQL 8's privileges of one word; MariaDB's own have blanks.
	dynamic = regexp.MustCompile(`(?i)^\s*[a-z]+(?:_[a-z]+)+\s*$`)

	lacking = []struct {
		name string
		text *regexp.Regexp
	}{
		{"VECTOR columns", regexp.MustCompile(`(?is)` + tables + `[^\s(),.]\s+vector\s*\(\s*\d+\s*\)`)},
		{"invisible indexes", regexp.MustCompile(`(?is)` + index + `(?:[^()]|\(\s*\d+\s*\))*\)[^(),;]*\b(?:in)?visible\b`)},
		{"invisible indexes", regexp.MustCompile(`(?is)` + tables + `\balter\s+index\s+\S+\s+(?:in)?visible\b`)},
		{"CREATE SPATIAL REFERENCE SYSTEM", regexp.MustCompile(`(?i)^\s*create\s+(?:or\s+replace\s+)?spatial\s+reference\b`)},
		{"SRID of a column", regexp.MustCompile(`(?is)` + tables + `\bsrid\s+\d`)},
		{"indexes over expressions", regexp.MustCompile(`(?is)` + index + `\s*(?:[^(),]+(?:\(\s*\d+\s*\))?[^(),]*,\s*)*\(`)},
		{"LATERAL", regexp.MustCompile(`(?i)\blateral\s*\(`)},
	}
)

// noPassword is a hash that no password has: MariaDB 10.11 cannot check those of
// caching_sha2_password, so such an account is there and cannot log in.
const noPassword = "IDENTIFIED WITH mysql_native_password AS '*FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF'"

// nothing is a statement that does nothing.
const nothing = "DO 0"

// withoutDynamic leaves the dynamic privileges out of a GRANT or REVOKE, which are those of a list between head and tail.
func withoutDynamic(text, head, list, tail string) string {
	var kept []string
	all, depth, from := 0, 0, 0
	for i, c := range list + "," {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			if one := list[from:i]; !dynamic.MatchString(one) {
				kept = append(kept, one)
			}
			all, from = all+1, i+1
		}
	}
	switch len(kept) {
	case all:
		return text
	case 0:
		return nothing
	}
	return head + strings.TrimSpace(strings.Join(kept, ",")) + tail
}

// forMariaDB is a statement in MariaDB's words; Refused, naming it, where there are none. backslashes
// says that these stand for themselves in its strings.
func forMariaDB(text string, backslashes bool) (string, error) {
	if account.MatchString(text) {
		return hashed.ReplaceAllString(text, noPassword), nil
	}
	if m := privileges.FindStringSubmatch(text); m != nil {
		return withoutDynamic(text, m[1], m[2], m[3]), nil
	}
	text = quotedUCA9.ReplaceAllString(text, "$1$2")
	plain := strings.Builder{}
	split := words
	if backslashes {
		split = plainWords
	}
	text = split.ReplaceAllStringFunc(text, func(w string) string {
		if strings.ContainsRune("'\"`/#*-", rune(w[0])) && len(w) > 1 {
			if plain.WriteByte(' '); strings.ContainsRune("'\"`", rune(w[0])) {
				plain.WriteString("q ") // a word, such as a name
			}
			return w
		}
		w = uca9.ReplaceAllStringFunc(w, nearest)
		plain.WriteString(w)
		return w
	})
	for _, l := range lacking {
		if l.text.MatchString(plain.String()) {
			return "", Refused(fmt.Sprintf("MariaDB 10.11 has no %s, so this statement cannot be sent to a replica of that kind: %s", l.name, text))
		}
	}
	return text, nil
}
