package lb

import (
	"bytes"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// h2spec returns the path of the conformance suite (packaging/install-tools.sh).
func h2spec(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../dist/tools/h2spec")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("h2spec is not installed: run packaging/install-tools.sh")
	}
	return path
}

// specResult is the report of h2spec.
type specResult struct {
	Suites []struct {
		Package string `xml:"package,attr"`
		ID      string `xml:"id,attr"`
		Cases   []struct {
			Package string    `xml:"package,attr"`
			Name    string    `xml:"classname,attr"`
			Skipped *struct{} `xml:"skipped"`
			Failed  *struct {
				Text string `xml:",chardata"`
			} `xml:"failure"`
			Error *struct {
				Text string `xml:",chardata"`
			} `xml:"error"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// runSpec runs the suite and returns how many cases there were and which were not passed.
func runSpec(t *testing.T, addr string, args ...string) (cases int, bad []string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	out, _ := exec.Command(h2spec(t), append([]string{"-h", host, "-p", port, "-P", "/200.bin", "-o", "2", "-j", report}, args...)...).CombinedOutput()
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var r specResult
	if err := xml.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Suites {
		for _, c := range s.Cases {
			cases++
			name := c.Package + ": " + c.Name
			switch {
			case c.Skipped != nil:
				bad = append(bad, name+" (skipped)")
			case c.Failed != nil:
				bad = append(bad, name+"\n"+c.Failed.Text)
			case c.Error != nil:
				bad = append(bad, name+"\n"+c.Error.Text)
			}
		}
	}
	return cases, bad
}

// specOrigin answers with a body long enough for the cases about flow control; protocols
// say what it speaks.
func specOrigin(t *testing.T, http2 bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(http2)
	s := &http.Server{Protocols: p, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(bytes.Repeat([]byte("0123456789"), 20))
	})}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

// The balancer passes all of h2spec, over TLS and with prior knowledge, in front of
// servers of both versions.
func TestH2Spec(t *testing.T) {
	h2spec(t)
	for _, c := range []struct {
		name   string
		tls    bool
		server string
	}{
		{"TLS to h1", true, "h1"},
		{"TLS to h2", true, "h2"},
		{"cleartext to h1", false, "h1"},
	} {
		for _, strict := range []bool{false, true} {
			name, want := c.name, 145
			var args []string
			if strict {
				name, want, args = name+", strict", 146, append(args, "--strict")
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				addr := freePort(t)
				f := config.Frontend{Name: "main", Mode: "http", Bind: listen(addr), HTTP: []string{"h1", "h2"}, Backend: "pool"}
				if c.tls {
					pair := selfSigned(t, "front.test")
					f.TLS = &config.BindTLS{Certificates: []config.CertFile{pair}}
					args = append(args, "-t", "-k")
				}
				pool := backend("pool", at("s", specOrigin(t, c.server == "h2")))
				pool.HTTP = c.server
				startOn(t, func(n *config.Node) { withSecrets(t, n) }, config.LB{Frontends: []config.Frontend{f}, Backends: []config.Backend{pool}})
				n, bad := runSpec(t, addr.String(), args...)
				if n != want {
					t.Errorf("%d cases, want %d", n, want)
				}
				if !c.tls {
					bad = exceptThePreface(t, addr.String(), bad)
				}
				for _, b := range bad {
					t.Error(b)
				}
			})
		}
	}
}

// exceptThePreface takes off the one case that cannot be passed on a cleartext port which
// serves HTTP/1 too: bytes that are no preface are a bad request of HTTP/1 there, which is
// answered as such before the connection ends, as RFC 9112 asks.
func exceptThePreface(t *testing.T, addr string, bad []string) (rest []string) {
	t.Helper()
	for _, b := range bad {
		if !strings.HasPrefix(b, "http2/3.5: Sends invalid connection preface") {
			rest = append(rest, b)
		}
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "INVALID CONNECTION PREFACE\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 400 ")) {
		t.Errorf("%q, %v", b, err)
	}
	return rest
}
