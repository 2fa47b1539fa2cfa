package db

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// stallWatch times commits, and beside them what the disk does to one who is alone with a file: writes
// a block and syncs it, again and again. What a commit takes beyond the longest of those syncs that
// fell into its time is the server's own share.
type stallWatch struct {
	stop           chan struct{}
	wait           sync.WaitGroup
	commits, syncs []spell
}

// spell is a time that something took.
type spell struct{ from, to time.Time }

func (s spell) took() time.Duration { return s.to.Sub(s.from) }

// watchStalls begins; commit is called every 10 ms until end. Beside the syncs of that commit one
// disk does the control's.
func watchStalls(t *testing.T, commit func()) *stallWatch {
	t.Helper()
	w := &stallWatch{stop: make(chan struct{})}
	file, err := os.Create(filepath.Join(t.TempDir(), "control"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	block := make([]byte, 4096)
	w.every(5*time.Millisecond, &w.syncs, func() {
		if _, err := file.Write(block); err != nil {
			t.Error(err)
		}
		if err := file.Sync(); err != nil {
			t.Error(err)
		}
	})
	w.every(10*time.Millisecond, &w.commits, commit)
	return w
}

func (w *stallWatch) every(pause time.Duration, into *[]spell, f func()) {
	w.wait.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				from := time.Now()
				f()
				*into = append(*into, spell{from, time.Now()})
			}
		}
	})
}

// end stops, and prints the longest commits and the commit whose own share is the longest. It
// returns that share.
func (w *stallWatch) end(t *testing.T) time.Duration {
	t.Helper()
	close(w.stop)
	w.wait.Wait()
	if len(w.commits) == 0 || len(w.syncs) == 0 {
		t.Fatal("nothing was timed")
	}
	disk := func(c spell) (most time.Duration) {
		for _, s := range w.syncs {
			if s.from.Before(c.to) && c.from.Before(s.to) {
				most = max(most, s.took())
			}
		}
		return most
	}
	longest := slices.MaxFunc(w.commits, func(a, b spell) int { return cmp.Compare(a.took(), b.took()) })
	// Only few can have the longest share: those that took longer than a usual sync.
	own := longest
	for _, c := range w.commits {
		if c.took() > 20*time.Millisecond && c.took()-disk(c) > own.took()-disk(own) {
			own = c
		}
	}
	worst := slices.MaxFunc(w.syncs, func(a, b spell) int { return cmp.Compare(a.took(), b.took()) })
	t.Logf("%d commits in %v, the longest %v, a sync of the disk meanwhile %v; the longest beyond the disk %v - %v = %v, after %v; the disk's longest sync of all %v",
		len(w.commits), time.Since(w.commits[0].from).Round(time.Second), longest.took(), disk(longest), own.took(), disk(own), own.took()-disk(own),
		own.from.Sub(w.commits[0].from).Round(time.Second/10), worst.took())
	return own.took() - disk(own)
}
