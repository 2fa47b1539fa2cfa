package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/roles/db/binlog/event"
	"stack/roles/db/group"
	"stack/roles/db/incarnation"
	"stack/roles/db/rewind"
	"stack/roles/db/seed"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// A member whose data is not a part of the primary's cannot follow it. What the primary lacks is taken back, or
// a copy of the primary's data replaces it. Both change what everything here stands on, so they happen at a start of the
// process, before anything is opened: this file is that start; seeder.go is what comes before it.

// rejoin is what the next start takes back, in the store under MetaRejoinKey: what the primary has not.
type rejoin struct {
	Epoch    uint64 `json:"epoch"` // in which that is the primary: nothing is taken back in another one
	Primary  string `json:"primary"`
	Server   string `json:"server"`   // its UUID
	Executed string `json:"executed"` // on it
	// Incarnations as it knows them.
	Incarnations incarnation.History `json:"incarnations,omitempty"`
	Failed       int                 `json:"failed,omitempty"` // attempts until now
}

// installSeed puts a copy in place that an earlier process has fetched.
func installSeed(node *config.Node, log *slog.Logger) error {
	dir := node.DB.DataDir
	ready, begun, epoch, err := seed.Ready(nil, dir)
	if !ready || err != nil {
		return err
	}
	opts := store.Options{Dir: dir, CacheBytes: seedCache, Version: sql.Version, Log: log}
	var old promise
	if !begun {
		if old, err = readPromise(opts); err != nil {
			return err
		}
		if old.epoch != epoch || alone(node) {
			// This server may have been the primary since: the copy has not what was committed then.
			log.Warn("a copy of the data of a former primary is removed", "epoch", epoch, "now", old.epoch)
			return seed.Remove(nil, dir)
		}
	}
	aside, err := seed.Install(nil, dir, opts, old.carry)
	if err != nil {
		return err
	}
	log.Warn("the data was replaced by a copy of the primary's; what was here is kept until the next time", "aside", aside)
	return nil
}

// seedCache is the block cache of a copy while it is looked through, bytes.
const seedCache = 8 << 20

// promise is what a server may not forget with its data: the epoch that it has accepted, and how often the data was
// replaced.
type promise struct {
	epoch  uint64
	term   []byte
	copies copies
}

func readPromise(opts store.Options) (p promise, err error) {
	st, err := store.OpenReadOnly(opts)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return promiseOf(st)
}

func promiseOf(st *store.Store) (p promise, err error) {
	b, err := store.Get(st.DB, store.MetaEpochKey())
	if err != nil {
		return p, err
	}
	p.epoch, _ = store.U64(b)
	if p.term, err = store.Get(st.DB, store.MetaTermKey()); err != nil {
		return p, err
	}
	p.copies, err = readCopies(st)
	return p, err
}

// carry keeps the promise in a copy of another server, where that has promised less, and counts the copy.
func (p promise) carry(st *store.Store) error {
	theirs, err := promiseOf(st)
	if err != nil {
		return err
	}
	count, err := json.Marshal(p.copies.and(time.Now()))
	if err != nil {
		return err
	}
	b := st.DB.NewBatch()
	defer b.Close()
	// A copy of the primary's data has what this server has acknowledged to it.
	err = errors.Join(b.Set(store.MetaCopiesKey(), count, nil), b.Delete(store.MetaRestoredKey(), nil))
	if theirs.epoch < p.epoch {
		err = errors.Join(err, b.Set(store.MetaEpochKey(), store.AppendU64(nil, p.epoch), nil), b.Delete(store.MetaTermKey(), nil))
		if p.term != nil {
			err = errors.Join(err, b.Set(store.MetaTermKey(), p.term, nil))
		}
	}
	return errors.Join(err, b.Commit(pebble.Sync))
}

// takeBackWithin bounds it: a start that takes too long is ended by the supervisor, and would be so again.
const takeBackWithin = 40 * time.Second

const (
	// takeBackAttempts is how often it is tried where it was not refused: what keeps it from succeeding, as a disk
	// that is slow or full, may pass, and a copy of everything needs the same disk.
	takeBackAttempts = 5
	takeBackRetry    = 10 * time.Second // to the second attempt, and twice as long to the next
)

// undone is why a start has not taken back what the primary lacks.
type undone struct {
	why    string // empty: nothing was to be, or it was
	cannot bool   // it never will be; what was asked for is forgotten
	failed int    // attempts until now
	next   time.Time
}

