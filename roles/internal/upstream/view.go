package upstream

import "time"

// PoolView is a pool as `stack status` and the control API show it.
type PoolView struct {
	Name        string       `json:"name"`
	Algorithm   string       `json:"algorithm"`
	Check       string       `json:"check"` // none, tcp, http, mysql
	Usable      bool         `json:"usable"`
	RefusedDown uint64       `json:"refused_down"` // no server in rotation
	RefusedFull uint64       `json:"refused_full"` // each server at its maxconn
	Servers     []ServerView `json:"servers"`
}

// ServerView is a server as `stack status` and the control API show it.
type ServerView struct {
	Name         string       `json:"name"`
	Address      string       `json:"address"`
	Target       string       `json:"target,omitempty"` // resolved address, where Address is a name
	Up           bool         `json:"up"`               // where roles are asked for: it answers
	InRotation   bool         `json:"in_rotation"`      // takes new work now
	Admin        string       `json:"admin"`            // ready, drain, maint
	Backup       bool         `json:"backup,omitempty"`
	Weight       int          `json:"weight"`
	MaxConn      int          `json:"maxconn,omitempty"`
	InFlight     int64        `json:"in_flight"`
	Since        time.Time    `json:"since"` // of the present up or down; where roles are asked for, used or not
	StateChanges uint64       `json:"state_changes"`
	Reason       string       `json:"reason,omitempty"` // of the last change; where roles are asked for, what holds now
	LastCheck    *CheckResult `json:"last_check,omitempty"`
	Counters     Counters     `json:"counters"`

	checks checkCounters
}

// View shows every pool now.
func (s *Set) View() []PoolView {
	pools := s.Pools()
	out := make([]PoolView, 0, len(pools))
	for _, p := range pools {
		out = append(out, p.View())
	}
	return out
}

// View shows the pool now.
func (p *Pool) View() PoolView {
	t := p.table.Load()
	p.mu.Lock()
	v := PoolView{Name: p.name, Algorithm: p.algorithm.String(), Check: p.check.kind, Usable: p.Usable()}
	p.mu.Unlock()
	v.RefusedDown, v.RefusedFull = p.Refused()
	for _, s := range p.Servers() {
		sv := s.view()
		if t != nil {
			for _, in := range t.servers {
				sv.InRotation = sv.InRotation || in == s
			}
		}
		v.Servers = append(v.Servers, sv)
	}
	return v
}

func (s *Server) view() ServerView {
	v := ServerView{Name: s.name, Address: s.address, Up: s.answers(), Admin: s.Admin().String(), Backup: s.backup.Load(),
		Weight: s.Weight(), MaxConn: int(s.maxconn.Load()), InFlight: s.InFlight(), Counters: s.Counters()}
	if t, ok := s.Target(); ok && s.host != "" {
		v.Target = t.Address()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Since, v.StateChanges, v.Reason, v.checks = s.since, s.changes, s.reason, s.checks
	if !s.lastCheck.At.IsZero() {
		r := s.lastCheck
		v.LastCheck = &r
	}
	return v
}
