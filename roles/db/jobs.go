package db

import (
	"context"
	"errors"
	"sync"
)

// jobs are the backups, checks and promotions that run beside the clients. They use the store, and have
// ended before it is closed. All methods are safe for concurrent use.
type jobs struct {
	mu   sync.Mutex // no job begins while end waits
	ctx  context.Context
	stop context.CancelCauseFunc
	wait sync.WaitGroup

	// backup is held by the one that is being taken: of two into one directory each would
	// remove the other's files.
	backup sync.Mutex

	// promotion is held by the one that runs: a second one from here would take its epoch.
	promotion sync.Mutex
}

var errStopping = errors.New("the database is being stopped")

func newJobs() *jobs {
	j := &jobs{}
	j.ctx, j.stop = context.WithCancelCause(context.Background())
	return j
}

// begin starts a job. Its context ends with ctx or with the jobs; the caller calls done.
func (j *jobs) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ctx.Err() != nil {
		return nil, nil, errStopping
	}
	j.wait.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	apart := context.AfterFunc(j.ctx, func() { cancel(errStopping) })
	return ctx, func() {
		apart()
		cancel(nil)
		j.wait.Done()
	}, nil
}

// end cancels all jobs, waits for them, and lets none begin any more.
func (j *jobs) end() {
	j.mu.Lock()
	j.stop(errStopping)
	j.mu.Unlock()
	j.wait.Wait()
}
