package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// The test binary is also the program under test: "supervisor DIR" runs DIR/config.json
// with roles of a line protocol, "child ROLE" is one of their processes.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) > 2 && os.Args[1] == "child" && strings.HasPrefix(os.Args[2], "--probe="):
		var have int
		fmt.Sscanf(os.Args[2], "--probe=%d", &have)
		err = Run(WithProbe(context.Background(), have), testOptions(os.Args[5]))
	case len(os.Args) == 3 && os.Args[1] == "child":
		err = RunChild(os.Args[2], testSpecs())
	case len(os.Args) == 3 && os.Args[1] == "supervisor":
		err = Run(context.Background(), testOptions(os.Args[2]))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func testOptions(dir string) Options {
	return Options{
		Specs: testSpecs(),
		Load: func() ([]*config.Node, error) {
			b, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				return nil, err
			}
			var nodes []*config.Node
			if err := json.Unmarshal(b, &nodes); err != nil {
				return nil, fmt.Errorf("config.json: %w", err)
			}
			return nodes, nil
		},
		Version: "test",
		Args:    os.Args,
		Environ: os.Environ(),
		Admin:   testAdmin,
		Timing:  Timing{Ping: 50 * time.Millisecond, Answer: 200 * time.Millisecond, Watchdog: 3 * time.Second, Scrape: 200 * time.Millisecond, Healthy: 3 * time.Second},
	}
}

// testAdmin is a small stand-in for appliance/admin on the Unix socket.
func testAdmin(ctx context.Context, n *Node, unix net.Listener, tcp []net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(n.Status()) })
	act := func(f func(context.Context) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := f(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
			}
		}
	}
	mux.HandleFunc("POST /v1/reload", act(n.Reload))
	mux.HandleFunc("POST /v1/upgrade", act(n.Upgrade))
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		f, err := n.Gather(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(encodeFamilies(f))
	})
	mux.HandleFunc("GET /fds", func(w http.ResponseWriter, _ *http.Request) {
		fds, _ := os.ReadDir("/proc/self/fd")
		fmt.Fprintln(w, len(fds), runtime.NumGoroutine())
	})
	mux.HandleFunc("/v1/{role}/", func(w http.ResponseWriter, r *http.Request) {
		h := n.Role(r.PathValue("role"))
		if h == nil {
			http.Error(w, "no such role", http.StatusNotFound)
			return
		}
		h.ServeHTTP(w, r)
	})
	srv := &http.Server{Handler: mux}
	for _, l := range append(tcp, unix) {
		go srv.Serve(l)
	}
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := srv.Shutdown(end)
	if err != nil {
		srv.Close()
	}
	return err
}

func testSpecs() []Spec {
	probe := func(n *config.Node) error {
		if strings.Contains(n.Fingerprint, "refuse-probe") {
			return errors.New("the probe was told to refuse")
		}
		return nil
	}
	limits := func(n *config.Node) Process {
		p := Process{Drain: 20 * time.Second}
		if n.LB != nil {
			p.MaxProcs = n.LB.Loops + 2
		}
		return p
	}
	dbLimits := func(n *config.Node) Process {
		return Process{Drain: 2 * time.Second, MemoryLimit: 64 << 20, TimerSlack: 300 * time.Microsecond}
	}
	return []Spec{
		{Name: "db", Exclusive: true, New: newLine, Probe: probe, Process: dbLimits},
		{Name: "web", New: newLine, OOMScoreAdj: 200},
		{Name: "lb", New: newLine, Process: limits, OOMScoreAdj: 100},
		{Name: "net", New: newLine, Capabilities: []string{"CAP_NET_ADMIN", "CAP_NET_RAW"},
			Needed: func(n *config.Node) bool { return len(n.VIP) > 0 }},
	}
}

// line is a role of a line protocol: each line is a command, each answer a line.
type line struct {
	env      Env
	node     atomic.Pointer[config.Node]
	requests prometheus.Counter
	seconds  prometheus.Histogram
	running  prometheus.Gauge
	wedged   atomic.Bool
	muted    atomic.Bool // does not answer the supervisor
	others   atomic.Value
	lock     *os.File

	mu        sync.Mutex
	listeners map[string]net.Listener
	conns     map[net.Conn]*atomic.Bool // value: busy
	next      *sockets.Passage
	draining  bool
	wg        sync.WaitGroup
}

func newLine(env Env) (Role, error) {
	l := &line{env: env, listeners: map[string]net.Listener{}, conns: map[net.Conn]*atomic.Bool{},
		requests: prometheus.NewCounter(prometheus.CounterOpts{Name: "stack_test_requests_total", Help: "Lines."}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "stack_test_seconds", Help: "Time.", Buckets: []float64{1, 2}}),
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "stack_test_generation", Help: "Generation."}),
	}
	l.running.Set(float64(env.Generation))
	env.Metrics.MustRegister(l.requests, l.seconds, l.running)
	return l, nil
}

