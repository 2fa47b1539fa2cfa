package vip

import (
	"log/slog"
	"sync"
)

// keeper does what the thread of the adverts must not wait for: netlink, whose lock other
// programs may hold for long, and announcements. It is a thread of its own; jobs are done
// in their order.
type keeper struct {
	bell *bell
	done chan struct{}

	mu    sync.Mutex
	queue []func()
	ended bool
}

func startKeeper(log *slog.Logger) (*keeper, error) {
	b, err := newBell(0)
	if err != nil {
		return nil, err
	}
	k := &keeper{bell: b, done: make(chan struct{})}
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
			job, ended := k.take()
			if job == nil && ended {
				return
			}
			if job == nil {
				break
			}
			job()
		}
	}
}

func (k *keeper) take() (job func(), ended bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 {
		return nil, k.ended
	}
	job = k.queue[0]
	k.queue = k.queue[1:]
	return job, false
}

// do queues a job. A group has few at a time: it renews only after the renewal before.
func (k *keeper) do(job func()) {
	k.mu.Lock()
	k.queue = append(k.queue, job)
	k.mu.Unlock()
	k.bell.ring()
}

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
