package static

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func openRoot(t testing.TB) (*Root, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := OpenRoot(dir, Within)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func write(t testing.TB, path string, size int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
}

// put loads a path and keeps it, as a worker and its loop do.
func put(c *Cache, r *Root, path string, now time.Time, prior *Entry) *Entry {
	l := &Loader{Prior: prior}
	if prior != nil {
		prior.Retain()
	}
	e, _ := l.Find(r, []byte(path), false)
	l.Into(c, now)
	return e
}

func TestEntriesAgeAndAreLookedAtOnce(t *testing.T) {
	r, dir := openRoot(t)
	write(t, filepath.Join(dir, "a"), 100)
	c, now := NewCache(), time.Unix(1000, 0)
	if e, ok := (&At{c, now}).Find(r, []byte("/a"), false); ok || e != nil {
		t.Fatal("an empty cache knows", e)
	}
	first := put(c, r, "/a", now, nil)
	known := func(after time.Duration) bool {
		_, ok := (&At{c, now.Add(after)}).Find(r, []byte("/a"), false)
		return ok
	}
	if !known(0) || !known(time.Second) {
		t.Error("a second old is fresh")
	}
	if known(1100 * time.Millisecond) {
		t.Error("the first that finds it old must send a worker")
	}
	if !known(1150 * time.Millisecond) {
		t.Error("the others are served meanwhile")
	}
	if known(1300*time.Millisecond) || known(time.Hour) {
		t.Error("but not for long")
	}
	now = now.Add(2 * time.Second)
	first.settled = true // the file is new, but the test does not wait
	if again := put(c, r, "/a", now, first); again != first {
		t.Error("an unchanged file is the same entry")
	}
	if !known(0) || known(1100*time.Millisecond) || !known(1150*time.Millisecond) {
		t.Error("the entry does not age as before")
	}
	write(t, filepath.Join(dir, "a"), 101)
	if e := put(c, r, "/a", now, first); e == first || e.Size != 101 {
		t.Error("a changed file is another entry")
	}
	if n, bytes, _ := c.Len(); n != 1 || bytes != 101 {
		t.Errorf("%d entries, %d bytes", n, bytes)
	}
}

func TestCacheIsBounded(t *testing.T) {
	r, dir := openRoot(t)
	before := descriptors(t)
	c, now := NewCache(), time.Unix(1000, 0)
	write(t, filepath.Join(dir, "large"), SmallFile+1)
	keep := put(c, r, "/large", now, nil)
	keep.Retain() // as a request that sends it
	for i := range maxOpen + 100 {
		name := fmt.Sprintf("l%d", i)
		write(t, filepath.Join(dir, name), SmallFile+1)
		put(c, r, "/"+name, now, nil)
	}
	if _, _, open := c.Len(); open != maxOpen {
		t.Errorf("%d files open", open)
	}
	if keep.Fd() < 0 {
		t.Error("a file that is being sent was closed")
	}
	keep.Release()
	if keep.Fd() >= 0 {
		t.Error("a file that nobody sends is open outside the cache")
	}
	for i := range maxBytes/SmallFile + 50 {
		name := fmt.Sprintf("s%d", i)
		write(t, filepath.Join(dir, name), SmallFile)
		put(c, r, "/"+name, now, nil)
	}
	if _, bytes, _ := c.Len(); bytes > maxBytes {
		t.Errorf("%d bytes", bytes)
	}
	files := c.present.n
	for i := range 3 * maxAbsent {
		put(c, r, fmt.Sprintf("/nothing%d", i), now, nil)
	}
	if c.absent.n != maxAbsent || c.present.n != files {
		t.Errorf("%d absences, %d of %d files", c.absent.n, c.present.n, files)
	}
	// What was used last stays.
	if _, ok := (&At{c, now}).Find(r, fmt.Appendf(nil, "/s%d", maxBytes/SmallFile+49), false); !ok {
		t.Error("the newest file is gone")
	}
	if _, ok := (&At{c, now}).Find(r, []byte("/large"), false); ok {
		t.Error("the oldest file is still there")
	}
	other, _ := openRoot(t)
	put(c, other, "/x", now, nil)
	c.Keep(func(k *Root) bool { return k == other })
	if n, _, _ := c.Len(); n != 1 {
		t.Errorf("%d entries of another root", n)
	}
	c.Keep(func(*Root) bool { return false })
	if n, bytes, open := c.Len(); n != 0 || bytes != 0 || open != 0 {
		t.Errorf("not empty: %d %d %d", n, bytes, open)
	}
	if after := descriptors(t); after > before+1 { // the other root
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestWhatNobodyAsksForIsDropped(t *testing.T) {
	r, dir := openRoot(t)
	write(t, filepath.Join(dir, "large"), SmallFile+1)
	write(t, filepath.Join(dir, "small"), 10)
	c, now := NewCache(), time.Unix(1000, 0)
	e := put(c, r, "/large", now, nil)
	put(c, r, "/small", now, nil)
	put(c, r, "/nothing", now, nil)
	c.Expire(now.Add(idle))
	if n, _, _ := c.Len(); n != 3 {
		t.Errorf("%d entries within the time", n)
	}
	put(c, r, "/small", now.Add(30*time.Second), nil)
	c.Expire(now.Add(idle + time.Second))
	if n, _, open := c.Len(); n != 1 || open != 0 || e.Fd() >= 0 {
		t.Errorf("%d entries, %d open, descriptor %d", n, open, e.Fd())
	}
}

// A script's content is never read, not even into memory.
func TestSourceIsNotRead(t *testing.T) {
	r, dir := openRoot(t)
	write(t, filepath.Join(dir, "a.php"), 100)
	if err := os.Symlink("a.php", filepath.Join(dir, "a.txt")); err != nil {
		t.Fatal(err)
	}
	r.Source = func(path, name string) bool { return filepath.Ext(name) == ".php" }
	for _, path := range []string{"/a.php", "/a.txt"} {
		if e := Load(r, path, false, nil); e.Kind != File || !e.Source || e.Body != nil || e.Fd() >= 0 {
			t.Errorf("%s: %+v", path, e)
		}
	}
	if e := Load(r, "/a.php", true, nil); e.Kind != File || e.Body != nil || e.Fd() >= 0 {
		t.Errorf("looked at: %+v", e)
	}
}

func BenchmarkCacheHit(b *testing.B) {
	r, dir := openRoot(b)
	write(b, filepath.Join(dir, "a"), 100)
	c, now := NewCache(), time.Unix(1000, 0)
	put(c, r, "/a", now, nil)
	at, path := &At{c, now}, []byte("/a")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := at.Find(r, path, false); !ok {
			b.Fatal("not there")
		}
	}
}

// TestChangeWithinTheClocksGrain: two changes of a file within one tick of the file
// system's clock leave the same size and times, so what was read between them must be
// read again, however equal the file looks.
func TestChangeWithinTheClocksGrain(t *testing.T) {
	r, dir := openRoot(t)
	file := filepath.Join(dir, "a")
	write(t, file, 100)
	first := Load(r, "/a", false, nil)
	if again := Load(r, "/a", false, first); again == first {
		t.Error("a file that was read in the moment of its change is believed for ever")
	}
	o, err := r.Stat("/a")
	if err != nil {
		t.Fatal(err)
	}
	changed := time.Unix(o.Stat.Ctim.Unix())
	if settled(&o.Stat, changed.Add(time.Second)) || !settled(&o.Stat, changed.Add(3*time.Second)) {
		t.Error("a file has settled after two seconds")
	}
	first.settled = true // as if it had been read later
	if again := Load(r, "/a", false, first); again != first {
		t.Error("a file that has settled is read again")
	}
}
