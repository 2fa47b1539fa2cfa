package supervise

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// Role is one part of a node: lb, web, db or net. It runs alone in a child process.
// Calls come one at a time from the child's control goroutine, except Alive, Status
// and the Control handler, which may be called at any time from any goroutine.
type Role interface {
	// Prepare builds everything that node asks for beside what serves now, changing
	// nothing: an error leaves the role as it was. The first Prepare is the start.
	// listeners holds the sockets named in node.Binds for this role; the role must not
	// close them and must not bind by itself. A socket keeps its descriptor number as long
	// as its address is named; one that is no longer named stays open for a second after
	// Commit, so that loops can leave it. Exactly one of Commit and Abort of the returned
	// Change is called next.
	Prepare(ctx context.Context, node *config.Node, listeners *sockets.Set) (Change, error)

	// Drain stops accepting (without closing a listening socket that a newer generation
	// shares) and returns when the last connection has ended or ctx is done. next is nil
	// at a plain stop; otherwise idle plain connections may be passed to the newer
	// generation through it.
	Drain(ctx context.Context, next *sockets.Passage) error

	// Adopt serves a connection passed by an older generation. It owns fd, which is
	// non-blocking. It is called while the role serves: after the first Commit.
	Adopt(fd int, meta []byte)

	// Close ends everything at once and releases all that Prepare took.
	Close() error

	// Alive returns nil while the role's own work makes progress (every event loop
	// turned within the last second, the store answers). The watchdog is fed by it.
	Alive() error

	// Status is what `stack status` shows: JSON-marshalled, cheap, current.
	Status() Status

	// Control serves the role's run-time commands under /v1/ROLE/…; nil if it has none.
	Control() http.Handler
}

// Change is a prepared configuration. Commit swaps it in with one pointer and cannot fail.
type Change struct {
	Commit func()
	Abort  func()
}

// Status is a role's health in one line, and its details.
type Status struct {
	Ready  bool   `json:"ready"`            // it serves
	Text   string `json:"text"`             // one line for STATUS= and the table
	Detail any    `json:"detail,omitempty"` // the role's own struct
	// Impaired names the parts that cannot work although the role serves, for Watchers.
	Impaired []string `json:"impaired,omitempty"`
}

// Env is what a role gets when its process starts.
type Env struct {
	Node       string
	Role       string
	Generation int // grows by one with each upgrade or restart
	// Succeeds says that an older generation served when this one was started: after the
	// first Commit it is drained with a Passage to this one.
	Succeeds bool
	Log      *slog.Logger
	Metrics  prometheus.Registerer // names begin with stack_ROLE_
	// Restart closes the role and ends its process, in order; the supervisor starts it anew. It returns at
	// once and may be called from any goroutine. nil where no supervisor runs the role.
	Restart func()
}

// Watcher is implemented by a role that must know how the node's other roles are (the
// net role: whether the balancer serves).
type Watcher interface {
	// RolesChanged is called with the health of the node's other roles after the first
	// Commit and whenever one changes; those that have yet to say how they are may be left
	// out. It comes within milliseconds of the end or the stop of a
	// process, within Timing.Ping of a change of its Status or Alive, within about a second
	// when it falls silent. It may come from any goroutine, one call at a time, and must
	// not block.
	RolesChanged(others map[string]Health)
}

// Heir is implemented by a role that waits for an older generation (Env.Succeeds) before it
// serves.
type Heir interface {
	// PassageChanged is called with true when the older generation is told to drain, and
	// with false when nothing more can come from it: it has drained or died, perhaps before
	// it passed anything. Calls come one at a time with those of Adopt, in order.
	PassageChanged(open bool)
}

// Spec tells the supervisor how to run a role. cmd/stack holds the list.
type Spec struct {
	Name string
	// Needed says whether a node runs the role; nil means that node.Roles names it.
	Needed func(node *config.Node) bool
	// Exclusive roles are never run by two processes at once (db): at an upgrade
	// the old one closes before the new one starts.
	Exclusive bool
	// Capabilities the child keeps, by capability(7) name such as "CAP_NET_ADMIN"; all
	// others are dropped.
	Capabilities []string
	// OOMScoreAdj is added to the supervisor's own oom_score_adj(5) for the child:
	// 0..1000, the lowest for the role whose loss costs most.
	OOMScoreAdj int
	// Process says what the child process of a node gets; nil is the zero Process.
	Process func(node *config.Node) Process
	// Probe checks, read-only and in a process of the new binary, that it could take
	// over: config and stored data. nil if there is nothing to check.
	Probe func(node *config.Node) error
	New   func(Env) (Role, error)
}

// Process is what a role needs of its process.
type Process struct {
	// MaxProcs is GOMAXPROCS (loops + 2 for a role with event loops); 0 leaves it to the
	// runtime. A reload that changes it gives the role a new generation, unless it is
	// exclusive.
	MaxProcs int
	// MemoryLimit is GOMEMLIMIT in bytes; 0 is none. A reload changes it in place.
	MemoryLimit int64
	// TimerSlack is how late the kernel may wake the process's threads from a sleep; 0 leaves it at 50 µs.
	TimerSlack time.Duration
	// Drain is the longest that an old generation lives beside its successor; 0 is 5
	// minutes. For an exclusive role it is how long clients may wait for the successor
	// because of running work; 0 is 5 seconds.
	Drain time.Duration
}

func (s *Spec) needed(node *config.Node) bool {
	if s.Needed != nil {
		return s.Needed(node)
	}
	return slices.Contains(node.Roles, s.Name)
}

func (s *Spec) process(node *config.Node) Process {
	var p Process
	if s.Process != nil && s.needed(node) {
		p = s.Process(node)
	}
	if p.Drain <= 0 {
		p.Drain = 5 * time.Minute
		if s.Exclusive {
			p.Drain = 5 * time.Second
		}
	}
	return p
}
