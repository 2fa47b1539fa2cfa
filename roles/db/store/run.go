package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/s2"
	"golang.org/x/sys/unix"
)

// run is a sorted file of temporary storage. It consists of blocks, of which this process alone
// knows where they begin:
//
//	s2 block format: entries, each
//	   uvarint  length of the key
//	   uvarint  length of the value
//	   key, value
//	4 bytes  CRC-32C of what is before, little endian
type run struct {
	fs    vfs.FS
	path  string
	file  vfs.File
	level int // how often its entries have been merged
	refs  int // iterators that read it, and the storage that it is part of

	blocks  []runBlock
	keys    []byte // of blocks: without pointers, for there are many
	entries int
	bytes   int64
	filter  filter // nil: there is none
	found   cursor // of find: the block that was read last stays
}

// runBlock is where a block stands in the file, and its first and last key in run.keys.
type runBlock struct {
	at                  int64
	size                uint32 // with the sum
	first, last, behind uint32
	cut                 bool // a group of keys ends here
}

const (
	// runBlockSize is about the size of a block before it is compressed, bytes. Each run that is
	// being merged keeps one.
	runBlockSize = 64 << 10
	// versionSize is how many bytes at the end of a key tell the versions of one apart.
	versionSize = 8
)

func (r *run) firstKey(block int) []byte {
	b := &r.blocks[block]
	return r.keys[b.first:b.last]
}

func (r *run) lastKey(block int) []byte {
	b := &r.blocks[block]
	return r.keys[b.last:b.behind]
}

// reach is the first block that ends at or behind key, or the number of blocks.
func (r *run) reach(key []byte) int {
	return sort.Search(len(r.blocks), func(i int) bool { return bytes.Compare(r.lastKey(i), key) >= 0 })
}

// read reads a block into data, which it may replace.
func (r *run) read(block int, packed, data []byte) (_, _ []byte, err error) {
	b := &r.blocks[block]
	if cap(packed) < int(b.size) {
		packed = make([]byte, b.size+b.size/4)
	}
	packed = packed[:b.size]
	if _, err := r.file.ReadAt(packed, b.at); err != nil {
		return packed, data, fmt.Errorf("read temporary storage %s: %w", r.path, err)
	}
	body := packed[:len(packed)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(packed[len(body):]) {
		return packed, data, fmt.Errorf("read temporary storage %s, block at %d: %w", r.path, b.at, ErrCorrupt)
	}
	if data, err = s2.Decode(data[:cap(data)], body); err != nil {
		return packed, data, fmt.Errorf("read temporary storage %s, block at %d: %w: %w", r.path, b.at, ErrCorrupt, err)
	}
	return packed, data, nil
}

// release gives up one use; the last removes the file.
func (r *run) release() error {
	if r.refs--; r.refs > 0 {
		return nil
	}
	return errors.Join(r.file.Close(), RemoveLarge(r.fs, r.path))
}

// RunWriter takes the entries of a run.
type RunWriter struct {
	r      *run
	block  []byte
	packed []byte
	last   []byte
	any    bool     // the block has an entry
	paced  int64    // bytes that are on their way to the disk
	hashes []uint64 // for the filter; nil: it is filled while writing, or there is none
	hash   bool
}

func newRunWriter(fs vfs.FS, path string, level int) (*RunWriter, error) {
	file, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("make a file of temporary storage: %w", err)
	}
	return &RunWriter{r: &run{fs: fs, path: path, file: file, level: level, refs: 1}}, nil
}

// Set adds an entry. Keys come in ascending order, each once; they end in 8 bytes that tell the
// versions of a key apart.
func (w *RunWriter) Set(key, value []byte) error {
	r := w.r
	if !w.any {
		w.any = true
		at := uint32(len(r.keys))
		r.keys = append(r.keys, key...)
		r.blocks = append(r.blocks, runBlock{at: r.bytes, first: at, last: uint32(len(r.keys))})
	}
	w.last = append(w.last[:0], key...)
	w.block = binary.AppendUvarint(w.block, uint64(len(key)))
	w.block = binary.AppendUvarint(w.block, uint64(len(value)))
	w.block = append(append(w.block, key...), value...)
	r.entries++
	if w.hash {
		h := xxhash.Sum64(key[:len(key)-versionSize])
		if r.filter != nil {
			r.filter.add(h)
		} else {
			w.hashes = append(w.hashes, h)
		}
	}
	if len(w.block) >= runBlockSize {
		return w.flush(false)
	}
	return nil
}

// Cut says that the keys of a group end here: what is looked for between them and those that
// follow is not there, and nothing is read to see that.
func (w *RunWriter) Cut() error { return w.flush(true) }

func (w *RunWriter) flush(cut bool) error {
	r := w.r
	if !w.any {
		if cut && len(r.blocks) > 0 {
			r.blocks[len(r.blocks)-1].cut = true
		}
		return nil
	}
	if most := s2.MaxEncodedLen(len(w.block)) + 4; cap(w.packed) < most {
		w.packed = make([]byte, most)
	}
	packed := s2.Encode(w.packed[:cap(w.packed)-4], w.block)
	packed = binary.LittleEndian.AppendUint32(packed, crc32.Checksum(packed, castagnoli))
	r.keys = append(r.keys, w.last...)
	b := &r.blocks[len(r.blocks)-1]
	b.size, b.behind, b.cut = uint32(len(packed)), uint32(len(r.keys)), cut
	r.bytes += int64(len(packed))
	w.block, w.any = w.block[:0], false
	if _, err := r.file.Write(packed); err != nil {
		return fmt.Errorf("write temporary storage %s: %w", r.path, err)
	}
	w.pace()
	return nil
}

