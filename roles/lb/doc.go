// Package lb is the balancer role: frontends that listen, routes that choose a pool,
// pools of servers that requests (mode http) or connections (mode tcp) go to.
//
// It is a wiring: bytes and protocol are exchange's, the choice of a server and its
// health are upstream's, log lines are accesslog's, certificates are stack/tls's. What
// it owns is what a configuration means: which request goes to which pool, what is
// added to a forwarded head, what the redirect and the error pages say, and how a
// running configuration is replaced by another one without a gap.
//
// It never opens a listening socket and never closes one: the supervisor holds them.
package lb
