package exchange

import (
	"errors"
	"net/netip"
	"time"

	"stack/roles/internal/http1"
)

// Cause is why a request or an attempt ended.
type Cause uint8

// The causes. None is a complete exchange.
const (
	None            Cause = iota
	ClientGone            // the client closed or reset the connection
	ClientTimeout         // the client sent or read nothing for too long
	BadRequest            // the head or the body broke the rules
	TooLarge              // over a limit
	NoServer              // the picker had none
	QueueTimeout          // waited too long for a server
	ConnectFailed         // refused, unreachable
	ConnectTimeout        // no connection in time
	ResponseFailed        // the server closed or sent nonsense before the answer's end
	ResponseTimeout       // the server sent nothing for too long
	Internal              // the handler cut the answer
	Killed                // the process ended it (stop, drain deadline)
	TunnelTimeout         // a tunnel was idle for too long
	OutOfMemory           // the connections of the process held too much, and this one much of it
	NumCauses             // how many there are; no cause
)

var causeNames = [...]string{"-", "client-gone", "client-timeout", "bad-request", "too-large", "no-server", "queue-timeout",
	"connect-failed", "connect-timeout", "response-failed", "response-timeout", "internal", "killed", "tunnel-timeout", "out-of-memory"}

// String returns the word for logs and metric labels, "-" for None.
func (c Cause) String() string { return causeNames[c] }

// ErrNoServer is returned by a Picker that has no usable server; ErrQueued by one
// that will resume the exchange when a server is free.
var (
	ErrNoServer = errors.New("no server is available")
	ErrQueued   = errors.New("waiting for a server")
)

// Record is what is known of an ended request. Byte slices alias the exchange.
type Record struct {
	Start  time.Time // first byte of the request, or acceptance in TCP mode
	Client netip.AddrPort
	// Loop is the number of the loop, 0..loops-1 (Worker.Index), for state per loop.
	Loop int
	// Frontend, Backend, Server are names; empty = none.
	Frontend, Backend, Server string

	TCP                  bool
	Method, Target, Host []byte // empty when the head never became complete
	Referer, UserAgent   []byte
	Minor                int
	HTTP2                bool // Minor says nothing then
	Status               int  // sent to the client; 0 = nothing was
	BytesIn, BytesOut    int64
	Cause                Cause
	Retries              int
	Reused               bool   // an idle server connection was used
	TLS                  uint16 // 0 = plain, else tls.VersionTLS12…
	// Timers as HAProxy's, in nanoseconds; -1 = that point was never reached.
	RequestTime  int64 // Tq: first byte to the complete head
	QueueTime    int64 // Tw: until a server was chosen
	ConnectTime  int64 // Tc: until its connection was open
	ResponseTime int64 // Tr: request sent to the first byte of the answer
	TotalTime    int64 // Ta: first byte to the last byte sent
	// Data is what the handler put into Exchange.Data.
	Data any
}

// log counts the ended request and gives its record to the frontend's log.
func (x *Exchange) log(cause Cause) {
	n := x.c.point.count(x.w)
	n.bytesIn.Add(uint64(x.bytesIn))
	n.bytesOut.Add(uint64(x.bytesOut))
	n.status[min(x.status/100, len(n.status)-1)].Add(1)
	if x.front.Log == nil {
		return
	}
	f := &x.fwd
	r := &x.w.record
	*r = Record{
		Start: x.startTime, Loop: x.w.index, Client: x.c.peer, Frontend: x.front.Name,
		TCP: x.front.TCP != nil, Status: x.status, Cause: cause,
		BytesIn: x.bytesIn, BytesOut: x.bytesOut,
		Retries: f.retries, Reused: f.reused, TLS: x.TLSVersion(),
		RequestTime: x.requestTime, QueueTime: -1, ConnectTime: -1, ResponseTime: -1,
		TotalTime: x.w.l.Mono() - x.start, Data: x.Data,
	}
	if x.hasHead {
		r.Method, r.Target, r.Host, r.Minor = x.Req.Method(), x.Req.Target(), x.Req.Host(), x.Req.Minor
		r.HTTP2 = x.st != nil
		r.Referer, _ = x.Req.Find(http1.Referer)
		r.UserAgent, _ = x.Req.Find(http1.UserAgent)
	}
	if f.pass != nil {
		r.Backend = f.pass.Name
		if f.last != nil {
			r.Server = f.last.Name
		} else if f.srv != nil {
			r.Server = f.srv.Name
		}
		if f.picked >= 0 {
			r.QueueTime = f.picked - f.began
		}
		if f.opened >= 0 {
			r.ConnectTime = f.opened - f.picked
		}
		if f.answered >= 0 && f.asked >= 0 {
			r.ResponseTime = max(0, f.answered-f.asked)
		}
	}
	x.front.Log.Log(r)
}
