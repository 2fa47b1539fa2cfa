package supervise

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/logs"
)

// launch is what a new child is made from.
type launch struct {
	spec    *Spec
	node    *config.Node
	gen     int
	beside  bool // an older generation serves
	environ []string
	output  *os.File
	log     *logs.Log
}

// start starts a process of this binary and says hello.
func start(l launch) (*child, error) {
	p := l.spec.process(l.node)
	c := &child{
		node: l.node.Name, role: l.spec.Name, gen: l.gen, started: time.Now(), procs: p.MaxProcs, fromHere: true, beside: l.beside, limit: p.Drain,
		held: map[netip.AddrPort]bool{}, log: l.log,
	}
	var opened []int
	fail := func(err error) (*child, error) {
		for _, fd := range opened {
			unix.Close(fd)
		}
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			err = fmt.Errorf("no file descriptor left; raise LimitNOFILE of the unit: %w", err)
		}
		return nil, fmt.Errorf("start %s of %s: %w", c.role, c.node, err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	opened = append(opened, pair[0], pair[1])
	var life, stderr [2]int
	if err := unix.Pipe2(life[:], unix.O_CLOEXEC); err != nil {
		return fail(err)
	}
	opened = append(opened, life[0], life[1])
	if err := unix.Pipe2(stderr[:], unix.O_CLOEXEC); err != nil {
		return fail(err)
	}
	opened = append(opened, stderr[0], stderr[1])
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fail(err)
	}
	defer null.Close()
	theirs := []*os.File{os.NewFile(uintptr(stderr[1]), "stderr"), os.NewFile(uintptr(pair[1]), "control"), os.NewFile(uintptr(life[0]), "life")}
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	opened = []int{pair[0], life[1], stderr[0]}
	var proc *os.Process
	err = withTimerSlack(p.TimerSlack, func() (err error) {
		proc, err = os.StartProcess("/proc/self/exe", []string{"stack: " + c.role + " " + c.node, "child", c.role}, &os.ProcAttr{
			Env:   childEnv(l.environ, p),
			Files: []*os.File{null, os.Stdout, theirs[0], theirs[1], l.output, theirs[2]},
			// Its own group: a Ctrl-C at the terminal is the supervisor's alone.
			Sys: &syscall.SysProcAttr{Setpgid: true},
		})
		return err
	})
	if err != nil {
		return fail(err)
	}
	c.pid, c.proc = proc.Pid, proc
	c.attach(pair[0], life[1], stderr[0])
	err = c.ch.tell("hello", hello{
		Node: c.node, Role: c.role, Generation: c.gen, Succeeds: l.beside, LogFormat: l.log.Format(), LogLevel: l.node.Log.Level,
	})
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("start %s of %s: %w", c.role, c.node, err)
	}
	return c, nil
}

// childEnv is the environment of a child: the supervisor's without what systemd meant
// for it alone.
func childEnv(environ []string, p Process) []string {
	env := withoutEnv(environ, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
		"LISTEN_FDNAMES", stateVariable, "GOMAXPROCS", "GOMEMLIMIT")
	if p.MaxProcs > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(p.MaxProcs))
	}
	if p.MemoryLimit > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(p.MemoryLimit, 10))
	}
	return env
}
