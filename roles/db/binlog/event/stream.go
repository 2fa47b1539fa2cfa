package event

import (
	"encoding/binary"
	"fmt"
)

// flagArtificial marks an event that is in no file: the source made it for its reader.
const flagArtificial = 0x20

// AppendFakeRotate appends the event that tells a reader what comes next: the file, and
// the offset in it. It is in no file and has no position; the checksum is not there yet.
func AppendFakeRotate(dst []byte, server uint32, name string, offset uint64) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeRotate, server, 0, flagArtificial)
	dst = binary.LittleEndian.AppendUint64(dst, offset)
	return end(append(dst, name...), start)
}

// AppendHeartbeat appends the event that tells a reader that there is nothing new: name is
// the file that it has read up to now. The position belongs into the header (Finish).
func AppendHeartbeat(dst []byte, server uint32, name string) []byte {
	start := len(dst)
	dst = appendHeader(dst, typeHeartbeat, server, 0, 0)
	return end(append(dst, name...), start)
}

// AppendShown appends the event that tells a server of this kind the number of the first of the source's own transactions that
// may not be shown yet, 0: nothing may be. It is in no file, and has no place in the log.
func AppendShown(dst []byte, server uint32, number uint64) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeShown, server, 0, flagArtificial|flagIgnorable)
	return end(binary.LittleEndian.AppendUint64(dst, number), start)
}

// ParseShown reads one without checksum.
func ParseShown(ev []byte) (number uint64, err error) {
	if len(ev) != HeaderSize+8 {
		return 0, fmt.Errorf("an event of type %v has %d bytes: %w", TypeShown, len(ev), ErrCorrupt)
	}
	return binary.LittleEndian.Uint64(ev[HeaderSize:]), nil
}

// AppendBare is Finish for a reader that wants no checksums.
func AppendBare(dst, ev []byte, endPos uint32) []byte {
	start := len(dst)
	dst = append(dst, ev...)
	binary.LittleEndian.PutUint32(dst[start+9:], uint32(len(ev)))
	binary.LittleEndian.PutUint32(dst[start+13:], endPos)
	return dst
}

// Offsets in a format description.
const (
	formatCreated  = 71
	formatChecksum = 117
)

// AppendFormat appends a format description for a reader. ev is whole but for its
// checksum. resumed: the reader begins inside the file, which must not look like a start
// of the server, and the event has no position. summed says that the events have
// checksums; this one always does.
func AppendFormat(dst, ev []byte, resumed, summed bool) []byte {
	h, err := ParseHeader(ev)
	if err != nil || len(ev) <= formatChecksum {
		return append(dst, ev...)
	}
	ev = append([]byte(nil), ev...)
	if resumed {
		h.End = 0
		clear(ev[formatCreated : formatCreated+4])
	}
	if !summed {
		ev[formatChecksum] = 0
	}
	return Finish(dst, ev, h.End)
}
