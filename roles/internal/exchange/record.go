package exchange

import (
	"errors"
	"net/netip"
	"time"
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
	Redispatched          // stale idle connection; the request was sent again
)

var causeNames = [...]string{"-", "client-gone", "client-timeout", "bad-request", "too-large", "no-server", "queue-timeout",
	"connect-failed", "connect-timeout", "response-failed", "response-timeout", "internal", "killed", "tunnel-timeout", "redispatched"}

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
	Status               int // sent to the client; 0 = nothing was
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
