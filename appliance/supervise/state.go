package supervise

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// stateVersion is the form of state. A binary that reads another one refuses in the
// probe, and the operator restarts instead.
const stateVersion = 1

// stateVariable tells the new image which descriptor holds the state. Its name does not
// begin with STACK_, which is the config's.
const stateVariable = "SUPERVISE_STATE"

// state is all that one image of the supervisor hands to the next, in a sealed memfd.
type state struct {
	Version    int           `json:"version"`
	PID        int           `json:"pid"`
	Since      time.Time     `json:"since"`
	Generation int           `json:"generation"`
	Sockets    sockets.State `json:"sockets"`
	Nodes      []nodeState   `json:"nodes"`
	StopMark   int           `json:"stop_mark"` // eventfd, written by a stop that comes too late for this image
}

type nodeState struct {
	Config   *config.Node `json:"config"`
	Reloaded time.Time    `json:"reloaded"`
	Slots    []slotState  `json:"slots"`
}

type slotState struct {
	Role       string        `json:"role"`
	Generation int           `json:"generation"`
	Restarts   int           `json:"restarts"`
	Delay      time.Duration `json:"delay"`
	Leaving    bool          `json:"leaving,omitempty"` // removed by the config
	Base       []byte        `json:"base"`              // delimited protobuf
	Children   []childState  `json:"children"`          // old ones first
}

type childState struct {
	PID        int              `json:"pid"`
	Generation int              `json:"generation"`
	Started    time.Time        `json:"started"`
	Procs      int              `json:"procs"`
	Limit      time.Duration    `json:"limit"`
	Retired    bool             `json:"retired"`
	Retire     time.Time        `json:"retire"`
	Held       []netip.AddrPort `json:"held"`
	Control    int              `json:"control"`
	Life       int              `json:"life"`
	Stderr     int              `json:"stderr"`
	Metrics    []byte           `json:"metrics"`
}

// state collects what travels. The caller holds the turn of every slot and
// keepDescriptors.
func (s *supervisor) state() *state {
	st := &state{Version: stateVersion, PID: os.Getpid(), Sockets: s.reg.State()}
	st.Since, st.Generation, _ = s.facts()
	slots := s.slots()
	for _, n := range s.nodeList() {
		ns := nodeState{Config: n.Config()}
		n.mu.Lock()
		ns.Reloaded = n.reloaded
		n.mu.Unlock()
		for _, sl := range slots {
			if sl.node == n {
				ns.Slots = append(ns.Slots, sl.state())
			}
		}
		st.Nodes = append(st.Nodes, ns)
	}
	return st
}

func (s *slot) state() slotState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := slotState{Role: s.spec.Name, Generation: s.gen, Restarts: s.restarts, Delay: s.delay, Leaving: s.removed,
		Base: encodeFamilies(s.base.list())}
	all := slices.Clone(s.old)
	if s.current != nil {
		all = append(all, s.current)
	}
	for _, c := range all {
		cs := childState{PID: c.pid, Generation: c.gen, Started: c.started, Procs: c.procs, Limit: c.limit, Retired: c != s.current,
			Retire: c.retire, Control: c.ch.fd, Life: c.lifeFD, Stderr: c.stderrFD, Metrics: encodeFamilies(c.reported())}
		if c.closed {
			cs.Control, cs.Life, cs.Stderr = -1, -1, -1
		}
		for a := range c.held {
			cs.Held = append(cs.Held, a)
		}
		st.Children = append(st.Children, cs)
	}
	return st
}

// descriptors returns every descriptor that the state names.
func (st *state) descriptors() []int {
	var fds []int
	if st.StopMark > 0 {
		fds = append(fds, st.StopMark)
	}
	for _, g := range st.Sockets.Groups {
		fds = append(fds, g.FDs...)
	}
	for _, fd := range st.Sockets.Unix {
		fds = append(fds, fd)
	}
	for _, n := range st.Nodes {
		for _, sl := range n.Slots {
			for _, c := range sl.Children {
				for _, fd := range []int{c.Control, c.Life, c.Stderr} {
					if fd >= 0 {
						fds = append(fds, fd)
					}
				}
			}
		}
	}
	return fds
}

func (st *state) configs() []*config.Node {
	var out []*config.Node
	for _, n := range st.Nodes {
		out = append(out, n.Config)
	}
	return out
}

func (st *state) file() (int, error) {
	b, err := json.Marshal(st)
	if err != nil {
		return -1, fmt.Errorf("state for the new binary: %w", err)
	}
	return memfile("stack-state", b)
}

