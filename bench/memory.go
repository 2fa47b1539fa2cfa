package main

import (
	"bufio"
	"context"
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

// printMemory shows the anonymous memory of the lb child of a stack that has just been
// started, idle and with 5,000 idle keep-alive connections of which each has carried one
// request.
func (f *field) printMemory(ctx context.Context, w io.Writer) error {
	if err := f.launch(ctx, "stack-fresh", "stack"); err != nil {
		return err
	}
	who := f.running["stack-fresh"]
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(who.proxy))
	// The listening socket is there before the child: its first answer tells that it is up.
	first, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer first.Close()
	if err := once(first); err != nil {
		return fmt.Errorf("first request: %w", err)
	}
	child, err := lbChild(who.command.Process.Pid)
	if err != nil {
		return err
	}
	// The figures are taken when they have stopped moving.
	before, err := settled(ctx, child)
	if err != nil {
		return err
	}
	conns := make([]net.Conn, 0, idleConnections)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range idleConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("open idle connections: %w", err)
		}
		conns = append(conns, c)
		if err := once(c); err != nil {
			return fmt.Errorf("request on connection %d: %w", len(conns), err)
		}
	}
	after, err := settled(ctx, child)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nRssAnon of the lb child: %.1f MiB idle after its start, %.1f MiB with %d idle keep-alive connections: %.2f MiB per 1,000.\n",
		mib(before), mib(after), idleConnections, mib(after-before)/(idleConnections/1000))
	return nil
}

func once(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET /200.bin HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
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

// settled returns RssAnon once it has changed by less than 1 % within 2 s.
func settled(ctx context.Context, pid int) (int64, error) {
	last := int64(-1)
	for range 15 {
		now, err := rssAnon(pid)
		if err != nil {
			return 0, err
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

// lbChild finds the process of the lb role by its title.
func lbChild(root int) (int, error) {
	for _, pid := range pids(root) {
		title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.HasPrefix(string(title), "stack: lb") {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("process %d has no child titled \"stack: lb\"", root)
}
