package slowlog

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Entry is a statement.
type Entry struct {
	Begun         time.Time
	Took          time.Duration
	LockWait      time.Duration
	Sent          uint64 // rows
	Examined      uint64 // rows
	Connection    uint32
	User, Account string // as sent, and of the account
	Host, IP      string
	Database      string
	Text          string
}

// maxText is what is written of a statement, bytes.
const maxText = 16 << 10

// size is about what the entry keeps in memory, bytes.
func (e *Entry) size() int { return len(e.Text) + 512 }

// clip cuts the text, not within a character, and says so in a comment.
func (e *Entry) clip() {
	if len(e.Text) <= maxText {
		return
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(e.Text[n]) {
		n--
	}
	e.Text = e.Text[:n] + " /* " + strconv.Itoa(len(e.Text)-n) + " bytes more */"
}

// append writes the entry:
//
//	# User@Host: root[root] @ localhost [127.0.0.1]  Id:    12  Begun: 2026-11-29T14:05:14.658000Z
//	# Query_time: 1.500000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 1000
//	use wordpress;
//	SET timestamp=1796047516;
//	SELECT 1;
//
// The line "# Time:" that MySQL has before them is left out: mysqldumpslow of MySQL 8 and that of
// MariaDB each know one form of it only, and take the rest of the entry for the statement if it is
// the other. The database is named where it is another than that of the entry before.
func (e *Entry) append(b []byte, before string) []byte {
	b = append(b, "# User@Host: "...)
	b = append(b, oneLine(e.User)+"["+oneLine(e.Account)+"] @ "+oneLine(e.Host)+" ["+e.IP+"]  Id: "...)
	id := strconv.FormatUint(uint64(e.Connection), 10)
	b = append(b, strings.Repeat(" ", max(0, 5-len(id)))+id...)
	b = e.Begun.UTC().AppendFormat(append(b, "  Begun: "...), "2006-01-02T15:04:05.000000Z")
	b = append(b, "\n# Query_time: "...)
	b = strconv.AppendFloat(b, e.Took.Seconds(), 'f', 6, 64)
	b = append(b, "  Lock_time: "...)
	b = strconv.AppendFloat(b, e.LockWait.Seconds(), 'f', 6, 64)
	b = append(b, " Rows_sent: "...)
	b = strconv.AppendUint(b, e.Sent, 10)
	b = append(b, "  Rows_examined: "...)
	b = strconv.AppendUint(b, e.Examined, 10)
	b = append(b, '\n')
	if e.Database != "" && e.Database != before {
		b = append(b, "use "+oneLine(e.Database)+";\n"...)
	}
	b = append(b, "SET timestamp="...)
	b = strconv.AppendInt(b, e.Begun.Unix(), 10)
	b = append(b, ";\n"...)
	b = appendText(b, strings.TrimRight(e.Text, "; \t\r\n"))
	return append(b, ";\n"...)
}

// appendText keeps a line of a statement from being taken for one of the log: those begin with #.
func appendText(b []byte, text string) []byte {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b = append(b, '\n')
		}
		if strings.HasPrefix(line, "#") {
			b = append(b, ' ')
		}
		b = append(b, line...)
	}
	return b
}

// oneLine keeps a name from making a line of its own.
func oneLine(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, name)
}
