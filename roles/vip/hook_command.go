package vip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// maxOutput is how much of what a program writes is kept: its end.
const maxOutput = 2 << 10

// run executes a program until it ends, or timeout or ctx is over; then its process group is
// killed. The program, though not what it has started, dies with this process too: the
// kernel kills it when the thread that started it ends, so that thread is held until then.
func run(ctx context.Context, command []string, timeout time.Duration, environ []string) (said string, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer asOrdinary()()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	out := &lastWords{}
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // what it left in the background may hold its output
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("killed: it ran longer than %s", timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it ended well
	}
	return out.String(), err
}

// lastWords keeps the end of what is written to it, in one line for the log.
type lastWords struct{ kept bytes.Buffer }

// Write implements io.Writer.
func (o *lastWords) Write(p []byte) (int, error) {
	o.kept.Write(p)
	if over := o.kept.Len() - maxOutput; over > 0 {
		o.kept.Next(over)
	}
	return len(p), nil
}

func (o *lastWords) String() string {
	return strings.ToValidUTF8(strings.TrimSpace(o.kept.String()), "?")
}

// environ is the environment of a hook's program. What else this process has in its own
// (STACK_…, which may hold a secret) is not passed on.
func (n news) environ() []string {
	return append(programEnviron(),
		"VIP_GROUP="+n.Group, "VIP_STATE="+n.State, "VIP_REASON="+n.Reason, "VIP_ADDRESSES="+strings.Join(n.Addresses, " "), "VIP_NODE="+n.Node)
}

func programEnviron() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return []string{"PATH=" + path, "LANG=C.UTF-8"}
}
