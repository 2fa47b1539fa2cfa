package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"stack/e2e/lan"
)

// busyArgument, as first argument, makes this program use one processor until it is killed.
const busyArgument = "busy"

func keepBusy() error {
	for parent := os.Getppid(); os.Getppid() == parent; { // not for longer than who asked for it
		for range 1 << 24 {
		}
	}
	return nil
}

func printAdvertsHead(w io.Writer, s settings) {
	fmt.Fprintf(w, `
Adverts of the holder of a virtual address while two busy processes per processor and 64 connections through the balancer keep
the machine saturated for %v: by how many ms the time between two adverts exceeds the interval, as the kernel of the switch
stamps them, and how often the mastership moved. The controls sleep the same interval in the same minute, with ordinary and
with real-time priority.

| adverts | who | number | p99 | max | transitions |
|---|---|---|---|---|---|
`, s.saturate)
}

func measureAdverts(ctx context.Context, w io.Writer, s settings, interval time.Duration) error {
	for _, name := range []string{stack, keepalived} {
		if !s.runs(name) {
			continue
		}
		c, err := startSharing(name, s, interval)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		err = c.saturated(ctx, w, s, interval)
		c.stop()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (c *sharing) saturated(ctx context.Context, w io.Writer, s settings, interval time.Duration) error {
	master, _, err := c.settle(ctx)
	if err != nil {
		return err
	}
	ordinary, err := lan.StartControl(interval, false)
	if err != nil {
		return err
	}
	defer ordinary.Stop()
	realtime, err := lan.StartControl(interval, true)
	if err != nil {
		return err
	}
	defer realtime.Stop()
	stop, err := busy(ctx)
	if err != nil {
		return err
	}
	defer stop()
	load, err := c.lan.Start(client, c.dir, "wrk", "-t1", "-c64", "-d"+seconds(s.saturate), "--timeout", "10s", "http://"+netip.AddrPortFrom(sharedAddress, 80).String()+"/")
	if err != nil {
		return err
	}
	defer load.Kill()
	since := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.saturate):
	}
	var sent []time.Time
	moves, last := 0, master.Host()
	for _, a := range c.recorder.Since(since, sharedVRID) {
		if a.Host != last {
			moves, last = moves+1, a.Host
		}
		sent = append(sent, a.At)
	}
	advertsRow(w, interval, c.name, sent, fmt.Sprint(moves))
	advertsRow(w, interval, "control, ordinary", ordinary.Woke(since), "")
	advertsRow(w, interval, "control, real-time", realtime.Woke(since), "")
	return nil
}

// busy starts two processes per processor that use all they get.
func busy(ctx context.Context) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var running []*exec.Cmd
	stop = func() {
		for _, c := range running {
			c.Process.Kill()
			c.Wait()
		}
	}
	for range 2 * runtime.NumCPU() {
		c := exec.CommandContext(ctx, self, busyArgument)
		if err := c.Start(); err != nil {
			stop()
			return nil, err
		}
		running = append(running, c)
	}
	return stop, nil
}

func advertsRow(w io.Writer, interval time.Duration, who string, times []time.Time, moves string) {
	var over []time.Duration
	for i := 1; i < len(times); i++ {
		over = append(over, max(0, times[i].Sub(times[i-1])-interval))
	}
	if len(over) == 0 {
		fmt.Fprintf(w, "| %v | %s | 0 | | | %s |\n", interval, who, moves)
		return
	}
	slices.Sort(over)
	fmt.Fprintf(w, "| %v | %s | %d | %.2f | %.2f | %s |\n", interval, who, len(times), milli(over[len(over)*99/100]), milli(over[len(over)-1]), moves)
}
