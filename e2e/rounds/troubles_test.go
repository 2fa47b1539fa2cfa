package rounds

import (
	"slices"
	"syscall"
)

// trouble is what may happen to servers.
type trouble struct {
	name     string
	do, undo func(s *site, victims []string)
	// away: the other servers cannot ask them meanwhile, so a primary may be replaced.
	away bool
	// served: clients reach them through the balancer meanwhile.
	served bool
}

func nothing(*site, []string) {}

// each does it to every one of them.
func each(do func(s *site, victim string)) func(*site, []string) {
	return func(s *site, victims []string) {
		for _, victim := range victims {
			do(s, victim)
		}
	}
}

// child signals the process of the database alone; its supervisor lives.
func child(signal syscall.Signal) func(*site, []string) {
	return each(func(s *site, victim string) {
		if pid := s.nodes[victim].Child("stack-db"); pid > 0 {
			syscall.Kill(pid, signal)
		}
	})
}

// cut drops what goes from them to these hosts, and back. Among themselves they hear each other.
func cut(to, back bool, hosts func(s *site) []string) func(*site, []string) {
	return func(s *site, victims []string) {
		for _, host := range hosts(s) {
			if slices.Contains(victims, host) {
				continue
			}
			for _, victim := range victims {
				if to {
					s.must(s.lan.Cut(victim, host))
				}
				if back {
					s.must(s.lan.Cut(host, victim))
				}
			}
		}
	}
}

func heal(s *site, _ []string)      { s.must(s.lan.Heal()) }
func servers(s *site) []string      { return s.names }
func everybody(s *site) []string    { return append([]string{"lb1", "client"}, s.names...) }
func balancerOnly(s *site) []string { return []string{"lb1"} }

func freeze(on bool) func(*site, []string) {
	return each(func(s *site, victim string) { s.freeze(victim, on) })
}

func link(up bool) func(*site, []string) {
	return each(func(s *site, victim string) { s.must(s.lan.SetLink(victim, up)) })
}

var (
	kill    = each(func(s *site, victim string) { s.nodes[victim].Kill() })
	restart = each(func(s *site, victim string) { s.start(victim) })
)

var troubles = []trouble{
	{name: "kill -9", do: kill, undo: restart, away: true},
	{name: "kill -9", do: kill, undo: restart, away: true},
	{name: "kill -9 of the process that has the store", do: child(syscall.SIGKILL), undo: nothing},
	{name: "freeze", do: freeze(true), undo: freeze(false), away: true},
	{name: "freeze", do: freeze(true), undo: freeze(false), away: true},
	{name: "freeze of the process that has the store", do: child(syscall.SIGSTOP), undo: child(syscall.SIGCONT), away: true},
	{name: "link down", do: link(false), undo: link(true), away: true},
	{name: "partition", do: cut(true, true, everybody), undo: heal, away: true},
	{name: "partition from the servers", do: cut(true, true, servers), undo: heal, away: true, served: true},
	{name: "partition from the servers, and kill -9 of the process that has the store,", do: func(s *site, victims []string) {
		cut(true, true, servers)(s, victims) // what waits for the others is in the log when it starts anew, alone
		child(syscall.SIGKILL)(s, victims)
	}, undo: heal, away: true},
	{name: "not heard by the servers", do: cut(true, false, servers), undo: heal, away: true, served: true},
	{name: "hears nothing of the servers", do: cut(false, true, servers), undo: heal, away: true, served: true},
	{name: "partition from the balancer", do: cut(true, true, balancerOnly), undo: heal},
}
