package vip

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
)

// verdict reports how one thing that a group depends on is: fault is why the group cannot
// be held, or weight is what its priority changes by; neither means that all is well. It
// must not wait for the tracker.
type verdict func(group, source, fault string, weight int)

// tracker watches what the groups depend on beside the balancer itself: links of other
// interfaces, programs, and pools without a server.
type tracker struct {
	log    *slog.Logger
	report verdict

	mu       sync.Mutex
	commands map[commandKey]*commandTrack
	links    map[linkKey]*linkTrack
	pools    map[string]*poolTrack // by group
	empty    bool                  // a pool of this balancer has no usable server
	unwatch  func()                // ends the watch of links; nil while none is needed
	before   map[string]bool       // failed in the process before this one, by failureKey
}

// counted is report with a metric of what counts as failed.
func (report verdict) counted(failed *prometheus.GaugeVec) verdict {
	return func(group, source, fault string, weight int) {
		if fault == "" && weight == 0 {
			failed.DeleteLabelValues(group, source)
		} else {
			failed.WithLabelValues(group, source).Set(1)
		}
		report(group, source, fault, weight)
	}
}

func newTrackedMetric(r prometheus.Registerer) *prometheus.GaugeVec {
	failed := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stack_vip_tracked_failed", Help: "1 for each thing that a group depends on and that counts as failed."}, []string{"vip", "source"})
	r.MustRegister(failed)
	return failed
}

// newTracker begins without a group. failed is what counted as failed in the process that
// this one replaces; that goes on until something says otherwise.
func newTracker(log *slog.Logger, report verdict, failed []string) *tracker {
	before := map[string]bool{}
	for _, key := range failed {
		before[key] = true
	}
	return &tracker{log: log, report: report, before: before, commands: map[commandKey]*commandTrack{}, links: map[linkKey]*linkTrack{}, pools: map[string]*poolTrack{}}
}

// set makes list the groups, of which this node holds some. What stays as it is goes on as
// it is; what is no longer asked for no longer counts.
func (t *tracker) set(list []config.VIP, holding func(group string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setCommands(list)
	t.setLinks(list)
	t.setPools(list, holding)
	t.before = nil
}

// failed lists what counts as failed, for newTracker of the next process.
func (t *tracker) failed() (keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, c := range t.commands {
		if c.failed.Load() {
			keys = append(keys, failureKey(key.group, c.source()))
		}
	}
	for group, p := range t.pools {
		if p.counted {
			keys = append(keys, failureKey(group, poolSource))
		}
	}
	return keys
}

func failureKey(group, source string) string { return group + "/" + source }

// close ends every watch; nothing is reported any more.
func (t *tracker) close() {
	t.set(nil, nil)
}

// judge reports a thing that counts as failed, or as well.
func (t *tracker) judge(group, source, why string, failed bool, weight int) {
	switch {
	case !failed:
		t.report(group, source, "", 0)
	case weight == 0:
		t.report(group, source, why, 0)
	default:
		t.report(group, source, "", -weight)
	}
}

type commandKey struct{ group, name string }

// commandTrack runs a program again and again.
type commandTrack struct {
	config.VIPTrackCommand
	group  string
	failed atomic.Bool
	stop   context.CancelFunc
	done   chan struct{}
}

func (c *commandTrack) source() string { return "command " + c.Name }

func (t *tracker) setCommands(list []config.VIP) {
	next := map[commandKey]*commandTrack{}
	for _, g := range list {
		for _, c := range g.Track.Commands {
			key := commandKey{g.Name, c.Name}
			if old := t.commands[key]; old != nil && reflect.DeepEqual(old.VIPTrackCommand, c) {
				next[key] = old
				continue
			}
			next[key] = &commandTrack{VIPTrackCommand: c, group: g.Name}
		}
	}
	for key, old := range t.commands {
		if next[key] != old {
			old.stop()
			<-old.done // or its last word could come after the next one's first
			t.report(key.group, old.source(), "", 0)
		}
	}
	for _, c := range next {
		if c.stop == nil {
			var ctx context.Context
			ctx, c.stop = context.WithCancel(context.Background())
			c.done = make(chan struct{})
			if t.before[failureKey(c.group, c.source())] {
				t.judgeCommand(c, true)
			}
			go t.watchCommand(ctx, c)
		}
	}
	t.commands = next
}

func (t *tracker) judgeCommand(c *commandTrack, failed bool) {
	c.failed.Store(failed)
	t.judge(c.group, c.source(), c.source()+" fails", failed, c.Weight)
}

// watchCommand judges by the first run at once if it fails, later by Rise and Fall.
func (t *tracker) watchCommand(ctx context.Context, c *commandTrack) {
	defer close(c.done)
	next := time.NewTimer(0)
	defer next.Stop()
	against := 0 // runs in a row that say otherwise than before
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		began := time.Now()
		said, err := run(ctx, c.Command, c.Timeout, programEnviron())
		if ctx.Err() != nil {
			return
		}
		next.Reset(time.Until(began.Add(c.Interval)))
		was, failed := c.failed.Load(), err != nil
		if against++; was == failed {
			against = 0
			continue
		}
		need := c.Fall
		if was {
			need = c.Rise
		}
		if against < need && !(first && failed) {
			continue
		}
		against = 0
		if failed {
			t.log.Warn("a tracked command fails", "vip", c.group, "command", c.Name, "err", err, "output", said)
		} else {
			t.log.Info("a tracked command succeeds again", "vip", c.group, "command", c.Name)
		}
		t.judgeCommand(c, failed)
	}
}

