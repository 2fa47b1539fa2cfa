package event

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/dolthub/vitess/go/mysql"
)

// Next splits the first event off b, which holds events one behind another without
// checksums. size is what the event takes in a file.
func Next(b []byte) (ev []byte, size uint64, rest []byte, err error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, 0, nil, err
	}
	n := int(h.Size) - ChecksumSize
	if n > len(b) {
		return nil, 0, nil, fmt.Errorf("%d bytes of a %v event of %d: %w", len(b), h.Type, n, ErrCorrupt)
	}
	return b[:n], uint64(h.Size), b[n:], nil
}

// FileSize is what events without checksums take in a file.
func FileSize(b []byte) (n uint64, err error) {
	for len(b) > 0 {
		var size uint64
		if _, size, b, err = Next(b); err != nil {
			return 0, err
		}
		n += size
	}
	return n, nil
}

// ParseGTID reads a GTID event, with or without its checksum. The times, Size and Version
// are 0 where an older server has written none, Number for an anonymous one.
func ParseGTID(ev []byte) (GTID, error) {
	var g GTID
	h, err := ParseHeader(ev)
	if err != nil {
		return g, err
	}
	if n := int(h.Size) - ChecksumSize; n < len(ev) {
		ev = ev[:n]
	}
	if len(ev) < HeaderSize+42 || h.Type != TypeGTID && h.Type != TypeAnonymousGTID {
		return g, fmt.Errorf("GTID of %d bytes: %w", len(ev), ErrCorrupt)
	}
	copy(g.UUID[:], ev[20:])
	g.Number = int64(binary.LittleEndian.Uint64(ev[36:]))
	g.LastCommitted = int64(binary.LittleEndian.Uint64(ev[45:]))
	g.Sequence = int64(binary.LittleEndian.Uint64(ev[53:]))
	if h.Type == TypeAnonymousGTID {
		g.UUID, g.Number = [16]byte{}, 0
	} else if g.Number < 1 {
		return g, fmt.Errorf("GTID with number %d: %w", g.Number, ErrCorrupt)
	}
	r := scanner{b: ev[HeaderSize+42:]}
	if len(r.b) == 0 {
		return g, nil
	}
	g.Committed = int64(little(r.take(7)))
	if g.Committed&committedTwice != 0 {
		g.Committed &^= committedTwice
		g.Original = int64(little(r.take(7)))
	}
	if len(r.b) > 0 {
		g.Size = r.length()
	}
	if len(r.b) > 0 {
		g.Version = uint32(little(r.take(4))) &^ (1 << 31)
	}
	if r.short {
		return g, fmt.Errorf("GTID of %d bytes: %w", len(ev), ErrCorrupt)
	}
	return g, nil
}

// ID names a transaction: the server that committed it first, and its number there.
type ID struct {
	UUID   [16]byte
	Number int64 // from 1; 0: no transaction
}

// ID is the name alone.
func (g GTID) ID() ID { return ID{g.UUID, g.Number} }

// String is the GTID as text.
func (g GTID) String() string { return g.ID().String() }

