package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/apply"
	"stack/roles/db/binlog/event"
	"stack/roles/db/relay"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// Options of Open; Store, DB and Statements are needed.
type Options struct {
	Store      *store.Store
	DB         *txn.Engine
	Statements apply.Statements
	Name       string       // of this node, for the source
	Log        *slog.Logger // nil: nothing is logged
	// Following is called where the server begins or ends to be one that only its source
	// changes.
	Following func(bool)
	// Relay, where not nil, holds what was received and not applied of a server of this kind that is followed by GTID: it is
	// acknowledged before it is applied. nil: what is received is applied, and then acknowledged.
	Relay *relay.Log
	// RelayAccount is as whom such a server is followed; from others, what is received is applied at once.
	RelayAccount string
	// Held: nothing in Relay may be applied before a source has told how far, as commits wait for more than one server.
	Held bool
	// Leads, where not nil, says whether a source in a higher epoch takes this server along. Where others
	// tell who the primary of an epoch is, it does not: the source may be one that was replaced, and its log
	// have more than the new primary's.
	Leads func() bool
}

// Errors of the statements.
var (
	ErrRunning    = errors.New("this operation cannot be performed while the source is being followed: run STOP REPLICA first")
	ErrNoSource   = errors.New("no source is configured: name it with CHANGE REPLICATION SOURCE TO")
	ErrNotRunning = errors.New("the source is not being followed")
)

// Replica follows one source. All methods are safe for concurrent use.
type Replica struct {
	opts Options

	mu       sync.Mutex // of the statements
	settings *Settings  // nil: no source is configured
	running  *run       // nil: stopped
	bound    bound      // of the run that has ended last; of the running one's goroutine

	status
}

// run is one START.
type run struct {
	stop   context.CancelFunc
	done   chan struct{}
	drains bool // it applies what is there, and follows nobody: see Drain
}

// Open reads what is configured. It follows nobody before Resume.
func Open(opts Options) (*Replica, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	r := &Replica{opts: opts, bound: bound{held: opts.Held}}
	var err error
	if r.settings, err = readSettings(opts.Store); err != nil {
		return nil, err
	}
	why, err := store.Get(opts.Store.DB, store.MetaDivergedKey())
	if err != nil {
		return nil, err
	}
	r.diverged = string(why)
	if r.at, err = readPosition(opts.Store); err != nil {
		return nil, err
	}
	if r.settings != nil && r.settings.ReadOnly {
		r.tellFollowing()
	}
	return r, nil
}

// Resume follows the source again after a start of the server, where it was followed before.
func (r *Replica) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.settings == nil || !r.settings.Started:
	case r.diverged != "":
		r.failed(sqlSide, wasDiverged(r.diverged))
		r.set(StateSQLFailed)
		r.opts.Log.Error("the source is not followed: the data is not what it is there; seed this server anew", "why", r.diverged)
	default:
		r.begin()
	}
}

// Close stops.
func (r *Replica) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
}

// Following reports whether only the source changes this server's data: from the first START
// until RESET REPLICA ALL.
func (r *Replica) Following() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings != nil && r.settings.ReadOnly
}

func (r *Replica) tellFollowing() {
	on := r.settings != nil && r.settings.ReadOnly
	r.opts.DB.SetReadOnly(on)
	if r.opts.Following != nil {
		r.opts.Following(on)
	}
}

// Change changes the settings: edit gets them, and the position, which it may change. ErrRunning.
func (r *Replica) Change(edit func(*Settings, *Position) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs() {
		return ErrRunning
	}
	s := Defaults()
	if r.settings != nil {
		s = *r.settings
	}
	host, port := s.Host, s.Port
	at, err := readPosition(r.opts.Store)
	if err != nil {
		return err
	}
	if err := edit(&s, &at); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	value, err := at.encode()
	if err != nil {
		return err
	}
	b := r.opts.Store.DB.NewBatch()
	defer b.Close()
	if err := b.Set(store.MetaSourcePositionKey(), value, nil); err != nil {
		return err
	}
	if err := s.write(b); err != nil {
		return err
	}
	r.settings = &s
	r.forget()
	if host != s.Host || port != s.Port {
		r.forgetSource()
		r.opts.Log.Info("the source was changed", "host", s.Host, "port", s.Port)
	}
	return nil
}

