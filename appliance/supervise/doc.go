// Package supervise runs the roles of one or several nodes: one child process per node
// and role, started in order, watched, restarted with back-off, reloaded all together
// or not at all, and replaced by newer generations when the binary is upgraded.
//
// The supervisor holds every listening socket and never accepts a client. A child is
// the same binary run as "child ROLE": it talks to the supervisor over a socket on
// descriptor 3 and dies with it. The package knows no role: cmd/stack gives it Specs.
//
// Files: supervisor.go (the loop of signals), apply.go and handover.go (start, reload,
// new generations), upgrade.go and state.go (exec in place), slot.go, start.go and
// child.go (the supervisor's side of a role and of a process), health.go (what roles
// learn of each other), frame.go and channel.go (the control protocol), serve.go and
// serve_role.go (the child's side), privileges.go, metrics.go, admin.go, notify.go.
package supervise
