package main

import "strings"

// benchCase is one kind of work for several contenders.
type benchCase struct {
	name       string
	work       work
	contenders []string
	// unit is what CPU time is divided by, in the plural; load is done in each.
	unit string
	// wanted is the ratio peer / stack that each peer's row is held against.
	wanted map[string]float64
}

func (c benchCase) named(part string) bool { return strings.Contains(c.name, part) }

// The names under which programs run. A name may stand for a second port of a
// program that has another setting there.
const (
	stack      = "stack"
	haproxy    = "haproxy"
	splicing   = "haproxy splice"
	nginx      = "nginx"
	standard   = "net/http"
	stackLogs  = "stack log"
	nginxLogs  = "nginx log"
	freshStart = " fresh" // behind the name of a program that is started for one figure
)

func against(haproxyRatio, nginxRatio float64) map[string]float64 {
	return map[string]float64{haproxy: haproxyRatio, splicing: haproxyRatio, nginx: nginxRatio}
}

var (
	proxies = []string{stack, haproxy, nginx}
	servers = []string{stack, nginx}
	scaled  = []string{stack, haproxy, nginx, standard}
	logging = []string{stack, stackLogs, nginx, nginxLogs}
)

// The cases of the table, in its order.
var allCases = []benchCase{
	{"proxy 200 B, 64 conns", wrk{proxyPort, "/200.bin", 64}, scaled, "request", against(1.25, 1.15)},
	{"proxy 200 B, 512 conns", wrk{proxyPort, "/200.bin", 512}, proxies, "request", against(1.6, 1.4)},
	{"proxy 64 KiB, 64 conns", wrk{proxyPort, "/64k.bin", 64}, proxies, "request", against(1.4, 1.15)},
	{"proxy 64 KiB, 512 conns", wrk{proxyPort, "/64k.bin", 512}, proxies, "request", against(1.4, 1.15)},
	{"TLS 1.3 keep-alive 200 B, 64 conns", wrk{tlsPort, "/200.bin", 64}, proxies, "request", against(1.3, 1.2)},
	{"TLS 1.3 full handshake", handshakes{}, proxies, "handshake", against(1, 1)},
	{"h2 over TLS 200 B, 32 × 10", h2load{tlsPort}, proxies, "request", against(1.2, 0)},
	{"h2c 200 B, 32 × 10", h2load{clearPort}, proxies, "request", against(1.2, 0)},
	{"TCP bulk, 16 conns", bulk{}, []string{stack, haproxy, splicing}, "GiB", against(1, 0)},
	{"static 4 KiB, 64 conns", wrk{staticPort, "/4k.bin", 64}, []string{stack, nginx, standard}, "request", against(0, 1.3)},
	{"static 1 MiB, 64 conns", wrk{staticPort, "/1m.bin", 64}, servers, "request", against(0, 1)},
}

// steadyCase is measured by latency instead.
var steadyCase = benchCase{"5,000 requests/s, 64 conns", steady{}, proxies, "request", nil}

// logCase compares every server with itself.
var logCase = benchCase{"JSON access log, 200 B, 64 conns", wrk{proxyPort, "/200.bin", 64}, logging, "request", nil}

// files are what the origin and the static servers hold.
var files = map[string]int{"200.bin": 200, "4k.bin": 4 << 10, "64k.bin": 64 << 10, "1m.bin": 1 << 20, "64m.bin": 64 << 20}