// Start follows the source. ErrNoSource.
func (r *Replica) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settings == nil || r.settings.Host == "" {
		return ErrNoSource
	}
	if r.runs() {
		return nil
	}
	r.end()
	if err := r.store(func(s *Settings) { s.Started, s.ReadOnly = true, true }); err != nil {
		return err
	}
	r.tellFollowing()
	r.begin()
	return nil
}

// Stop ends following. What was received and not applied stays in the relay log; without one it is forgotten and comes
// again.
func (r *Replica) Stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running != nil && r.running.drains {
		r.end()
	}
	if r.settings == nil {
		return ErrNoSource
	}
	r.end()
	return r.store(func(s *Settings) { s.Started = false })
}

// Reset forgets the position, and with all the source too: then this server takes writes
// again. ErrRunning.
func (r *Replica) Reset(all bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs() {
		return ErrRunning
	}
	if n := r.Pending(); n > 0 {
		return fmt.Errorf("forget the source: %d transactions were received and acknowledged, and are not applied", n)
	}
	b := r.opts.Store.DB.NewBatch()
	defer b.Close()
	err := errors.Join(b.Delete(store.MetaSourcePositionKey(), nil), b.Delete(store.MetaDivergedKey(), nil))
	if all {
		err = errors.Join(err, b.Delete(store.MetaSourceKey(), nil))
	}
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("forget the source: %w", err)
	}
	if r.opts.Relay != nil {
		if err := r.opts.Relay.Reset(); err != nil { // all that it has is executed
			r.opts.Log.Warn("the relay log keeps what is executed: " + err.Error())
		}
	}
	r.forget()
	r.arrivals.forget()
	if all {
		r.forgetSource()
		r.settings = nil
		r.tellFollowing()
	}
	return nil
}

// store changes the stored settings. r.mu is held.
func (r *Replica) store(edit func(*Settings)) error {
	s := *r.settings
	edit(&s)
	b := r.opts.Store.DB.NewBatch()
	defer b.Close()
	if err := s.write(b); err != nil {
		return err
	}
	r.settings = &s
	return nil
}

// begin starts the goroutine that follows. r.mu is held.
func (r *Replica) begin() {
	ctx, stop := context.WithCancel(context.Background())
	x := &run{stop: stop, done: make(chan struct{})}
	r.running = x
	s := *r.settings
	r.clear()
	r.set(StateConnecting)
	go func() {
		defer close(x.done)
		defer stop()
		if r.opts.Relay != nil && s.Auto && s.User == r.opts.RelayAccount {
			r.followStored(ctx, &s)
			return
		}
		r.follow(ctx, &s, r.once)
	}()
}

// runs reports whether the source is followed, or will be at the next attempt. r.mu is held.
func (r *Replica) runs() bool {
	if r.running == nil {
		return false
	}
	select {
	case <-r.running.done:
		return false
	default:
		return true
	}
}

// end stops it and waits. r.mu is held.
func (r *Replica) end() {
	if r.running == nil {
		return
	}
	r.running.stop()
	<-r.running.done
	r.running = nil
}

// firstWait is how long it waits before it connects again the first time; each time twice as
// long, up to Settings.Retry.
const firstWait = 100 * time.Millisecond

// follow connects with once, again and again, until it is stopped or cannot go on.
func (r *Replica) follow(ctx context.Context, s *Settings, once func(context.Context, *Settings) error) {
	wait, attempts := firstWait, 0
	for {
		r.set(StateConnecting)
		err := once(ctx, s)
		if ctx.Err() != nil {
			r.stopped(ctx)
			return
		}
		if r.streamed.Swap(false) {
			wait, attempts = firstWait, 0
		}
		attempts++
		f, again := r.judge(err)
		if f == ioSide && s.Attempts > 0 && attempts >= s.Attempts {
			again = false
		}
		if !again {
			r.ends(f, err, s)
			return
		}
		r.failed(f, err)
		if f == sqlSide {
			r.retried()
		}
		r.set(StateWaiting)
		r.opts.Log.Warn("the source is not followed for now: "+err.Error(), "host", s.Host, "port", s.Port, "again_in", wait)
		pause := time.NewTimer(wait/2 + rand.N(wait)) // not all replicas at once
		select {
		case <-ctx.Done():
			pause.Stop()
			r.stopped(ctx)
			return
		case <-pause.C:
		}
		wait = min(2*wait, time.Duration(s.Retry)*time.Second)
		r.reconnects.Add(1)
	}
}

