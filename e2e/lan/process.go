package lan

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program on a host, with all that it starts.
type Process struct {
	command *exec.Cmd
	out     output
	done    chan struct{}
}

// output keeps what a program prints and may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// Start runs a command on a host, in the directory dir.
func (l *LAN) Start(host, dir string, command ...string) (*Process, error) {
	// `ip netns exec` replaces itself by the command: the process is the command's.
	p := &Process{command: exec.Command("ip", append([]string{"netns", "exec", l.Namespace(host)}, command...)...), done: make(chan struct{})}
	p.command.Dir = dir
	p.command.Stdout, p.command.Stderr = &p.out, &p.out
	p.command.WaitDelay = time.Second // for output of children that the process left behind
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", command[0], host, err)
	}
	go func() { p.command.Wait(); close(p.done) }()
	return p, nil
}

// Output is what it has printed so far.
func (p *Process) Output() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.text.String()
}

// Running tells whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Pids are the process and its descendants, parents first.
func (p *Process) Pids() []int {
	if !p.Running() {
		return nil
	}
	all := []int{p.command.Process.Pid}
	for i := 0; i < len(all); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, file := range tasks {
			text, _ := os.ReadFile(file)
			for _, word := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(word); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// Child is the newest descendant whose name in /proc/PID/comm is that, 0 if there is none.
func (p *Process) Child(name string) (pid int) {
	for _, child := range p.Pids() {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child)); err == nil && strings.TrimSpace(string(comm)) == name {
			pid = max(pid, child)
		}
	}
	return pid
}

// Signal sends to the process alone.
func (p *Process) Signal(s syscall.Signal) { p.command.Process.Signal(s) }

// Freeze stops the process and its descendants where they are, as a machine that stands
// still. A parent is stopped before it can notice its children.
func (p *Process) Freeze() { p.stopped() }

// stopped stops all and returns who they are. A process that was born meanwhile is found by
// the next look, until none is.
func (p *Process) stopped() (pids []int) {
	for known := -1; len(pids) > known; {
		known = len(pids)
		pids = p.Pids()
		signalAll(pids, syscall.SIGSTOP)
	}
	return pids
}

// Thaw lets them go on, children first.
func (p *Process) Thaw() {
	list := p.Pids()
	for i := len(list) - 1; i >= 0; i-- {
		syscall.Kill(list[i], syscall.SIGCONT)
	}
}

// Kill ends the process and its descendants without a chance to do anything. One that has
// ended stays so.
func (p *Process) Kill() {
	signalAll(p.stopped(), syscall.SIGKILL)
	<-p.done
}

func signalAll(pids []int, s syscall.Signal) {
	for _, pid := range pids {
		syscall.Kill(pid, s)
	}
}

// Stop asks the process to end and kills it after 20 s.
func (p *Process) Stop() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(20 * time.Second):
		p.Kill()
		return fmt.Errorf("%s did not end within 20 s of SIGTERM", strings.Join(p.command.Args, " "))
	}
}
