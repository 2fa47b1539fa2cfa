package supervise

import (
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTimerSlackIsTheChildsAlone(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := func() int {
		n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := own()
	for _, slack := range []time.Duration{0, 200 * time.Microsecond} {
		var out []byte
		err := withTimerSlack(slack, func() (err error) {
			out, err = exec.Command("cat", "/proc/self/timerslack_ns").Output()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := before
		if slack > 0 {
			want = int(slack)
		}
		if got := strings.TrimSpace(string(out)); got != strconv.Itoa(want) {
			t.Errorf("the process of %v has a slack of %s ns, want %d", slack, got, want)
		}
		if now := own(); now != before {
			t.Errorf("the thread that began the process of %v has a slack of %d ns, had %d", slack, now, before)
		}
	}
}
