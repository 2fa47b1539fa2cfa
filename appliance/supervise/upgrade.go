package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// resolveProgram finds, at the start, the path that an upgrade executes: the one this
// process was started by, not /proc/self/exe, which stays the old file when a package
// replaces it.
func resolveProgram(opt *Options) error {
	if opt.Program != "" {
		return nil
	}
	if len(opt.Args) == 0 {
		return errors.New("no program name to start children and upgrades by")
	}
	p, err := exec.LookPath(opt.Args[0])
	if err == nil {
		p, err = filepath.Abs(p)
	}
	if err != nil {
		return fmt.Errorf("path of the installed binary: %w", err)
	}
	opt.Program = p
	return nil
}

type probeKey struct{}

// WithProbe makes Run with this context prove that it could take over, and nothing more.
// state is the version of the state that the running supervisor would hand over.
func WithProbe(ctx context.Context, state int) context.Context {
	return context.WithValue(ctx, probeKey{}, state)
}

func isProbe(ctx context.Context) (state int, yes bool) {
	state, yes = ctx.Value(probeKey{}).(int)
	return state, yes
}

// probe is Run in a process of the new binary beside the old.
func probe(opt Options, have int) error {
	nodes, err := opt.Load()
	if err != nil {
		return err
	}
	if have != stateVersion {
		return stateError(have)
	}
	s := &supervisor{opt: opt}
	if err := s.check(nodes); err != nil {
		return err
	}
	for _, n := range nodes {
		for i := range opt.Specs {
			spec := &opt.Specs[i]
			if !spec.needed(n) || spec.Probe == nil {
				continue
			}
			if err := spec.Probe(n); err != nil {
				return fmt.Errorf("role %s of %s: %w", spec.Name, n.Name, err)
			}
		}
	}
	return nil
}

// upgrade proves that the installed binary can take over and then executes it in place
// of this process. It returns once that is decided; the exec follows when the admin
// interface has answered what it had begun.
func (s *supervisor) upgrade(ctx context.Context) error {
	var timeout time.Duration
	for _, n := range s.configs() {
		timeout = max(timeout, startTimeout(n))
	}
	ctx, cancel := s.untilStop(ctx)
	defer cancel()
	err := s.exclusive(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return s.probeInstalled(ctx)
	})
	if err != nil {
		s.upgradeFailed(err)
		return err
	}
	s.tasks.Go(func() {
		if err := s.exclusive(s.ctx, s.replaceSelf); err != nil && s.ctx.Err() == nil {
			s.upgradeFailed(err)
			s.tell(s.notify.ready("upgrade failed, the old binary keeps serving: " + err.Error()))
		}
	})
	return nil
}

func (s *supervisor) upgradeFailed(err error) {
	s.mu.Lock()
	s.upgradeError = err.Error()
	s.mu.Unlock()
	s.log.Error("upgrade failed, the old binary keeps serving", "program", s.opt.Program, "error", err)
}

// probeInstalled runs the installed binary with our own arguments in probe mode.
func (s *supervisor) probeInstalled(ctx context.Context) error {
	args := append([]string{"child", "--probe=" + strconv.Itoa(stateVersion), "--"}, s.opt.Args[1:]...)
	cmd := exec.CommandContext(ctx, s.opt.Program, args...)
	cmd.Env = childEnv(s.opt.Environ, Process{})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	out := &tail{max: 4 << 10}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s did not prove itself in time: %w", s.opt.Program, ctx.Err())
	}
	said := strings.TrimSpace(out.kept.String())
	if said == "" {
		return fmt.Errorf("%s does not run: %w", s.opt.Program, err)
	}
	return fmt.Errorf("%s cannot take over: %s", s.opt.Program, strings.TrimPrefix(said, "stack: "))
}

// tail keeps the last bytes of what a program says. It is not itself a Buffer, whose
// ReadFrom would keep all.
type tail struct {
	kept bytes.Buffer
	max  int
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.kept.Write(p)
	if over := t.kept.Len() - t.max; over > 0 {
		t.kept.Next(over)
	}
	return len(p), nil
}

// replaceSelf executes the installed binary. It returns only if that fails; then
// everything is as before.
func (s *supervisor) replaceSelf() error {
	s.log.Info("upgrade: the installed binary takes over", "program", s.opt.Program)
	s.tell(s.notify.reloading("upgrading"))
	give, err := s.takeAll(s.ctx, nil)
	if err != nil {
		return err
	}
	defer give()
	for _, n := range s.nodeList() {
		n.stopAdmin()
	}
	// The newest counters travel with the state.
	for _, sl := range s.slots() {
		sl.scrape(s.ctx)
	}
	err = s.pauseAndExec()
	for _, n := range s.nodeList() {
		err = errors.Join(err, s.serveAdmin(n))
	}
	return err
}

