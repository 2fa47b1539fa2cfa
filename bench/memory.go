package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const idleConnections = 5000

// printMemory shows what idle keep-alive connections cost: the anonymous memory of all
// processes of a server that has just been started and has answered one request, and
// again with 5,000 idle connections of which each has carried one request.
func (f *field) printMemory(ctx context.Context, w io.Writer, s settings) error {
	fmt.Fprintf(w, `
Anonymous memory (RssAnon of all processes) just started and with %d idle keep-alive connections that have each carried a request:

| connections | server | MiB before | MiB after | MiB per 1,000 connections |
|---|---|---|---|---|
`, idleConnections)
	for _, p := range []port{proxyPort, tlsPort} {
		for _, name := range proxies {
			if !s.runs(name) {
				continue
			}
			before, after, err := f.idleMemory(ctx, name, p)
			if err != nil {
				return fmt.Errorf("memory of %s: %w", name, err)
			}
			kind := "plain"
			if p == tlsPort {
				kind = "TLS 1.3"
			}
			fmt.Fprintf(w, "| %s | %s | %.1f | %.1f | %.2f |\n", kind, name, mib(before), mib(after), mib(after-before)/(idleConnections/1000))
		}
	}
	return nil
}

func (f *field) idleMemory(ctx context.Context, name string, p port) (before, after int64, err error) {
	fresh := name + freshStart
	if err := f.launch(ctx, fresh); err != nil {
		return 0, 0, err
	}
	defer f.end(fresh)
	who := f.running[fresh]
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	open := func() error {
		c, err := dial(who.address(p), p == tlsPort)
		if err != nil {
			return fmt.Errorf("open idle connections: %w", err)
		}
		conns = append(conns, c)
		if err := once(c); err != nil {
			return fmt.Errorf("request on connection %d: %w", len(conns), err)
		}
		return nil
	}
	// The listening socket is there before the process that serves: its first answer
	// tells that it is up.
	if err := open(); err != nil {
		return 0, 0, err
	}
	root := who.command.Process.Pid
	if before, err = settled(ctx, root); err != nil {
		return 0, 0, err
	}
	for range idleConnections {
		if err := open(); err != nil {
			return 0, 0, err
		}
	}
	after, err = settled(ctx, root)
	return before, after, err
}

func dial(address string, secure bool) (net.Conn, error) {
	if secure {
		return tls.Dial("tcp", address, benchTLS())
	}
	return net.Dial("tcp", address)
}

func once(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET /200.bin HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// settled returns the memory of a process and its descendants once it has changed by
// less than 1 % within 2 s.
func settled(ctx context.Context, root int) (int64, error) {
	last := int64(-1)
	for range 15 {
		var now int64
		for _, pid := range pids(root) {
			n, err := rssAnon(pid)
			if err != nil {
				return 0, err
			}
			now += n
		}
		if d := now - last; last >= 0 && d*d*10000 < now*now {
			return now, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	return last, nil
}

func rssAnon(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d shows no RssAnon", pid)
}
