package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
)

// App is an application server and the connections to it. It is shared by all loops
// and kept over reloads while its address and its bound of kept connections stay.
type App struct {
	// Address as configured.
	Address string
	// Keep is how many idle connections are kept over all loops. 0: each request
	// opens its own, as nginx does by default, because a php-fpm worker waits on a kept
	// connection and serves nobody else.
	Keep int

	server  *exchange.Server
	host    string // to be resolved; empty where the address needs none
	port    string
	known   atomic.Bool // the host has been resolved
	log     *slog.Logger
	failing atomic.Bool
	current netip.Addr // of Resolve

	unresolved atomic.Bool

	// Counters, read at a scrape.
	Requests, ConnectErrors, Errors, Timeouts atomic.Uint64
}

// New makes an application server for loops event loops. The error is one sentence.
func New(address string, keep, loops int, log *slog.Logger) (*App, error) {
	a := &App{Address: address, Keep: keep, log: log}
	target := address
	if !strings.HasPrefix(address, "unix:") {
		host, port, err := net.SplitHostPort(address)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
			return nil, fmt.Errorf("fastcgi: address %q: want unix:/path or host:port", address)
		}
		if _, err := netip.ParseAddr(host); err != nil {
			a.host, a.port = host, port
			target = "0.0.0.0:" + port // not used before the host is known
		}
	}
	if keep > 0 && keep < loops {
		return nil, fmt.Errorf("fastcgi: keep: %d is less than the %d event loops, each of which keeps its own connections; use 0 or at least %d", keep, loops, loops)
	}
	var err error
	if a.server, err = exchange.NewServer(address, target, loops, keep); err != nil {
		return nil, fmt.Errorf("fastcgi: %w", err)
	}
	a.known.Store(a.host == "")
	return a, nil
}

// Known reports whether requests can be sent: a host name was resolved once.
func (a *App) Known() bool { return a.known.Load() }

// Resolve looks the host name up and sends new requests to its address; the one in use
// stays while the name still has it, and while the look-up fails. Off the loops, one
// call at a time.
func (a *App) Resolve(ctx context.Context) {
	if a.host == "" {
		return
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.host)
	if err != nil || len(addrs) == 0 {
		if ctx.Err() == nil && a.unresolved.CompareAndSwap(false, true) {
			a.log.Warn("the application server's name is not resolved; the last address, if any, stays in use", "address", a.Address, "error", err)
		}
		return
	}
	a.unresolved.Store(false)
	slices.SortFunc(addrs, netip.Addr.Compare)
	for _, addr := range addrs {
		if addr == a.current {
			return
		}
	}
	if a.server.Move(net.JoinHostPort(addrs[0].Unmap().String(), a.port)) == nil {
		a.current = addrs[0]
		a.known.Store(true)
	}
}

// Server is what exchange.Set.Forget is given when the application is no longer used.
func (a *App) Server() *exchange.Server { return a.server }

// Options are what a request brings beside its head.
type Options struct {
	Timeouts config.Timeouts // Connect, Response, Body
	MaxBody  int64           // bound of a chunked body in bytes; 0 = none
	Spool    string          // directory of the files for large chunked bodies
	Env      Env
}

// Serve hands the request to the application and answers it, whatever happens. On the
// loop of x. o and what it refers to are used until Serve returns, or, with a chunked
// body, until that has come in whole; they must belong to the exchange.
func (a *App) Serve(x *exchange.Exchange, o *Options) {
	a.Requests.Add(1)
	if !a.Known() {
		a.refused(errors.New("its name is not resolved"))
		x.Error(502, exchange.ConnectFailed)
		return
	}
	c := &call{app: a, x: x, o: o, timeouts: o.Timeouts, script: string(o.Env.Script)}
	switch {
	case x.Req.Chunked():
		c.spool = newSpool(o.Spool, o.MaxBody)
		x.ReadBody(c)
	case x.Req.HasBody():
		c.bodyLeft, o.Env.Length = true, x.Req.ContentLength()
		c.connect()
	default:
		o.Env.Length = x.Req.ContentLength()
		c.connect()
	}
}

// connected notes that the application answers again.
func (a *App) connected() {
	if a.failing.Load() && a.failing.Swap(false) {
		a.log.Info("the application server answers again", "address", a.Address)
	}
}

// refused logs the first of a row of failures: a stopped php-fpm must not fill the log.
func (a *App) refused(err error) {
	a.ConnectErrors.Add(1)
	if a.failing.Swap(true) {
		return
	}
	cure := "is it running?"
	switch {
	case errors.Is(err, unix.EACCES):
		cure = "let the user of stack connect to it (php-fpm: listen.group, listen.mode)"
	case errors.Is(err, unix.EAGAIN):
		cure = "its queue is full: raise pm.max_children or listen.backlog"
	}
	a.log.Error("the application server cannot be reached; "+cure, "address", a.Address, "error", err)
}
