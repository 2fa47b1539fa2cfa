package event

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/dolthub/vitess/go/mysql"
)

// postHeaders are the lengths of the post-header of the types 1 to 41, as MySQL 8.0
// announces them.
var postHeaders = [...]byte{
	0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 98, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0,
	10, 10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0,
}

const (
	versionBytes  = 50
	checksumCRC32 = 1
)

// AppendFormatDescription appends the event that every file begins with, behind Magic.
// created is not 0 in the first file after a start of the server: the seconds since
// 1970 at which it was made.
//
//	19  binary log version, u16: 4      21  version of the server, 50 bytes
//	71  created, u32                    75  length of a header: 19
//	76  length of each type's post-header, 41 bytes
//	117 checksum algorithm: 1, CRC-32
func AppendFormatDescription(dst []byte, server, timestamp, created uint32, version string) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeFormatDescription, server, timestamp, 0)
	dst = append(dst, 4, 0)
	var name [versionBytes]byte
	copy(name[:versionBytes-1], version)
	dst = append(dst, name[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, created)
	dst = append(dst, HeaderSize)
	dst = append(dst, postHeaders[:]...)
	return end(append(dst, checksumCRC32), start)
}

// ParseGTIDs reads a GTID set as text ("uuid:1-5, uuid:7"); empty is the empty set.
func ParseGTIDs(text string) (mysql.Mysql56GTIDSet, error) {
	if strings.TrimSpace(text) == "" {
		return mysql.Mysql56GTIDSet{}, nil
	}
	set, err := mysql.ParseMysql56GTIDSet(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a GTID set: %w", text, err)
	}
	return set.(mysql.Mysql56GTIDSet), nil
}

// AppendPreviousGTIDs appends the event that follows the format description: the set
// of all transactions in the files before.
//
//	19  number of servers, u64; each: UUID, 16 bytes; number of intervals, u64; each
//	    from first to last + 1, two u64
func AppendPreviousGTIDs(dst []byte, server, timestamp uint32, set mysql.Mysql56GTIDSet) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypePreviousGTIDs, server, timestamp, flagIgnorable)
	return end(append(dst, set.SIDBlock()...), start)
}

// AppendRotate appends the event that ends a file: the name of the next one.
func AppendRotate(dst []byte, server, timestamp uint32, next string) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeRotate, server, timestamp, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(Magic)))
	return end(append(dst, next...), start)
}

// GTID is what the first event of each transaction says.
type GTID struct {
	UUID          [16]byte
	Number        int64 // from 1
	LastCommitted int64 // Sequence of the last transaction that this one may depend on; 0: of an earlier file
	Sequence      int64 // of the transaction in its file, from 1
	Committed     int64 // microseconds since 1970
	Original      int64 // as Committed, on the server that committed it first; 0: on this one
	Size          uint64
	Version       uint32 // of the server, 80040 for 8.0.40
}

// ParseUUID reads the text form of a server's UUID.
func ParseUUID(text string) (u [16]byte, err error) {
	if _, err := hex.Decode(u[:], []byte(strings.ReplaceAll(text, "-", ""))); err != nil || len(text) != 36 {
		return u, fmt.Errorf("%q is not a UUID", text)
	}
	return u, nil
}

// gtidSize is the size of a GTID event but for the transaction's length in it.
const gtidSize = HeaderSize + 42 + 7 + 4 + ChecksumSize

// GTIDSize is the size of the GTID event of a transaction whose other events have rest
// bytes together, and the size of the transaction with it, both with checksums. original
// says that GTID.Original is set.
func GTIDSize(rest uint64, original bool) (size int, whole uint64) {
	fixed := gtidSize
	if original {
		fixed += 7
	}
	for _, n := range []int{1, 3, 4} {
		if whole = rest + uint64(fixed+n); lengthSize(whole) <= n {
			return fixed + lengthSize(whole), rest + uint64(fixed+lengthSize(whole))
		}
	}
	return fixed + 9, rest + uint64(fixed+9)
}

// committedTwice is the bit of the time of the commit which says that the time of the
// first commit follows.
const committedTwice = 1 << 55

// AppendGTID appends the event that begins a transaction:
//
//	19  flags: 0, only rows             20  UUID
//	36  number, i64                     44  type of the clock: 2
//	45  last committed, i64             53  sequence, i64
//	61  committed, 7 bytes; bit 55: committed first, 7 bytes, follows
//	..  length of the transaction, length-encoded; version, u32
func AppendGTID(dst []byte, server, timestamp uint32, g *GTID) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeGTID, server, timestamp, 0)
	dst = append(dst, 0)
	dst = append(dst, g.UUID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(g.Number))
	dst = append(dst, 2)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(g.LastCommitted))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(g.Sequence))
	if g.Original != 0 {
		dst = appendLittle(dst, uint64(g.Committed)|committedTwice, 7)
		dst = appendLittle(dst, uint64(g.Original), 7)
	} else {
		dst = appendLittle(dst, uint64(g.Committed), 7)
	}
	dst = appendLength(dst, g.Size)
	return end(binary.LittleEndian.AppendUint32(dst, g.Version), start)
}

