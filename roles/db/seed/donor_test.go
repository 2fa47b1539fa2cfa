package seed

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

var (
	alice = Client{Connection: 1, Account: "alice@%"}
	other = Client{Connection: 2, Account: "alice@%"}
	mary  = Client{Connection: 3, Account: "mary@%"}
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.Open(store.Options{Dir: filepath.Join(t.TempDir(), "db")})
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	must(t, st.DB.Set([]byte("key"), []byte("value"), pebble.Sync))
	must(t, st.DB.Flush())
	return st
}

func newDonor(t testing.TB, st *store.Store, o DonorOptions) *Donor {
	t.Helper()
	d, err := NewDonor(st, o)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// heldDirs are the checkpoints on the disk.
func heldDirs(t testing.TB, st *store.Store) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(st.Dir(), store.SeedsDir, "*"))
	must(t, err)
	return names
}

func drop([]byte) error { return nil }

// await polls until ok; it is bounded by far more than what is waited for takes.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// What a client may not ask for: checkpoints of others, of nobody, and files outside.
func TestDonorGivesOnlyItsOwn(t *testing.T) {
	st := openStore(t)
	d := newDonor(t, st, DonorOptions{})
	c, err := d.Begin(t.Context(), alice, "")
	must(t, err)
	if len(c.ID) != 32 || len(c.Files) < 3 {
		t.Fatalf("the checkpoint is %+v", c)
	}
	for _, f := range c.Files {
		n := int64(0)
		sum, err := d.Send(t.Context(), alice, c.ID, f.Name, 0, func(p []byte) error { n += int64(len(p)); return nil })
		if err != nil || n != f.Bytes || len(sum) != 64 {
			t.Errorf("%s: %d of %d bytes, sum %q, %v", f.Name, n, f.Bytes, sum, err)
		}
	}
	secret := filepath.Join(filepath.Dir(st.Dir()), "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o600))
	for _, name := range []string{"", ".", "..", "store", "store/", "store/LOCK", "../../../secret", "store/../../../../secret", secret, "/etc/passwd", "store/\x00", "FORMAT\x00", "format"} {
		if _, err := d.Send(t.Context(), alice, c.ID, name, 0, drop); err == nil || !strings.Contains(err.Error(), "has no file") {
			t.Errorf("file %q: %v", name, err)
		}
	}
	for _, id := range []string{"", "..", c.ID[:31], strings.ToUpper(c.ID) + "0", strings.Repeat("0", 32)} {
		if _, err := d.Send(t.Context(), alice, id, "FORMAT", 0, drop); !errors.Is(err, ErrGone) {
			t.Errorf("seed %q: %v", id, err)
		}
	}
	if _, err := d.Send(t.Context(), mary, c.ID, "FORMAT", 0, drop); !errors.Is(err, ErrGone) {
		t.Errorf("another account got a file: %v", err)
	}
	if _, err := d.Begin(t.Context(), mary, c.ID); !errors.Is(err, ErrGone) {
		t.Errorf("another account took the seed up: %v", err)
	}
	if err := d.End(mary, c.ID); !errors.Is(err, ErrGone) {
		t.Errorf("another account ended the seed: %v", err)
	}
	if _, err := d.Send(t.Context(), other, c.ID, "FORMAT", 0, drop); !errors.Is(err, ErrGone) {
		t.Errorf("a connection that has not begun got a file: %v", err)
	}
	if again, err := d.Begin(t.Context(), other, c.ID); err != nil || again.ID != c.ID {
		t.Errorf("its account cannot go on: %v", err)
	}
	must(t, d.End(other, c.ID))
	if left := heldDirs(t, st); len(left) != 0 {
		t.Errorf("after the end there is %v", left)
	}
}

// A bounded number of checkpoints: one that nobody uses makes room, one in use does not.
func TestDonorHoldsFew(t *testing.T) {
	st := openStore(t)
	d := newDonor(t, st, DonorOptions{Held: 2})
	first, err := d.Begin(t.Context(), alice, "")
	must(t, err)
	_, err = d.Begin(t.Context(), mary, "")
	must(t, err)
	if _, err := d.Begin(t.Context(), other, ""); !errors.Is(err, ErrBusy) {
		t.Fatalf("a third one: %v", err)
	}
	d.Detach(alice.Connection)
	_, err = d.Begin(t.Context(), other, "")
	must(t, err)
	if _, err := d.Begin(t.Context(), alice, first.ID); !errors.Is(err, ErrGone) {
		t.Errorf("the one that made room: %v", err)
	}
	if left := heldDirs(t, st); len(left) != 2 {
		t.Errorf("held are %v", left)
	}
	// Many at once: never more than two, whoever comes first.
	d.Detach(other.Connection)
	d.Detach(mary.Connection)
	var wg sync.WaitGroup
	var got atomic.Int32
	for i := range 16 {
		wg.Go(func() {
			switch _, err := d.Begin(context.Background(), Client{Connection: uint32(100 + i), Account: "many@%"}, ""); {
			case err == nil:
				got.Add(1)
			case !errors.Is(err, ErrBusy):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left := heldDirs(t, st); len(left) != 2 || got.Load() != 2 {
		t.Errorf("%d of 16 were given, held are %v", got.Load(), left)
	}
}

// A checkpoint goes when nobody comes back for it, when it is too old, and when the disk
// fills, even in the middle of a file.
func TestDonorRemovesCheckpoints(t *testing.T) {
	t.Run("nobody comes back", func(t *testing.T) {
		st := openStore(t)
		d := newDonor(t, st, DonorOptions{Keep: time.Millisecond, Tick: time.Millisecond})
		_, err := d.Begin(t.Context(), alice, "")
		must(t, err)
		d.Detach(alice.Connection)
		await(t, "the checkpoint goes", func() bool { return len(heldDirs(t, st)) == 0 })
	})
	t.Run("too old", func(t *testing.T) {
		st := openStore(t)
		d := newDonor(t, st, DonorOptions{Longest: time.Millisecond, Tick: time.Millisecond})
		c, err := d.Begin(t.Context(), alice, "")
		must(t, err)
		await(t, "the checkpoint goes", func() bool { return len(heldDirs(t, st)) == 0 })
		if _, err := d.Send(t.Context(), alice, c.ID, "FORMAT", 0, drop); !errors.Is(err, ErrGone) {
			t.Errorf("a file of it: %v", err)
		}
	})
	t.Run("full disk", func(t *testing.T) {
		st := openStore(t)
		var free atomic.Uint64
		free.Store(1 << 40)
		d := newDonor(t, st, DonorOptions{Tick: time.Millisecond, FreeSpace: func() (uint64, uint64) { return free.Load(), 1 << 30 }})
		c, err := d.Begin(t.Context(), alice, "")
		must(t, err)
		reading := make(chan struct{})
		failed := make(chan error)
		go func() {
			var once sync.Once
			_, err := d.Send(context.Background(), alice, c.ID, "FORMAT", 0, func([]byte) error {
				once.Do(func() { close(reading) })
				<-failed // a client that takes nothing
				return nil
			})
			failed <- err
		}()
		<-reading
		free.Store(1 << 30)
		await(t, "the checkpoint goes", func() bool { return len(heldDirs(t, st)) == 0 })
		failed <- nil
		if err := <-failed; !errors.Is(err, ErrDisk) {
			t.Errorf("the one who was fetching gets %v", err)
		}
		if _, err := d.Begin(t.Context(), alice, ""); !errors.Is(err, ErrDisk) {
			t.Errorf("another one: %v", err)
		}
	})
	t.Run("a process that died", func(t *testing.T) {
		st := openStore(t)
		_, err := st.MakeDir(store.SeedsDir)
		must(t, err)
		_, err = st.MakeDir(filepath.Join(store.SeedsDir, "left", "store"))
		must(t, err)
		newDonor(t, st, DonorOptions{})
		if left := heldDirs(t, st); len(left) != 0 {
			t.Errorf("a start leaves %v", left)
		}
	})
	t.Run("a caller that leaves", func(t *testing.T) {
		st := openStore(t)
		d := newDonor(t, st, DonorOptions{Held: 1})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("gone"))
		if _, err := d.Begin(ctx, alice, ""); err == nil || !strings.Contains(err.Error(), "gone") {
			t.Fatalf("a seed for somebody who has left: %v", err)
		}
		if left := heldDirs(t, st); len(left) != 0 {
			t.Errorf("a seed that was not begun leaves %v", left)
		}
		_, err := d.Begin(t.Context(), alice, "") // the slot is free
		must(t, err)
	})
}

// All seeds together stay below the rate.
func TestDonorRate(t *testing.T) {
	l := limiter{}
	l.set(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	must(t, l.wait(ctx, 1<<30)) // the first goes at once, and is paid for by the next
	cancel()
	if err := l.wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("1 GiB at 1 MiB a second is over: %v", err)
	}
	l.set(0)
	must(t, l.wait(ctx, 1<<30))
}

// What a donor sends waits for the rate of all seeds, also one that was set meanwhile, and for the client's own.
func TestDonorSendsAtARate(t *testing.T) {
	st := openStore(t)
	noise := make([]byte, 3*PieceSize)
	rand.Read(noise)
	must(t, st.DB.Set([]byte("large"), noise, pebble.Sync))
	must(t, st.DB.Flush())
	for name, c := range map[string]struct {
		rate, set, own int64
		pieces         int // that come before a client has waited for long
	}{
		"no bound":       {0, 0, 0, 3},
		"of all":         {1, 0, 0, 1},
		"set meanwhile":  {0, 1, 0, 1},
		"of this client": {0, 0, 1, 1},
	} {
		d := newDonor(t, st, DonorOptions{Rate: c.rate})
		seed, err := d.Begin(t.Context(), alice, "")
		must(t, err)
		if c.set > 0 {
			d.SetRate(c.set)
		}
		largest := slices.MaxFunc(seed.Files, func(a, b File) int { return cmp.Compare(a.Bytes, b.Bytes) })
		if largest.Bytes < 3*PieceSize {
			t.Fatalf("the largest file has %d bytes", largest.Bytes)
		}
		ctx, leave := context.WithCancel(t.Context())
		pieces := 0
		_, err = d.Send(ctx, alice, seed.ID, largest.Name, c.own, func([]byte) error {
			if pieces++; pieces == 1 && c.pieces == 1 {
				time.AfterFunc(50*time.Millisecond, leave) // the next piece would come in days
			}
			return nil
		})
		leave()
		if bounded := c.pieces == 1; bounded && pieces != 1 || pieces < c.pieces || (err != nil) != bounded {
			t.Errorf("%s: %d pieces, %v", name, pieces, err)
		}
		must(t, d.End(alice, seed.ID))
	}
}

func TestMeter(t *testing.T) {
	now := time.Unix(1000, 0)
	m := meter{now: func() time.Time { return now }}
	for range 40 {
		m.add(100)
		now = now.Add(100 * time.Millisecond)
	}
	if r := m.rate(); r < 900 || r > 1100 {
		t.Errorf("1000 bytes a second are measured as %d", r)
	}
	now = now.Add(10 * window)
	if r := m.rate(); r != 0 {
		t.Errorf("after a pause %d", r)
	}
}

// What a donor sends, and what a killed clone has left, is not believed.
func TestState(t *testing.T) {
	good := `{"id":"x","files":[{"name":"FORMAT","bytes":1},{"name":"store/1.sst","bytes":2}]}`
	if s, err := parseState([]byte(good)); err != nil || s.total() != 3 {
		t.Errorf("a good one: %+v %v", s, err)
	}
	for _, bad := range []string{
		"", "{", `{"id":"x"}`,
		`{"id":"x","files":[{"name":"store/1","bytes":1}]}`,
		`{"id":"x","files":[{"name":"FORMAT","bytes":1},{"name":"FORMAT","bytes":1}]}`,
		`{"id":"x","files":[{"name":"FORMAT","bytes":-1}]}`,
		`{"id":"x","files":[{"name":"FORMAT","bytes":9223372036854775807},{"name":"store/1","bytes":1}]}`,
		`{"id":"x","files":[{"name":"FORMAT","bytes":1},{"name":"store/../../x","bytes":1}]}`,
		`{"id":"x","files":[{"name":"FORMAT","bytes":1},{"name":"/etc/passwd","bytes":1}]}`,
		`{"id":"x","files":[{"name":"FORMAT","bytes":1},{"name":"store/LOCK","bytes":1}]}`,
	} {
		if s, err := parseState([]byte(bad)); err == nil {
			t.Errorf("%s is read as %+v", bad, s)
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"id":"x","files":[{"name":"FORMAT","bytes":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil || s.ID == "" {
			return
		}
		for _, file := range s.Files {
			path := filepath.Join("/d", filepath.FromSlash(file.Name))
			if path != "/d/FORMAT" && filepath.Dir(path) != "/d/store" || file.Bytes < 0 {
				t.Errorf("%q leads to %s", file.Name, path)
			}
		}
	})
}
