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
	port   port
	greedy func(to *contender, p port, d time.Duration) []string
}

func (b beside) load(ctx context.Context, to *contender, d time.Duration) (o outcome, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var ended chan error
	if b.greedy != nil {
		ended = make(chan error, 1)
		go func() {
			_, err := onLoadCore(ctx, b.greedy(to, b.port, d+15*time.Second)...)
			ended <- err
		}()
		select {
		case err := <-ended:
			return o, fmt.Errorf("the greedy client ended: %w", err)
		case <-time.After(300 * time.Millisecond): // until it runs
		}
	}
	o, err = generate(ctx, "modest", to.address(b.port), d)
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

func greedyH2(to *contender, p port, d time.Duration) []string {
	if p == proxyPort {
		p = clearPort
	}
	return []string{"h2load", "-t1", "-c1", "-m64", "-D", seconds(d), p.url(to, "/200.bin")}
}

func greedyH1(to *contender, p port, d time.Duration) []string {
	return []string{"h2load", "--h1", "-t1", "-c1", "-m64", "-D", seconds(d), p.url(to, "/200.bin")}
}

func greedyBulk(to *contender, p port, d time.Duration) []string {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return []string{self, generatorArgument, "greedy", to.address(p), d.String()}
}

// With a proxy the greedy client, the origin and the others share a core, and what they do
// to each other is seen too; files need no origin.
var fairCases = []benchCase{
	{"fair: proxy, nobody", beside{proxyPort, nil}, proxies, "request", nil},
	{"fair: proxy, 64 streams of HTTP/2", beside{proxyPort, greedyH2}, proxies, "request", nil},
	{"fair: proxy, 64 pipelined requests", beside{proxyPort, greedyH1}, proxies, "request", nil},
	{"fair: proxy, a bulk download", beside{proxyPort, greedyBulk}, proxies, "request", nil},
	{"fair: files, nobody", beside{staticPort, nil}, servers, "request", nil},
	{"fair: files, 64 streams of HTTP/2", beside{staticPort, greedyH2}, []string{stack}, "request", nil},
	{"fair: files, 64 pipelined requests", beside{staticPort, greedyH1}, servers, "request", nil},
	{"fair: files, a bulk download", beside{staticPort, greedyBulk}, servers, "request", nil},
}

// printFairness prints what the modest clients saw.
func printFairness(w io.Writer, cases []benchCase, all results) {
	if len(cases) == 0 {
		return
	}
	fmt.Fprint(w, `
Latency of 1,000 requests/s of 200 B over 16 connections beside one greedy connection; µs, medians of the rounds.

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
