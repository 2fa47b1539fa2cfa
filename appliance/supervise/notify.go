package supervise

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// notifier speaks sd_notify(3) to the service manager; without NOTIFY_SOCKET it does
// nothing.
type notifier struct {
	addr     string
	watchdog time.Duration // WATCHDOG_USEC; 0 is off

	mu   sync.Mutex
	last string // STATUS as last sent
}

func newNotifier(environ []string) *notifier {
	n := &notifier{addr: getenv(environ, "NOTIFY_SOCKET")}
	pid := getenv(environ, "WATCHDOG_PID")
	if pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if us, err := strconv.ParseInt(getenv(environ, "WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
			n.watchdog = time.Duration(us) * time.Microsecond
		}
	}
	return n
}

// send delivers assignments in one datagram.
func (n *notifier) send(lines ...string) error {
	if n.addr == "" {
		return nil
	}
	name := n.addr
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(time.Second))
	_, err = c.Write([]byte(strings.Join(lines, "\n")))
	return err
}

// status is a STATUS assignment, in one line.
func status(text string) string {
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
}

func (n *notifier) ready(text string) error {
	n.setLast(text)
	return n.send("READY=1", fmt.Sprintf("MAINPID=%d", os.Getpid()), status(text))
}

func (n *notifier) reloading(text string) error {
	n.setLast(text)
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/1000), status(text))
}

// update sends STATUS if it changed.
func (n *notifier) update(text string) error {
	n.mu.Lock()
	same := n.last == text
	n.last = text
	n.mu.Unlock()
	if same {
		return nil
	}
	return n.send(status(text))
}

func (n *notifier) setLast(text string) {
	n.mu.Lock()
	n.last = text
	n.mu.Unlock()
}

func getenv(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// withoutEnv returns environ without the named variables.
func withoutEnv(environ []string, names ...string) []string {
	out := make([]string, 0, len(environ))
next:
	for _, e := range environ {
		for _, n := range names {
			if strings.HasPrefix(e, n+"=") {
				continue next
			}
		}
		out = append(out, e)
	}
	return out
}
