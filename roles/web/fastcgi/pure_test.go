package fastcgi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// decodeAll feeds data in pieces of the given size and writes what came as text.
func decodeAll(data []byte, piece int) (string, error) {
	var d Decoder
	var out, errs, text strings.Builder
	for len(data) > 0 {
		n := min(piece, len(data))
		chunk := data[:n]
		data = data[n:]
		for {
			ev, used, err := d.Next(chunk)
			if err != nil {
				return "", err
			}
			chunk = chunk[used:]
			switch ev.Kind {
			case Stdout:
				out.Write(ev.Data)
			case Stderr:
				errs.Write(ev.Data)
			case End:
				fmt.Fprintf(&text, "end %d %d;", ev.App, ev.Protocol)
			}
			if ev.Kind == None {
				break
			}
		}
	}
	return fmt.Sprintf("out=%s err=%s %s idle=%v", out.String(), errs.String(), text.String(), d.Idle()), nil
}

// answer is what php-fpm sends for a short script, with padding as it pads.
func answer() []byte {
	var b []byte
	b = append(AppendHeader(b, typeStderr, 4, 4), "oops\x00\x00\x00\x00"...)
	b = append(AppendHeader(b, typeStdout, 5, 3), "hello\x00\x00\x00"...)
	b = AppendHeader(b, typeStderr, 0, 0)
	b = AppendHeader(b, typeStdout, 0, 0)
	return append(AppendHeader(b, typeEnd, 8, 0), 0, 0, 1, 2, 0, 0, 0, 0)
}

func TestDecoderInPiecesOfAnySize(t *testing.T) {
	data := append(answer(), answer()...)
	want := "out=hellohello err=oopsoops end 258 0;end 258 0; idle=true"
	for piece := 1; piece <= len(data); piece++ {
		if got, err := decodeAll(data, piece); err != nil || got != want {
			t.Fatalf("pieces of %d: %s %v", piece, got, err)
		}
	}
}

func TestDecoderRefuses(t *testing.T) {
	for _, c := range []struct {
		data string
		want error
	}{
		{"\x02\x06\x00\x01\x00\x00\x00\x00", ErrVersion},
		{"\x01\x06\x00\x02\x00\x00\x00\x00", ErrRequestID},
		{"\x01\x03\x00\x01\x00\x07\x00\x00", ErrEndBody},
		{"\x01\x05\x00\x01\x00\x00\x00\x00", ErrType},
		{"HTTP/1.1 200 OK\r\n", ErrVersion},
	} {
		if _, err := decodeAll([]byte(c.data), 3); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.data, err, c.want)
		}
	}
}

