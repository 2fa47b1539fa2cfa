package replica

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Following through the relay log: one goroutine receives, over one connection after another; another one applies what is in
// the log, also while there is no connection.

// errNotApplied ends receiving where nothing can be applied any more.
var errNotApplied = errors.New("what was received cannot be applied")

// stopped notes that following has ended because its context has.
func (r *Replica) stopped(ctx context.Context) {
	if !errors.Is(context.Cause(ctx), errNotApplied) {
		r.set(StateStopped)
	}
}

// followStored follows the source until it is stopped or cannot go on.
func (r *Replica) followStored(ctx context.Context, s *Settings) {
	at, err := readPosition(r.opts.Store)
	if err != nil {
		r.ends(sqlSide, err, s)
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q := newSpool(r.opts.Relay, r.bound, false)
	defer func() { r.bound = q.bound }()
	defer q.close()
	r.piped(q, at)
	defer r.piped(nil, at)
	applied := make(chan error, 1)
	go func() {
		err := r.applyStored(ctx, s, q)
		if err != nil && ctx.Err() == nil {
			cancel(errNotApplied)
		}
		applied <- err
	}()
	r.follow(ctx, s, func(ctx context.Context, s *Settings) error { return r.receive(ctx, s, q) })
	q.finish() // what has come is applied, although no more does
	if err := <-applied; err != nil && errors.Is(context.Cause(ctx), errNotApplied) {
		r.ends(sqlSide, err, s)
	}
}

// ends notes that following has ended with an error that another attempt does not mend.
func (r *Replica) ends(f side, err error, s *Settings) {
	r.opts.Log.Error("the source is no longer followed: "+err.Error(), "host", s.Host, "port", s.Port)
	r.failed(f, err)
	r.statusMu.Lock()
	r.stuck = r.stuck || f == sqlSide
	r.statusMu.Unlock()
	if f == ioSide {
		r.set(StateIOFailed)
	} else {
		r.set(StateSQLFailed)
	}
}

// receive receives over one connection.
func (r *Replica) receive(ctx context.Context, s *Settings, q *spool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at := q.waiting().at
	l, err := r.connect(ctx, s, at)
	if err != nil {
		return &linkError{err}
	}
	defer l.close()
	q.synced = l.received
	q.from(l.source, l.tells, l.shown)
	r.connected(l)
	defer r.disconnected()
	r.acknowledgeAll(l)
	defer q.ended()
	defer r.arrivals.abort()
	v := r.receiver(l, s, q, at)
	v.shown = q.show
	return r.receiveAll(v)
}

// applyStored applies what is in the relay log, until ctx ends or it cannot go on; what may pass is tried again.
func (r *Replica) applyStored(ctx context.Context, s *Settings, q *spool) error {
	epoch := r.opts.DB.Epoch()
	wait := firstWait
	for {
		before := r.applied.Load()
		err := r.applyAll(ctx, q, epoch, func(done end) { r.opts.Relay.Applied(done.stored) })
		if err == nil { // it drains
			q.applied()
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		r.applies(Transaction{}, 0)
		q.rewind()
		f, again := r.judge(err)
		if !again {
			return err
		}
		if r.applied.Load() > before {
			wait = firstWait
		}
		r.failed(sqlSide, err)
		if f == sqlSide {
			r.retried()
		}
		r.opts.Log.Warn("what was received is not applied for now: "+err.Error(), "again_in", wait)
		pause := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
		wait = min(2*wait, max(time.Duration(s.Retry)*time.Second, time.Second))
	}
}

// Drain begins to apply what was received, in the epoch of now, and closes the channel when there is nothing left or it
// cannot go on: then Pending is not 0, and the status says why. It follows nobody, and ends with Stop. Where it was begun and has
// not ended, it goes on. ErrRunning where the source is followed.
func (r *Replica) Drain() (<-chan struct{}, error) {
	if r.opts.Relay == nil {
		done := make(chan struct{})
		close(done)
		return done, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs() {
		if !r.running.drains {
			return nil, ErrRunning
		}
		return r.running.done, nil
	}
	r.end()
	at, err := readPosition(r.opts.Store)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	x := &run{stop: stop, done: make(chan struct{}), drains: true}
	r.running = x
	s := Defaults()
	if r.settings != nil {
		s = *r.settings
	}
	r.clear()
	r.set(StateStopped)
	q := newSpool(r.opts.Relay, bound{}, true)
	r.piped(q, at)
	go func() {
		defer close(x.done)
		defer stop()
		defer r.piped(nil, at)
		defer q.close()
		if err := r.applyStored(ctx, &s, q); err != nil && ctx.Err() == nil {
			r.ends(sqlSide, err, &s)
		}
	}()
	return x.done, nil
}

// Told reports whether the source that is followed through the relay log has told that something of its log may be shown, or tells
// nothing of that.
func (r *Replica) Told() bool {
	r.statusMu.Lock()
	q, ok := r.queue.(*spool)
	r.statusMu.Unlock()
	return ok && q.mayShow()
}

// Pending is how many transactions were received and are not applied.
func (r *Replica) Pending() uint64 {
	if r.opts.Relay == nil {
		return 0
	}
	return r.opts.Relay.Pending()
}

// Holds is the GTID set of what the relay log has, with some that is executed already.
func (r *Replica) Holds() string {
	if r.opts.Relay == nil {
		return ""
	}
	return r.opts.Relay.Set()
}

// Received is Holds, where that is going to be a part of this server's data: empty where it cannot be applied.
func (r *Replica) Received() string {
	if r.Stuck() {
		return ""
	}
	return r.Holds()
}

// Stuck reports whether something was received that this server cannot apply.
func (r *Replica) Stuck() bool {
	r.statusMu.Lock()
	failed := r.stuck || r.diverged != ""
	r.statusMu.Unlock()
	return failed && r.Pending() > 0
}
