package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/dbcheck"
	"stack/roles/internal/exchange"
	"stack/roles/internal/proxyproto"
)

// checkSpec is a pool's check, read and complete. Comparable apart from status.
type checkSpec struct {
	kind     string // "none", "tcp", "http", "mysql"
	path     string
	host     string // empty: the server's address
	interval time.Duration
	timeout  time.Duration
	rise     int
	fall     int
	status   []int // empty: 200..399
	http2    bool
	role     string // of a database server of the site: "primary", "replica"; empty: any
	lag      time.Duration
	site     *siteAccess // nil without role
	preface  string      // the PROXY header of a connection that is the balancer's own
}

func (c checkSpec) equal(d checkSpec) bool {
	return c.kind == d.kind && c.path == d.path && c.host == d.host && c.interval == d.interval &&
		c.timeout == d.timeout && c.rise == d.rise && c.fall == d.fall && c.http2 == d.http2 &&
		c.role == d.role && c.lag == d.lag && c.site.equal(d.site) && c.preface == d.preface && slices.Equal(c.status, d.status)
}

// preface is what a connection of the pool's own begins with, where those of clients
// begin with a PROXY header.
func preface(version string) string {
	switch version {
	case "v1":
		return proxyproto.LocalV1
	case "v2":
		return proxyproto.LocalV2
	}
	return ""
}

// fast is the interval while results disagree with the state.
func (c checkSpec) fast() time.Duration {
	return min(c.interval, max(c.interval/5, 100*time.Millisecond))
}

// parseCheck reads a pool's check; the error names the key.
func parseCheck(c config.Check) (checkSpec, error) {
	s := checkSpec{kind: c.Type, path: c.Path, host: c.Host, interval: c.Interval, timeout: c.Timeout,
		rise: c.Rise, fall: c.Fall, status: slices.Clone(c.Expect.Status), role: c.Role, lag: c.MaxLag}
	switch c.Type {
	case "", "none":
		s.kind = "none"
		return s, nil
	case "tcp", "http", "mysql":
	default:
		return s, fmt.Errorf("check.type %q is not known; use none, tcp, http or mysql", c.Type)
	}
	if s.role != "" && (s.kind != "mysql" || s.role != rolePrimary && s.role != roleReplica) {
		return s, fmt.Errorf("check.role %q is not known; with check.type mysql use primary or replica", s.role)
	}
	if s.interval < 10*time.Millisecond {
		return s, fmt.Errorf("check.interval %v is too short; use 10ms or more", s.interval)
	}
	if s.timeout <= 0 {
		return s, fmt.Errorf("check.timeout %v must be greater than 0", s.timeout)
	}
	if s.rise < 1 || s.fall < 1 {
		return s, fmt.Errorf("check.rise %d and check.fall %d must be 1 or more", s.rise, s.fall)
	}
	if s.kind == "http" {
		if !strings.HasPrefix(s.path, "/") || strings.ContainsFunc(s.path, notInTarget) {
			return s, fmt.Errorf("check.path %q must begin with / and hold no space or control character", s.path)
		}
		if strings.ContainsFunc(s.host, notInTarget) {
			return s, fmt.Errorf("check.host %q holds a space or a control character", s.host)
		}
		for _, n := range s.status {
			if n < 100 || n > 599 {
				return s, fmt.Errorf("check.expect.status %d is not an HTTP status; use 100 to 599", n)
			}
		}
	}
	return s, nil
}

func notInTarget(r rune) bool { return r <= ' ' || r == 0x7f }

// CheckResult is what one check found.
type CheckResult struct {
	OK       bool          `json:"ok"`
	Text     string        `json:"text"` // "connected", "answered 200", "connection refused"
	Duration time.Duration `json:"duration_ns"`
	At       time.Time     `json:"at"`

	said *dbcheck.State // of a database server that was asked for its role
}

// check is probe of the server of this name, with what it took.
func (c checkSpec) check(ctx context.Context, t Target, secret *tls.Config, name string) CheckResult {
	began := time.Now()
	var r CheckResult
	if c.kind == "mysql" {
		r = c.dialMySQL(ctx, t, name)
	} else {
		r.OK, r.Text = c.probe(ctx, t, secret)
	}
	r.At, r.Duration = began, time.Since(began)
	return r
}

// dialMySQL opens the connection of a check of type mysql.
func (c checkSpec) dialMySQL(ctx context.Context, t Target, name string) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, end, err := c.dial(ctx, t)
	if err != nil {
		return CheckResult{Text: plainError(err, c.timeout)}
	}
	defer end()
	return c.probeMySQL(ctx, conn, name)
}

