package hpack

import "math"

// bombFactor times the limit is where Decode stops keeping the table in step with
// a peer: a block of one octet per field can stand for the whole table each time.
const bombFactor = 64

// Decode reads a whole header block and hands its fields to s.
//
// An error of s is returned after the block was decoded to its end, which keeps
// the table in step; s is not called again after its first error. The same holds
// for ErrTooLarge, which is returned when the sum of len(name)+len(value)+32
// exceeds most; the field that exceeds it is not handed out. A sum beyond 64 times
// most, or a block that is no HPACK, is an *Error.
//
// Hot path: BenchmarkDecode.
func (d *Decoder) Decode(block []byte, most int, s Sink) error {
	r := reader{rest: block, most: most, sink: s}
	err := d.fields(&r)
	if r.scratch != nil {
		r.scratch.release()
	}
	if err != nil {
		return err
	}
	return r.refused
}

// reader is the state of one block.
type reader struct {
	rest    []byte
	sink    Sink
	most    int
	size    int   // of the fields so far
	refused error // of the sink, or ErrTooLarge: no field is handed out any more
	scratch *scratch
}

// fields returns only an *Error or nil.
func (d *Decoder) fields(r *reader) error {
	if err := d.sizeUpdates(r); err != nil {
		return err
	}
	for len(r.rest) > 0 {
		r.reuse()
		var err *Error
		switch b := r.rest[0]; {
		case b >= 0x80:
			err = d.indexed(r)
		case b >= 0x40:
			err = d.literal(r, 6, true)
		case b >= 0x20:
			err = errLateUpdate
		default: // without indexing, or never indexed (0x10)
			err = d.literal(r, 4, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sizeUpdates reads the updates that a block may begin with. Two are enough to
// say that the table was emptied and has grown again (RFC 7541 section 4.2).
func (d *Decoder) sizeUpdates(r *reader) error {
	for n := 0; len(r.rest) > 0 && r.rest[0]&0xe0 == 0x20; n++ {
		if n == 2 {
			return errManyUpdates
		}
		size, err := r.integer(5)
		if err != nil {
			return err
		}
		if size > uint64(d.announced) {
			return errUpdateSize
		}
		d.resize(int(size))
	}
	return nil
}

// indexed reads a field that stands in a table, name and value.
func (d *Decoder) indexed(r *reader) *Error {
	index, err := r.integer(7)
	if err != nil {
		return err
	}
	name, value, ok := d.lookup(r, index)
	if !ok {
		return errIndex
	}
	return r.emit(name, value)
}

// literal reads a field whose value, and with index 0 whose name, is spelled out.
func (d *Decoder) literal(r *reader, prefix uint, insert bool) *Error {
	index, err := r.integer(prefix)
	if err != nil {
		return err
	}
	var name []byte
	if index == 0 {
		if name, err = r.text(); err != nil {
			return err
		}
	} else {
		var ok bool
		if name, _, ok = d.lookup(r, index); !ok {
			return errIndex
		}
		if insert && index > staticLen {
			name = r.keep(name) // the insertion may evict the entry that it names
		}
	}
	value, err := r.text()
	if err != nil {
		return err
	}
	if err := r.emit(name, value); err != nil {
		return err
	}
	if insert {
		d.insert(name, value)
	}
	return nil
}

// lookup returns the field at index, which counts the static table first.
func (d *Decoder) lookup(r *reader, index uint64) (name, value []byte, ok bool) {
	if index <= staticLen {
		f := &staticFields[index]
		return f.name, f.value, index != 0
	}
	index -= staticLen
	if index > uint64(d.count) {
		return nil, nil, false
	}
	e := d.entry(int(index))
	end := e.offset + e.name + e.value
	if int(end) > len(d.ring) {
		name, value = d.unwrap(r, e)
		return name, value, true
	}
	return d.ring[e.offset : e.offset+e.name : e.offset+e.name], d.ring[e.offset+e.name : end : end], true
}

// unwrap copies an entry that runs over the end of the ring.
func (d *Decoder) unwrap(r *reader, e *entry) (name, value []byte) {
	size := int(e.name + e.value)
	part := d.ring[e.offset:]
	dst := append(r.room(size), part...)
	dst = append(dst, d.ring[:size-len(part)]...)
	r.scratch.buf = dst
	field := dst[len(dst)-size : len(dst) : len(dst)]
	return field[:e.name:e.name], field[e.name:]
}

// emit counts a field and hands it out unless the block was refused already.
func (r *reader) emit(name, value []byte) *Error {
	r.size += len(name) + len(value) + fieldOverhead
	if r.size > r.most {
		if r.most < math.MaxInt/bombFactor && r.size > bombFactor*r.most {
			return errBomb
		}
		if r.refused == nil {
			r.refused = ErrTooLarge
		}
	}
	if r.refused == nil {
		r.refused = r.sink.Field(name, value)
	}
	return nil
}

// integer reads an integer of prefix bits (RFC 7541 section 5.1); the rest is not
// empty. Five continuation octets hold 32 bits with zeros to spare.
func (r *reader) integer(prefix uint) (uint64, *Error) {
	mask := byte(1<<prefix - 1)
	v := uint64(r.rest[0] & mask)
	r.rest = r.rest[1:]
	if v < uint64(mask) {
		return v, nil
	}
	for i := range 5 {
		if i == len(r.rest) {
			return 0, errTruncated
		}
		b := r.rest[i]
		v += uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.rest = r.rest[i+1:]
			if v > math.MaxUint32 {
				return 0, errInteger
			}
			return v, nil
		}
	}
	return 0, errInteger
}

// text reads a string (RFC 7541 section 5.2). The result aliases the block or the
// scratch.
func (r *reader) text() ([]byte, *Error) {
	if len(r.rest) == 0 {
		return nil, errTruncated
	}
	huffman := r.rest[0] >= 0x80
	n, err := r.integer(7)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.rest)) {
		return nil, errTruncated
	}
	raw := r.rest[:n:n]
	r.rest = r.rest[n:]
	if !huffman {
		return raw, nil
	}
	return r.decoded(raw)
}

func (r *reader) decoded(raw []byte) ([]byte, *Error) {
	dst := r.room(huffmanRoom(len(raw)))
	start := len(dst)
	dst, err := appendDecoded(dst, raw)
	if err != nil {
		return nil, err
	}
	r.scratch.buf = dst
	return dst[start:len(dst):len(dst)], nil
}

// keep copies b to the scratch.
func (r *reader) keep(b []byte) []byte {
	dst := append(r.room(len(b)), b...)
	r.scratch.buf = dst
	return dst[len(dst)-len(b) : len(dst) : len(dst)]
}
