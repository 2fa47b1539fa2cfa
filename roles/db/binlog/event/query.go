package event

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"time"
)

// ParseQuery reads a query event without its checksum. What it does not record is as
// the comments of Query say. ErrUnknown where the statement depends on something that is not known.
func ParseQuery(ev []byte) (*Query, error) {
	h, err := ParseHeader(ev)
	if err != nil {
		return nil, err
	}
	if h.Type != TypeQuery || len(ev) < HeaderSize+13 {
		return nil, fmt.Errorf("statement of %d bytes: %w", len(ev), ErrCorrupt)
	}
	r := scanner{b: ev[HeaderSize:]}
	q := &Query{Thread: binary.LittleEndian.Uint32(r.take(4)), Begun: time.Unix(int64(h.Timestamp), 0)}
	r.take(4)
	name := int(r.byte())
	r.take(2)
	status := scanner{b: r.take(int(little(r.take(2))))}
	if r.short {
		return nil, fmt.Errorf("statement of %d bytes: %w", len(ev), ErrCorrupt)
	}
	for len(status.b) > 0 && !status.short {
		if err := q.readStatus(&status); err != nil {
			return nil, err
		}
	}
	q.Database = string(r.take(name))
	r.take(1)
	q.Text = string(r.b)
	if r.short || status.short {
		return nil, fmt.Errorf("statement of %d bytes: %w", len(ev), ErrCorrupt)
	}
	return q, nil
}

// rowsFollow is the text of a CREATE TABLE … SELECT, as MySQL 8.0.21 and later write it. The body of a routine may end
// in these words too, and a comment behind any other statement.
var rowsFollow = regexp.MustCompile(`(?is)^(\s*create\s+(?:or\s+replace\s+)?(?:temporary\s+)?table\b.*?)(?:\s+start\s+transaction)+\s*;?\s*$`)

// RowsFollow reports whether the transaction goes on behind the statement, up to an XID
// event: it is BEGIN, or makes a table whose rows follow.
func (q *Query) RowsFollow() bool { return q.Text == "BEGIN" || rowsFollow.MatchString(q.Text) }

// Plain is the text as a client would send it, which says of no rows that they follow.
func (q *Query) Plain() string { return rowsFollow.ReplaceAllString(q.Text, "$1") }

// Codes of status variables that are passed over; Query_event of MySQL. Those above 127
// are MariaDB's.
const (
	statusCatalogOld      = 2
	statusCatalog         = 6
	statusTimeNames       = 7
	statusDatabaseCharset = 8
	statusUpdatedTables   = 9
	statusDataWritten     = 10
	statusUpdated         = 12
	statusTimestampMode   = 16
	statusDDL             = 17
	statusDefaultCharset  = 18
	statusNeedsKey        = 19
	statusEncryption      = 20
	statusMariaMicros     = 128
	statusMariaDDL        = 129
	statusMariaCollations = 131 // of its character sets, from 11.5 on
)

// statusMariaAlter is refused: the statement has not ended, or is the end of one that was logged before.
const statusMariaAlter = 130

// readStatus takes one status variable.
func (q *Query) readStatus(r *scanner) error {
	switch code := r.byte(); code {
	case statusFlags:
		flags := little(r.take(4))
		q.NoForeignKeyChecks, q.NoUniqueChecks = flags&flagNoForeignKeys != 0, flags&flagNoUnique != 0
	case statusMode:
		q.Mode = little(r.take(8))
	case statusAutoIncrement:
		q.Increment, q.Offset = uint16(little(r.take(2))), uint16(little(r.take(2)))
	case statusCharset:
		q.Client, q.Connection, q.Server = uint16(little(r.take(2))), uint16(little(r.take(2))), uint16(little(r.take(2)))
	case statusTimeZone:
		q.TimeZone = string(r.take(int(r.byte())))
	case statusInvoker:
		q.User = string(r.take(int(r.byte())))
		q.Host = string(r.take(int(r.byte())))
	case statusMicros, statusMariaMicros:
		q.Begun = q.Begun.Add(time.Duration(little(r.take(3))) * time.Microsecond)
	case statusCatalogOld:
		r.take(int(r.byte()) + 1)
	case statusCatalog:
		r.take(int(r.byte()))
	case statusTimeNames, statusDatabaseCharset, statusDefaultCharset:
		r.take(2)
	case statusUpdatedTables, statusDDL, statusMariaDDL:
		r.take(8)
	case statusDataWritten:
		r.take(4)
	case statusTimestampMode, statusNeedsKey, statusEncryption:
		r.take(1)
	case statusUpdated:
		if n := r.byte(); n != 254 { // too many to be named
			for ; n > 0 && !r.short; n-- {
				for r.byte() != 0 {
				}
			}
		}
	case statusMariaCollations:
		r.take(4 * int(r.byte()))
	case statusMariaAlter:
		return fmt.Errorf("an ALTER TABLE that is logged in two parts, set binlog_alter_two_phase = OFF where it comes from: %w", ErrUnknown)
	default:
		return fmt.Errorf("a statement with a status variable of code %d, as a newer server may write it: %w", code, ErrUnknown)
	}
	return nil
}
