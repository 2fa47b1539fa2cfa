package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// infile begins a statement that asks for a file, and reads the request.
func (r *raw) infile(q, name string) {
	r.t.Helper()
	r.query(q)
	if p := r.read(); string(p) != "\xfb"+name {
		r.t.Fatalf("the request for a file is %q", p)
	}
}

// A file comes in packets of all sizes, a whole 16 MiB and nothing at all among them.
func TestLocalFile(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{}, e)
	r := login1(t, addr, basicCaps|capLocalFiles)
	for _, sizes := range [][]int{{}, {1}, {3, 1, 5}, {100_000, 1}, {maxChunk, 7}} {
		r.infile("infile a.csv", "a.csv")
		want := 0
		for _, n := range sizes {
			b := append([]byte{byte(n), byte(n >> 8), byte(n >> 16), r.seq}, bytes.Repeat([]byte{'x'}, n)...)
			r.seq++
			if _, err := r.nc.Write(b); err != nil {
				t.Fatal(err)
			}
			want += n
		}
		r.write(nil)
		ok := r.expectOK()
		if n := ok.lenenc(); n != uint64(want) {
			t.Errorf("packets %v: the statement has read %d bytes", sizes, n)
		}
	}
	// What a statement leaves unread does not reach the next command.
	r.infile("infile-fail a.csv", "a.csv")
	for range 50 {
		r.write(bytes.Repeat([]byte{'y'}, 70_000))
	}
	r.write(nil)
	r.expectErr(1261, "01000", "Row 1 doesn't contain data for all columns")
	r.command(comPing)
	r.expectOK()
	if n := s.Stats().LocalFiles; n != 6 {
		t.Errorf("counted %d files", n)
	}
}

// A client that has not allowed it is not asked, nor is a prepared statement served.
func TestLocalFileRefused(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	r := login1(t, addr, basicCaps)
	r.query("infile a.csv")
	r.expectErr(3948, "42000", "Loading local data is disabled; this must be enabled on both the client and server sides")
	db := open(t, "root@tcp("+addr+")/")
	st, err := db.Prepare("infile a.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var e *mysql.MySQLError
	if _, err := st.Exec(); !errors.As(err, &e) || e.Number != 1295 {
		t.Errorf("a prepared statement that asks for a file gives %v", err)
	}
}

// KILL QUERY ends the statement while the client sends; the rest of the file is read and
// the connection goes on. KILL and a packet out of order end the connection.
func TestLocalFileKilled(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{}, e)
	r := login1(t, addr, basicCaps|capLocalFiles)
	r.infile("infile a.csv", "a.csv")
	receive(t, "the statement runs", e.running)
	r.write([]byte("first"))
	s.Kill(r.id, true)
	if err := receive(t, "the statement has ended", e.causes); !errors.Is(err, ErrQueryKilled) {
		t.Errorf("reading ended with %v", err)
	}
	r.write([]byte("second"))
	r.write(nil)
	r.expectErr(1317, "70100", "Query execution was interrupted")
	r.command(comPing)
	r.expectOK()

	r.infile("infile a.csv", "a.csv")
	receive(t, "the statement runs", e.running)
	r.seq += 3
	r.write([]byte("x"))
	receive(t, "the statement has ended", e.causes)
	r.seq -= 3 + 1
	if p, err := r.readErr(); err != nil || !strings.HasPrefix(errText(p), "1156 ") {
		t.Errorf("a packet out of order gives %q, %v", p, err)
	}

	// A part of a header, or of a compressed packet, does not put off the end.
	for _, caps := range []uint32{0, capCompress} {
		r = login1(t, addr, basicCaps|capLocalFiles|caps)
		if caps != 0 {
			r.squeeze(zlibAlgorithm{})
		}
		r.infile("infile a.csv", "a.csv")
		receive(t, "the statement runs", e.running)
		nc := r.nc
		if z, ok := nc.(*squeezed); ok {
			nc = z.Conn
		}
		if _, err := nc.Write([]byte{9, 0}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // the server waits for the rest
		s.Kill(r.id, true)
		if err := receive(t, "the statement has ended", e.causes); !errors.Is(err, ErrQueryKilled) {
			t.Errorf("reading ended with %v", err)
		}
	}

	r = login1(t, addr, basicCaps|capLocalFiles)
	r.infile("infile a.csv", "a.csv")
	receive(t, "the statement runs", e.running)
	s.Kill(r.id, false)
	if err := receive(t, "the statement has ended", e.causes); !errors.Is(err, ErrConnectionKilled) {
		t.Errorf("reading ended with %v", err)
	}
	if _, err := r.readErr(); err == nil {
		t.Error("a killed connection goes on")
	}
}

// The clients that people use send their files.
func TestLocalFileClients(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	content := strings.Repeat("1,one\n", 200_000)
	path := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("driver", func(t *testing.T) {
		mysql.RegisterReaderHandler("in", func() io.Reader { return strings.NewReader(content) })
		defer mysql.DeregisterReaderHandler("in")
		res, err := open(t, "root@tcp("+addr+")/").Exec("infile Reader::in")
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := res.RowsAffected(); n != int64(len(content)) {
			t.Errorf("%d of %d bytes came", n, len(content))
		}
	})
	t.Run("mariadb", func(t *testing.T) {
		out, err := mariadb(t, addr, "infile "+path+";\ninfile /nonexistent;\n", "-uroot", "--local-infile=1", "-vv", "--force")
		if want := fmt.Sprintf("Query OK, %d rows affected", len(content)); !strings.Contains(out, want) {
			t.Errorf("%q is not in the output (%v):\n%s", want, err, out)
		}
		if !strings.Contains(out, "ERROR 2") {
			t.Errorf("a file that is not there gives\n%s", out)
		}
	})
}
