package exchange

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
)

// pairs runs a test with an HTTP/2 client over servers of both versions, and with an
// HTTP/1 client over HTTP/2 servers.
func pairs(t *testing.T, h http.HandlerFunc, test func(t *testing.T, client *http.Client, url string, r *rig)) {
	one := func(name string, client *http.Client, p *Pass) {
		t.Run(name, func(t *testing.T) {
			r := forwardRig2(t, p)
			test(t, client, "http://"+r.addr, r)
		})
	}
	s1 := &http.Server{Handler: h, ErrorLog: silent}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s1.Serve(ln)
	t.Cleanup(func() { s1.Close() })
	s2 := serve2(t, h)
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	one("h2 to h1", client2(t), passTo(t, ln.Addr().String()))
	one("h2 to h2", client2(t), pass2(t, s2))
	one("h1 to h2", &http.Client{Transport: tr, Timeout: time.Minute}, pass2(t, s2))
}

func TestHTTP2Messages(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Trailer", "X-Sum")
			w.(http.Flusher).Flush() // or a short body gets a length, which leaves no place for trailers in HTTP/1
			n, _ := io.Copy(w, r.Body)
			w.Header().Set("X-Sum", fmt.Sprint(n, r.Trailer.Get("X-Count")))
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Etag", `"a"`)
			w.WriteHeader(304)
		case "/early":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			w.Write([]byte("after"))
		case "/cut":
			w.Write([]byte("some"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/head":
			w.Header().Set("Content-Length", "1000")
			if r.Method != "HEAD" {
				w.Write(bytes.Repeat([]byte("x"), 1000))
			}
		default:
			fmt.Fprintf(w, "%s %s %s cookie=%q te=%q xff=%q", r.Method, r.Host, r.URL, r.Header.Values("Cookie"), r.Header.Values("Te"), r.Header.Get("X-Forwarded-For"))
		}
	}
	pairs(t, h, func(t *testing.T, c *http.Client, url string, r *rig) {
		get := func(method, path string, body io.Reader) (*http.Response, string, error) {
			t.Helper()
			req, _ := http.NewRequest(method, url+path, body)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			return resp, string(b), err
		}
		if _, b, err := get("GET", "/a?b=c", nil); err != nil || !strings.HasPrefix(b, "GET "+strings.TrimPrefix(url, "http://")+" /a?b=c") || !strings.Contains(b, `xff="127.0.0.1"`) {
			t.Errorf("%q %v", b, err)
		}
		if resp, b, err := get("HEAD", "/head", nil); err != nil || b != "" || resp.ContentLength != 1000 {
			t.Errorf("HEAD: %d %q %v", resp.ContentLength, b, err)
		}
		if _, b, err := get("GET", "/head", nil); err != nil || len(b) != 1000 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		for _, path := range []string{"/204", "/304"} {
			if resp, b, err := get("GET", path, nil); err != nil || b != "" || "/"+fmt.Sprint(resp.StatusCode) != path {
				t.Errorf("%s: %d %q %v", path, resp.StatusCode, b, err)
			}
		}
		if _, b, err := get("GET", "/early", nil); err != nil || b != "after" {
			t.Errorf("early: %q %v", b, err)
		}
		if _, b, err := get("GET", "/cut", nil); err == nil || !strings.HasPrefix("some", b) {
			t.Errorf("a cut answer ended well: %q", b)
		}
		for _, n := range []int{0, 1, 100, 70_000, 3 << 20} {
			for _, known := range []bool{true, false} {
				data := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
				body := io.Reader(bytes.NewReader(data))
				if !known {
					body = io.MultiReader(body)
				}
				req, _ := http.NewRequest("POST", url+"/echo", body)
				if !known {
					req.Trailer = http.Header{"X-Count": {"!"}}
				}
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(n, known, err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !bytes.Equal(b, data) {
					t.Errorf("%d of %d bytes, %v", len(b), n, err)
				}
				want := fmt.Sprint(n)
				if !known {
					want += "!"
				}
				if got := strings.TrimSpace(resp.Trailer.Get("X-Sum")); got != want {
					t.Errorf("trailer %q, want %q", got, want)
				}
			}
		}
		for _, rec := range r.logs.wait(t, 15) {
			if want := c.Transport.(*http.Transport).Protocols != nil; rec.HTTP2 != want {
				t.Errorf("the record of %s says HTTP2=%t", rec.Target, rec.HTTP2)
			}
		}
	})
}

// Interim answers reach the client; so does the 100 that a server gives.
func TestHTTP2Interim(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		head := readHead(br)
		if !strings.Contains(strings.ToLower(head), "expect: 100-continue") {
			t.Errorf("no Expect in %q", head)
		}
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
		b := make([]byte, 4)
		io.ReadFull(br, b)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n%s", b)
	})
	r := forwardRig2(t, passTo(t, addr))
	e := dial2(t, r.addr)
	e.ask(1, "POST", "/", false, "expect", "100-continue", "content-length", "4")
	m := map[uint32]*reply2{1: {}}
	e.readInto(m, func() bool { return len(m[1].heads) == 2 })
	e.fr.WriteData(1, true, []byte("body"))
	e.readInto(m, m[1].over)
	if h := strings.Join(m[1].heads, "|"); !strings.HasPrefix(h, ":status: 103\n") || !strings.Contains(h, "|:status: 100\n") || !strings.Contains(h, "|:status: 200\n") || m[1].body != "body" || !m[1].ended {
		t.Errorf("%+v", m[1])
	}
}

