package txn

import (
	"context"
	"sync"
	"sync/atomic"
)

// commitGate keeps commits that write from beginning while somebody blocks them. Nobody waits at it
// else: it costs two additions.
type commitGate struct {
	blocked atomic.Int32 // who blocks
	inside  atomic.Int64 // commits that have passed and are not ended
	mu      sync.Mutex
	moved   *sync.Cond // either has changed
}

func newCommitGate() *commitGate {
	g := &commitGate{}
	g.moved = sync.NewCond(&g.mu)
	return g
}

// enter waits until nobody blocks. Without an error leave must follow. It ends with either context; client
// may be nil.
func (g *commitGate) enter(ctx, client context.Context) error {
	for {
		g.inside.Add(1)
		if g.blocked.Load() == 0 {
			return nil
		}
		g.leave()
		if err := g.wait(func() bool { return g.blocked.Load() == 0 }, ctx, client); err != nil {
			return err
		}
	}
}

func (g *commitGate) leave() {
	if g.inside.Add(-1) == 0 && g.blocked.Load() > 0 {
		g.tell()
	}
}

// tell makes those who wait look again.
func (g *commitGate) tell() {
	g.mu.Lock()
	g.moved.Broadcast()
	g.mu.Unlock()
}

// wait waits until something holds, or for the end of one of the contexts.
func (g *commitGate) wait(holds func() bool, contexts ...context.Context) error {
	for _, ctx := range contexts {
		if ctx != nil {
			defer context.AfterFunc(ctx, g.tell)()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for !holds() {
		for _, ctx := range contexts {
			if ctx != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		g.moved.Wait()
	}
	return nil
}

// BlockCommits lets commits that write wait, those that repeat another server's too, until
// release, which may be called once. When it returns, what is in the log and what is seen are the same,
// and stay so. It waits for the commits that have begun, or for the end of ctx. Several may block.
func (e *Engine) BlockCommits(ctx context.Context) (release func(), err error) {
	g := e.gate
	release = func() {
		g.blocked.Add(-1)
		g.tell()
	}
	g.blocked.Add(1)
	if err := g.wait(func() bool { return g.inside.Load() == 0 }, ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// PassBlock lets the transaction's commit through while commits are blocked: it writes nothing that
// others see.
func (t *Txn) PassBlock() { t.passes = true }
