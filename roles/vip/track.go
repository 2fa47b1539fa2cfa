package vip

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
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
	before   map[string]bool       // the verdicts of the process before this one
	looking  sync.Mutex            // one look at the links at a time; taken before mu
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

// newTracker begins without a group. before are the verdicts of the process that this one
// replaces; they go on until something says otherwise.
func newTracker(log *slog.Logger, report verdict, before map[string]bool) *tracker {
	return &tracker{log: log, report: report, before: before, commands: map[commandKey]*commandTrack{}, links: map[linkKey]*linkTrack{}, pools: map[string]*poolTrack{}}
}

// set makes list the groups, of which this node holds some. What stays as it is goes on as
// it is; what is no longer asked for no longer counts.
func (t *tracker) set(list []config.VIP, holding func(group string) bool) {
	t.mu.Lock()
	t.setCommands(list, holding)
	t.setLinks(list)
	t.setPools(list, holding)
	t.before = nil
	look := len(t.links) > 0
	t.mu.Unlock()
	if look {
		t.lookAtLinks()
	}
}

// verdicts tells of each thing whether it counts as failed, for newTracker of the next
// process. What has no verdict yet is left out.
func (t *tracker) verdicts() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string]bool{}
	for key, c := range t.commands {
		if c.known {
			all[verdictKey(key.group, c.source())] = c.failed
		}
	}
	for group, p := range t.pools {
		all[verdictKey(group, poolSource)] = p.counted
	}
	return all
}

func verdictKey(group, source string) string { return group + "/" + source }

// closing bounds the wait for programs that were killed.
const closing = time.Second

// close ends every watch; nothing is reported any more.
func (t *tracker) close() {
	t.mu.Lock()
	commands := slices.Collect(maps.Values(t.commands))
	t.mu.Unlock()
	t.set(nil, nil)
	late := time.After(closing)
	for _, c := range commands {
		select {
		case <-c.done:
		case <-late:
			return
		}
	}
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
	known  bool // a run has ended; else failed is what is assumed
	failed bool
	stop   context.CancelFunc
	done   chan struct{}
}

func (c *commandTrack) source() string { return "command " + c.Name }

// setCommands lets an edited command begin with the verdict of the one before. A new one
// counts as failed until it has run, or a node would take the addresses before it knows;
// but not on the node that holds them, from which a reload must not take them.
func (t *tracker) setCommands(list []config.VIP, holding func(group string) bool) {
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
	before := t.commands
	t.commands = next // from now on others have no say
	for key, old := range before {
		if next[key] != old {
			old.stop()
		}
		if next[key] == nil {
			t.report(key.group, old.source(), "", 0)
		}
	}
	for key, c := range next {
		if c.stop != nil {
			continue
		}
		failed, known := t.before[verdictKey(c.group, c.source())]
		switch old := before[key]; {
		case old != nil:
			failed, known = old.failed, old.known
		case !known:
			failed = !holding(c.group)
		}
		var ctx context.Context
		ctx, c.stop = context.WithCancel(context.Background())
		c.done = make(chan struct{})
		t.judgeCommand(c, failed, known)
		go t.watchCommand(ctx, c)
	}
}

func (t *tracker) judgeCommand(c *commandTrack, failed, known bool) {
	c.failed, c.known = failed, known
	why := c.source() + " fails"
	if !known {
		why = c.source() + " has not run yet"
	}
	t.judge(c.group, c.source(), why, failed, c.Weight)
}

// conclude takes the word of a command's runs, unless it was replaced meanwhile.
func (t *tracker) conclude(c *commandTrack, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.commands[commandKey{c.group, c.Name}] == c {
		t.judgeCommand(c, failed, true)
	}
}

// watchCommand judges by the first run at once if it fails or nothing was known, later by
// Rise and Fall. Only it changes the verdict, so that it may read it without the lock.
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
		was, failed := c.failed, err != nil
		if against++; was == failed && c.known {
			against = 0
			continue
		}
		need := c.Fall
		if was {
			need = c.Rise
		}
		if against < need && c.known && !(first && failed) {
			continue
		}
		against = 0
		known := c.known
		t.conclude(c, failed)
		if failed {
			t.log.Warn("a tracked command fails", "vip", c.group, "command", c.Name, "err", err, "output", said)
		} else if known {
			t.log.Info("a tracked command succeeds again", "vip", c.group, "command", c.Name)
		}
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
			p = &poolTrack{holding: holding(g.Name), counted: t.before[verdictKey(g.Name, poolSource)]}
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
