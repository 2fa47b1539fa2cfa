package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// beside measures modest clients (1,000 requests/s over 16 connections) while a greedy
// connection takes all that it can get: none of them is to notice.
type beside struct {
	greedy func(to *contender, d time.Duration) []string
}

func (b beside) load(ctx context.Context, to *contender, d time.Duration) (o outcome, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var ended chan error
	if b.greedy != nil {
		ended = make(chan error, 1)
		go func() {
			_, err := onLoadCore(ctx, b.greedy(to, d+15*time.Second)...)
			ended <- err
		}()
		select {
		case err := <-ended:
			return o, fmt.Errorf("the greedy client ended: %w", err)
		case <-time.After(300 * time.Millisecond): // until it runs
		}
	}
	o, err = generate(ctx, "modest", to.address(proxyPort), d)
	if b.greedy == nil || err != nil {
		return o, err
	}
	select {
	case err := <-ended: // it should have outlived the others
		return o, fmt.Errorf("the greedy client ended too early: %w", err)
	default:
	}
	stop()
	<-ended
	return o, nil
}

func greedyH2(to *contender, d time.Duration) []string {
	return []string{"h2load", "-t1", "-c1", "-m64", "-D", seconds(d), clearPort.url(to, "/200.bin")}
}

func greedyH1(to *contender, d time.Duration) []string {
	return []string{"h2load", "--h1", "-t1", "-c1", "-m64", "-D", seconds(d), proxyPort.url(to, "/200.bin")}
}

func greedyBulk(to *contender, d time.Duration) []string {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return []string{self, generatorArgument, "greedy", to.address(proxyPort), d.String()}
}

var fairCases = []benchCase{
	{"fair: nobody greedy", beside{}, proxies, "request", nil},
	{"fair: 64 streams of HTTP/2", beside{greedyH2}, proxies, "request", nil},
	{"fair: 64 pipelined requests", beside{greedyH1}, proxies, "request", nil},
	{"fair: a bulk download", beside{greedyBulk}, proxies, "request", nil},
}

// printFairness prints what the modest clients saw.
func printFairness(w io.Writer, cases []benchCase, all results) {
	if len(cases) == 0 {
		return
	}
	fmt.Fprint(w, `
Latency of 1,000 proxied requests/s of 200 B over 16 connections beside one greedy connection; µs, medians of the rounds.

| beside | server | p50 | p99 | max |
|---|---|---|---|---|
`)
	for _, c := range cases {
		for _, name := range c.contenders {
			if got := all[c.name][name]; len(got) > 0 {
				fmt.Fprintf(w, "| %s | %s | %.0f | %.0f | %.0f |\n", c.name[len("fair: "):], name, median(got, func(s sample) float64 { return s.p50 }),
					median(got, func(s sample) float64 { return s.p99 }), median(got, func(s sample) float64 { return s.max }))
			}
		}
	}
}
