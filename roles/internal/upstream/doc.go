// Package upstream owns pools of servers: which of them may take work, which one takes
// the next request or session, and how it is learnt that one is down or back.
//
// The pick path (Pool.Pick, Server.Release and the per-loop counters) runs on event
// loops: no lock, no allocation, no system call. What is slow runs in goroutines of its
// own: one per checked server, one per server named by a host name. They tell the loops
// by swapping a pool's table, an immutable list of who may be picked.
//
// The package opens no connection for traffic and moves no byte of it; that is
// exchange. It ends work in flight in one case only, where a pool is for the primary of the
// site's databases and another server has become it. Else a server that goes down, is drained or leaves
// the configuration keeps what it has until that ends by itself.
//
// # Health
//
// A server that is new is checked once before it comes into service, for at most a
// second, and that first result decides alone: a server that is dead when the process
// starts never takes traffic. Where no result came in time the server is trusted and its
// next check, which runs at once, decides. After that `fall` failures in a row take it out and `rise`
// successes bring it back. While the results disagree with the state, checks run at a
// fifth of the interval (at least every 100 ms); a connection that could not be opened
// for a request starts such a check at once. A pool without checks trusts every server.
//
// Where a check asks database servers for their roles, what all servers of the pool have said decides
// (decide), at once and never on trust.
//
// # Lifetime
//
// A Pool lives as long as its name is in the configuration, a Server as long as its
// pool holds its name with the same address. So health, drain and maintenance, weights
// set at run time, in-flight counts and counters survive a reload.
package upstream
