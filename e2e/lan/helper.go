package lan

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Controls and probes measure in processes of their own: a thread of a Go program that
// has other work gets to run only when its scheduler has a processor for it, however
// high its priority is.
const helperVariable = "STACK_INTERNAL_LAN_HELPER"

// Helper has to be the first call of the main function, or of TestMain, of a program
// that uses this package. In a helper process it does not return.
func Helper() {
	words := strings.Fields(os.Getenv(helperVariable))
	if len(words) == 0 {
		return
	}
	runtime.LockOSThread()
	if err := help(words); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func help(words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("helper %q: use KIND INTERVAL ARGUMENT", words)
	}
	interval, err := time.ParseDuration(words[1])
	if err != nil {
		return err
	}
	// The end of the standard input is the end of the work, also where the parent was killed.
	var stop atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	switch words[0] {
	case "control":
		if words[2] == "realtime" {
			punctual()
		}
		beat(int64(interval), &stop, report)
		return nil
	case "probe":
		address, err := netip.ParseAddrPort(words[2])
		if err != nil {
			return err
		}
		punctual()
		return ask(address, int64(interval), &stop, report)
	}
	return fmt.Errorf("helper: no kind %q", words[0])
}

// record is what a helper reports: when something was due or begun, and when it was done,
// 0 if it was not. Both are of clock.
type record struct{ begun, done int64 }

const recordLength = 16

func report(r record) {
	var b [recordLength]byte
	binary.NativeEndian.PutUint64(b[:], uint64(r.begun))
	binary.NativeEndian.PutUint64(b[8:], uint64(r.done))
	unix.Write(1, b[:])
}

// punctual puts the calling thread, which must be locked, before all ordinary ones.
// Where that is not allowed it stays what it was: the control shows what it costs.
func punctual() {
	unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 40}, 0)
}

// clock is CLOCK_MONOTONIC in ns, the same in every process.
func clock() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// started relates clock to time.Time, once for the process.
var started = struct {
	at    time.Time
	clock int64
}{time.Now(), clock()}

func clockOf(t time.Time) int64 { return started.clock + int64(t.Sub(started.at)) }
func timeOf(clock int64) time.Time {
	return started.at.Add(time.Duration(clock - started.clock))
}

// helper is a running helper process and what it has reported so far.
type helper struct {
	command   *exec.Cmd
	stdin     io.Closer
	complaint strings.Builder
	read      chan struct{}

	mu      sync.Mutex
	records []record
}

// maxRecords bounds what is remembered: a quarter of an hour of milliseconds.
const maxRecords = 1 << 20

// startHelper runs this program as a helper; prefix is put before it on the command line.
func startHelper(work string, prefix ...string) (*helper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	line := append(prefix, self)
	h := &helper{command: exec.Command(line[0], line[1:]...), read: make(chan struct{})}
	h.command.Env = append(os.Environ(), helperVariable+"="+work)
	h.command.Stderr = &h.complaint
	out, err := h.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if h.stdin, err = h.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := h.command.Start(); err != nil {
		return nil, fmt.Errorf("start a helper: %w", err)
	}
	go h.collect(out)
	return h, nil
}

func (h *helper) collect(out io.Reader) {
	defer close(h.read)
	in := bufio.NewReaderSize(out, 1<<16)
	for b := make([]byte, recordLength); ; {
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		h.mu.Lock()
		if len(h.records) < maxRecords {
			h.records = append(h.records, record{int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:]))})
		}
		h.mu.Unlock()
	}
}

// Stop ends the measurement. What was measured can still be asked for, and all of it is
// known by then. A second call does nothing.
func (h *helper) Stop() error {
	if h.stdin == nil {
		return nil
	}
	h.stdin.Close()
	h.stdin = nil
	<-h.read
	if err := h.command.Wait(); err != nil {
		return errors.New(strings.TrimSpace(h.complaint.String()))
	}
	return nil
}

// since returns the records of what was begun after a time.
func (h *helper) since(t time.Time) (list []record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := clockOf(t)
	for _, r := range h.records {
		if r.begun >= from {
			list = append(list, r)
		}
	}
	return list
}
