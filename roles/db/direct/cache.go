package direct

import "sync"

// Bounds of a Cache: entries of one of its two generations, bytes of their templates,
// and the longest template that is kept.
const (
	generationEntries = 2048
	generationBytes   = 4 << 20
	longestTemplate   = 64 << 10
)

// Entry is what is known of a template: a plan, or why there is none.
type Entry struct {
	Plan   *Plan // nil where Reason is not None, but for Coerced: then it may be not finished
	Reason Reason
	// Catalog and Accounts are the versions that this is true for.
	Catalog, Accounts uint64
	Digest            any // what the caller keeps with the template
}

// Cache keeps entries by template and by what else they depend on. It is bounded: when
// one generation is full, the one before is forgotten. Its methods may be called from
// many goroutines; the zero value is empty.
type Cache struct {
	mu         sync.RWMutex
	young, old map[cacheKey]*Entry
	bytes      int // of templates in young
}

// cacheKey is a template in the light of a session's settings.
type cacheKey struct{ template, session string }

// Get returns the entry of a template, nil if there is none. session says what plans
// depend on: database, account, sql_mode, character sets.
func (c *Cache) Get(template []byte, session string) *Entry {
	c.mu.RLock()
	e := c.young[cacheKey{string(template), session}]
	if e != nil {
		c.mu.RUnlock()
		return e
	}
	e = c.old[cacheKey{string(template), session}]
	c.mu.RUnlock()
	if e != nil {
		c.Put(template, session, e) // it lives on
	}
	return e
}

// Put keeps an entry in place of the one that was there.
func (c *Cache) Put(template []byte, session string, e *Entry) {
	if len(template) > longestTemplate {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= generationEntries || c.bytes+len(template) > generationBytes {
		c.old, c.young, c.bytes = c.young, make(map[cacheKey]*Entry), 0
	}
	c.young[cacheKey{string(template), session}] = e
	c.bytes += len(template)
}

// Len is the number of entries, some of them perhaps in both generations.
func (c *Cache) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.young) + len(c.old)
}
