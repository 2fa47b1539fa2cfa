package exchange

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sClient is openssl s_client that stays open.
type sClient struct {
	in  io.WriteCloser
	out *lockedText
	cmd *exec.Cmd
	end chan struct{}
}

// lockedText may be read while a program writes.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startSClient(t *testing.T, addr string, args ...string) *sClient {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	c := &sClient{out: &lockedText{}, end: make(chan struct{})}
	c.cmd = exec.Command("openssl", append([]string{"s_client", "-connect", addr, "-servername", "a.test"}, args...)...)
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.cmd.Wait(); close(c.end) }()
	t.Cleanup(func() { c.cmd.Process.Kill(); <-c.end })
	return c
}

// wait returns what was printed once openssl has ended.
func (c *sClient) wait(t *testing.T) string {
	t.Helper()
	select {
	case <-c.end:
	case <-time.After(20 * time.Second):
		c.cmd.Process.Kill()
		<-c.end
		t.Errorf("openssl did not end: %s", c.out)
	}
	return c.out.String()
}

// pieces counts the body and looks at what the loop's buffer for records holds.
type pieces struct {
	echoBody
	t     *testing.T
	left  int
	total int
}

func (p *pieces) Body(x *Exchange, b []byte, last bool) {
	p.total += len(b)
	p.left += len(x.w.sealed)
	if last {
		x.Start(200)
		x.End(fmt.Appendf(nil, "got %d", p.total))
	}
}

// A client that changes its keys in the middle of an upload and wants the same of the
// server: the answer goes out on this connection at once, and does not stay in the buffer
// that all connections of the loop share.
func TestKeyUpdate(t *testing.T) {
	cert, _ := certificate(t, "a.test")
	var body *pieces
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { body = &pieces{t: t}; x.ReadBody(body) }), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c := startSClient(t, r.addr)
	const size = 300_000
	fmt.Fprintf(c.in, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	eventually(t, "the request has begun", func() bool { return r.point.Counters().Requests == 1 })
	held, release := make(chan struct{}), make(chan struct{})
	r.group.Loop(0).Post(func() { close(held); <-release }) // so that all is there at the next look
	<-held
	// s_client takes commands from the beginning of what it reads.
	for i := range 3 {
		io.WriteString(c.in, "K\n")
		eventually(t, "the keys are changed", func() bool { return strings.Count(c.out.String(), "KEYUPDATE") == i+1 })
		io.WriteString(c.in, strings.Repeat("x", size/3))
		eventually(t, "the piece is taken", func() bool { return waiting(t, c.in) == 0 })
	}
	close(release)
	rec := r.logs.wait(t, 1)[0]
	eventually(t, "the answer has come", func() bool { return strings.Contains(c.out.String(), fmt.Sprintf("got %d", size)) })
	c.in.Close()
	if out := c.wait(t); strings.Count(out, "KEYUPDATE") != 3 || rec.Cause != None {
		t.Errorf("%+v\n%s", rec, out)
	}
	if body.left != 0 {
		t.Errorf("%d bytes of records were left in the shared buffer", body.left)
	}
}

// waiting is the number of bytes in a pipe.
func waiting(t *testing.T, pipe io.Writer) (n int) {
	t.Helper()
	raw, err := pipe.(*os.File).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return n
}

// files writes the certificate for programs to read.
func files(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cert.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Renegotiation, compression and early data are not to be had.
func TestWhatTLSDoesNotDo(t *testing.T) {
	cert, _ := certificate(t, "a.test")
	r := newRig(t, 1, &Frontend{Handler: hello("hi"), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c := startSClient(t, r.addr, "-tls1_2")
	eventually(t, "the handshake is done", func() bool { return r.point.Counters().Handshakes == 1 })
	io.WriteString(c.in, "R\n")
	if out := c.wait(t); !strings.Contains(out, "RENEGOTIATING") || !strings.Contains(out, "no renegotiation") && !strings.Contains(out, "unexpected") {
		t.Errorf("renegotiation: %s", out)
	}
	session := filepath.Join(t.TempDir(), "session")
	ask := "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	c = startSClient(t, r.addr, "-comp", "-ign_eof", "-sess_out", session)
	io.WriteString(c.in, ask)
	if out := c.wait(t); !strings.Contains(out, "Compression: NONE") || !strings.Contains(out, "Max Early Data: 0") || !strings.Contains(out, "hi") {
		t.Errorf("compression, early data: %s", out)
	}
	early := filepath.Join(t.TempDir(), "early")
	if err := os.WriteFile(early, []byte(ask), 0o600); err != nil {
		t.Fatal(err)
	}
	c = startSClient(t, r.addr, "-ign_eof", "-sess_in", session, "-early_data", early)
	io.WriteString(c.in, ask)
	if out := c.wait(t); strings.Contains(out, "Early data was accepted") || !strings.Contains(out, "Reused, TLSv1.3") {
		t.Errorf("early data: %s", out)
	}
}