// String is the GTID as text.
func (id ID) String() string {
	u := hex.EncodeToString(id.UUID[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s:%d", u[:8], u[8:12], u[12:16], u[16:20], u[20:], id.Number)
}

// In reports whether the transaction is in a set.
func (id ID) In(set mysql.Mysql56GTIDSet) bool {
	return set.ContainsGTID(mysql.Mysql56GTID{Server: mysql.SID(id.UUID), Sequence: id.Number})
}

// ParseID reads a GTID as text, "uuid:number".
func ParseID(text string) (id ID, err error) {
	server, number, _ := strings.Cut(text, ":")
	if id.UUID, err = ParseUUID(server); err == nil {
		id.Number, err = strconv.ParseInt(number, 10, 64)
	}
	if err != nil || id.Number < 1 {
		return ID{}, fmt.Errorf("%q is no GTID: it has the form SERVER-UUID:NUMBER", text)
	}
	return id, nil
}

// ParsePreviousGTIDs reads the set of a previous GTIDs event without its checksum.
func ParsePreviousGTIDs(ev []byte) (mysql.Mysql56GTIDSet, error) {
	if len(ev) < HeaderSize || Type(ev[4]) != TypePreviousGTIDs {
		return nil, fmt.Errorf("previous GTIDs: %w", ErrCorrupt)
	}
	return ParseSIDBlock(ev[HeaderSize:])
}

// ParseSIDBlock reads a GTID set in the form of AppendPreviousGTIDs.
func ParseSIDBlock(b []byte) (mysql.Mysql56GTIDSet, error) {
	if err := checkSIDBlock(b); err != nil {
		return nil, err
	}
	set, err := mysql.NewMysql56GTIDSetFromSIDBlock(b)
	if err != nil {
		return nil, fmt.Errorf("GTID set: %w: %w", ErrCorrupt, err)
	}
	return set, nil
}

// checkSIDBlock checks the counts, which the library takes as they are.
func checkSIDBlock(b []byte) error {
	short := fmt.Errorf("a GTID set of %d bytes: %w", len(b), ErrCorrupt)
	if len(b) < 8 {
		return short
	}
	servers, rest := binary.LittleEndian.Uint64(b), b[8:]
	for ; servers > 0; servers-- {
		if len(rest) < 24 {
			return short
		}
		intervals := binary.LittleEndian.Uint64(rest[16:])
		rest = rest[24:]
		if intervals > uint64(len(rest)/16) {
			return short
		}
		rest = rest[16*intervals:]
	}
	if len(rest) > 0 {
		return short
	}
	return nil
}

// Describe says what a finished event holds, as SHOW BINLOG EVENTS does; empty for a
// type that this package does not write.
func Describe(ev []byte) (string, error) {
	h, err := ParseHeader(ev)
	if err != nil {
		return "", err
	}
	if int(h.Size) != len(ev) {
		return "", fmt.Errorf("a %v event of %d bytes in %d: %w", h.Type, h.Size, len(ev), ErrCorrupt)
	}
	body := ev[HeaderSize : len(ev)-ChecksumSize]
	text, ok := describe(h.Type, body, ev[:len(ev)-ChecksumSize])
	if !ok {
		return "", fmt.Errorf("a %v event of %d bytes: %w", h.Type, h.Size, ErrCorrupt)
	}
	return text, nil
}

func describe(t Type, body, ev []byte) (string, bool) {
	switch t {
	case TypeFormatDescription:
		if len(body) < 2+versionBytes {
			return "", false
		}
		version, _, _ := bytes.Cut(body[2:2+versionBytes], []byte{0})
		return fmt.Sprintf("Server ver: %s, Binlog ver: %d", version, binary.LittleEndian.Uint16(body)), true
	case TypePreviousGTIDs:
		set, err := ParsePreviousGTIDs(ev)
		return set.String(), err == nil
	case TypeGTID:
		g, err := ParseGTID(ev)
		return fmt.Sprintf("SET @@SESSION.GTID_NEXT= '%s'", g), err == nil
	case TypeXID:
		if len(body) < 8 {
			return "", false
		}
		return fmt.Sprintf("COMMIT /* xid=%d */", binary.LittleEndian.Uint64(body)), true
	case TypeRotate:
		if len(body) < 8 {
			return "", false
		}
		return fmt.Sprintf("%s;pos=%d", body[8:], binary.LittleEndian.Uint64(body)), true
	case TypeQuery:
		return describeQuery(body)
	case TypeTableMap:
		return describeMap(body)
	case TypeWriteRows, TypeUpdateRows, TypeDeleteRows:
		if len(body) < 8 {
			return "", false
		}
		text := fmt.Sprintf("table_id: %d", little(body[:6]))
		if body[6]&rowsEnd != 0 {
			text += " flags: STMT_END_F"
		}
		return text, true
	}
	return "", true
}

func describeQuery(body []byte) (string, bool) {
	if len(body) < 13 {
		return "", false
	}
	name, status := int(body[8]), int(binary.LittleEndian.Uint16(body[11:]))
	rest := body[13:]
	if len(rest) < status+name+1 {
		return "", false
	}
	database, text := string(rest[status:status+name]), string(rest[status+name+1:])
	if database == "" || text == "BEGIN" {
		return text, true
	}
	return "use `" + strings.ReplaceAll(database, "`", "``") + "`; " + text, true
}

func describeMap(body []byte) (string, bool) {
	if len(body) < 8 {
		return "", false
	}
	id, rest := little(body[:6]), body[8:]
	var names [2]string
	for i := range names {
		if len(rest) < 1 || len(rest) < int(rest[0])+2 {
			return "", false
		}
		names[i], rest = string(rest[1:1+int(rest[0])]), rest[int(rest[0])+2:]
	}
	return fmt.Sprintf("table_id: %d (%s.%s)", id, names[0], names[1]), true
}

func little(b []byte) (v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}