// judge says which side an error belongs to, and whether another attempt may help.
func (r *Replica) judge(err error) (f side, again bool) {
	var link *linkError
	var fatal *fatalError
	var server *ServerError
	switch {
	case errors.As(err, &fatal):
		return ioSide, false
	case errors.As(err, &link):
		// 1236: the source no longer has what is asked for.
		return ioSide, !errors.As(err, &server) || server.Code != 1236
	case errors.Is(err, txn.ErrDiverged):
		r.markDiverged(err)
		return sqlSide, false
	case errors.Is(err, txn.ErrStaleEpoch):
		return ioSide, true
	case errors.Is(err, txn.ErrDeadlock), errors.Is(err, txn.ErrLockWaitTimeout), errors.Is(err, txn.ErrDiskFull):
		return sqlSide, true
	}
	return sqlSide, false
}

// markDiverged keeps why this server cannot follow any more, over restarts.
func (r *Replica) markDiverged(err error) {
	r.statusMu.Lock()
	r.diverged = err.Error()
	r.statusMu.Unlock()
	if err := r.opts.Store.DB.Set(store.MetaDivergedKey(), []byte(err.Error()), pebble.Sync); err != nil {
		r.opts.Log.Error("keep that the data is not the source's: " + err.Error())
	}
}

// unmark forgets it, once what did not fit fits.
func (r *Replica) unmark() {
	r.statusMu.Lock()
	was := r.diverged
	r.diverged = ""
	r.statusMu.Unlock()
	if was == "" {
		return
	}
	if err := r.opts.Store.DB.Delete(store.MetaDivergedKey(), pebble.Sync); err != nil {
		r.opts.Log.Error("forget that the data was not the source's: " + err.Error())
	}
}

// once follows over one connection.
func (r *Replica) once(ctx context.Context, s *Settings) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at, err := readPosition(r.opts.Store)
	if err != nil {
		return err
	}
	l, err := r.connect(ctx, s, at)
	if err != nil {
		return &linkError{err}
	}
	defer l.close()
	q := newQueue()
	defer q.close()
	r.piped(q, at)
	defer r.piped(nil, at)
	r.connected(l)
	defer r.disconnected()
	v := r.receiver(l, s, q, at)
	received := make(chan struct{})
	go func() {
		defer close(received)
		q.fail(r.receiveAll(v))
	}()
	r.acknowledgeAll(l)
	err = r.applyAll(ctx, q, l.epoch, func(done end) { l.received(done.id) })
	cancel()
	l.close()
	q.close()
	<-received
	r.arrivals.abort()
	return err
}

// receiver reads the log off a connection into a pipe.
func (r *Replica) receiver(l *link, s *Settings, q pipe, at Position) *receiver {
	return &receiver{c: l.c, q: q, maria: l.maria, auto: s.Auto, clock: r.alive, at: at, bytes: &r.bytes, arrived: &r.received, heard: &r.arrivals, there: &l.clock}
}

// acknowledgeAll tells a source what is durable here: what was acknowledged on a connection that has ended may not have
// arrived.
func (r *Replica) acknowledgeAll(l *link) {
	if n := r.hereOf(l); l.acknowledges && n > 0 {
		_ = l.acknowledge(l.epoch, n) // where it cannot be sent, the receiver sees the end of the connection too
	}
}