func inherit(fds []int, on bool) error { return sockets.SetInherit(fds, on) }

// inheritedState returns the state that the image before us left, nil if there was none.
func inheritedState(environ []string) (*state, error) {
	v := getenv(environ, stateVariable)
	if v == "" {
		return nil, nil
	}
	fail := func(err error) (*state, error) {
		return nil, fmt.Errorf("state of the binary before (%s=%s): %w", stateVariable, v, err)
	}
	fd, err := strconv.Atoi(v)
	if err != nil {
		return fail(err)
	}
	var fs unix.Stat_t
	if err := unix.Fstat(fd, &fs); err != nil {
		return fail(err)
	}
	b, err := readMemfd(fd, fs.Size)
	if err != nil {
		return fail(err)
	}
	st, err := decodeState(b, os.Getpid())
	if err != nil {
		return fail(err)
	}
	unix.Close(fd)
	for _, fd := range st.descriptors() {
		unix.CloseOnExec(fd)
	}
	return st, nil
}

func decodeState(b []byte, pid int) (*state, error) {
	st := new(state)
	if err := json.Unmarshal(b, st); err != nil {
		return nil, err
	}
	if st.Version != stateVersion {
		return nil, stateError(st.Version)
	}
	if st.PID != pid {
		return nil, fmt.Errorf("it belongs to process %d; unset the variable", st.PID)
	}
	for _, n := range st.Nodes {
		if n.Config == nil {
			return nil, fmt.Errorf("a node has no config")
		}
	}
	return st, nil
}

// stateError says that two binaries cannot hand over to each other.
func stateError(have int) error {
	return fmt.Errorf("the running supervisor hands over state version %d, this binary takes %d; restart the service instead", have, stateVersion)
}

// restore builds nodes, slots and children from the state.
func (s *supervisor) restore(st *state) {
	s.reg = sockets.Restore(st.Sockets)
	for _, ns := range st.Nodes {
		n := &Node{sup: s, name: ns.Config.Name, cfg: ns.Config, reloaded: ns.Reloaded}
		for _, ss := range ns.Slots {
			i := slices.IndexFunc(s.opt.Specs, func(sp Spec) bool { return sp.Name == ss.Role })
			if i < 0 {
				s.log.Error("a role runs that this binary does not have; it is ended", "node", n.name, "role", ss.Role)
				ss.drop()
				continue
			}
			sl := newSlot(n, &s.opt.Specs[i])
			sl.restore(ss)
			if ss.Leaving {
				s.leaving = append(s.leaving, sl)
			} else {
				n.slots = append(n.slots, sl)
			}
		}
		s.nodes = append(s.nodes, n)
	}
	// Only now: what watches one child looks at the others.
	for _, sl := range s.slots() {
		for _, c := range sl.living() {
			if c.retired.Load() {
				go sl.expire(c)
			}
			go sl.watch(c)
		}
	}
}

// drop ends the children of a slot: they die with their descriptors.
func (st *slotState) drop() {
	for _, c := range st.Children {
		for _, fd := range []int{c.Control, c.Life, c.Stderr} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}
}

func (s *slot) restore(st slotState) {
	s.gen, s.restarts, s.delay, s.removed = st.Generation, st.Restarts, st.Delay, st.Leaving
	if base, err := decodeFamilies(st.Base); err == nil {
		s.base.add(base, false)
	}
	for _, cs := range st.Children {
		families, err := decodeFamilies(cs.Metrics)
		if err != nil {
			s.sup.log.Warn("counters of a child lost", "role", st.Role, "pid", cs.PID, "error", err)
		}
		proc, err := os.FindProcess(cs.PID)
		if cs.Control < 0 || err != nil {
			s.base.add(families, false)
			continue
		}
		c := &child{node: s.node.name, role: st.Role, gen: cs.Generation, pid: cs.PID, started: cs.Started, procs: cs.Procs, limit: cs.Limit,
			proc: proc, log: s.sup.log, retire: cs.Retire, held: map[netip.AddrPort]bool{}, families: families}
		for _, a := range cs.Held {
			c.held[a] = true
		}
		c.retired.Store(cs.Retired)
		c.attach(cs.Control, cs.Life, cs.Stderr)
		if cs.Retired {
			s.old = append(s.old, c)
		} else {
			s.current = c
		}
	}
}

// Resumed says that this process continues a supervisor that was upgraded in place:
// what is announced once to a person has been announced.
func Resumed(environ []string) bool { return getenv(environ, stateVariable) != "" }