// pauseAndExec leaves what children say from now on to the next image.
func (s *supervisor) pauseAndExec() error {
	keepDescriptors.Lock()
	defer keepDescriptors.Unlock()
	var paused []*child
	for _, sl := range s.slots() {
		for _, c := range sl.living() {
			if !c.closed {
				c.ch.pause()
				paused = append(paused, c)
			}
		}
	}
	err := s.execInPlace()
	for _, c := range paused {
		c.ch.resume()
	}
	return err
}

func (s *supervisor) execInPlace() error {
	mark, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("mark of a stop: %w", err)
	}
	s.mark.Store(int32(mark))
	defer unix.Close(mark)
	defer s.mark.Store(0)
	st := s.state()
	st.StopMark = mark
	fd, err := st.file()
	if err != nil {
		return err
	}
	fds := append(st.descriptors(), fd)
	// Between here and Notify in the new image a signal finds the default action. HUP
	// and USR2 are ignored meanwhile: the new image loads the config anyway. A stop in
	// that moment ends everything at once, since Go cannot keep TERM and INT blocked
	// over an exec; ignored, it would be lost.
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR2)
	err = s.settleSignals()
	syscall.ForkLock.Lock()
	if err == nil {
		err = inherit(fds, true)
	}
	if err == nil {
		err = s.ctx.Err() // a stop that came before is ours
	}
	if err == nil {
		env := append(withoutEnv(s.opt.Environ, stateVariable), stateVariable+"="+strconv.Itoa(fd))
		err = syscall.Exec(s.opt.Program, s.opt.Args, env)
	}
	back := inherit(fds, false)
	syscall.ForkLock.Unlock()
	syscall.Close(fd)
	signal.Notify(s.sigs, handled...)
	return errors.Join(fmt.Errorf("execute %s: %w", s.opt.Program, err), back)
}

// markStop tells the new image of a stop that comes when nothing holds the exec any more.
func (s *supervisor) markStop() {
	if fd := s.mark.Load(); fd > 0 {
		one := [8]byte{1}
		_, _ = unix.Write(int(fd), one[:])
	}
}

// takeMark stops at once if the image before us was told to.
func (s *supervisor) takeMark(fd int) {
	if fd <= 0 {
		return
	}
	var b [8]byte
	if n, err := unix.Read(fd, b[:]); err == nil && n == len(b) {
		s.askStop()
	}
	unix.Close(fd)
}

// settleSignals returns when every signal that has arrived was acted on: an exec would
// forget those that are only queued.
func (s *supervisor) settleSignals() error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	signal.Stop(c) // waits until what is on its way is in s.sigs
	for len(s.sigs) > 0 && s.ctx.Err() == nil {
		time.Sleep(time.Millisecond) // the loop takes them at once
	}
	return s.ctx.Err()
}

// runInherited goes on where the binary before us, under this PID, was replaced.
func (s *supervisor) runInherited(ctx context.Context, st *state) error {
	s.since, s.generation = st.Since, st.Generation+1
	carried := st.configs()
	if err := s.openLog(carried); err != nil {
		return err
	}
	s.restore(st)
	s.takeMark(st.StopMark)
	defer s.reg.Close()
	started := make(chan error, 1)
	go func() {
		started <- s.exclusive(s.ctx, func() error {
			for _, sl := range s.slots() {
				if c := sl.serving(); c != nil {
					s.tasks.Go(func() { s.lookOnce(c) })
				}
			}
			nodes, err := s.opt.Load()
			if err == nil {
				err = s.apply(s.ctx, nodes, modeUpgrade)
			}
			if err != nil && s.ctx.Err() == nil {
				// The old generations serve; only what has ended needs us.
				s.upgradeFailed(err)
				s.revive()
			}
			return nil
		})
	}()
	return s.loop(ctx, started)
}

// lookOnce asks a child how it is: for the status before the first period is over, and
// before a new generation counts, so that nobody takes it for one that is not ready.
func (s *supervisor) lookOnce(c *child) {
	c.look(s.ctx, s.opt.Timing.Watchdog, s.opt.Timing.Watchdog)
}

// revive starts again what ended while nobody looked and is not replaced.
func (s *supervisor) revive() {
	for _, n := range s.nodeList() {
		if err := s.serveAdmin(n); err != nil {
			s.log.Error("admin interface", "error", err)
		}
	}
	for _, sl := range s.slots() {
		if sl.serving() == nil {
			sl.restart()
		}
	}
}
