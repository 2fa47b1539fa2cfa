package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stack/roles/db/txn"
)

// acks is what Detail shows of the acknowledgements of replicas.
type acks struct {
	Need    int         `json:"need"`
	Policy  string      `json:"policy"`
	Timeout string      `json:"timeout"`
	State   string      `json:"state"` // off, waiting, refusing (strict) or degraded
	Since   *time.Time  `json:"since,omitempty"`
	Unacked string      `json:"unacknowledged_from,omitempty"` // GTID
	Members []ackMember `json:"members,omitempty"`
}

type ackMember struct {
	Name      string    `json:"name"`
	Behind    uint64    `json:"behind"` // transactions of this server that it has not acknowledged
	At        time.Time `json:"at"`
	Connected bool      `json:"connected"`
}

func newAckStatus(s txn.AckStatus) *acks {
	a := &acks{Need: s.Need, Policy: "degrade", Timeout: s.Timeout.String(), State: "waiting", Unacked: s.Unacked}
	if s.Strict {
		a.Policy = "strict"
	}
	switch {
	case s.Need == 0:
		a.State = "off"
	case s.Stalled:
		a.State = "refusing"
	case s.Degraded:
		a.State = "degraded"
	}
	if !s.Since.IsZero() {
		a.Since = &s.Since
	}
	for _, m := range s.States {
		a.Members = append(a.Members, ackMember{m.Member, s.Logged - m.Seq, m.At, !m.Gone})
	}
	return a
}

// alarm is what an operator has to do something about; empty: nothing.
func (a *acks) alarm() string {
	switch {
	case a == nil:
		return ""
	case a.State == "refusing":
		return "writes are refused: replicas do not acknowledge"
	case a.State == "degraded":
		return fmt.Sprintf("commits are unacknowledged from %s on: replicas do not acknowledge", a.Unacked)
	case a.Unacked != "":
		return fmt.Sprintf("commits from %s on were answered unacknowledged", a.Unacked)
	}
	return ""
}

// siteDetail adds what the server is among those of the site.
func (r *Role) siteDetail(d *Detail) {
	m := r.data.member
	if m == nil {
		return
	}
	s, _ := m.State(context.Background())
	d.Epoch, d.Primary = s.Epoch, s.Primary
	switch {
	case s.Open:
	case s.Primary != "" && s.Primary != m.name:
		d.Role = "replica"
	default:
		d.Role = "closed"
	}
	d.Rejoin = m.seeder.status()
	m.mu.Lock()
	d.Trouble = m.trouble
	why := m.doubts()
	m.mu.Unlock()
	if why != "" {
		d.Trouble = strings.TrimPrefix(d.Trouble+"; clients are turned away: "+why, "; ")
	}
	d.Acks = newAckStatus(r.data.db.AckStatus())
}
