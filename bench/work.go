package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// work is a load that one contender is put under for a while.
type work interface {
	load(ctx context.Context, to *contender, d time.Duration) (outcome, error)
}

// outcome is what a load generator saw. It is an error, not an outcome, if anything was
// answered wrongly.
type outcome struct {
	Count         float64       // units of work that were done
	Took          time.Duration // and in which time
	P50, P99, Max time.Duration // of steady
}

// port tells which of a contender's ports is loaded.
type port int

const (
	proxyPort port = iota
	tlsPort
	clearPort // HTTP/2 without TLS, by prior knowledge
	tcpPort
	staticPort
	numPorts
)

func (p port) scheme() string {
	if p == tlsPort {
		return "https"
	}
	return "http"
}

func (p port) url(to *contender, path string) string {
	return fmt.Sprintf("%s://%s%s", p.scheme(), to.address(p), path)
}

// wrk is HTTP/1.1 with kept connections.
type wrk struct {
	port  port
	path  string
	conns int
}

var (
	wrkResult  = regexp.MustCompile(`(\d+) requests in ([\d.]+)(us|ms|s|m)`)
	wrkFailure = regexp.MustCompile(`(?m)^\s*(Socket errors:.*|Non-2xx.*)$`)
)

func (w wrk) load(ctx context.Context, to *contender, d time.Duration) (o outcome, err error) {
	url := w.port.url(to, w.path)
	out, err := onLoadCore(ctx, "wrk", "-t1", "-c", strconv.Itoa(w.conns), "-d", seconds(d), "--timeout", "10s", url)
	if err != nil {
		return o, err
	}
	if bad := wrkFailure.FindString(out); bad != "" {
		return o, fmt.Errorf("%s: %s", url, strings.TrimSpace(bad))
	}
	m := wrkResult.FindStringSubmatch(out)
	if m == nil {
		return o, fmt.Errorf("wrk printed no result: %s", out)
	}
	o.Count, _ = strconv.ParseFloat(m[1], 64)
	o.Took, err = time.ParseDuration(m[2] + m[3])
	return o, err
}

// h2load is HTTP/2: 32 connections with 10 streams each.
type h2load struct{ port port }

var (
	h2Result  = regexp.MustCompile(`(?m)^requests: .* (\d+) succeeded, (\d+) failed`)
	h2Took    = regexp.MustCompile(`finished in ([\d.]+)(us|ms|s|m)`)
	h2Status  = regexp.MustCompile(`status codes: (\d+) 2xx`)
	h2Spoken  = regexp.MustCompile(`Application protocol: (\S+)`)
	h2Offered = map[port]string{tlsPort: "h2", clearPort: "h2c"}
)

func (h h2load) load(ctx context.Context, to *contender, d time.Duration) (o outcome, err error) {
	url := h.port.url(to, "/200.bin")
	out, err := onLoadCore(ctx, "h2load", "-t1", "-c32", "-m10", "-D", seconds(d), url)
	if err != nil {
		return o, err
	}
	result, took := h2Result.FindStringSubmatch(out), h2Took.FindStringSubmatch(out)
	status, spoken := h2Status.FindStringSubmatch(out), h2Spoken.FindStringSubmatch(out)
	if result == nil || took == nil || status == nil || spoken == nil {
		return o, fmt.Errorf("h2load printed no result: %s", out)
	}
	if spoken[1] != h2Offered[h.port] {
		return o, fmt.Errorf("%s speaks %s", url, spoken[1])
	}
	if result[2] != "0" || status[1] == "0" {
		return o, fmt.Errorf("%s: %s; %s", url, result[0], status[0])
	}
	o.Count, _ = strconv.ParseFloat(status[1], 64)
	o.Took, err = time.ParseDuration(took[1] + took[2])
	return o, err
}

// handshakes opens TLS connections and closes them, without resumption.
type handshakes struct{}

func (handshakes) load(ctx context.Context, to *contender, d time.Duration) (outcome, error) {
	return generate(ctx, "handshakes", to.address(tlsPort), d)
}

// bulk takes large bodies through TCP mode. It counts GiB.
type bulk struct{}

func (bulk) load(ctx context.Context, to *contender, d time.Duration) (outcome, error) {
	return generate(ctx, "bulk", to.address(tcpPort), d)
}

// steady sends at a fixed rate, whatever the answers take.
type steady struct{}

func (steady) load(ctx context.Context, to *contender, d time.Duration) (outcome, error) {
	return generate(ctx, "steady", to.address(proxyPort), d)
}

// generate runs one of the generators of this program, in a process of its own.
func generate(ctx context.Context, kind, address string, d time.Duration) (o outcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return o, err
	}
	out, err := onLoadCore(ctx, self, generatorArgument, kind, address, d.String())
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal([]byte(out), &o)
}

func onLoadCore(ctx context.Context, command ...string) (string, error) {
	c := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(loadCore)}, command...)...)
	var out, failure bytes.Buffer
	c.Stdout, c.Stderr = &out, &failure
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", filepath.Base(command[0]), err, out.Bytes(), failure.Bytes())
	}
	return out.String(), nil
}

// seconds is d for tools that know whole seconds only.
func seconds(d time.Duration) string { return strconv.Itoa(max(1, int(d.Seconds()))) + "s" }
