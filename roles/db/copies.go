package db

import (
	"encoding/json"
	"fmt"
	"time"

	"stack/roles/db/store"
)

// Data that is replaced by a copy of the primary's, and is not the primary's again soon after, will hardly be so after the next
// copy either: what makes it another is still there. So copies come more and more rarely, over starts of the process, which
// each of them is.

const (
	copyRetryFirst = time.Minute // from a copy to the next, and twice as long to the one after
	copyRetryMost  = time.Hour
	// copyHelps is how long data must be of use after a copy for the next to count as the first.
	copyHelps = 2 * copyRetryMost
)

// copies is how often the data was replaced, each time soon after the time before. It is kept in the store, and goes with it into
// the copy.
type copies struct {
	Count int       `json:"count"`
	At    time.Time `json:"at"` // of the last
}

func readCopies(st *store.Store) (c copies, err error) {
	b, err := store.Get(st.DB, store.MetaCopiesKey())
	if err != nil || b == nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("copies in %s: %w: %w", st.Dir(), store.ErrCorrupt, err)
	}
	return c, nil
}

// and is what is known after another copy.
func (c copies) and(now time.Time) copies {
	if now.Sub(c.At) >= copyHelps {
		c.Count = 0
	}
	return copies{c.Count + 1, now}
}

// due is when the next copy may be fetched.
func (c copies) due(now time.Time) time.Time {
	if c.Count == 0 {
		return time.Time{}
	}
	pause := min(copyRetryFirst<<min(c.Count-1, 10), copyRetryMost)
	if c.At.After(now) { // the clock was put back
		return now.Add(pause)
	}
	return c.At.Add(pause)
}
