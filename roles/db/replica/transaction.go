package replica

import (
	"sync"
	"time"

	"stack/roles/db/binlog/event"
)

// Transaction is one of the source as it passes through here. Times that are not known, or have not come, are zero.
type Transaction struct {
	Name      string    // its GTID; ANONYMOUS where it has none; empty: there is no transaction
	Original  time.Time // of its commit, on the server that committed it first
	Committed time.Time // the same on the source
	Begun     time.Time // when the half that it is in began with it here
	Ended     time.Time // and when it was done: received to its end, or durable
}

// arrivals is what the receiver has heard, over all connections.
type arrivals struct {
	mu        sync.Mutex
	receiving Transaction
	received  Transaction
	whole     event.GTIDs // that have come to their ends
	beats     uint64      // heartbeats
	beat      time.Time   // of the last
}

func (a *arrivals) begin(t Transaction) {
	t.Begun = time.Now()
	a.mu.Lock()
	a.receiving = t
	a.mu.Unlock()
}

func (a *arrivals) end(id event.ID) {
	now := time.Now()
	a.mu.Lock()
	if id.Number > 0 {
		a.whole.Add(id)
	}
	a.received, a.receiving = a.receiving, Transaction{}
	a.received.Ended = now
	a.mu.Unlock()
}

// forget forgets which transactions have come.
func (a *arrivals) forget() {
	a.mu.Lock()
	a.whole = event.GTIDs{}
	a.mu.Unlock()
}

// abort forgets a transaction whose end does not come: the connection has ended.
func (a *arrivals) abort() {
	a.mu.Lock()
	a.receiving = Transaction{}
	a.mu.Unlock()
}

func (a *arrivals) heartbeat() {
	now := time.Now()
	a.mu.Lock()
	a.beats++
	a.beat = now
	a.mu.Unlock()
}
