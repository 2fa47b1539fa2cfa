package exchange

import (
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// grpcServer speaks the framing of gRPC: each message has five bytes in front, and the
// status comes as a trailer.
func grpcServer(t testing.TB) string {
	return serve2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Te") != "trailers" || r.Header.Get("Content-Type") != "application/grpc" {
			w.WriteHeader(400)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		if r.URL.Path == "/s/Refused" { // an answer of trailers alone
			w.Header().Set("Grpc-Status", "7")
			w.Header().Set("Grpc-Message", "no")
			w.WriteHeader(200)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		w.(http.Flusher).Flush()
		n := 0
		for {
			m, err := readMessage(r.Body)
			if err != nil {
				break
			}
			n++
			switch r.URL.Path {
			case "/s/Chat", "/s/Unary":
				w.Write(message("re " + m))
				w.(http.Flusher).Flush()
			case "/s/List":
				for i := range 100 {
					w.Write(message(m + strconv.Itoa(i)))
				}
			}
		}
		if r.URL.Path == "/s/Collect" {
			w.Write(message(strconv.Itoa(n)))
		}
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set("Grpc-Message", "well")
	})
}

func message(s string) []byte {
	b := make([]byte, 5, 5+len(s))
	binary.BigEndian.PutUint32(b[1:], uint32(len(s)))
	return append(b, s...)
}

func readMessage(r io.Reader) (string, error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return "", err
	}
	b := make([]byte, binary.BigEndian.Uint32(h[1:]))
	_, err := io.ReadFull(r, b)
	return string(b), err
}

// gRPC passes in all its forms: each message when it is sent, and the status at the end.
func TestHTTP2GRPC(t *testing.T) {
	r := forwardRig2(t, pass2(t, grpcServer(t)))
	c := client2(t)
	call := func(method string) (send *io.PipeWriter, resp func() *http.Response) {
		pr, pw := io.Pipe()
		req, _ := http.NewRequest("POST", "http://"+r.addr+"/s/"+method, pr)
		req.Header.Set("Te", "trailers")
		req.Header.Set("Content-Type", "application/grpc")
		got := make(chan *http.Response, 1)
		go func() {
			resp, err := c.Do(req)
			if err != nil {
				t.Error(err)
				resp = &http.Response{Body: http.NoBody}
			}
			got <- resp
		}()
		return pw, func() *http.Response {
			select {
			case r := <-got:
				return r
			case <-time.After(20 * time.Second):
				t.Fatal("no answer")
				return nil
			}
		}
	}
	status := func(resp *http.Response, want string) {
		t.Helper()
		io.Copy(io.Discard, resp.Body)
		if got := resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status"); got != want {
			t.Errorf("status %q, want %q; %v", got, want, resp.Header)
		}
		resp.Body.Close()
	}
	expect := func(resp *http.Response, want string) {
		t.Helper()
		if m, err := readMessage(resp.Body); m != want || err != nil {
			t.Errorf("%q, %v; want %q", m, err, want)
		}
	}

	send, answer := call("Unary")
	send.Write(message("one"))
	send.Close()
	resp := answer()
	expect(resp, "re one")
	status(resp, "0")

	send, answer = call("List")
	send.Write(message("x"))
	send.Close()
	resp = answer()
	for i := range 100 {
		expect(resp, "x"+strconv.Itoa(i))
	}
	status(resp, "0")

	send, answer = call("Collect")
	for range 50 {
		send.Write(message("x"))
	}
	send.Close()
	resp = answer()
	expect(resp, "50")
	status(resp, "0")

	send, answer = call("Chat")
	send.Write(message("0"))
	resp = answer()
	expect(resp, "re 0")
	for i := range 20 { // each answer comes before the next is asked for
		send.Write(message(strconv.Itoa(i)))
		expect(resp, "re "+strconv.Itoa(i))
	}
	send.Close()
	status(resp, "0")

	send, answer = call("Refused")
	resp = answer()
	send.Close()
	status(resp, "7")
}
