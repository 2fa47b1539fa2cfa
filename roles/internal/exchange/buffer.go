package exchange

// buffer holds bytes b[r:w] that could not be used or sent yet. Buffers come from
// their worker's free lists: a connection has one only while it needs it.
type buffer struct {
	b    []byte
	r, w int
}

func (b *buffer) bytes() []byte { return b.b[b.r:b.w] }
func (b *buffer) len() int      { return b.w - b.r }

// sizes of the buffers that are kept for reuse, and how many bytes of each size.
var sizes = [...]int{1 << 10, 4 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10}

const keptBytes = 4 << 20

type buffers struct {
	free [len(sizes)][]*buffer
	held int64 // bytes of the buffers that are not free, and of what else is held
}

// get returns an empty buffer of at least n bytes.
func (f *buffers) get(n int) *buffer {
	for i, size := range sizes {
		if n > size {
			continue
		}
		if k := len(f.free[i]); k > 0 {
			b := f.free[i][k-1]
			f.free[i] = f.free[i][:k-1]
			b.r, b.w = 0, 0
			f.held += int64(size)
			return b
		}
		f.held += int64(size)
		return &buffer{b: make([]byte, size)}
	}
	f.held += int64(n)
	return &buffer{b: make([]byte, n)}
}

func (f *buffers) put(b *buffer) {
	f.held -= int64(len(b.b))
	for i, size := range sizes {
		if len(b.b) == size && (len(f.free[i])+1)*size <= keptBytes {
			f.free[i] = append(f.free[i], b)
			return
		}
	}
}

// add appends p to b, in a larger buffer if it must; b may be nil.
func (f *buffers) add(b *buffer, p []byte) *buffer {
	if b == nil {
		b = f.get(len(p))
	}
	b = f.room(b, len(p))
	b.w += copy(b.b[b.w:], p)
	return b
}

// room makes space for n more bytes behind those that b holds.
func (f *buffers) room(b *buffer, n int) *buffer {
	if len(b.b)-b.w >= n {
		return b
	}
	if b.r > 0 && len(b.b)-b.len() >= n {
		b.w = copy(b.b, b.bytes())
		b.r = 0
		return b
	}
	larger := f.get(b.len() + max(n, b.len()))
	larger.w = copy(larger.b, b.bytes())
	f.put(b)
	return larger
}