func (l *line) Prepare(ctx context.Context, node *config.Node, set *sockets.Set) (Change, error) {
	if strings.Contains(node.Fingerprint, "refuse-"+l.env.Role) {
		return Change{}, errors.New("the config was told to be bad")
	}
	if strings.Contains(node.Fingerprint, "hang-"+l.env.Role) {
		<-ctx.Done()
		return Change{}, ctx.Err()
	}
	if strings.Contains(node.Fingerprint, "panic-"+l.env.Role) {
		panic("told to panic")
	}
	if l.env.Role == "db" && l.lock == nil {
		f, err := os.OpenFile(node.Site+".lock", os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return Change{}, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return Change{}, fmt.Errorf("the store is open in another process: %w", err)
		}
		l.lock = f
	}
	added := map[string]net.Listener{}
	for _, a := range set.Addrs() {
		for i, fd := range set.Get(a) {
			key := fmt.Sprint(a, "#", i)
			if l.listeners[key] != nil {
				added[key] = l.listeners[key]
				continue
			}
			ln, err := sockets.Listener(fd)
			if err != nil {
				return Change{}, err
			}
			added[key] = ln
		}
	}
	return Change{
		Commit: func() {
			l.node.Store(node)
			l.mu.Lock()
			old := l.listeners
			l.listeners = added
			l.mu.Unlock()
			for k, ln := range added {
				if old[k] == nil {
					l.wg.Go(func() { l.accept(ln) })
				}
			}
			for k, ln := range old {
				if added[k] == nil {
					ln.Close()
				}
			}
		},
		Abort: func() {
			for k, ln := range added {
				if l.listeners[k] == nil {
					ln.Close()
				}
			}
		},
	}, nil
}

func (l *line) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		l.serve(c)
	}
}

func (l *line) serve(c net.Conn) {
	busy := new(atomic.Bool)
	l.mu.Lock()
	l.conns[c] = busy
	if l.draining {
		c.SetReadDeadline(time.Now())
	}
	l.mu.Unlock()
	l.wg.Go(func() {
		defer func() {
			l.mu.Lock()
			delete(l.conns, c)
			l.mu.Unlock()
			c.Close()
		}()
		r := bufio.NewReader(c)
		for {
			text, err := r.ReadString('\n')
			if errors.Is(err, os.ErrDeadlineExceeded) && text == "" && r.Buffered() == 0 {
				if l.pass(c) {
					return
				}
				c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				continue
			}
			if err != nil {
				return
			}
			if _, err := io.WriteString(c, l.answer(strings.TrimSpace(text))+"\n"); err != nil {
				return
			}
		}
	})
}

// pass gives an idle connection to the next generation.
func (l *line) pass(c net.Conn) bool {
	l.mu.Lock()
	next := l.next
	l.mu.Unlock()
	if next == nil {
		return true // a plain stop ends idle connections
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return false
	}
	defer f.Close()
	return next.Send(int(f.Fd()), []byte("idle")) == nil
}

func (l *line) Adopt(fd int, meta []byte) {
	f := os.NewFile(uintptr(fd), "adopted")
	defer f.Close()
	if string(meta) != "idle" {
		return
	}
	if c, err := net.FileConn(f); err == nil {
		l.serve(c)
	}
}

func (l *line) answer(cmd string) string {
	l.requests.Inc()
	l.seconds.Observe(0.5)
	switch cmd {
	case "crash":
		os.Exit(3)
	case "again":
		l.env.Restart()
		l.env.Restart() // more than once is as once
	case "panic":
		go panic("asked for")
	case "wedge":
		l.wedged.Store(true)
	case "succeeds":
		return fmt.Sprint(l.env.Succeeds)
	case "mute":
		l.muted.Store(true)
	case "slow":
		time.Sleep(300 * time.Millisecond)
	case "size":
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Sprint(len(l.listeners), " ", len(l.node.Load().Hosts))
	case "others":
		return fmt.Sprint(l.others.Load())
	case "env":
		var rl syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &rl)
		slack, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		return fmt.Sprintf("procs=%d memory=%d slack=%d files=%v", runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1), slack, rl.Cur == rl.Max)
	}
	return fmt.Sprintf("%d %d %s", os.Getpid(), l.env.Generation, l.node.Load().Fingerprint)
}

func (l *line) Drain(ctx context.Context, next *sockets.Passage) error {
	l.mu.Lock()
	l.next, l.draining = next, true
	for _, ln := range l.listeners {
		ln.Close()
	}
	for c := range l.conns {
		c.SetReadDeadline(time.Now())
	}
	stubborn := strings.Contains(l.node.Load().Fingerprint, "stubborn")
	l.mu.Unlock()
	done := make(chan struct{})
	waits := strings.Contains(l.node.Load().Fingerprint, "lb-waits-for-web")
	mark := l.node.Load().Site + ".draining"
	if waits && l.env.Role == "web" {
		os.WriteFile(mark, nil, 0o600)
	}
	go func() {
		for waits && l.env.Role == "lb" && ctx.Err() == nil {
			if _, err := os.Stat(mark); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if stubborn {
			return
		}
		l.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *line) Close() error {
	if l.node.Load() != nil && strings.Contains(l.node.Load().Fingerprint, "stuck") {
		select {}
	}
	if n := l.node.Load(); n != nil {
		os.WriteFile(n.Site+".closed-"+l.env.Role, nil, 0o600)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
	if l.lock != nil {
		l.lock.Close()
	}
	return nil
}

func (l *line) Alive() error {
	if l.wedged.Load() {
		return errors.New("loop 0 does not turn")
	}
	return nil
}

func (l *line) Status() Status {
	for l.muted.Load() {
		time.Sleep(time.Second)
	}
	return Status{Ready: true, Text: "serving", Detail: map[string]int{"generation": l.env.Generation}}
}

func (l *line) Control() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", l.env.Role, r.Method, r.URL.Path)
	})
}

// RolesChanged implements Watcher.
func (l *line) RolesChanged(others map[string]Health) {
	ready := map[string]bool{}
	for role, h := range others {
		ready[role] = h.Ready
		if !h.Ready {
			l.env.Log.Info("told", "of", role, "reason", h.Reason)
		}
	}
	l.others.Store(ready)
}
