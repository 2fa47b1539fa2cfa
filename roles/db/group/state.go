package group

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"stack/roles/db/binlog/event"
	"stack/roles/db/incarnation"
)

// Account is the name of the account as which the servers of a site speak to each other. It is
// in no catalog.
const Account = "stack.site"

// Password is the password of Account, from the site's replication key.
func Password(key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("stack: account of the database servers, 1"))
	return hex.EncodeToString(m.Sum(nil))
}

// State is what a server says of itself.
type State struct {
	Name     string
	Epoch    uint64 // the highest that it has accepted
	Primary  string // of that epoch; empty: nobody is yet
	Before   string // where Primary is empty: that of the last epoch that had one, Decided; empty: not known
	Decided  uint64
	Open     bool   // takes writes
	Executed string // GTID set of what it has executed and shows
	Received string // GTID set of what it has received, some of which may not be executed yet; it may be executed too
	Server   string // its UUID
	// Blank: its data directory began empty, or was restored, and does not have yet what the primary had since, or is to be replaced by a
	// copy. What it had acknowledged before may not be in it.
	Blank bool
	// Incarnations of servers, as far as it knows them.
	Incarnations incarnation.History
}

// Known is what it has, as package incarnation compares it.
func (s State) Known() incarnation.Known {
	has, err := event.UnionOf(s.Executed, s.Received)
	if err != nil { // whoever compares it says what is wrong with it
		has = s.Executed
	}
	return incarnation.Known{Server: s.Server, Executed: has, Starts: s.Incarnations}
}

// last is the primary of the last epoch that had one, and that epoch; empty: not known.
func (s State) last() (primary string, epoch uint64) {
	if s.Primary != "" {
		return s.Primary, s.Epoch
	}
	return s.Before, s.Decided
}

// Member is a server of the group. Its methods may be called concurrently; each ends with
// ctx, and fails where the server does not answer.
type Member interface {
	Name() string
	State(ctx context.Context) (State, error)
	// Accept makes the server accept epoch, with the primary of this name, empty: nobody
	// yet. It neither commits, applies nor acknowledges in a lower one from then on, and what it
	// returns is the GTID set of everything that it has on disk. ErrStaleEpoch in the text of the
	// error where it has accepted a higher one; the same one again is allowed, with another primary too
	// while nobody is.
	Accept(ctx context.Context, epoch uint64, primary string) (executed string, err error)
	// Open makes the server the primary of the epoch, which it has accepted, and lets it
	// take writes: by itself, later, where it has to apply first what it has received.
	Open(ctx context.Context, epoch uint64) error
}
