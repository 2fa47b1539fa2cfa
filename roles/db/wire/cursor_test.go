package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"
)

// TestCursor reads a large result through a server-side cursor, in memory and from a
// file, and lets the limits be met.
func TestCursor(t *testing.T) {
	dir := t.TempDir()
	e := newStub()
	s, addr := serve(t, Config{CursorMemory: 4 << 10, CursorDir: dir, CursorLimit: 1 << 20}, e)
	for _, caps := range []uint32{basicCaps, basicCaps | capDeprecateEOF} {
		for _, n := range []int{0, 1, 100, 20000} {
			r := login1(t, addr, caps)
			r.command(comStmtPrepare, fmt.Appendf(nil, "rows %d", n)...)
			r.read()
			r.command(comStmtExecute, 1, 0, 0, 0, cursorReadOnly, 1, 0, 0, 0)
			if head := r.read(); !bytes.Equal(head, []byte{2}) {
				t.Fatalf("execute says %q", head)
			}
			r.read()
			r.read()
			if end := r.read(); end[0] != 0xfe || eofStatus(caps, end)&statusCursorExists == 0 {
				t.Fatalf("the columns end with %q", end)
			}
			// Other commands may come between the fetches.
			r.command(comPing)
			r.expectOK()
			got := 0
			for last := false; !last; {
				r.command(comStmtFetch, 1, 0, 0, 0, 0x20, 3, 0, 0) // 800 rows
				for {
					p := r.read()
					if p[0] == 0xfe {
						last = eofStatus(caps, p)&statusLastRowSent != 0
						break
					}
					if id := binary.LittleEndian.Uint64(p[2:]); id != uint64(got) || string(p[10:]) != "\x03row" {
						t.Fatalf("row %d is %q", got, p)
					}
					got++
				}
			}
			if got != n {
				t.Errorf("fetched %d rows, want %d", got, n)
			}
			r.command(comStmtFetch, 1, 0, 0, 0, 1, 0, 0, 0)
			r.expectErr(1421, "HY000", "The statement (1) has no open cursor.")
			r.nc.Close()
		}
	}
	if st := s.Stats(); st.CursorFiles != 2 || st.Cursors != 0 {
		t.Errorf("%d cursor files, %d open cursors", st.CursorFiles, st.Cursors)
	}
	r := login1(t, addr, basicCaps)
	r.command(comStmtPrepare, []byte("rows 20000")...)
	r.read()
	for range 5 { // each execute replaces the cursor before
		r.command(comStmtExecute, 1, 0, 0, 0, cursorReadOnly, 1, 0, 0, 0)
		for range 4 {
			r.read()
		}
	}
	for i := 2; i < 4; i++ {
		r.command(comStmtPrepare, []byte("rows 20000")...)
		r.read()
		r.command(comStmtExecute, byte(i), 0, 0, 0, cursorReadOnly, 1, 0, 0, 0)
		p := r.read()
		if p[0] != 0xff {
			for range 3 {
				r.read()
			}
			continue
		}
		if got := errText(p); got != "1041 #HY000The open cursors of this connection hold more than 1 MiB: fetch without a cursor, or close some" {
			t.Error(got)
		}
	}
	r.command(comStmtReset, 1, 0, 0, 0)
	r.expectOK()
	r.nc.Close()
	eventually(t, "the cursors are closed", func() bool { return s.Stats().Cursors == 0 && s.Stats().Statements == 0 })
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files are left over: %v", left)
	}
}

// TestNoCursor asks for a cursor of a statement with several results, which are sent.
func TestNoCursor(t *testing.T) {
	s, addr := serve(t, Config{}, newStub())
	r := login1(t, addr, basicCaps)
	r.command(comStmtPrepare, []byte("two")...)
	r.read()
	r.command(comStmtExecute, 1, 0, 0, 0, cursorReadOnly, 1, 0, 0, 0)
	if head := r.read(); !bytes.Equal(head, []byte{1}) {
		t.Fatalf("execute says %q", head)
	}
	r.read()
	r.read()
	if row := r.read(); !bytes.Equal(row, []byte{0, 0, 1, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("the row is %q", row)
	}
	if end := r.read(); end[0] != 0xfe || eofStatus(basicCaps, end)&(statusMoreResults|statusCursorExists) != statusMoreResults {
		t.Errorf("the rows end with %q", end)
	}
	r.expectOK()
	r.command(comStmtFetch, 1, 0, 0, 0, 1, 0, 0, 0)
	r.expectErr(1421, "HY000", "The statement (1) has no open cursor.")
	if n := s.Stats().Cursors; n != 0 {
		t.Errorf("%d open cursors", n)
	}
}

func eofStatus(caps uint32, p []byte) uint16 {
	return binary.LittleEndian.Uint16(p[3:]) // behind 0xfe and warnings, or two lenenc zeros
}

// TestLongData sends parameters in pieces, and too much of them.
func TestLongData(t *testing.T) {
	e := newStub()
	_, addr := serve(t, Config{MaxAllowedPacket: 1 << 20}, e)
	r := login1(t, addr, basicCaps)
	r.command(comStmtPrepare, []byte("insert ?,?")...)
	for range 4 {
		r.read()
	}
	piece := bytes.Repeat([]byte("p"), 1000)
	send := func(param byte, n int) {
		for range n {
			r.command(comStmtSendLong, append([]byte{1, 0, 0, 0, param, 0}, piece...)...)
		}
	}
	execute := func() { r.command(comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 252, 0, 253, 0, 1, 'x') }
	send(0, 500)
	execute()
	r.expectOK()
	if p := e.last().params; len(p[0].Bytes) != 500_000 || p[0].Kind != ParamBytes || string(p[1].Bytes) != "x" || p[1].Kind != ParamString {
		t.Errorf("params: %d bytes of kind %d, %v", len(p[0].Bytes), p[0].Kind, p[1])
	}
	// Used up: the next execute needs a value again.
	execute()
	r.expectErr(1835, "HY000", "Malformed communication packet: the parameters do not fit the statement")
	send(0, 1100)
	execute()
	r.expectErr(1105, "HY000", "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes")
	send(0, 1)
	execute()
	r.expectOK()
	send(7, 1) // no such parameter
	execute()
	r.expectErr(1105, "HY000", "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes")
	send(0, 3)
	r.command(comStmtReset, 1, 0, 0, 0)
	r.expectOK()
	r.command(comStmtSendLong, 9, 0, 0, 0, 0, 0, 'x') // no such statement: no answer
	r.command(comStmtSendLong, append([]byte{1, 0, 0, 0, 0, 0}, "empty is a value too"[:0]...)...)
	execute()
	r.expectOK()
	if p := e.last().params; p[0].Bytes == nil || len(p[0].Bytes) != 0 {
		t.Errorf("long data of no bytes arrives as %v", p[0])
	}
}
