package event

import (
	"encoding/binary"
	"fmt"
)

// MariaGTID is what the first event of a transaction of MariaDB says; Gtid_log_event.
//
//	19  sequence, u64   27  domain, u32   31  flags
type MariaGTID struct {
	Domain, Server uint32
	Sequence       uint64
	Standalone     bool // one statement, and nothing that ends it
	XA             bool // it prepares or ends an XA transaction
}

// Bits of the flags.
const (
	mariaStandalone  = 1
	mariaPreparedXA  = 64
	mariaCompletedXA = 128
)

// ParseMariaGTID reads a GTID event of MariaDB without its checksum.
func ParseMariaGTID(ev []byte) (MariaGTID, error) {
	if len(ev) < HeaderSize+13 || Type(ev[4]) != TypeMariaGTID {
		return MariaGTID{}, fmt.Errorf("GTID of %d bytes: %w", len(ev), ErrCorrupt)
	}
	flags := ev[31]
	return MariaGTID{
		Server:     binary.LittleEndian.Uint32(ev[5:]),
		Sequence:   binary.LittleEndian.Uint64(ev[19:]),
		Domain:     binary.LittleEndian.Uint32(ev[27:]),
		Standalone: flags&mariaStandalone != 0,
		XA:         flags&(mariaPreparedXA|mariaCompletedXA) != 0,
	}, nil
}

// String is domain, server and sequence, as MariaDB writes them.
func (g MariaGTID) String() string { return fmt.Sprintf("%d-%d-%d", g.Domain, g.Server, g.Sequence) }

// ParseRotate reads which file and offset a rotate event without its checksum names.
func ParseRotate(ev []byte) (file string, offset uint64, err error) {
	if len(ev) < HeaderSize+8 || Type(ev[4]) != TypeRotate {
		return "", 0, fmt.Errorf("rotation of %d bytes: %w", len(ev), ErrCorrupt)
	}
	return string(ev[HeaderSize+8:]), binary.LittleEndian.Uint64(ev[HeaderSize:]), nil
}

// Checksums reports whether the events behind a format description have checksums; the event
// has one itself in any case, and ev is with it.
func Checksums(ev []byte) (bool, error) {
	n := len(ev) - ChecksumSize - 1
	if n < HeaderSize+2+versionBytes || Type(ev[4]) != TypeFormatDescription {
		return false, fmt.Errorf("format description of %d bytes: %w", len(ev), ErrCorrupt)
	}
	switch ev[n] {
	case 0:
		return false, nil
	case checksumCRC32:
		return true, nil
	}
	return false, fmt.Errorf("checksum algorithm %d is not known: %w", ev[n], ErrCorrupt)
}