// applyAll applies what the pipe gets, in an epoch, and commits when nothing more is there. durable is told how far that has
// come.
func (r *Replica) applyAll(ctx context.Context, q pipe, epoch uint64, durable func(end)) (err error) {
	name := "apply the log" // then, the transaction
	defer r.recovered(&name, &err)
	src := &source{q: q}
	a := apply.New(r.opts.DB, r.opts.Statements)
	defer a.Close()
	var waits ends
	var current event.ID
	var applying Transaction
	var kept time.Time // when a position was kept without a transaction
	a.Done = func(_ context.Context, tx *txn.Txn) error {
		tx.ApplyEpoch(epoch)
		at := src.cur.at
		waits = append(waits, end{current, at, applying, src.cur.stored})
		value, err := at.encode()
		if err != nil {
			return err
		}
		return tx.SetMeta(store.MetaSourcePositionKey(), value)
	}
	a.Durable = func(n int) {
		done := waits.durable(n)
		r.durable(n, done)
		durable(done)
	}
	for {
		ready := src.ready()
		if !ready {
			if err := a.Flush(ctx); err != nil {
				return err
			}
		}
		r.applies(Transaction{}, a.Waiting())
		if !ready {
			q.applied() // also what was skipped
			kept = r.idle(ctx, q, kept)
			q.gather(ctx)
		}
		g, server, err := a.Next(ctx, src)
		if errors.Is(err, errDrained) {
			return a.Flush(ctx)
		}
		if err != nil {
			return errors.Join(err, a.Flush(ctx))
		}
		name = src.cur.name
		applying = src.cur.tx
		applying.Begun = time.Now()
		r.applies(applying, a.Waiting())
		current = g.ID()
		if err := a.Apply(ctx, src, g, server); err != nil {
			return named(name, err)
		}
	}
}

// keepEvery is how often a position is kept at most that comes without a transaction.
const keepEvery = time.Second

// idle waits for the next transaction, while everything before is durable. Meanwhile the source may go on to
// other files, and remove the old ones: the position that was reached is kept. last is when that was done last,
// and so is what it returns.
func (r *Replica) idle(ctx context.Context, q pipe, last time.Time) time.Time {
	for {
		at, ok := q.idle(ctx, last.Add(keepEvery))
		if !ok {
			return last
		}
		last = time.Now()
		if err := r.keep(at); err != nil {
			r.opts.Log.Error("keep how far the log of the source has come: "+err.Error(), "file", at.File, "offset", at.Offset)
		}
	}
}

// keep stores a position that no transaction has brought.
func (r *Replica) keep(at Position) error {
	r.statusMu.Lock()
	known := r.at.File == at.File && r.at.Offset == at.Offset
	r.statusMu.Unlock()
	if known || r.opts.Store.CheckLastSpace() != nil { // without space it can wait
		return nil
	}
	value, err := at.encode()
	if err != nil {
		return err
	}
	if err := r.opts.Store.DB.Set(store.MetaSourcePositionKey(), value, pebble.Sync); err != nil {
		return err
	}
	r.statusMu.Lock()
	r.at = at
	r.statusMu.Unlock()
	return nil
}

// end is where a transaction ends.
type end struct {
	id     event.ID
	at     Position
	tx     Transaction
	stored relay.Pos
}

// ends are those of the transactions that were applied and are not durable, in order.
type ends []end

// durable takes the first n off and returns the last of them. Behind them may be one that has failed at
// its very end: it must not be acknowledged, and whoever was before it is.
func (e *ends) durable(n int) (last end) {
	if n > 0 && n <= len(*e) {
		last = (*e)[n-1]
	}
	*e = (*e)[:0]
	return last
}

// named says which transaction it was, where the error does not.
func named(name string, err error) error {
	var link *linkError
	if errors.As(err, &link) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// here is the GTID set of what is on disk here: executed, or received.
func (r *Replica) here() (mysql.Mysql56GTIDSet, error) {
	set, err := event.ParseGTIDs(r.opts.DB.ExecutedSet())
	if err != nil || r.opts.Relay == nil {
		return set, err
	}
	received, err := event.ParseGTIDs(r.opts.Relay.Set())
	if err != nil {
		return set, err
	}
	return event.Union(set, received), nil
}

// hereOf is up to which number the source's own transactions are on disk here.
func (r *Replica) hereOf(l *link) int64 {
	set, err := r.here()
	if err != nil {
		return 0
	}
	b := set.SIDBlock()
	n, b := binary.LittleEndian.Uint64(b), b[8:]
	for ; n > 0; n-- {
		uuid, intervals := [16]byte(b), binary.LittleEndian.Uint64(b[16:])
		b = b[24:]
		if uuid == l.source && intervals > 0 && binary.LittleEndian.Uint64(b) == 1 {
			return int64(binary.LittleEndian.Uint64(b[8:])) - 1 // the interval ends before it
		}
		b = b[16*intervals:]
	}
	return 0
}
