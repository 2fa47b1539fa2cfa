package vip

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// keeper does what the thread of the adverts must not wait for: netlink, whose lock other
// programs may hold for long, and announcements. It is a thread of its own; jobs are done
// in their order.
type keeper struct {
	bell *bell
	done chan struct{}

	mu    sync.Mutex
	queue []job
	ended bool

	started time.Time
	oldest  atomic.Int64 // when the first job that is not done was asked for, nanoseconds after started; 0: none
}

type job struct {
	do func()
	at time.Duration // after the keeper started
}

func startKeeper(log *slog.Logger) (*keeper, error) {
	b, err := newBell(0)
	if err != nil {
		return nil, err
	}
	k := &keeper{bell: b, done: make(chan struct{}), started: time.Now()}
	go k.run(log)
	return k, nil
}

func (k *keeper) run(log *slog.Logger) {
	defer close(k.done)
	realtime(log, keeperPriority)
	var buffer [8]byte
	for {
		if err := k.bell.answer(&buffer); err != nil {
			log.Error("virtual addresses: wait for work", "err", err)
		}
		for {
			do, ended := k.take()
			if do == nil && ended {
				return
			}
			if do == nil {
				break
			}
			do()
		}
	}
}

// take returns the next job, nil where there is none; the one before is done.
func (k *keeper) take() (do func(), ended bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 {
		k.oldest.Store(0)
		return nil, k.ended
	}
	first := k.queue[0]
	k.queue = k.queue[1:]
	k.oldest.Store(int64(first.at))
	return first.do, false
}

// do queues a job. A group has few at a time: it renews only after the renewal before.
func (k *keeper) do(what func()) {
	k.mu.Lock()
	at := max(1, time.Since(k.started))
	k.queue = append(k.queue, job{what, at})
	k.oldest.CompareAndSwap(0, int64(at))
	k.mu.Unlock()
	k.bell.ring()
}

// behind is for how long the oldest job has not been done.
func (k *keeper) behind() time.Duration {
	at := k.oldest.Load()
	if at == 0 {
		return 0
	}
	return time.Since(k.started) - time.Duration(at)
}

// stuck tells whether renewals wait for so long that the addresses are about to expire.
func (k *keeper) stuck() bool { return k.behind() > lifetime-refresh }

// flush returns when every job so far is done.
func (k *keeper) flush() {
	done := make(chan struct{})
	k.do(func() { close(done) })
	<-done
}

// close returns when every job is done.
func (k *keeper) close() {
	k.mu.Lock()
	k.ended = true
	k.mu.Unlock()
	k.bell.ring()
	<-k.done
	k.bell.close()
}
