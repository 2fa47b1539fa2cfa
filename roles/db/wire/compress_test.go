package wire

import (
	"bytes"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// squeeze puts compression under a test's client.
func (r *raw) squeeze(how algorithm) *squeezed {
	z := &squeezed{Conn: r.nc, how: how, bytesIn: new(atomic.Uint64), bytesOut: new(atomic.Uint64)}
	r.nc = z
	return z
}

// Both algorithms, over TLS and without: small and large answers, statements of several
// compressed packets, long data, a file of the client, a change of the user.
func TestCompression(t *testing.T) {
	cert, _ := certificate(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, newStub())
	z3, err := zstdOf(3)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		caps  uint32
		how   algorithm
		level []byte
		tls   bool
	}{
		"zlib":          {capCompress, zlibAlgorithm{}, nil, false},
		"zlib over TLS": {capCompress, zlibAlgorithm{}, nil, true},
		"zstd":          {capZstd, z3, []byte{19}, false},
		"both":          {capCompress | capZstd, zlibAlgorithm{}, []byte{3}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := dial(t, addr)
			caps := basicCaps | capLocalFiles | c.caps
			if c.tls {
				r.startTLS()
				caps |= capSSL
			}
			r.write(append(r.hello(caps, "root", "", ""), c.level...))
			r.expectOK()
			z := r.squeeze(c.how)
			begin := func(code byte, arg ...byte) { z.seq = 0; r.command(code, arg...) }
			// Inside compression the client's own numbers go on from the outer ones.
			answer := func() { r.seq = z.seq }
			begin(comPing)
			answer()
			r.expectOK()
			begin(comQuery, []byte("wide 3000000")...)
			answer()
			rows, _ := r.rows(false)
			if len(rows) != 1 || len(rows[0]) != 3_000_000 || strings.Trim(rows[0], "w") != "" {
				t.Fatalf("a wide row comes as %d rows", len(rows))
			}
			if n := z.bytesIn.(*atomic.Uint64).Load(); n > 200_000 {
				t.Errorf("3 MB that compress well took %d bytes", n)
			}
			noise := make([]byte, 2_000_000)
			for i := range noise {
				noise[i] = byte('a' + rand.IntN(26))
			}
			begin(comQuery, append([]byte("noise "), noise...)...)
			answer()
			r.expectOK()
			begin(comQuery, []byte("infile-fail a")...)
			answer()
			if p := r.read(); string(p) != "\xfba" {
				t.Fatalf("the request for a file is %q", p)
			}
			r.write(bytes.Repeat([]byte("x"), 100_000))
			r.write(nil)
			answer()
			r.expectErr(1261, "01000", "Row 1 doesn't contain data for all columns")
			begin(comPing)
			answer()
			r.expectOK()
		})
	}
	if n := s.Stats().Compressed; n != 4 {
		t.Errorf("counted %d connections that compress", n)
	}
}