// settle is how long a holder waits before it counts an empty pool, and a backup before it
// counts one that has a server again. The balancers notice the loss of a pool that all of
// them have lost one after the other; so the holder is the last to become less and the
// first to become more, and the addresses stay where they are.
const settle = 3 * time.Second

// poolTrack counts pools without a usable server against one group.
type poolTrack struct {
	config.VIPTrackBackends
	holding bool // the group is master here
	counted bool // reported as failed
	timer   *time.Timer
}

const poolSource = "backends"

func (t *tracker) setPools(list []config.VIP, holding func(group string) bool) {
	next := map[string]*poolTrack{}
	for _, g := range list {
		if !g.Track.Backends.Enabled {
			continue
		}
		p := t.pools[g.Name]
		if p == nil {
			p = &poolTrack{holding: holding(g.Name), counted: t.before[failureKey(g.Name, poolSource)]}
		}
		if p.VIPTrackBackends != g.Track.Backends {
			p.VIPTrackBackends = g.Track.Backends
			t.countPool(g.Name, p, p.counted)
		}
		next[g.Name] = p
	}
	for name, p := range t.pools {
		if next[name] == nil {
			p.hush()
			if p.counted {
				t.report(name, poolSource, "", 0)
			}
		}
	}
	t.pools = next
	for name, p := range next {
		t.judgePool(name, p)
	}
}

// impaired takes what the balancer says of its parts.
func (t *tracker) impaired(parts []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.empty = slices.ContainsFunc(parts, func(part string) bool { return strings.HasPrefix(part, "backend ") })
	for name, p := range t.pools {
		t.judgePool(name, p)
	}
}

// moved tells whether this node holds a group now.
func (t *tracker) moved(group string, holding bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.pools[group]; p != nil && p.holding != holding {
		p.holding = holding
		p.hush()
		t.judgePool(group, p)
	}
}

func (p *poolTrack) hush() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// judgePool counts a change at once or after it has settled.
func (t *tracker) judgePool(group string, p *poolTrack) {
	switch {
	case t.empty == p.counted:
		p.hush()
	case t.empty != p.holding:
		t.countPool(group, p, t.empty)
	case p.timer == nil:
		var timer *time.Timer
		timer = time.AfterFunc(settle, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if p.timer == timer { // else it was stopped too late
				p.timer = nil
				t.countPool(group, p, !p.counted)
			}
		})
		p.timer = timer
	}
}

func (t *tracker) countPool(group string, p *poolTrack, failed bool) {
	p.counted = failed
	t.judge(group, poolSource, "a backend has no usable server", failed, p.Weight)
}