func (w *RunWriter) pace() { w.paced = pace(w.r.file, w.paced, w.r.bytes) }

// pace begins to write to the disk what has come together of a file up to end: all of it at once, when
// the kernel thinks it is time, would hold up the syncs of others. Nothing waits for it to arrive. It
// returns up to where that was done, which begun says of earlier times.
func pace(file vfs.File, begun, end int64) int64 {
	fd := file.Fd()
	if end-begun < syncEvery || fd == vfs.InvalidFd {
		return begun
	}
	// A file system that does not do this writes when it likes.
	_ = unix.SyncFileRange(int(fd), begun, end-begun, unix.SYNC_FILE_RANGE_WRITE)
	return end
}

// finish ends the run.
func (w *RunWriter) finish() (*run, error) {
	if err := w.flush(true); err != nil {
		return nil, err
	}
	r := w.r
	if w.hash && r.filter == nil {
		r.filter = newFilter(len(w.hashes))
		for _, h := range w.hashes {
			r.filter.add(h)
		}
	}
	return r, nil
}

// cursor stands on an entry of a run. A block whose end it has come to is read when it must be:
// until then its key is that of the block's first entry (last, backwards), and it has no value.
type cursor struct {
	run     *run
	block   int
	loaded  bool
	data    []byte
	offsets []uint32 // of the entries in data
	pos     int
	key     []byte
	value   []byte
}

// load reads the block that the cursor stands at the first or last entry of.
func (c *cursor) load(packed *[]byte) (err error) {
	c.loaded = false // after an error it has neither this block nor the one before
	if *packed, c.data, err = c.run.read(c.block, *packed, c.data); err != nil {
		return err
	}
	if c.offsets, err = entriesOfBlock(c.offsets[:0], c.data); err != nil {
		return fmt.Errorf("read temporary storage %s: %w", c.run.path, err)
	}
	c.loaded = true
	return nil
}

// entriesOfBlock appends where the entries of a block begin.
func entriesOfBlock(offsets []uint32, data []byte) ([]uint32, error) {
	for at := 0; at < len(data); {
		offsets = append(offsets, uint32(at))
		_, _, next, err := entryAt(data, at)
		if err != nil {
			return offsets, err
		}
		at = next
	}
	if len(offsets) == 0 {
		return offsets, fmt.Errorf("an empty block: %w", ErrCorrupt)
	}
	return offsets, nil
}

// entryAt are the parts of the entry that begins at an offset, and where the next begins.
func entryAt(data []byte, at int) (key, value []byte, next int, err error) {
	rest := data[at:]
	k, n := binary.Uvarint(rest)
	if n <= 0 {
		return nil, nil, 0, fmt.Errorf("entry at %d: %w", at, ErrCorrupt)
	}
	rest = rest[n:]
	v, n := binary.Uvarint(rest)
	if n <= 0 || k < versionSize || k > uint64(len(rest)-n) || v > uint64(len(rest)-n)-k {
		return nil, nil, 0, fmt.Errorf("entry at %d: %w", at, ErrCorrupt)
	}
	rest = rest[n:]
	next = len(data) - len(rest) + int(k+v)
	return rest[:k:k], rest[k : k+v : k+v], next, nil
}

// stand takes key and value of the entry at pos.
func (c *cursor) stand(pos int) (err error) {
	c.pos = pos
	c.key, c.value, _, err = entryAt(c.data, int(c.offsets[pos]))
	return err
}

// edge puts the cursor at the beginning of a block, at its end if reverse, without reading it.
func (c *cursor) edge(block int, reverse bool) {
	c.block, c.loaded, c.value = block, false, nil
	if reverse {
		c.key = c.run.lastKey(block)
	} else {
		c.key = c.run.firstKey(block)
	}
}

// settle reads the block where that has not been done.
func (c *cursor) settle(reverse bool, packed *[]byte) error {
	if c.loaded {
		return nil
	}
	if err := c.load(packed); err != nil {
		return err
	}
	if reverse {
		return c.stand(len(c.offsets) - 1)
	}
	return c.stand(0)
}

// seek moves to the first entry with a key ≥ key (the last with one < key if reverse); false:
// there is none.
func (c *cursor) seek(key []byte, reverse bool, packed *[]byte) (bool, error) {
	block := c.run.reach(key)
	if block == len(c.run.blocks) || bytes.Compare(c.run.firstKey(block), key) >= 0 {
		if reverse {
			block--
		}
		if block < 0 || block == len(c.run.blocks) {
			return false, nil
		}
		c.edge(block, reverse)
		return true, nil
	}
	if !c.loaded || c.block != block {
		c.block = block
		if err := c.load(packed); err != nil {
			return false, err
		}
	}
	pos := sort.Search(len(c.offsets), func(i int) bool {
		k, _, _, _ := entryAt(c.data, int(c.offsets[i])) // load has looked at all
		return bytes.Compare(k, key) >= 0
	})
	if reverse {
		pos--
	}
	return true, c.stand(pos)
}

// step moves on by one; false: the run is at its end. The block must have been read.
func (c *cursor) step(reverse bool) (bool, error) {
	pos, block := c.pos+1, c.block+1
	if reverse {
		pos, block = c.pos-1, c.block-1
	}
	if pos >= 0 && pos < len(c.offsets) {
		return true, c.stand(pos)
	}
	if block < 0 || block == len(c.run.blocks) {
		return false, nil
	}
	c.edge(block, reverse)
	return true, nil
}
