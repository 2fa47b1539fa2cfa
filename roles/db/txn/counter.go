package txn

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// counters are the AUTO_INCREMENT counters and hidden row ids of all tables, kept in
// memory. The next value of each that moved goes into every batch, so that a value
// that somebody may have seen committed is never given out again.
type counters struct {
	db *pebble.DB
	mu sync.Mutex
	// next value by meta key: all that are known, those that differ from what is logged, and those
	// in the batch whose outcome the leader does not know yet.
	values map[string]*counter
	moved  map[string]*counter
	logged map[string]*counter
}

type counter struct{ next uint64 }

func (c *counters) init(db *pebble.DB) {
	c.db, c.values, c.moved, c.logged = db, map[string]*counter{}, map[string]*counter{}, map[string]*counter{}
}

// at returns the counter of a key, read from the store at first use. c.mu is held.
func (c *counters) at(key []byte) (*counter, error) {
	if n := c.values[string(key)]; n != nil {
		return n, nil
	}
	b, err := store.Get(c.db, key)
	if err != nil {
		return nil, err
	}
	n := &counter{next: 1}
	if b != nil {
		v, ok := store.U64(b)
		if !ok {
			return nil, fmt.Errorf("counter % x: %w", key, store.ErrCorrupt)
		}
		n.next = v
	}
	c.values[string(key)] = n
	return n, nil
}

// peek returns the next value without taking it.
func (c *counters) peek(key []byte) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.at(key)
	if err != nil {
		return 0, err
	}
	return n.next, nil
}

// take returns the next of n values and moves on behind them.
func (c *counters) take(key []byte, n uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, err := c.at(key)
	if err != nil {
		return 0, err
	}
	if x.next == math.MaxUint64 {
		return 0, ErrAutoIncrementExhausted
	}
	v := x.next
	x.next += min(n, math.MaxUint64-v)
	c.moved[string(key)] = x
	return v, nil
}

// raise makes next at least v.
func (c *counters) raise(key []byte, v uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.at(key)
	if err != nil {
		return err
	}
	if v > n.next {
		n.next = v
		c.moved[string(key)] = n
	}
	return nil
}

// set makes v next, up or down (ALTER TABLE … AUTO_INCREMENT).
func (c *counters) set(key []byte, v uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.at(key)
	if err != nil {
		return err
	}
	n.next = v
	c.moved[string(key)] = n
	return nil
}

// log adds every counter that moved to a batch, with whose outcome settle must be called: the
// counters are those of all transactions, and others commit behind a batch that fails.
func (c *counters) log(b *pebble.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, n := range c.moved {
		if err := b.Set([]byte(key), binary.BigEndian.AppendUint64(nil, n.next), nil); err != nil {
			return err
		}
	}
	c.moved, c.logged = c.logged, c.moved
	return nil
}

// settle ends log: what was in a batch that has failed goes into the next one.
func (c *counters) settle(failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, n := range c.logged {
		if failed != nil && c.values[key] == n { // else forgotten
			c.moved[key] = n
		}
	}
	clear(c.logged)
}

// forget drops the counters of an index that is deleted.
func (c *counters) forget(index uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range [][]byte{store.MetaAutoIncrementKey(index), store.MetaRowIDKey(index)} {
		delete(c.values, string(key))
		delete(c.moved, string(key))
	}
}

// reserved are AUTO_INCREMENT values that a statement has taken and not used.
type reserved struct {
	index      uint32 // primary index of the table
	next, last uint64 // none left where next > last
	want       uint64 // values to take at once
}

// ExpectAutoIncrement tells that the statement will insert up to n rows into a table: its
// AUTO_INCREMENT values follow each other, whoever else inserts. What is not used is lost.
func (t *Txn) ExpectAutoIncrement(table *store.Table, n int) {
	t.ahead = reserved{index: table.Primary.Desc.ID, next: 1, want: uint64(max(n, 1))}
}

// NextAutoIncrement takes the next AUTO_INCREMENT value of a table. It is not given
// back by a rollback.
func (t *Txn) NextAutoIncrement(table *store.Table) (uint64, error) {
	t.counted = true
	index := table.Primary.Desc.ID
	if t.ahead.index != index {
		return t.e.counters.take(store.MetaAutoIncrementKey(index), 1)
	}
	if t.ahead.next > t.ahead.last {
		first, err := t.e.counters.take(store.MetaAutoIncrementKey(index), t.ahead.want)
		if err != nil {
			return 0, err
		}
		last := first + min(t.ahead.want-1, math.MaxUint64-1-first)
		t.ahead = reserved{index: index, next: first, last: last, want: 1}
	}
	v := t.ahead.next
	t.ahead.next++
	return v, nil
}

// RaiseAutoIncrement makes the next AUTO_INCREMENT value of a table at least next.
func (t *Txn) RaiseAutoIncrement(table *store.Table, next uint64) error {
	return t.e.counters.raise(store.MetaAutoIncrementKey(table.Primary.Desc.ID), next)
}

// SetAutoIncrement sets the next AUTO_INCREMENT value of a table, up or down; the
// caller has made sure that no row has a value as high. It is logged at commit, and needs
// LogStatement as changes of the catalog do.
func (t *Txn) SetAutoIncrement(table *store.Table, next uint64) error {
	t.counted = true
	t.changes = t.changes || !store.Internal(table.Desc.Database)
	return t.e.counters.set(store.MetaAutoIncrementKey(table.Primary.Desc.ID), next)
}

// PeekAutoIncrement is the next AUTO_INCREMENT value of a table, not taken.
func (e *Engine) PeekAutoIncrement(table *store.Table) (uint64, error) {
	return e.counters.peek(store.MetaAutoIncrementKey(table.Primary.Desc.ID))
}

// noteAutoIncrement raises the counter over a value that a row brings itself.
func (t *Txn) noteAutoIncrement(table *store.Table, v any) error {
	var next uint64
	switch v := v.(type) {
	case int8:
		next = uint64(max(v, 0))
	case int16:
		next = uint64(max(v, 0))
	case int32:
		next = uint64(max(v, 0))
	case int64:
		next = uint64(max(v, 0))
	case uint8:
		next = uint64(v)
	case uint16:
		next = uint64(v)
	case uint32:
		next = uint64(v)
	case uint64:
		next = v
	case float32:
		next = uint64(max(v, 0))
	case float64:
		next = uint64(max(v, 0))
	}
	if next == 0 {
		return nil
	}
	if next < math.MaxUint64 {
		next++
	}
	if a := &t.ahead; a.index == table.Primary.Desc.ID && a.next < next {
		a.next = next // a value in between must not come from what was taken before
	}
	return t.RaiseAutoIncrement(table, next)
}
