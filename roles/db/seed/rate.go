package seed

import (
	"context"
	"slices"
	"sync"
	"time"
)

// limiter lets bytes through at a rate. Safe for concurrent use.
type limiter struct {
	mu   sync.Mutex
	rate int64 // bytes a second, 0 for no bound
	next time.Time
}

func (l *limiter) set(rate int64) {
	l.mu.Lock()
	l.rate = max(rate, 0)
	l.mu.Unlock()
}

// wait returns when n more bytes may be sent, or ctx ends.
func (l *limiter) wait(ctx context.Context, n int) error {
	l.mu.Lock()
	if l.rate == 0 {
		l.mu.Unlock()
		return nil
	}
	now := time.Now()
	at := l.next
	if at.Before(now) { // time in which nothing was sent is not made up for
		at = now
	}
	l.next = at.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	l.mu.Unlock()
	if at.Equal(now) {
		return nil
	}
	t := time.NewTimer(at.Sub(now))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// meter measures a rate over the last seconds.
type meter struct {
	begun      time.Time
	this, last int64 // bytes of the window that runs, and of the one before
	now        func() time.Time
}

const window = 2 * time.Second

func (m *meter) turn() time.Duration {
	now := time.Now
	if m.now != nil {
		now = m.now
	}
	at := now()
	if m.begun.IsZero() {
		m.begun = at
	}
	switch since := at.Sub(m.begun); {
	case since >= 2*window:
		m.begun, m.this, m.last = at, 0, 0
	case since >= window:
		m.begun, m.this, m.last = m.begun.Add(window), 0, m.this
	}
	return at.Sub(m.begun)
}

func (m *meter) add(n int64) {
	m.turn()
	m.this += n
}

// rate is bytes a second: of the window that runs and as much of the last one as is missing.
func (m *meter) rate() int64 {
	part := m.turn().Seconds() / window.Seconds()
	return int64((float64(m.this) + float64(m.last)*(1-part)) / window.Seconds())
}

func sortByAge(list []*checkpoint) {
	slices.SortFunc(list, func(a, b *checkpoint) int { return a.made.Compare(b.made) })
}