// dial connects, and begins as the pool's connections do. What is read and written ends with ctx, and
// end closes the connection.
func (c checkSpec) dial(ctx context.Context, t Target) (conn net.Conn, end func(), err error) {
	var d net.Dialer
	conn, err = d.DialContext(ctx, t.Network(), t.Address())
	if err != nil {
		return nil, nil, err
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	// A check must not outlive its context: at a stop nobody waits for the timeout.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	end = func() {
		stop()
		conn.Close()
	}
	if c.preface != "" {
		if _, err := io.WriteString(conn, c.preface); err != nil {
			end()
			return nil, nil, err
		}
	}
	return conn, end, nil
}

// probe runs one check, over TLS if secret is not nil. It blocks for at most the spec's
// timeout.
func (c checkSpec) probe(ctx context.Context, t Target, secret *tls.Config) (ok bool, text string) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.http2 && c.kind == "http" {
		return c.probeHTTP2(ctx, t, secret)
	}
	conn, end, err := c.dial(ctx, t)
	if err != nil {
		return false, plainError(err, c.timeout)
	}
	defer end()
	if secret != nil {
		secure := tls.Client(conn, secret)
		if err := secure.Handshake(); err != nil {
			return false, plainHandshake(err, c.timeout)
		}
		defer secure.Close() // with close_notify, so that the server logs no error
		if c.http2 && secure.ConnectionState().NegotiatedProtocol != "h2" {
			return false, "the server does not offer h2 by ALPN"
		}
		conn = secure
	}
	if c.kind == "tcp" {
		return true, "connected"
	}
	host := c.host
	if host == "" {
		host = t.Address()
		if t.Path != "" {
			host = "localhost"
		}
	}
	if _, err := io.WriteString(conn, "GET "+c.path+" HTTP/1.1\r\nHost: "+host+
		"\r\nUser-Agent: stack-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"); err != nil {
		return false, plainError(err, c.timeout)
	}
	r := bufio.NewReaderSize(io.LimitReader(conn, maxCheckAnswer), 1024)
	status, err := readStatus(r)
	if err != nil {
		return false, plainError(err, c.timeout)
	}
	// Reading the rest lets a small answer end in order instead of with a reset, which
	// some servers log as an error; a server that does not close is not waited for.
	conn.SetReadDeadline(time.Now().Add(min(50*time.Millisecond, c.timeout)))
	io.Copy(io.Discard, r)
	return c.judge(status)
}

// judge says whether a status is that of a healthy server.
func (c checkSpec) judge(status int) (ok bool, text string) {
	ok = slices.Contains(c.status, status)
	if len(c.status) == 0 {
		ok = status >= 200 && status <= 399
	}
	return ok, fmt.Sprintf("answered %d", status)
}

// maxCheckAnswer bounds how much of an answer a check reads.
const maxCheckAnswer = 64 << 10

var errNotHTTP = errors.New("the answer is not HTTP/1")

// readStatus reads a status line (RFC 9112 section 4), passing over interim answers
// (1xx other than 101), whose heads are read and dropped.
func readStatus(r *bufio.Reader) (int, error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF) && len(line) > 0 {
				return 0, errNotHTTP
			}
			return 0, err
		}
		s := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		if len(s) < 12 || s[:7] != "HTTP/1." || s[7] < '0' || s[7] > '9' || s[8] != ' ' || len(s) > 12 && s[12] != ' ' {
			return 0, errNotHTTP
		}
		n := 0
		for _, c := range s[9:12] {
			if c < '0' || c > '9' {
				return 0, errNotHTTP
			}
			n = n*10 + int(c-'0')
		}
		if n < 100 {
			return 0, errNotHTTP
		}
		if n >= 200 || n == 101 {
			return n, nil
		}
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return 0, errNotHTTP
			}
			if len(strings.TrimRight(string(line), "\r\n")) == 0 {
				break
			}
		}
	}
}

func plainHandshake(err error, timeout time.Duration) string {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return fmt.Sprintf("no TLS handshake within %v", timeout)
	}
	return exchange.NewHandshakeError(err).Error()
}

// plainError says in a few words why a check failed.
func plainError(err error, timeout time.Duration) string {
	var ne net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return fmt.Sprintf("no answer within %v", timeout)
	case errors.Is(err, io.EOF):
		return "closed the connection without an answer"
	}
	var en syscall.Errno
	if errors.As(err, &en) {
		return en.Error()
	}
	return err.Error()
}