// AppendAnonymousGTID appends the event that begins a transaction without a GTID.
func AppendAnonymousGTID(dst []byte, server, timestamp uint32, g *GTID) []byte {
	start := len(dst)
	dst = AppendGTID(dst, server, timestamp, g)
	dst[start+4] = byte(TypeAnonymousGTID)
	return dst
}

// XIDSize is the size of an XID event.
const XIDSize = HeaderSize + 8 + ChecksumSize

// AppendXID appends the event that commits a transaction of rows.
func AppendXID(dst []byte, server, timestamp uint32, xid uint64) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeXID, server, timestamp, 0)
	return end(binary.LittleEndian.AppendUint64(dst, xid), start)
}

// Query is a statement in the log.
type Query struct {
	Text     string
	Database string // current database, empty for none
	Thread   uint32 // of the connection
	Mode     uint64 // sql_mode, as bits
	User     string // who ran it, empty: not recorded
	Host     string
	// Collations of character_set_client, collation_connection and collation_server;
	// all 0: not recorded.
	Client, Connection, Server uint16
	TimeZone                   string // empty: not recorded
	// foreign_key_checks and unique_checks are off.
	NoForeignKeyChecks, NoUniqueChecks bool
	// auto_increment_increment and auto_increment_offset; 0: not recorded, both are 1.
	Increment, Offset uint16
	// Begun is when the statement began, which is NOW() on a replica; zero: now.
	Begun time.Time
}

// Codes of a query event's status variables, in the order in which they must stand.
const (
	statusFlags         = 0
	statusMode          = 1
	statusAutoIncrement = 3
	statusCharset       = 4
	statusTimeZone      = 5
	statusInvoker       = 11
	statusMicros        = 13
)

// Bits of the status variable of flags, sql/query_options.h of MySQL.
const (
	flagNoForeignKeys = 1 << 26
	flagNoUnique      = 1 << 27
)

// AppendQuery appends a statement, or the BEGIN of a transaction of rows:
//
//	19  thread, u32                     23  seconds that it took, u32
//	27  length of the database's name   28  error code, u16
//	30  length of the status variables, u16; the variables
//	..  name of the database, 0; text
func AppendQuery(dst []byte, server uint32, q *Query) []byte {
	return appendQuery(dst, server, q, statusMicros)
}

// AppendMariaQuery is AppendQuery for MariaDB, which has another code for the fraction of the time. The size is the same.
func AppendMariaQuery(dst []byte, server uint32, q *Query) []byte {
	return appendQuery(dst, server, q, statusMariaMicros)
}

func appendQuery(dst []byte, server uint32, q *Query, micros byte) []byte {
	begun := q.Begun
	if begun.IsZero() {
		begun = time.Now()
	}
	start := len(dst)
	dst = appendHeader(dst, TypeQuery, server, uint32(begun.Unix()), 0)
	dst = binary.LittleEndian.AppendUint32(dst, q.Thread)
	dst = append(dst, 0, 0, 0, 0, byte(len(q.Database)), 0, 0, 0, 0)
	status := len(dst)
	if q.Client != 0 {
		dst = binary.LittleEndian.AppendUint32(append(dst, statusFlags), q.flags())
		dst = append(dst, statusMode)
		dst = binary.LittleEndian.AppendUint64(dst, q.Mode)
		if q.Increment > 1 || q.Offset > 1 {
			dst = binary.LittleEndian.AppendUint16(append(dst, statusAutoIncrement), q.Increment)
			dst = binary.LittleEndian.AppendUint16(dst, q.Offset)
		}
		dst = append(dst, statusCharset)
		for _, id := range []uint16{q.Client, q.Connection, q.Server} {
			dst = binary.LittleEndian.AppendUint16(dst, id)
		}
	}
	if q.TimeZone != "" && len(q.TimeZone) < 256 {
		dst = append(append(dst, statusTimeZone, byte(len(q.TimeZone))), q.TimeZone...)
	}
	if q.User != "" && len(q.User) < 256 && len(q.Host) < 256 {
		dst = append(append(dst, statusInvoker, byte(len(q.User))), q.User...)
		dst = append(append(dst, byte(len(q.Host))), q.Host...)
	}
	if !q.Begun.IsZero() {
		dst = appendLittle(append(dst, micros), uint64(begun.Nanosecond()/1000), 3)
	}
	binary.LittleEndian.PutUint16(dst[status-2:], uint16(len(dst)-status))
	dst = append(append(dst, q.Database...), 0)
	return end(append(dst, q.Text...), start)
}

func (q *Query) flags() (flags uint32) {
	if q.NoForeignKeyChecks {
		flags |= flagNoForeignKeys
	}
	if q.NoUniqueChecks {
		flags |= flagNoUnique
	}
	return flags
}
