package dump

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stack/roles/db/binlog"
)

// Acknowledger hears how far replicas of ours are. It is called from the goroutine of the
// replica's connection and must not block.
type Acknowledger interface {
	// Acknowledged: everything up to transaction seq of this server is durable on the
	// replica, which knows no higher epoch than this one.
	Acknowledged(replica string, epoch, seq uint64)
}

// Source is the log as replicas get it. Its methods are safe for concurrent use.
type Source struct {
	log      *binlog.Log
	executed func() string
	acks     atomic.Pointer[Acknowledger]
	shown    atomic.Pointer[func() uint64]

	mu       sync.Mutex
	replicas map[uint32]*replica // by connection
	gone     Totals              // of those that have left
}

// Totals are sums over all readers since the start.
type Totals struct {
	Dumps, Events, Bytes, Heartbeats uint64
}

// New makes the source of a log. executed is the set of what is in it or was, as text; what
// waits for acknowledgements too: a replica that comes back has it already.
func New(log *binlog.Log, executed func() string) *Source {
	return &Source{log: log, executed: executed, replicas: map[uint32]*replica{}}
}

// SetAcknowledger says who hears of acknowledgements.
func (s *Source) SetAcknowledger(a Acknowledger) { s.acks.Store(&a) }

// SetShown says which is the first of this server's own transactions that clients of a replica may not see yet; everything in the log
// before it they may. 0: nothing; math.MaxUint64: all of it. Readers that want to know are told, after a change when the log is poked.
func (s *Source) SetShown(shown func() uint64) { s.shown.Store(&shown) }

// Shown is what SetShown was given says now; false: it was not called.
func (s *Source) Shown() (first uint64, ok bool) {
	f := s.shown.Load()
	if f == nil {
		return 0, false
	}
	return (*f)(), true
}

// Identity is what a reader says of itself.
type Identity struct {
	Connection uint32
	Server     uint32 // server id; 0: a reader that is no replica
	UUID       string // empty: it has not said
	Host       string // as it reports itself, else its address
	Port       uint16
	User       string
	Name       string // of one of our nodes; empty: another reader
	Epoch      uint64 // that the node knew when it began
}

// replica is a connection that has registered, or reads.
type replica struct {
	Identity
	registered bool
	stream     *Stream // nil: it does not read
	since      time.Time

	file           atomic.Uint32
	offset         atomic.Uint64
	events, bytes  atomic.Uint64
	heartbeats     atomic.Uint64
	epoch, acked   atomic.Uint64
	acknowledgedAt atomic.Int64 // Unix nanoseconds; 0: never
}

// Replica is what is known of a connection that has registered as a replica, or reads.
type Replica struct {
	Identity
	Registered bool
	Reading    bool
	MariaDB    bool      // it is sent MariaDB's dialect
	Since      time.Time // it reads, or is registered
	Position   binlog.Position
	Events     uint64
	Bytes      uint64
	Heartbeats uint64

	// Of one of our nodes: what it last said to be durable there.
	AckedEpoch, AckedSeq uint64
	AckedAt              time.Time // zero: it has said nothing
}

// Register notes what a replica says of itself (COM_REGISTER_SLAVE).
func (s *Source) Register(id Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replicas[id.Connection]
	if r == nil {
		r = &replica{since: time.Now()}
		s.replicas[id.Connection] = r
	}
	if r.stream == nil {
		r.Identity, r.registered = id, true
	}
}

// Forget ends what is known of a connection.
func (s *Source) Forget(connection uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.replicas[connection]; r != nil {
		s.forget(r)
	}
}

// forget takes a replica off the list. s.mu is held.
func (s *Source) forget(r *replica) {
	if s.replicas[r.Connection] != r {
		return
	}
	delete(s.replicas, r.Connection)
	s.gone.add(r)
}

func (t *Totals) add(r *replica) {
	t.Events += r.events.Load()
	t.Bytes += r.bytes.Load()
	t.Heartbeats += r.heartbeats.Load()
}

// Replicas are the connections that have registered or read, by server id.
func (s *Source) Replicas() []Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Replica, 0, len(s.replicas))
	for _, r := range s.replicas {
		out := Replica{
			Identity: r.Identity, Registered: r.registered, Reading: r.stream != nil, Since: r.since,
			MariaDB:  r.stream != nil && r.stream.mariadb,
			Position: binlog.Position{File: r.file.Load(), Offset: r.offset.Load()},
			Events:   r.events.Load(), Bytes: r.bytes.Load(), Heartbeats: r.heartbeats.Load(),
			AckedEpoch: r.epoch.Load(), AckedSeq: r.acked.Load(),
		}
		if at := r.acknowledgedAt.Load(); at != 0 {
			out.AckedAt = time.Unix(0, at)
		}
		list = append(list, out)
	}
	slices.SortFunc(list, func(a, b Replica) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Connection, b.Connection))
	})
	return list
}

// Totals are the sums over all readers, those that have left included.
func (s *Source) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.gone
	for _, r := range s.replicas {
		t.add(r)
	}
	return t
}

// begin notes that a connection reads, and ends the stream of the same replica on another
// one: it has come back before its old connection was found dead.
func (s *Source) begin(id Identity, st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replicas {
		if r.stream != nil && r.Connection != id.Connection && same(r.Identity, id) {
			r.stream.Stop(errReplaced)
			s.forget(r)
		}
	}
	r := s.replicas[id.Connection]
	if r == nil {
		r = &replica{}
		s.replicas[id.Connection] = r
	}
	if r.registered { // what it has said then counts
		id.Host, id.Port = r.Host, r.Port
	}
	r.Identity, r.stream, r.since = id, st, time.Now()
	r.file.Store(st.file)
	r.offset.Store(st.offset)
	st.replica = r
	s.gone.Dumps++
}

// same says whether two connections are of one replica.
func same(a, b Identity) bool {
	if a.UUID != "" || b.UUID != "" {
		return a.UUID == b.UUID
	}
	return a.Server != 0 && a.Server == b.Server
}

// done notes that a connection no longer reads.
func (s *Source) done(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := st.replica
	if r.stream = nil; !r.registered {
		s.forget(r)
	}
}

// acknowledged takes what one of our nodes says to be durable there.
func (s *Source) acknowledged(r *replica, epoch, seq uint64) {
	r.epoch.Store(epoch)
	r.acked.Store(seq)
	r.acknowledgedAt.Store(time.Now().UnixNano())
	if a := s.acks.Load(); a != nil {
		(*a).Acknowledged(r.Name, epoch, seq)
	}
}
