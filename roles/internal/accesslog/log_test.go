package accesslog

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
)

func sample() *exchange.Record {
	return &exchange.Record{
		Start: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), Client: netip.MustParseAddrPort("192.0.2.7:4711"),
		Frontend: "https", Backend: "web", Server: "web1", Method: []byte("GET"), Target: []byte("/a?b=1"),
		Host: []byte("www.example.com"), Referer: []byte("https://x/"), UserAgent: []byte(`curl "8"`), Minor: 1, Status: 200,
		BytesIn: 80, BytesOut: 1234, TLS: tls.VersionTLS13, RequestTime: 1_234_567, QueueTime: 0, ConnectTime: -1,
		ResponseTime: 2_000_000, TotalTime: 3_500_000, Reused: true,
	}
}

// syncBuffer is a bytes.Buffer for two goroutines; it can be told to fail or to block.
type syncBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	err   error
	block chan struct{}
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	block, err := b.block, b.err
	b.mu.Unlock()
	if block != nil {
		<-block
	}
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.buf.String() }

func (b *syncBuffer) fail(err error) { b.mu.Lock(); b.err = err; b.mu.Unlock() }

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("not so after a minute: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func start(t testing.TB, loops int, out io.Writer, msgs io.Writer, c config.AccessLog) *Log {
	t.Helper()
	l := New(loops, out, slog.New(slog.NewTextHandler(msgs, nil)))
	set(t, l, c)
	return l
}

func set(t testing.TB, l *Log, c config.AccessLog) {
	t.Helper()
	ch, err := l.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	ch.Commit()
}

func TestJSONLine(t *testing.T) {
	want := `{"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.7:4711","frontend":"https","backend":"web","server":"web1",` +
		`"method":"GET","host":"www.example.com","target":"/a?b=1","protocol":"HTTP/1.1","status":200,"referer":"https://x/",` +
		`"user_agent":"curl \"8\"","bytes_in":80,"bytes_out":1234,"tq":1.234,"tw":0.000,"tc":-1,"tr":2.000,"ta":3.500,` +
		`"retries":0,"reused":true,"tls":"1.3","end":"-"}` + "\n"
	if got := string(new(stamp).appendJSON(nil, sample())); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	r := sample()
	r.TCP, r.Cause, r.Client = true, exchange.TunnelTimeout, netip.AddrPort{}
	var m map[string]any
	if err := json.Unmarshal(new(stamp).appendJSON(nil, r), &m); err != nil || m["mode"] != "tcp" || m["end"] != "tunnel-timeout" || m["client"] != "unix" || m["status"] != nil {
		t.Errorf("TCP session: %v %v", m, err)
	}
}

func TestCombinedLine(t *testing.T) {
	r := sample()
	r.Target = []byte("/\x01\"é")
	r.Referer = nil
	want := `192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "GET /\x01\x22\xc3\xa9 HTTP/1.1" 200 1234 "-" "curl \x228\x22"` + "\n"
	if got := string(new(stamp).appendCombined(nil, r)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	r.TCP = true
	if got := string(new(stamp).appendCombined(nil, r)); !strings.Contains(got, `"TCP" 200 1234`) {
		t.Errorf("TCP session: %s", got)
	}
	r.TCP, r.Method = false, nil
	if got := string(new(stamp).appendCombined(nil, r)); !strings.Contains(got, `"-" 200 1234`) {
		t.Errorf("without a head: %s", got)
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"/", "\x00\x1f\x7f\"\\", "\xff\xfe", "é\u2028\u0085", strings.Repeat("ä", 2000), "a\r\nb"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := sample()
		r.Target, r.UserAgent, r.Host, r.Method, r.Referer = in, in, in, in, in
		for _, line := range [][]byte{new(stamp).appendJSON(nil, r), new(stamp).appendCombined(nil, r)} {
			if n := bytes.Count(line, []byte{'\n'}); n != 1 || line[len(line)-1] != '\n' {
				t.Fatalf("%d line feeds in %q", n, line)
			}
			if !utf8.Valid(line) || bytes.IndexFunc(line[:len(line)-1], func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
				t.Fatalf("control byte or bad UTF-8 in %q", line)
			}
		}
		var m map[string]any
		if err := json.Unmarshal(new(stamp).appendJSON(nil, r), &m); err != nil {
			t.Fatalf("%v in %s", err, new(stamp).appendJSON(nil, r))
		}
		if len(in) <= maxField && utf8.Valid(in) && !bytes.ContainsFunc(in, func(r rune) bool { return r >= 0x80 }) && m["target"] != string(in) {
			t.Fatalf("%q came back as %q", in, m["target"])
		}
	})
}

func TestLinesReachTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l := start(t, 3, io.Discard, io.Discard, config.AccessLog{Enabled: true, Path: path, Format: "json"})
	const each = 3000
	var wg sync.WaitGroup
	for loop := range 3 {
		wg.Go(func() {
			for i := range each {
				r := sample()
				r.Target = fmt.Appendf(nil, "/%d/%d", loop, i)
				l.Append(loop, r)
				for r := &l.rings[loop]; r.head.Load()-r.tail.Load() > ringSize/2; {
					runtime.Gosched() // this test is about order, not about loss
				}
			}
		})
	}
	wg.Wait()
	l.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := [3]int{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var m struct{ Target string }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		var loop, i int
		fmt.Sscanf(m.Target, "/%d/%d", &loop, &i)
		if i != next[loop] {
			t.Fatalf("loop %d: line %d where %d was expected", loop, i, next[loop])
		}
		next[loop]++
	}
	if next != [3]int{each, each, each} || l.Counters() != (Counters{Lines: 3 * each}) {
		t.Errorf("lines %v, counters %+v", next, l.Counters())
	}
}

func TestALineIsWrittenWithinASecond(t *testing.T) {
	var out syncBuffer
	l := start(t, 1, &out, io.Discard, config.AccessLog{Enabled: true})
	defer l.Close()
	began := time.Now()
	l.Append(0, sample())
	eventually(t, "written", func() bool { return out.String() != "" })
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("after %v", d)
	}
}

func TestReloadReopens(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	c := config.AccessLog{Enabled: true, Path: path, Format: "combined"}
	l := start(t, 1, io.Discard, io.Discard, c)
	l.Append(0, sample())
	eventually(t, "first line", func() bool { b, _ := os.ReadFile(path); return len(b) > 0 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	set(t, l, c)
	set(t, l, c) // twice before the writer wakes: the one in between is closed
	l.Append(0, sample())
	eventually(t, "line in the new file", func() bool { b, _ := os.ReadFile(path); return len(b) > 0 })
	ch, err := l.Prepare(config.AccessLog{Enabled: true, Path: filepath.Join(dir, "other")})
	if err != nil {
		t.Fatal(err)
	}
	ch.Abort()
	set(t, l, config.AccessLog{})
	l.Append(0, sample())
	l.Close()
	for _, p := range []string{path, path + ".1"} {
		if b, _ := os.ReadFile(p); bytes.Count(b, []byte{'\n'}) != 1 {
			t.Errorf("%s: %q", p, b)
		}
	}
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d descriptors left open", n)
	}
}

func openFiles(t *testing.T, under string) (n int) {
	ents, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ents {
		if p, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(p, under) {
			n++
		}
	}
	return n
}

func TestSlowDiskCostsLinesNotRequests(t *testing.T) {
	out := &syncBuffer{block: make(chan struct{})}
	var msgs syncBuffer
	l := start(t, 1, out, &msgs, config.AccessLog{Enabled: true})
	for range 20000 {
		l.Append(0, sample())
	}
	c := l.Counters()
	if c.Dropped == 0 || c.Lines == 0 || c.Lines+c.Dropped != 20000 {
		t.Errorf("%+v of 20000", c)
	}
	close(out.block)
	eventually(t, "the loss is logged", func() bool { return strings.Contains(msgs.String(), "slower than they come") })
	l.Close()
	if n := strings.Count(out.String(), "\n"); uint64(n) != c.Lines {
		t.Errorf("%d lines written, %d accepted", n, c.Lines)
	}
	if n := strings.Count(msgs.String(), "slower than they come"); n != 1 {
		t.Errorf("the loss was logged %d times", n)
	}
}

func TestFullDiskIsLoggedOnceAndPasses(t *testing.T) {
	var out, msgs syncBuffer
	out.fail(errors.New("no space left on device"))
	l := start(t, 1, &out, &msgs, config.AccessLog{Enabled: true})
	for range 3 {
		n := l.Counters().Failed
		l.Append(0, sample())
		eventually(t, "counted as failed", func() bool { return l.Counters().Failed > n })
	}
	out.fail(nil)
	l.Append(0, sample())
	eventually(t, "written again", func() bool { return strings.Contains(msgs.String(), "written again") })
	l.Close()
	if n := strings.Count(msgs.String(), "no space left"); n != 1 {
		t.Errorf("logged %d times: %s", n, msgs.String())
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines after the disk has room again", n)
	}
}

func TestPrepareRefuses(t *testing.T) {
	l := start(t, 1, io.Discard, io.Discard, config.AccessLog{})
	defer l.Close()
	for c, want := range map[config.AccessLog]string{
		{Enabled: true, Format: "xml"}:                `access_log.format "xml" is not known; use json or combined`,
		{Enabled: true, Path: "/nonexistent/dir/log"}: `access_log.path: cannot open /nonexistent/dir/log: no such file or directory; make its directory exist and writable for this process, or name another file`,
	} {
		if _, err := l.Prepare(c); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	for _, format := range []string{"json", "combined"} {
		l := start(t, 1, io.Discard, io.Discard, config.AccessLog{Enabled: true, Format: format})
		r := sample()
		l.Append(0, r)
		if n := testing.AllocsPerRun(500, func() { l.Append(0, r) }); n != 0 {
			t.Errorf("%s: %v allocations a line", format, n)
		}
		l.Close()
	}
}

func BenchmarkAppend(b *testing.B) {
	l := start(b, 1, io.Discard, io.Discard, config.AccessLog{Enabled: true})
	defer l.Close()
	r := sample()
	for b.Loop() {
		l.Append(0, r)
	}
}
