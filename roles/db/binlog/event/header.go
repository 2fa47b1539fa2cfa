package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Type is the type code of an event, byte 4 of its header.
type Type byte

// The types that this package writes.
const (
	TypeQuery             Type = 2
	TypeRotate            Type = 4
	TypeFormatDescription Type = 15
	TypeXID               Type = 16
	TypeTableMap          Type = 19
	TypeWriteRows         Type = 30
	TypeUpdateRows        Type = 31
	TypeDeleteRows        Type = 32
	TypeGTID              Type = 33
	TypePreviousGTIDs     Type = 35
)

// Types that other servers write and this package reads.
const (
	TypeWriteRowsV1   Type = 23 // as their successors, without the extra data
	TypeUpdateRowsV1  Type = 24
	TypeDeleteRowsV1  Type = 25
	TypeAnonymousGTID Type = 34  // as TypeGTID, of a transaction that has none
	TypeMariaGTID     Type = 162 // what begins a transaction of MariaDB
)

// TypeShown is one of this kind of server's own; no other server has this number.
const TypeShown Type = 240

// String is the name that SHOW BINLOG EVENTS gives the type.
func (t Type) String() string {
	switch t {
	case TypeQuery:
		return "Query"
	case TypeRotate:
		return "Rotate"
	case TypeFormatDescription:
		return "Format_desc"
	case TypeXID:
		return "Xid"
	case TypeTableMap:
		return "Table_map"
	case TypeWriteRows:
		return "Write_rows"
	case TypeUpdateRows:
		return "Update_rows"
	case TypeDeleteRows:
		return "Delete_rows"
	case TypeGTID:
		return "Gtid"
	case TypePreviousGTIDs:
		return "Previous_gtids"
	case TypeWriteRowsV1:
		return "Write_rows_v1"
	case TypeUpdateRowsV1:
		return "Update_rows_v1"
	case TypeDeleteRowsV1:
		return "Delete_rows_v1"
	case TypeAnonymousGTID:
		return "Anonymous_Gtid"
	case TypeShown:
		return "Shown"
	}
	return fmt.Sprintf("Unknown_%d", byte(t))
}

const (
	// HeaderSize is the length in bytes of every event's header.
	HeaderSize = 19
	// ChecksumSize is the length in bytes of the CRC-32 behind every event.
	ChecksumSize = 4
	// Magic is what a file of the binary log begins with.
	Magic = "\xfebin"
	// MaxSize is the length in bytes that an event may have, as MySQL's replicas and
	// tools take it.
	MaxSize = 1 << 30
)

// flagIgnorable lets a reader that does not know the type skip the event.
const flagIgnorable = 0x80

// ErrCorrupt is wrapped by every error about bytes that are no event.
var ErrCorrupt = errors.New("not a binary log event")

// ErrUnknown is wrapped by an error about what an event says beyond what is known of such events.
var ErrUnknown = errors.New("it is not known here")

// Header is the first 19 bytes of an event:
//
//	0   timestamp, u32 little endian: seconds since 1970
//	4   type
//	5   server id, u32
//	9   size of the event with header and checksum, u32
//	13  position of its end in the file, u32
//	17  flags, u16
type Header struct {
	Timestamp uint32
	Type      Type
	Server    uint32
	Size      uint32
	End       uint32
	Flags     uint16
}

// Ignorable reports whether a reader that does not know the event's type may skip it:
// the event says so, or is one of those that tell nothing of data.
func (h Header) Ignorable() bool {
	switch h.Type {
	case typeStop, typeHeartbeat, typeRowsQuery, typeIgnorable, typeHeartbeat2,
		typeAnnotateRows, typeCheckpoint, typeGTIDList:
		return true
	}
	return h.Flags&flagIgnorable != 0
}

// Types that tell nothing of data.
const (
	typeStop       Type = 3
	typeHeartbeat  Type = 27
	typeIgnorable  Type = 28
	typeRowsQuery  Type = 29
	typeHeartbeat2 Type = 41

	// MariaDB's.
	typeAnnotateRows Type = 160
	typeCheckpoint   Type = 161
	typeGTIDList     Type = 163
)

// ParseHeader reads the header that b begins with. It fails where b is too short, or
// the size is less than an event has or more than MaxSize.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%d bytes where a header has %d: %w", len(b), HeaderSize, ErrCorrupt)
	}
	h := Header{
		Timestamp: binary.LittleEndian.Uint32(b),
		Type:      Type(b[4]),
		Server:    binary.LittleEndian.Uint32(b[5:]),
		Size:      binary.LittleEndian.Uint32(b[9:]),
		End:       binary.LittleEndian.Uint32(b[13:]),
		Flags:     binary.LittleEndian.Uint16(b[17:]),
	}
	if h.Size < HeaderSize+ChecksumSize || h.Size > MaxSize {
		return h, fmt.Errorf("a %v event of %d bytes: %w", h.Type, h.Size, ErrCorrupt)
	}
	return h, nil
}

// appendHeader begins an event; end fills in its size.
func appendHeader(dst []byte, t Type, server, timestamp uint32, flags uint16) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, timestamp)
	dst = append(dst, byte(t))
	dst = binary.LittleEndian.AppendUint32(dst, server)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint16(dst, flags)
}

// end fills in the size of the event that begins at start and ends with dst.
func end(dst []byte, start int) []byte {
	binary.LittleEndian.PutUint32(dst[start+9:], uint32(len(dst)-start+ChecksumSize))
	return dst
}

// Finish appends the event to dst as a file has it: with the position of its end and
// the checksum. ev is whole but for these and is not changed.
func Finish(dst, ev []byte, endPos uint32) []byte {
	start := len(dst)
	dst = append(dst, ev...)
	binary.LittleEndian.PutUint32(dst[start+13:], endPos)
	return binary.LittleEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}

// Verify reports whether the checksum of a finished event is right.
func Verify(ev []byte) error {
	n := len(ev) - ChecksumSize
	if n < HeaderSize || crc32.ChecksumIEEE(ev[:n]) != binary.LittleEndian.Uint32(ev[n:]) {
		return fmt.Errorf("checksum: %w", ErrCorrupt)
	}
	return nil
}

// appendLength appends a length-encoded integer.
func appendLength(dst []byte, n uint64) []byte {
	switch {
	case n < 251:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 0xfc, byte(n), byte(n>>8))
	case n < 1<<24:
		return append(dst, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xfe), n)
}

// lengthSize is how many bytes appendLength appends.
func lengthSize(n uint64) int {
	switch {
	case n < 251:
		return 1
	case n < 1<<16:
		return 3
	case n < 1<<24:
		return 4
	}
	return 9
}

func appendString(dst []byte, s string) []byte {
	return append(appendLength(dst, uint64(len(s))), s...)
}

// appendLittle appends the lowest n bytes of v, little endian.
func appendLittle(dst []byte, v uint64, n int) []byte {
	for range n {
		dst = append(dst, byte(v))
		v >>= 8
	}
	return dst
}

// appendBig appends the lowest n bytes of v, big endian.
func appendBig(dst []byte, v uint64, n int) []byte {
	for shift := 8 * (n - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(v>>shift))
	}
	return dst
}
