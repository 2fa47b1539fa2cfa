package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"stack/roles/db/binlog/event"
)

// Record is a part of a transaction, the whole of a small one.
type Record struct {
	First, Last bool     // the transaction begins, and ends, with it
	ID          event.ID // of the transaction
	Events      [][]byte // in order

	// Of the transaction's commit, on the server that committed it first and on the source; zero: not known.
	Original, Committed time.Time
	// File and Offset are where the source's log stands behind it.
	File   string
	Offset uint64
}

const (
	frameHead  = 4 + 4 + 8 + 8
	recordHead = 1 + 16 + 8 + 8 + 8 + 8 + 2 + 4
	// maxFrame bounds what is read in as a frame: an event of the largest size behind others that together may have a megabyte.
	maxFrame = event.MaxSize + 4<<20
)

// Kinds of frames: the first byte of the payload.
const (
	kindBegin  = 'B' // of a segment: number u64 of the segment before, 0: none, and its length u64
	kindRecord = 'R'
)

const (
	flagFirst = 1 << iota
	flagLast
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errFrame = errors.New("no frame of this segment")
)

// appendFrame appends a frame whose payload put appends. synced is how much of the segment is durable.
func appendFrame(dst []byte, segment uint64, synced int64, put func([]byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameHead)...)
	dst = put(dst)
	f := dst[start:]
	binary.LittleEndian.PutUint32(f[4:], uint32(len(f)-frameHead))
	binary.LittleEndian.PutUint64(f[8:], segment)
	binary.LittleEndian.PutUint64(f[16:], uint64(synced))
	binary.LittleEndian.PutUint32(f, crc32.Checksum(f[4:], castagnoli))
	return dst
}

// frameSize is the size of the frame that begins with these bytes, of which there are at least frameHead; errFrame where
// it cannot be one.
func frameSize(b []byte, segment uint64) (int, error) {
	n := binary.LittleEndian.Uint32(b[4:])
	if n == 0 || n > maxFrame || binary.LittleEndian.Uint64(b[8:]) != segment {
		return 0, errFrame
	}
	return frameHead + int(n), nil
}

// syncedBefore is how much of its segment was durable when a frame was made.
func syncedBefore(frame []byte) int64 { return int64(binary.LittleEndian.Uint64(frame[16:])) }

// payload is that of a whole frame; errFrame where the checksum is another.
func payload(frame []byte) ([]byte, error) {
	if binary.LittleEndian.Uint32(frame) != crc32.Checksum(frame[4:], castagnoli) {
		return nil, errFrame
	}
	return frame[frameHead:], nil
}

// appendBegin appends the payload of a segment's first frame: before is the end of the segment before, zero where there is
// none.
func appendBegin(dst []byte, before Pos) []byte {
	dst = append(dst, kindBegin)
	dst = binary.LittleEndian.AppendUint64(dst, before.Segment)
	return binary.LittleEndian.AppendUint64(dst, uint64(before.Offset))
}

func parseBegin(p []byte) (before Pos, ok bool) {
	if len(p) != beginSize-frameHead || p[0] != kindBegin {
		return Pos{}, false
	}
	before.Segment, before.Offset = binary.LittleEndian.Uint64(p[1:]), int64(binary.LittleEndian.Uint64(p[9:]))
	return before, before.Offset >= 0
}

// micros is a time as stored, 0 for none.
func micros(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMicro())
}

func fromMicros(n uint64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(n))
}

// append appends the record as the payload of a frame.
func (r *Record) append(dst []byte) []byte {
	flags := byte(0)
	if r.First {
		flags |= flagFirst
	}
	if r.Last {
		flags |= flagLast
	}
	dst = append(dst, kindRecord, flags)
	dst = append(dst, r.ID.UUID[:]...)
	for _, n := range []uint64{uint64(r.ID.Number), micros(r.Original), micros(r.Committed), r.Offset} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.File)))
	dst = append(dst, r.File...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Events)))
	for _, ev := range r.Events {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(ev)))
		dst = append(dst, ev...)
	}
	return dst
}

// parseRecord reads a payload, which the events share.
func parseRecord(p []byte) (*Record, error) {
	r := &Record{}
	b := p
	bad := func() (*Record, error) { return nil, fmt.Errorf("a record of %d bytes: %w", len(p), ErrDamaged) }
	if len(b) < 1+recordHead || b[0] != kindRecord {
		return bad()
	}
	r.First, r.Last = b[1]&flagFirst != 0, b[1]&flagLast != 0
	copy(r.ID.UUID[:], b[2:])
	b = b[18:]
	r.ID.Number = int64(binary.LittleEndian.Uint64(b))
	r.Original, r.Committed = fromMicros(binary.LittleEndian.Uint64(b[8:])), fromMicros(binary.LittleEndian.Uint64(b[16:]))
	r.Offset = binary.LittleEndian.Uint64(b[24:])
	name := int(binary.LittleEndian.Uint16(b[32:]))
	b = b[34:]
	if len(b) < name+4 {
		return bad()
	}
	r.File = string(b[:name])
	n := binary.LittleEndian.Uint32(b[name:])
	b = b[name+4:]
	if uint64(n)*4 > uint64(len(b)) {
		return bad()
	}
	r.Events = make([][]byte, n)
	for i := range r.Events {
		if len(b) < 4 {
			return bad()
		}
		size := binary.LittleEndian.Uint32(b)
		b = b[4:]
		if uint64(size) > uint64(len(b)) {
			return bad()
		}
		r.Events[i] = b[:size:size]
		b = b[size:]
	}
	if len(b) > 0 || r.ID.Number <= 0 {
		return bad()
	}
	return r, nil
}
