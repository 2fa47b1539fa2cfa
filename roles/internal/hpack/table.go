package hpack

// Decoder holds the dynamic table of one direction of one connection. Its octets
// lie in a ring whose memory grows with what the peer inserts, up to the size that
// was announced, and is kept from then on.
type Decoder struct {
	ring    []byte
	entries []entry // a ring as well; its length is a power of two

	first int // the oldest entry
	count int
	tail  int // where the next entry's octets begin
	used  int // octets of all entries

	limit     int // the size that the peer chose, at most announced
	announced int
}

// entry is where a field lies in the ring: the value follows the name, and either
// may run over the ring's end.
type entry struct {
	offset, name, value uint32
}

const (
	firstRing    = 256
	firstEntries = 8
)

// Init empties the table and sets its largest size to maxTable octets as RFC 7541
// section 4.1 counts them: the SETTINGS_HEADER_TABLE_SIZE that was announced.
// A peer may fill 4,096 octets before it has read a smaller announcement and then
// refers to entries that are not here, so 4,096 is the least that is safe.
func (d *Decoder) Init(maxTable int) {
	*d = Decoder{ring: d.ring, entries: d.entries, limit: maxTable, announced: maxTable}
}

// entry returns the entry at a dynamic index; 1 is the newest.
func (d *Decoder) entry(index int) *entry {
	return &d.entries[(d.first+d.count-index)&(len(d.entries)-1)]
}

// size is the table's size as RFC 7541 section 4.1 counts it.
func (d *Decoder) size() int { return d.used + d.count*fieldOverhead }

func (d *Decoder) resize(limit int) {
	d.limit = limit
	d.evict(0)
}

// evict drops the oldest entries until need octets fit, or none is left.
func (d *Decoder) evict(need int) {
	for d.count > 0 && d.size()+need > d.limit {
		e := &d.entries[d.first]
		d.used -= int(e.name + e.value)
		d.first = (d.first + 1) & (len(d.entries) - 1)
		d.count--
	}
}

// insert adds a field, whose octets must not lie in the ring. One that is larger
// than the table empties it (RFC 7541 section 4.4).
func (d *Decoder) insert(name, value []byte) {
	n := len(name) + len(value)
	d.evict(n + fieldOverhead)
	if n+fieldOverhead > d.limit {
		return
	}
	d.grow(n)
	d.entries[(d.first+d.count)&(len(d.entries)-1)] = entry{uint32(d.tail), uint32(len(name)), uint32(len(value))}
	d.count++
	d.used += n
	d.put(name)
	d.put(value)
}

// put copies b to the ring's tail.
func (d *Decoder) put(b []byte) {
	n := copy(d.ring[d.tail:], b)
	if d.tail += n; d.tail == len(d.ring) {
		d.tail = copy(d.ring, b[n:])
	}
}

// grow makes room for an entry of n octets. The entries in the table and the new
// one fit into the limit, hence into a ring of its size.
func (d *Decoder) grow(n int) {
	if d.used+n > len(d.ring) {
		ring := make([]byte, min(max(2*len(d.ring), d.used+n, firstRing), d.announced))
		d.moveTo(ring)
	}
	if d.count == len(d.entries) {
		entries := make([]entry, max(2*len(d.entries), firstEntries))
		for i := range d.count {
			entries[i] = *d.entry(d.count - i)
		}
		d.entries, d.first = entries, 0
	}
}

// moveTo copies the entries' octets to the start of a larger ring.
func (d *Decoder) moveTo(ring []byte) {
	tail := 0
	for i := d.count; i > 0; i-- {
		e := d.entry(i)
		size := int(e.name + e.value)
		n := copy(ring[tail:tail+size], d.ring[e.offset:])
		copy(ring[tail+n:tail+size], d.ring)
		e.offset = uint32(tail)
		tail += size
	}
	d.ring, d.tail = ring, tail
}
