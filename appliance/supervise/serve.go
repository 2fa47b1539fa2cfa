package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/logs"
	"stack/appliance/sockets"
)

// Descriptors that a child is started with.
const (
	fdControl = 3
	fdLog     = 4
	fdLife    = 5
)

// socketLinger is how long a child keeps a socket that its role was told to leave.
const socketLinger = time.Second

// Bodies of the control messages.
type (
	hello struct {
		Node       string `json:"node"`
		Role       string `json:"role"`
		Generation int    `json:"generation"`
		Succeeds   bool   `json:"succeeds"`
		LogFormat  string `json:"log_format"`
		LogLevel   string `json:"log_level"`
	}
	socketGroup struct {
		Addr netip.AddrPort `json:"addr"`
		N    int            `json:"n"`
	}
	prepareRequest struct {
		Node    *config.Node     `json:"node"`
		Addrs   []netip.AddrPort `json:"addrs"`
		Timeout time.Duration    `json:"timeout"`
	}
	drainRequest struct {
		Timeout time.Duration `json:"timeout"`
	}
	pingReply struct {
		Alive  string          `json:"alive"` // empty: alive
		Ready  bool            `json:"ready"`
		Text   string          `json:"text"`
		Detail json.RawMessage `json:"detail,omitempty"`
		// Impaired is that of Status.
		Impaired []string `json:"impaired,omitempty"`
	}
)

// errOrphan ends a child whose supervisor has died.
var errOrphan = errors.New("the supervisor has ended")

// RunChild is the whole life of a child process: cmd/stack calls it for the hidden
// sub-command "child ROLE". It returns nil when the supervisor closed the role, and an
// error when it could not start or the supervisor died; then the process must exit.
func RunChild(role string, specs []Spec) error {
	i := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == role })
	if i < 0 {
		return fmt.Errorf("child: no role %q in this binary", role)
	}
	spec := &specs[i]
	if _, err := unix.FcntlInt(fdLife, unix.F_GETFD, 0); err != nil {
		return errors.New("child: run by the supervisor only; use stack --role instead")
	}
	// The supervisor alone decides when a child stops: a Ctrl-C reaches the whole
	// process group, and systemd may signal the whole control group. A terminal in mode
	// tostop would stop a child that logs (SIGTTOU), since it is not in the foreground.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE, syscall.SIGTTOU)
	for _, fd := range []int{fdControl, fdLog, fdLife} {
		unix.CloseOnExec(fd)
	}
	if err := dieWithSupervisor(fdLife); err != nil {
		return fmt.Errorf("child: %w", err)
	}
	// The name in top and in /proc/PID/stat; ps shows argv.
	_ = os.WriteFile("/proc/self/comm", []byte("stack-"+role), 0)
	// Scores and limits only help; a container may forbid them.
	_ = raiseOOMScore(spec.OOMScoreAdj)
	_ = raiseFiles()
	keep, err := capabilityMask(spec.Capabilities)
	if err == nil {
		err = dropPrivileges(keep)
	}
	if err != nil {
		return fmt.Errorf("child: %w", err)
	}
	unix.SetNonblock(fdControl, true)
	control := os.NewFile(fdControl, "control")
	defer control.Close()
	s := &server{spec: spec, control: control, held: map[netip.AddrPort][]int{}, work: make(chan frame, 64), again: make(chan struct{}, 1),
		serving: make(chan struct{}), stop: make(chan struct{}), passages: map[*sockets.Passage]struct{}{}}
	return s.run()
}

// dieWithSupervisor asks the kernel for SIGKILL when the write end of the pipe closes,
// which is when the supervisor ends in whatever way. It works for a process that is
// stopped or wedged too, which no code of its own could promise (fcntl(2), F_SETSIG).
func dieWithSupervisor(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETSIG, int(unix.SIGKILL)); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, os.Getpid()); err != nil {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_ASYNC|unix.O_NONBLOCK); err != nil {
		return err
	}
	// The supervisor may have died before O_ASYNC was on.
	var b [1]byte
	if n, err := unix.Read(fd, b[:]); n == 0 && err == nil {
		return errOrphan
	}
	return nil
}

// server is the child's side of the control socket.
type server struct {
	spec    *Spec
	control *os.File
	wmu     sync.Mutex
	log     *logs.Log
	hello   hello
	metrics *prometheus.Registry
	http    *connServer

	role    atomic.Pointer[Role] // set by the first Prepare
	serving chan struct{}        // closed by the first Commit
	work    chan frame           // requests that change the role, one at a time
	again   chan struct{}        // the role asks for a new process
	stop    chan struct{}        // closed when close was asked for
	closing sync.Once

	// The rest belongs to the goroutine of work.
	held      map[netip.AddrPort][]int
	committed []netip.AddrPort
	offered   []netip.AddrPort
	change    *Change
	memory    int64
	calls     sync.Mutex // one call of the role at a time, Adopt included

	adopting sync.WaitGroup
	amu      sync.Mutex
	passages map[*sockets.Passage]struct{}
	draining bool
}