// A body that its server ends by closing ends the stream; one that is cut resets it.
func TestHTTP2EndsOfBodies(t *testing.T) {
	for _, c := range []struct {
		answer string
		ended  bool
		body   string
	}{
		{"HTTP/1.0 200 OK\r\n\r\nuntil close", true, "until close"},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close", true, "until close"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut", false, "cut"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut\r\n", false, "cut"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut\r\nbad\r\n", false, "cut"},
	} {
		addr := origin(t, func(conn net.Conn, br *bufio.Reader) {
			readHead(br)
			io.WriteString(conn, c.answer)
		})
		r := forwardRig2(t, passTo(t, addr))
		e := dial2(t, r.addr)
		e.ask(1, "GET", "/", true)
		if got := e.reply(1); got.ended != c.ended || got.reset == c.ended || got.body != c.body {
			t.Errorf("%q: %+v", c.answer, got)
		}
		if !e.ping() {
			t.Error("the connection ended with the stream")
		}
	}
}

// An answer that comes before the request is complete is whole, a RST_STREAM without an
// error follows it, and the connection goes on.
func TestHTTP2EarlyAnswer(t *testing.T) {
	addr := answer(t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
	for name, h := range map[string]Handler{
		"memory":  HandlerFunc(func(x *Exchange) { x.Start(403); x.End([]byte("no")) }),
		"forward": HandlerFunc(func() func(x *Exchange) { p := passTo(t, addr); return func(x *Exchange) { x.Forward(p) } }()),
	} {
		r := rig2(t, h)
		e := dial2(t, r.addr)
		for id := uint32(1); id < 9; id += 2 {
			e.ask(id, "POST", "/", false)
			m := map[uint32]*reply2{id: {}}
			e.readInto(m, func() bool { return m[id].reset })
			if got := m[id]; !got.ended || got.status() != "403" || got.body != "no" || got.code != h2.ErrCodeNo {
				t.Fatalf("%s: %+v", name, got)
			}
			e.fr.WriteData(id, true, []byte("late"))
		}
		if !e.ping() {
			t.Errorf("%s: the connection has ended", name)
		}
	}
}

// A client that takes its request back frees the server at once, and only that request.
func TestHTTP2ResetFreesTheServer(t *testing.T) {
	begun, closed := make(chan struct{}), make(chan struct{})
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		if strings.HasPrefix(readHead(br), "GET /hang") {
			close(begun)
			io.Copy(io.Discard, br)
			close(closed)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	r := forwardRig2(t, passTo(t, addr))
	e := dial2(t, r.addr)
	e.ask(1, "GET", "/hang", true)
	<-begun
	e.fr.WriteRSTStream(1, h2.ErrCodeCancel)
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the server's connection is still open")
	}
	e.ask(3, "GET", "/", true)
	if got := e.reply(3); got.status() != "200" || got.body != "ok" {
		t.Errorf("%+v", got)
	}
	if rec := r.logs.wait(t, 2)[0]; rec.Cause != ClientGone {
		t.Error(rec.Cause)
	}
}

// Requests that must not reach anybody.
func TestHTTP2Malformed(t *testing.T) {
	served := make(chan string, 100)
	r := rig2(t, HandlerFunc(func(x *Exchange) {
		served <- string(x.Req.Path())
		x.ReadBody(&echoBody{})
	}))
	base := []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "x"}
	with := func(f ...string) []string { return append(append([]string(nil), base...), f...) }
	for name, c := range map[string]struct {
		fields []string
		data   string
		code   h2.ErrCode
		status string
	}{
		"upper case":           {fields: with("X-A", "b"), code: h2.ErrCodeProtocol},
		"connection":           {fields: with("connection", "close"), code: h2.ErrCodeProtocol},
		"transfer-encoding":    {fields: with("transfer-encoding", "chunked"), code: h2.ErrCodeProtocol},
		"te":                   {fields: with("te", "gzip"), code: h2.ErrCodeProtocol},
		"late pseudo":          {fields: append([]string{"a", "b"}, base...), code: h2.ErrCodeProtocol},
		"unknown pseudo":       {fields: with(":x", "y"), code: h2.ErrCodeProtocol},
		"status":               {fields: with(":status", "200"), code: h2.ErrCodeProtocol},
		"two paths":            {fields: with(":path", "/b"), code: h2.ErrCodeProtocol},
		"no path":              {fields: base[:4], code: h2.ErrCodeProtocol},
		"empty path":           {fields: []string{":method", "GET", ":scheme", "http", ":path", "", ":authority", "x"}, code: h2.ErrCodeProtocol},
		"relative path":        {fields: []string{":method", "GET", ":scheme", "http", ":path", "a", ":authority", "x"}, code: h2.ErrCodeProtocol},
		"space in path":        {fields: []string{":method", "GET", ":scheme", "http", ":path", "/a b", ":authority", "x"}, code: h2.ErrCodeProtocol},
		"no authority":         {fields: base[:6], code: h2.ErrCodeProtocol},
		"other host":           {fields: with("host", "y"), code: h2.ErrCodeProtocol},
		"two hosts":            {fields: with("host", "x", "host", "x"), code: h2.ErrCodeProtocol},
		"userinfo":             {fields: []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a@b"}, code: h2.ErrCodeProtocol},
		"scheme":               {fields: []string{":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "x"}, code: h2.ErrCodeProtocol},
		"method":               {fields: []string{":method", "G T", ":scheme", "http", ":path", "/", ":authority", "x"}, code: h2.ErrCodeProtocol},
		"line feed":            {fields: with("a", "b\nc"), code: h2.ErrCodeProtocol},
		"nul":                  {fields: with("a", "b\x00c"), code: h2.ErrCodeProtocol},
		"white space":          {fields: with("a", " b"), code: h2.ErrCodeProtocol},
		"empty name":           {fields: with("", "b"), code: h2.ErrCodeProtocol},
		"colon in name":        {fields: with("a:b", "c"), code: h2.ErrCodeProtocol},
		"length without body":  {fields: with("content-length", "3"), code: h2.ErrCodeProtocol},
		"two lengths":          {fields: with("content-length", "3", "content-length", "4"), data: "abc", code: h2.ErrCodeProtocol},
		"odd length":           {fields: with("content-length", "+3"), data: "abc", code: h2.ErrCodeProtocol},
		"too short":            {fields: with("content-length", "4"), data: "abc", code: h2.ErrCodeProtocol},
		"too long":             {fields: with("content-length", "2"), data: "abc", code: h2.ErrCodeProtocol},
		"connect":              {fields: []string{":method", "CONNECT", ":authority", "x:1"}, status: "501"},
		"protocol without":     {fields: with(":protocol", "websocket"), code: h2.ErrCodeProtocol},
		"many fields":          {fields: with(strings.Split(strings.Repeat("a,b,", 70)+"a,b", ",")...), status: "431"},
		"large head":           {fields: with("a", strings.Repeat("b", 17<<10)), status: "431"},
		"expectation":          {fields: with("expect", "more"), status: "417"},
		"asterisk":             {fields: []string{":method", "GET", ":scheme", "http", ":path", "*", ":authority", "x"}, code: h2.ErrCodeProtocol},
		"body that is allowed": {fields: with("content-length", "3"), data: "abc", status: "200"},
		"host alone":           {fields: append(append([]string(nil), base[:6]...), "host", "x"), status: "200"},
	} {
		t.Run(name, func(t *testing.T) {
			e := dial2(t, r.addr)
			block := e.block(c.fields...)
			if len(block) > 16384 {
				e.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:16384], EndStream: c.data == ""})
				e.fr.WriteContinuation(1, true, block[16384:])
			} else {
				e.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndStream: c.data == "", EndHeaders: true})
			}
			if c.data != "" {
				e.fr.WriteData(1, true, []byte(c.data))
			}
			got := e.reply(1)
			if got.status() != c.status || c.status == "" && (!got.reset || got.code != c.code) {
				t.Errorf("%+v", got)
			}
			if !e.ping() {
				t.Error("the connection has ended")
			}
			if c.status == "200" {
				<-served
				return
			}
			select {
			case p := <-served:
				if c.data == "" { // else it may be served before its end shows what it is
					t.Errorf("%s was served", p)
				}
			default:
			}
		})
	}
}
