package supervise

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"stack/appliance/logs"
)

// A stop that the old image has heard while it replaces itself is not lost with it. In the
// instant of the exec the kernel may drop a signal with the thread that was to handle it,
// and before the new image hears signals one ends the process at once.
func TestStopDuringAnUpgrade(t *testing.T) {
	// The moments cover the exec and the start of the new image; no event marks them.
	for _, after := range []time.Duration{0, 0, 0, 1, 2, 5, 10, 20, 40} {
		after *= time.Millisecond
		t.Run(after.String(), func(t *testing.T) {
			s := newSite(t)
			s.nodes[0] = s.node("n1", "lb")
			s.write()
			s.launch()
			s.signal(syscall.SIGUSR2)
			s.waitLog("the installed binary takes over")
			time.Sleep(after)
			s.signal(syscall.SIGTERM)
			var killed *exec.ExitError
			select {
			case <-s.exited:
			case <-time.After(30 * time.Second):
				if s.logged(`"msg":"stopping"`) {
					t.Fatal("the stop was begun and forgotten")
				}
				s.signal(syscall.SIGTERM)
			}
			err := s.wait(time.Minute)
			if errors.As(err, &killed) && killed.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
				return
			}
			if err != nil || !s.logged(`"msg":"stopped"`) {
				t.Errorf("the stop was not orderly: %v", err)
			}
		})
	}
}

// While a child becomes the one that serves, the one before it is still counted.
func TestPromoteLosesNoCounter(t *testing.T) {
	discard, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer discard.Close()
	log, err := logs.New(logs.Options{Format: "json", Level: "error", Output: discard})
	if err != nil {
		t.Fatal(err)
	}
	sup := &supervisor{log: log, ctx: t.Context()}
	sup.opt.Timing.defaults()
	n := &Node{sup: sup, name: "n1"}
	sl := newSlot(n, &Spec{Name: "lb"})
	fake := func() (*child, func()) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := &child{log: log, limit: time.Hour, dead: make(chan struct{}), exited: make(chan struct{}), ch: newChannel(pair[0], func([]byte) {})}
		return c, func() {
			unix.Close(pair[1])
			close(c.dead)
			close(c.exited)
			c.ch.close()
		}
	}
	old, endOld := fake()
	old.families = []*dto.MetricFamily{{Name: proto.String("x_total"), Type: dto.MetricType_COUNTER.Enum(),
		Metric: []*dto.Metric{{Counter: &dto.Counter{Value: proto.Float64(5)}}}}}
	next, endNext := fake()
	for err == nil { // until its control socket is full
		_, err = unix.Write(next.ch.fd, make([]byte, 4096))
	}
	sl.current = old
	promoted := make(chan struct{})
	go func() {
		sl.promote(next)
		close(promoted)
	}()
	for sl.serving() != next {
		time.Sleep(time.Millisecond)
	}
	if f := sl.total().list(); len(f) != 1 || f[0].Metric[0].Counter.GetValue() != 5 {
		t.Errorf("the counters fell to %v", f)
	}
	sl.mu.Lock()
	sl.removed = true // its end is no crash
	sl.mu.Unlock()
	endNext()
	<-promoted
	endOld()
}