func (s *server) run() error {
	buf := make([]byte, maxPacket)
	s.control.SetReadDeadline(time.Now().Add(30 * time.Second))
	first, err := readFrame(s.control, buf)
	if err != nil {
		return fmt.Errorf("child: no word from the supervisor: %w", err)
	}
	if err := json.Unmarshal(first.body, &s.hello); err != nil {
		return fmt.Errorf("child: %w", err)
	}
	s.control.SetReadDeadline(time.Time{})
	if s.log, err = logs.New(logs.Options{Format: s.hello.LogFormat, Level: s.hello.LogLevel, Output: os.NewFile(fdLog, "log")}); err != nil {
		return fmt.Errorf("child: %w", err)
	}
	s.log.Logger = s.log.With("node", s.hello.Node, "role", s.hello.Role)
	s.metrics = prometheus.NewRegistry()
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.http = newConnServer(http.HandlerFunc(s.runControl))
	defer s.http.close()

	ended := make(chan error, 2)
	go func() { ended <- s.worker() }()
	go func() { ended <- s.reader(buf) }()
	return <-ended
}

// runControl serves one request of the role's own commands.
func (s *server) runControl(w http.ResponseWriter, r *http.Request) {
	role := s.role.Load()
	if role == nil {
		http.Error(w, "the role is starting", http.StatusServiceUnavailable)
		return
	}
	h := (*role).Control()
	if h == nil {
		http.Error(w, "role "+s.hello.Role+" has no commands", http.StatusNotFound)
		return
	}
	h.ServeHTTP(w, r)
}

// reader answers what may be asked at any time and queues the rest.
func (s *server) reader(buf []byte) error {
	for {
		fr, err := readFrame(s.control, buf)
		if errors.Is(err, errFrame) {
			s.log.Error("control message dropped", "error", err)
			continue
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
				return errOrphan
			}
			return fmt.Errorf("child: control socket: %w", err)
		}
		switch fr.Kind {
		case kindPing:
			go s.reply(fr, s.ping())
		case kindMetrics:
			go func() { s.send(header{ID: fr.ID, Kind: fr.Kind, Reply: true}, encodeMetrics(s.metrics)) }()
		case kindHTTP:
			s.http.serve(fr.fds)
		case kindAdopt:
			s.adopt(fr)
		case kindRoles:
			s.roles(fr)
		default:
			if fr.Kind == kindClose {
				s.closing.Do(func() { close(s.stop) })
			}
			select {
			case s.work <- fr:
			default:
				fr.closeFDs()
				s.fail(fr, errors.New("too many requests at once"))
			}
		}
	}
}

func (s *server) ping() pingReply {
	select {
	case <-s.serving:
	default:
		return pingReply{Text: "starting"}
	}
	role := *s.role.Load()
	var p pingReply
	if err := role.Alive(); err != nil {
		p.Alive = err.Error()
	}
	st := role.Status()
	p.Ready, p.Text, p.Impaired = st.Ready, st.Text, st.Impaired
	if st.Detail != nil {
		if b, err := json.Marshal(st.Detail); err == nil {
			p.Detail = b
		}
	}
	return p
}

// roles passes the health of the other roles on; it comes after the first Commit,
// since only then the supervisor counts this child as the one that serves.
func (s *server) roles(fr frame) {
	var others map[string]Health
	role := s.role.Load()
	if role == nil || json.Unmarshal(fr.body, &others) != nil {
		return
	}
	if w, ok := (*role).(Watcher); ok {
		w.RolesChanged(others)
	}
}

func (s *server) worker() error {
	for {
		var fr frame
		select {
		case fr = <-s.work:
		case <-s.again:
			s.log.Info("the role asks to be started anew")
			return s.end()
		}
		switch fr.Kind {
		case kindSockets:
			s.take(fr)
		case kindPrepare:
			s.fail(fr, s.prepare(fr))
		case kindCommit:
			s.fail(fr, s.commit())
		case kindAbort:
			s.abort()
			s.fail(fr, nil)
		case kindDrain:
			s.drain(fr)
			return s.end()
		case kindClose:
			return s.end()
		default:
			fr.closeFDs()
			s.fail(fr, fmt.Errorf("unknown request %q", fr.Kind))
		}
	}
}

func (s *server) fail(fr frame, err error) {
	h := header{ID: fr.ID, Kind: fr.Kind, Reply: true}
	if err != nil {
		h.Error = err.Error()
		if h.Error == "" {
			h.Error = "unknown error"
		}
	}
	s.send(h, nil)
}

func (s *server) reply(fr frame, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.fail(fr, err)
		return
	}
	s.send(header{ID: fr.ID, Kind: fr.Kind, Reply: true}, b)
}

func (s *server) send(h header, body []byte) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if err := writeFrame(s.control, h, body, nil, time.Now().Add(sendTimeout)); err != nil && !errors.Is(err, os.ErrClosed) {
		s.log.Error("answer to the supervisor lost", "kind", h.Kind, "error", err)
	}
}
