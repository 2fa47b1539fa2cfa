package static

import "time"

// Bounds of a loop's cache.
const (
	maxEntries = 4096     // files and directories
	maxAbsent  = 1024     // paths where nothing is, so that a flood of them evicts no file
	maxBytes   = 32 << 20 // content of small files
	maxOpen    = 512      // descriptors of large files

	// fresh is how long an entry is believed without another look.
	fresh = time.Second
	// grace is how much longer it is used while a worker looks: without it every
	// request of that moment would go to a worker.
	grace = 200 * time.Millisecond
	// idle is how long what nobody asks for is kept: a deleted file that is held open
	// still takes its place on the disk.
	idle = time.Minute
)

type key struct {
	root *Root
	path string
	stat bool
}

func (e *Entry) key() key { return key{e.root, e.path, e.stat} }

// Cache is the open-file cache of one event loop. It never blocks and is used by its
// loop only; what it does not hold is loaded by a worker and put in.
type Cache struct {
	entries map[key]*Entry
	present list // File and Directory, least recently used last
	absent  list
	bytes   int64
	open    int
}

// NewCache makes an empty cache.
func NewCache() *Cache {
	return &Cache{entries: make(map[key]*Entry)}
}

// Finder looks up a path in normal form below a root; with stat only whether it is
// there. ok is false when the answer is not known; e is then nil or what was known
// before.
type Finder interface {
	Find(root *Root, path []byte, stat bool) (e *Entry, ok bool)
}

// At is the cache as a Finder at a moment.
type At struct {
	*Cache
	Now time.Time
}

// Find answers from memory. Hot path: guarded by BenchmarkCacheHit.
func (c *At) Find(root *Root, path []byte, stat bool) (*Entry, bool) {
	e := c.entries[key{root, string(path), stat}]
	if e == nil {
		return nil, false
	}
	age := c.Now.Sub(e.checked)
	if age > fresh && (age > fresh+grace || e.asked != e.checked) {
		// Too old, or the one that noticed first: the caller sends a worker. asked then
		// differs from checked no more, and the others are served meanwhile.
		e.asked = e.checked
		return e, false
	}
	l := &c.present
	if e.Kind == Absent {
		l = &c.absent
	}
	l.front(e)
	e.used = c.Now
	return e, true
}

// Put keeps what a worker loaded at the time now, in place of what was known of the
// path. The entry's descriptor belongs to the cache from now on.
func (c *Cache) Put(e *Entry, now time.Time) {
	old := c.entries[e.key()]
	e.used = now
	if old == e {
		e.checked = now
		return
	}
	if old != nil {
		c.drop(old)
	}
	e.refs++
	if e.Err != nil {
		e.Release()
		return
	}
	e.checked, e.asked = now, time.Time{}
	c.entries[e.key()] = e
	c.bytes += int64(len(e.Body))
	if e.fd >= 0 {
		c.open++
	}
	if e.Kind == Absent {
		c.absent.push(e)
		if c.absent.n > maxAbsent {
			c.drop(c.absent.last)
		}
		return
	}
	c.present.push(e)
	for c.present.n > 1 && (c.present.n > maxEntries || c.bytes > maxBytes || c.open > maxOpen) {
		c.drop(c.present.last)
	}
}

// Expire drops what nobody asked for within a minute. It is called now and then.
func (c *Cache) Expire(now time.Time) {
	for _, l := range []*list{&c.present, &c.absent} {
		for l.last != nil && now.Sub(l.last.used) > idle {
			c.drop(l.last)
		}
	}
}

// Keep drops what belongs to roots that keep refuses: after a reload, or at the end.
func (c *Cache) Keep(keep func(*Root) bool) {
	for _, e := range c.entries {
		if !keep(e.root) {
			c.drop(e)
		}
	}
}

// Len returns the numbers of entries, of bytes of content and of open files.
func (c *Cache) Len() (entries int, bytes int64, open int) {
	return len(c.entries), c.bytes, c.open
}

func (c *Cache) drop(e *Entry) {
	delete(c.entries, e.key())
	c.bytes -= int64(len(e.Body))
	if e.fd >= 0 {
		c.open--
	}
	if e.Kind == Absent {
		c.absent.remove(e)
	} else {
		c.present.remove(e)
	}
	e.Release()
}

// Loader is a Finder that looks at the disk. It blocks, is used by one worker at a
// time, and remembers what it loaded for the cache.
type Loader struct {
	// Prior is what the cache knew of the first path that it could not answer,
	// retained for the loader; may be nil.
	Prior  *Entry
	Loaded []*Entry
}

// Find always knows.
func (l *Loader) Find(root *Root, path []byte, stat bool) (*Entry, bool) {
	k := key{root, string(path), stat}
	for _, e := range l.Loaded {
		if e.key() == k {
			return e, true
		}
	}
	prior := l.Prior
	if prior != nil && prior.key() != k {
		prior = nil
	}
	e := Load(root, k.path, stat, prior)
	l.Loaded = append(l.Loaded, e)
	return e, true
}

// Into hands everything that was loaded to the cache. On the cache's loop. An entry
// that was used by the decision must be retained before.
func (l *Loader) Into(c *Cache, now time.Time) {
	for _, e := range l.Loaded {
		c.Put(e, now)
	}
	if l.Prior != nil {
		l.Prior.Release()
	}
}

// list is a doubly linked list of entries, the most recently used first.
type list struct {
	first, last *Entry
	n           int
}

func (l *list) push(e *Entry) {
	e.prev, e.next = nil, l.first
	if l.first != nil {
		l.first.prev = e
	} else {
		l.last = e
	}
	l.first = e
	l.n++
}

func (l *list) remove(e *Entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.prev, e.next = nil, nil
	l.n--
}

func (l *list) front(e *Entry) {
	if l.first != e {
		l.remove(e)
		l.push(e)
	}
}
