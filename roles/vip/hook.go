package vip

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
)

// hooks tell commands and webhooks of every change of a group's state. Each hook of a
// group runs alone: what changes meanwhile waits, and of what waits only the newest is
// told, since the states in between are history.
type hooks struct {
	log  *slog.Logger
	node string
	runs *prometheus.CounterVec

	mu     sync.Mutex
	queues map[string][]*hookQueue // by group
	active sync.WaitGroup
}

// hookQueue is one hook of one group.
type hookQueue struct {
	config.VIPNotify
	kind    string // command or webhook
	busy    bool
	failing *news // that a webhook has refused and is told again; nil: none
	waiting *news
	newer   chan struct{} // has one while waiting is not nil
	gone    chan struct{} // closed when another queue, or process, tells what this one has not
}

// untold is the newest that the hook was not told, as far as is known.
func (q *hookQueue) untold() *news {
	if q.waiting != nil {
		return q.waiting
	}
	return q.failing
}

// leave ends a queue after what runs now. It returns what is left to tell.
func (q *hookQueue) leave() *news {
	n := q.untold()
	q.waiting = nil
	close(q.gone)
	return n
}

// news is what a hook is told; a webhook gets it as JSON.
type news struct {
	Node      string    `json:"node"`
	Group     string    `json:"group"`
	State     string    `json:"state"` // master, backup, fault
	Reason    string    `json:"reason"`
	Addresses []string  `json:"addresses"`
	At        time.Time `json:"at"`
}

func newsOf(t Transition) news {
	n := news{Group: t.Group, State: t.State, Reason: t.Reason, At: t.At}
	for _, a := range t.Addresses {
		n.Addresses = append(n.Addresses, a.String())
	}
	return n
}

func newHooks(log *slog.Logger, node string, r prometheus.Registerer) *hooks {
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stack_vip_notify_total",
		Help: "Hooks of changes of the VRRP state, by kind (command, webhook) and result (ok, failed, replaced by a newer state)."},
		[]string{"vip", "kind", "result"})
	r.MustRegister(runs)
	defaultSignals()
	return &hooks{log: log, node: node, runs: runs, queues: map[string][]*hookQueue{}}
}

// defaultSignals lets the programs that this process runs begin with the default action of
// every signal: one that is ignored stays so over an exec, one that is caught does not.
func defaultSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE)
}

// set makes list the groups whose changes are told. A hook that stays as it is keeps its
// turn. One that is gone ends what it has begun, but does not try again; what it has not
// told, the one in its place tells.
func (h *hooks) set(list []config.VIP) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.queues
	h.queues = map[string][]*hookQueue{}
	for _, group := range list {
		for i, n := range group.Notify {
			var old *hookQueue
			if was := before[group.Name]; i < len(was) {
				old, was[i] = was[i], nil
			}
			if old == nil || !reflect.DeepEqual(old.VIPNotify, n) {
				old = h.instead(old, n)
			}
			h.queues[group.Name] = append(h.queues[group.Name], old)
		}
	}
	for _, queues := range before {
		for _, q := range queues {
			if q != nil {
				q.leave()
			}
		}
	}
}

// instead is a new queue in the place of old, which may be nil.
func (h *hooks) instead(old *hookQueue, n config.VIPNotify) *hookQueue {
	q := &hookQueue{VIPNotify: n, kind: "webhook", newer: make(chan struct{}, 1), gone: make(chan struct{})}
	if len(n.Command) > 0 {
		q.kind = "command"
	}
	if old != nil {
		if n := old.leave(); n != nil {
			h.begin(q, *n)
		}
	}
	return q
}

// untold are the groups of which a hook has something to tell yet.
func (h *hooks) untold() (groups []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, queues := range h.queues {
		if slices.ContainsFunc(queues, func(q *hookQueue) bool { return q.untold() != nil }) {
			groups = append(groups, name)
		}
	}
	return groups
}

func (h *hooks) begin(q *hookQueue, n news) {
	q.busy = true
	h.active.Go(func() { h.work(q, n) })
}

// tell starts the hooks of n's group and never waits.
func (h *hooks) tell(n news) {
	n.Node = h.node
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, q := range h.queues[n.Group] {
		if !q.busy {
			h.begin(q, n)
			continue
		}
		if q.waiting != nil {
			h.runs.WithLabelValues(n.Group, q.kind, "replaced").Inc()
		}
		q.waiting = &n
		select {
		case q.newer <- struct{}{}:
		default:
		}
	}
}

// work tells n and whatever has come meanwhile.
func (h *hooks) work(q *hookQueue, n news) {
	for {
		h.one(q, n)
		h.mu.Lock()
		q.failing = nil
		if q.waiting == nil {
			q.busy = false
			h.mu.Unlock()
			return
		}
		n, q.waiting = *q.waiting, nil
		select { // the mark of what is taken now
		case <-q.newer:
		default:
		}
		h.mu.Unlock()
	}
}

func (h *hooks) one(q *hookQueue, n news) {
	log := h.log.With("vip", n.Group, "state", n.State, "hook", q.name())
	began := time.Now()
	var said string
	var err error
	if q.kind == "command" {
		said, err = h.command(q, n)
	} else {
		err = h.post(q, n)
	}
	took := time.Since(began).Round(time.Millisecond).String()
	if err != nil {
		h.runs.WithLabelValues(n.Group, q.kind, "failed").Inc()
		log.Error("hook failed", "err", err, "took", took, "output", said)
		return
	}
	h.runs.WithLabelValues(n.Group, q.kind, "ok").Inc()
	log.Info("hook done", "took", took, "output", said)
}

// name tells hooks apart in the log. A path or query of a URL may be a secret.
func (q *hookQueue) name() string {
	if q.kind == "command" {
		return q.Command[0]
	}
	return origin(q.Webhook)
}

// wait returns when every hook has ended, or with an error when ctx has.
func (h *hooks) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		h.active.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hooks still run: %w", ctx.Err())
	}
}

// command runs a hook's program.
func (h *hooks) command(q *hookQueue, n news) (said string, err error) {
	return run(context.Background(), q.Command, q.Timeout, n.environ())
}