// takeBack does what MetaRejoinKey asks for on a store that was just opened. again: the store has to be
// opened anew.
func takeBack(st *store.Store, node *config.Node, log *slog.Logger) (again bool, u undone, err error) {
	b, err := store.Get(st.DB, store.MetaRejoinKey())
	if err != nil || b == nil {
		return false, u, err
	}
	var ask rejoin
	if err := json.Unmarshal(b, &ask); err != nil {
		return false, u, fmt.Errorf("what is to be taken back of %s: %w: %w", st.Dir(), store.ErrCorrupt, err)
	}
	p, err := promiseOf(st)
	if err != nil {
		return false, u, err
	}
	if p.epoch != ask.Epoch || alone(node) {
		// This server may have been the primary since: what was committed then would be taken back with the rest.
		log.Warn("nothing is taken back: what was asked for is of an epoch that has ended", "epoch", ask.Epoch, "now", p.epoch)
		return false, u, st.DB.Delete(store.MetaRejoinKey(), pebble.Sync)
	}
	ctx, cancel := context.WithTimeout(context.Background(), takeBackWithin)
	defer cancel()
	r, err := rewind.Run(ctx, st, rewind.Options{
		WriteSetLimit: txn.WriteSetLimitOf(node.DB.Memory), Version: sql.Version, Log: log,
		Errant: func(executed string) (string, error) {
			own := incarnation.Known{Server: st.Server, Executed: executed}
			if own.Starts, err = incarnation.Read(st); err != nil {
				return "", err
			}
			return errantOf(own, &group.State{Name: ask.Primary, Server: ask.Server, Executed: ask.Executed, Incarnations: ask.Incarnations})
		},
	})
	if err == nil && r.Errant != "" {
		log.Warn("transactions that the primary lacks were taken back", "primary", ask.Primary, "gtids", r.Errant, "transactions", r.Transactions, "file", r.File, "server", r.Server)
		return true, u, nil
	}
	if err == nil {
		return false, u, st.DB.Delete(store.MetaRejoinKey(), pebble.Sync)
	}
	ask.Failed++
	u = undone{why: err.Error(), cannot: errors.Is(err, rewind.ErrRefused) || ask.Failed >= takeBackAttempts, failed: ask.Failed}
	if u.cannot {
		log.Error("transactions that the primary lacks were not taken back: the data is to be replaced by a copy of the primary's: "+u.why,
			"primary", ask.Primary, "gtids", r.Errant, "file", r.File, "attempts", ask.Failed)
		return false, u, st.DB.Delete(store.MetaRejoinKey(), pebble.Sync)
	}
	pause := takeBackRetry << (ask.Failed - 1)
	u.next = time.Now().Add(pause)
	log.Error("transactions that the primary lacks were not taken back, which is tried again: "+u.why, "primary", ask.Primary, "gtids", r.Errant, "again_in", pause)
	if b, err = json.Marshal(ask); err != nil {
		return false, u, err
	}
	return false, u, st.DB.Set(store.MetaRejoinKey(), b, pebble.Sync)
}

// alone reports whether no other server can be the primary.
func alone(node *config.Node) bool { return len(node.Databases()) < 2 }

// lost says that the primary lacks what it had when this server began to follow it in this epoch, as one does that was
// restored from a backup: clients were answered for it, and this server may be the only one that has it.
func (m *member) lost(what string, primary *group.State) error {
	return fmt.Errorf("the primary %s lacks %s, which it had in this epoch, or has others under these numbers: it has lost data, so this server does not follow it and keeps its own; stop %[1]s and run stack db promote here, or empty the data directory %[3]s if %[1]s is right",
		primary.Name, what, m.data.store.Dir())
}

// leave makes the next start take back what the primary lacks, and begins that start; or asks for a copy of the
// primary's data. It returns what the operator is told meanwhile. m.mu is held.
func (m *member) leave(errant string, primary *group.State) error {
	if err := m.mayLack(errant, primary); err != nil {
		return err
	}
	switch u := m.undone; {
	case u.cannot:
		m.seeder.need(primary.Name, u.why)
		return nil
	case u.why != "" && time.Now().Before(u.next):
		return fmt.Errorf("%s, which the primary %s lacks, was not taken back: %s; attempt %d of %d follows at %s, and a copy of the primary's data after the last",
			errant, primary.Name, u.why, u.failed+1, takeBackAttempts, u.next.UTC().Format(time.DateTime))
	}
	// Where something is taken back, what was received behind it goes too, and comes again if the primary has it.
	if m.data.relay != nil {
		if err := m.data.relay.Reset(); err != nil {
			return fmt.Errorf("forget what was received: %w", err)
		}
	}
	value, err := json.Marshal(rejoin{Epoch: m.term.Epoch, Primary: primary.Name, Server: primary.Server, Executed: primary.Executed, Incarnations: primary.Incarnations, Failed: m.undone.failed})
	if err != nil {
		return err
	}
	if err := m.data.store.DB.Set(store.MetaRejoinKey(), value, pebble.Sync); err != nil {
		return fmt.Errorf("ask for transactions to be taken back: %w", err)
	}
	m.again("transactions that the primary lacks are taken back", "primary", primary.Name, "gtids", errant)
	return nil
}

// share reports whether two executed sets have a transaction in common.
func share(a, b string) (bool, error) {
	x, err := event.ParseGTIDs(a)
	if err != nil {
		return false, err
	}
	y, err := event.ParseGTIDs(b)
	if err != nil {
		return false, err
	}
	return !event.Without(x, y).Equal(x), nil
}

// again starts the process anew. It returns at once. m.mu is held.
func (m *member) again(why string, attributes ...any) {
	m.leaving = true
	m.log.Warn("the server starts anew: "+why, attributes...)
	m.restart()
}