func TestGoldenRequest(t *testing.T) {
	// Written out by hand from the tables of FastCGI 3.3 and 3.4: begin, one parameter,
	// its end, body, its end.
	got := AppendBegin(nil, true)
	pair := AppendPair(nil, "A", "bc")
	got = AppendEnd(AppendStream(got, typeParams, pair), typeParams)
	got = AppendEnd(AppendStream(got, typeStdin, []byte("xyz")), typeStdin)
	want := "\x01\x01\x00\x01\x00\x08\x00\x00" + "\x00\x01\x01\x00\x00\x00\x00\x00" +
		"\x01\x04\x00\x01\x00\x05\x00\x00" + "\x01\x02Abc" + "\x01\x04\x00\x01\x00\x00\x00\x00" +
		"\x01\x05\x00\x01\x00\x03\x00\x00xyz" + "\x01\x05\x00\x01\x00\x00\x00\x00"
	if string(got) != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestStreamIsSplit(t *testing.T) {
	b := AppendStream(nil, typeStdin, bytes.Repeat([]byte("x"), 70000))
	if len(b) != 70000+2*headerLen || b[4] != 0xff || b[5] != 0xff {
		t.Errorf("%d bytes, first header % x", len(b), b[:8])
	}
}

func TestPairsRoundTrip(t *testing.T) {
	long := strings.Repeat("v", 300)
	var got []string
	b := AppendPair(AppendPair(AppendPair(nil, "N", ""), strings.Repeat("n", 128), long), "", "x")
	if err := ParsePairs(b, func(n, v string) { got = append(got, n, v) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{"N", "", strings.Repeat("n", 128), long, "", "x"}) {
		t.Errorf("%q", got)
	}
	for i := range b[:len(b)-1] {
		if i == 3 || i == 3+8+428 {
			continue // the ends of the first and second pair
		}
		if err := ParsePairs(b[:i], func(string, string) {}); err == nil && i != 0 {
			t.Errorf("cut at %d: no error", i)
		}
	}
}

func TestParseHead(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Content-type: text/html\r\n\r\n", "200 [] -1 Content-type=text/html"},
		{"Status: 404 Not Found\nX: y\n\n", "404 [Not Found] -1 X=y"},
		{"Status: 503\n\n", "503 [] -1"},
		{"Location: /x\r\n\r\n", "302 [] -1 Location=/x"},
		{"Status: 301 Gone away\r\nLocation: /x\r\n\r\n", "301 [Gone away] -1 Location=/x"},
		{"Content-Length: 12\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n", "200 [] 12 Set-Cookie=a=1 Set-Cookie=b=2"},
		{"Connection: close\nTransfer-Encoding: chunked\nUpgrade: x\nKeep-Alive: 5\nTE: x\nTrailer: x\nX: 1\n\n", "200 [] -1 X=1"},
		{"date: x\nServer: y\nX: 1\n\n", "200 [] -1 X=1"}, // the role writes its own, and there is one of each
		{"\n", "error: " + errNothing.Error()},
		{"Status: 100 Continue\n\n", "error: " + errStatus.Error()},
		{"Status: 20\n\n", "error: " + errStatus.Error()},
		{"Status: 2000\n\n", "error: " + errStatus.Error()},
		{"Status: 200\nStatus: 200\n\n", "error: " + errStatus.Error()},
		{"Content-Length: -1\n\n", "error: " + errLength.Error()},
		{"Content-Length: 1\nContent-Length: 1\n\n", "error: " + errLength.Error()},
		{"PHP Warning\n\n", "error: " + errNoColon.Error()},
		{": x\n\n", "error: " + errName.Error()},
		{"A B: x\n\n", "error: " + errName.Error()},
		{"A: x\ry\n\n", "error: " + errValue.Error()},
		{"A: x\x00\n\n", "error: " + errValue.Error()},
	} {
		if end := HeadEnd([]byte(c.in)); end != len(c.in) {
			t.Errorf("%q: ends at %d", c.in, end)
		}
		if got := headText([]byte(c.in)); got != c.want {
			t.Errorf("%q\ngot  %s\nwant %s", c.in, got, c.want)
		}
	}
	for _, in := range []string{"", "A: b", "A: b\n", "A: b\r\n\r"} {
		if HeadEnd([]byte(in)) != -1 {
			t.Errorf("%q has no end", in)
		}
	}
}

func headText(data []byte) string {
	var h Head
	if err := ParseHead(&h, data); err != nil {
		return "error: " + err.Error()
	}
	s := fmt.Sprintf("%d [%s] %d", h.Status, h.Reason, h.Length)
	for _, f := range h.Fields {
		s += fmt.Sprintf(" %s=%s", f.Name, f.Value)
	}
	return s
}

func FuzzDecoder(f *testing.F) {
	f.Add(answer(), 1)
	f.Add(append(answer(), answer()[:9]...), 7)
	f.Add([]byte("\x01\x03\x00\x01\x00\x08\x05\x00"), 2)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		whole, err1 := decodeAll(data, max(len(data), 1))
		parts, err2 := decodeAll(data, piece)
		if !errors.Is(err1, err2) || whole != parts {
			t.Fatalf("whole: %q %v\nin pieces of %d: %q %v", whole, err1, piece, parts, err2)
		}
	})
}

func FuzzParsePairs(f *testing.F) {
	f.Add(AppendPair(nil, "NAME", strings.Repeat("v", 200)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		if ParsePairs(data, func(n, v string) { again = AppendPair(again, n, v) }) == nil {
			var third []byte
			if err := ParsePairs(again, func(n, v string) { third = AppendPair(third, n, v) }); err != nil || !bytes.Equal(again, third) {
				t.Fatal("no round trip")
			}
		}
	})
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte("Status: 200 OK\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("Location: x\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		end := HeadEnd(data)
		if end < 0 {
			return
		}
		var h Head
		if ParseHead(&h, data[:end]) != nil {
			return
		}
		if h.Status < 200 || h.Status > 599 || h.Length < -1 {
			t.Fatalf("%+v", h)
		}
		for _, field := range h.Fields {
			if bytes.ContainsAny(field.Value, "\r\n\x00") || len(field.Name) == 0 || field.hopByHop() {
				t.Fatalf("%q", field)
			}
		}
	})
}