// What is damaged ends the connection; the server goes on.
func TestCompressionDamaged(t *testing.T) {
	s, addr := serve(t, Config{}, newStub())
	good := zlibAlgorithm{}.compress(nil, packet(0, append([]byte{comQuery}, strings.Repeat("x", 100)...)))
	frame := func(seq byte, size int, payload []byte) []byte {
		n := len(payload)
		return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq, byte(size), byte(size >> 8), byte(size >> 16)}, payload...)
	}
	for name, in := range map[string][]byte{
		"sequence":       frame(1, 0, packet(0, []byte{comPing})),
		"no zlib stream": frame(0, 100, []byte("this is no compressed data at all")),
		"too short":      frame(0, 200, good),
		"too long":       frame(0, 20, good),
		"cut":            frame(0, 105, good[:20]),
	} {
		t.Run(name, func(t *testing.T) {
			r := login1(t, addr, basicCaps|capCompress)
			if _, err := r.nc.Write(in); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r.nc); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
	eventually(t, "all connections have ended", func() bool { return s.Stats().Connections == 0 })
}

// A compressed packet on a slow line may take longer than net_read_timeout, which bounds the
// wait for the next part of it, and not wait_timeout.
func TestCompressionSlow(t *testing.T) {
	s, addr := serve(t, Config{NetReadTimeout: time.Second}, newStub())
	z := zlibAlgorithm{}.compress(nil, packet(0, append([]byte{comQuery}, strings.Repeat("x", 100)...)))
	in := append([]byte{byte(len(z)), 0, 0, 0, 105, 0, 0}, z...)
	r := login1(t, addr, basicCaps|capCompress)
	for i := range in {
		if i%3 == 0 {
			time.Sleep(200 * time.Millisecond)
		}
		if _, err := r.nc.Write(in[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	squeezed := r.squeeze(zlibAlgorithm{})
	squeezed.seq, r.seq = 1, 1
	r.expectOK()

	for _, part := range []int{1, compressedHeader, compressedHeader + 5} {
		r = login1(t, addr, basicCaps|capCompress)
		if _, err := r.nc.Write(in[:part]); err != nil {
			t.Fatal(err)
		}
		r.nc.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := r.readErr(); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client that stops after %d bytes of a packet is waited for as an idle one", part)
		}
	}
	eventually(t, "all connections have ended", func() bool { return s.Stats().Connections <= 1 })
}

// The programs and drivers that can compress do so with this server.
func TestCompressionClients(t *testing.T) {
	cert, _ := certificate(t)
	e := newMemoryEngine(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
	e.kill = s.Kill
	host, port, _ := net.SplitHostPort(addr)
	compressed := func(t *testing.T) {
		t.Helper()
		if s.Stats().Compressed == 0 {
			t.Error("the client did not compress")
		}
		s.stats.compressed.Store(0)
	}
	t.Run("mariadb", func(t *testing.T) {
		out, err := mariadb(t, addr, "SELECT LENGTH('"+strings.Repeat("x", 17<<20)+"'); SELECT REPEAT('y', 18000000)", "-uroot", "-BN", "-C", "--max-allowed-packet=64M")
		if err != nil || !strings.HasPrefix(out, "17825792\n") || len(out) != 18000001+9 {
			t.Errorf("got %d bytes, %.200q, %v", len(out), out, err)
		}
		compressed(t)
	})
	t.Run("driver", func(t *testing.T) {
		cfg, err := mysql.ParseDSN("sha2:s3cret@tcp(" + addr + ")/shop?allowAllFiles=true")
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Apply(mysql.EnableCompression(true)); err != nil {
			t.Fatal(err)
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		if _, err := db.Exec("CREATE TABLE z (id INT PRIMARY KEY, s LONGTEXT)"); err != nil {
			t.Fatal(err)
		}
		want := strings.Repeat("Käse ", 400_000)
		if _, err := db.Exec("INSERT INTO z VALUES (?, ?)", 1, want); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := db.QueryRow("SELECT s FROM z WHERE id = ?", 1).Scan(&got); err != nil || got != want {
			t.Errorf("%d of %d bytes came back, %v", len(got), len(want), err)
		}
		compressed(t)
	})
	t.Run("php", func(t *testing.T) {
		if out, err := exec.Command("php", "-m").Output(); err != nil || !strings.Contains(string(out), "mysqli") {
			t.Skip("php with mysqli is not installed")
		}
		path := filepath.Join(t.TempDir(), "c.php")
		if err := os.WriteFile(path, []byte(phpCompressed), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := program(t, "", "php", path, host, port, certFile(t, cert))
		if want := "plain 2000000 1 shop\ntls 2000000 1 shop\n"; err != nil || out != want {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
		compressed(t)
	})
}

const phpCompressed = phpCommon + `
foreach (['plain' => MYSQLI_CLIENT_COMPRESS, 'tls' => MYSQLI_CLIENT_COMPRESS | MYSQLI_CLIENT_SSL] as $name => $flags) {
  $m = mysqli_init();
  if ($name == 'tls') $m->ssl_set(null, null, $ca, null, null);
  $m->real_connect($host, 'native', 'secret', 'shop', $port, null, $flags);
  $n = strlen($m->query("SELECT REPEAT('ab', 1000000)")->fetch_row()[0]);
  $st = $m->prepare("SELECT LENGTH(?) = 500000");
  $s = str_repeat('q', 500000); $st->bind_param('s', $s); $st->execute();
  $one = $st->get_result()->fetch_row()[0];
  $m->change_user('native', 'secret', 'shop');
  echo "$name $n $one ", $m->query("SELECT DATABASE()")->fetch_row()[0], "\n";
}
`

// FuzzCompressed expands whatever comes: what is sent by Write is what Read gives, and
// nothing makes more of it than it announces.
func FuzzCompressed(f *testing.F) {
	z3, err := zstdOf(3)
	if err != nil {
		f.Fatal(err)
	}
	algorithms := []algorithm{zlibAlgorithm{}, z3}
	f.Add([]byte("short"), uint8(0))
	f.Add(bytes.Repeat([]byte("long "), 100), uint8(0))
	f.Add(bytes.Repeat([]byte("long "), 100), uint8(1))
	for i, how := range algorithms {
		p := how.compress(nil, bytes.Repeat([]byte("abc"), 50))
		f.Add(append([]byte{byte(len(p)), 0, 0, 0, 150, 0, 0}, p...), uint8(i))
	}
	f.Fuzz(func(t *testing.T, in []byte, which uint8) {
		how := algorithms[int(which)%len(algorithms)]
		z := &squeezed{Conn: &memoryConn{in: bytes.NewReader(in)}, how: how, bytesIn: new(atomic.Uint64), bytesOut: new(atomic.Uint64)}
		if n, err := io.Copy(io.Discard, z); err == nil && len(in) > 0 && n == 0 && len(in) < compressedHeader {
			t.Fatal("part of a header is no error")
		}
		var sent bytes.Buffer
		w := &squeezed{Conn: &pipeEnd{&memoryConn{}, &sent}, how: how, bytesIn: new(atomic.Uint64), bytesOut: new(atomic.Uint64)}
		if _, err := w.Write(in); err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(&squeezed{Conn: &memoryConn{in: &sent}, how: how, bytesIn: new(atomic.Uint64), bytesOut: new(atomic.Uint64)})
		if err != nil || !bytes.Equal(back, in) {
			t.Fatal(fmt.Errorf("%d bytes come back as %d: %w", len(in), len(back), err))
		}
	})
}

// pipeEnd keeps what is written.
type pipeEnd struct {
	*memoryConn
	to io.Writer
}

func (p *pipeEnd) Write(b []byte) (int, error) { return p.to.Write(b) }
