package db

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/group"
)

// catchUpWithin is how long a switchover holds new commits back until its target has what is
// in the log. Then all goes on as before.
const catchUpWithin = 2 * time.Second

// SwitchRequest is the body of POST /v1/db/switchover.
type SwitchRequest struct {
	To string `json:"to"` // empty: the replica that has most
}

// switchOver serves POST /v1/db/switchover, on the primary, with group.Promoted as its answer.
func (r *Role) switchOver(w http.ResponseWriter, q *http.Request) {
	st := r.current.Load()
	if st == nil {
		refuse(w, http.StatusServiceUnavailable, errNotOpen)
		return
	}
	var body SwitchRequest
	if err := decode(q, &body); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`the body is {"to": "db2"}: %w`, err))
		return
	}
	m := r.data.member
	if m == nil {
		refuse(w, http.StatusConflict, errors.New("the site has one database server: there is nobody to switch to"))
		return
	}
	ctx, done := r.alone(w, q, &r.jobs.promotion, "another promotion runs here: wait for its end")
	if done == nil {
		return
	}
	defer done()
	start := time.Now()
	promoted, err := m.switchOver(ctx, body.To, st.node.AckNeed())
	if err != nil {
		r.env.Log.Error("the roles were not switched", "to", body.To, "error", err)
		refuse(w, http.StatusConflict, err)
		return
	}
	r.env.Log.Info("the roles were switched", "primary", promoted.Primary, "epoch", promoted.Epoch, "took", time.Since(start))
	answer(w, promoted)
}

// switchOver makes another server the primary in place of this one, which lives. Commits wait until it has
// what is in the log; then the servers enter a new epoch. Where the target fails on the way this server is the
// primary again. One that does not answer at the beginning is not waited for while commits wait.
func (m *member) switchOver(ctx context.Context, to string, need int) (*group.Promoted, error) {
	if s, _ := m.State(ctx); !s.Open {
		return nil, fmt.Errorf("this server is not the primary, %s is: run stack db switchover there", orUnknown(s.Primary))
	}
	others, states := group.Answering(ctx, m.others)
	target, err := m.targetOf(others, states, to)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	release, err := m.data.db.BlockCommits(waiting)
	if err != nil {
		return nil, fmt.Errorf("commits that wait for replicas do not end within %s, so nothing was changed: %w", catchUpWithin, err)
	}
	defer release()
	for {
		has, err := m.hasAll(waiting, target)
		if err != nil {
			return nil, fmt.Errorf("%s does not catch up within %s, so nothing was changed: %w", target.Name(), catchUpWithin, err)
		}
		if has {
			break
		}
	}
	p := group.Promotion{Self: m.name, Need: need, Members: append([]group.Member{m}, others...), Prefer: target.Name()}
	return p.Switchover(ctx)
}

func orUnknown(name string) string {
	if name == "" {
		return "another server, which is not known"
	}
	return name
}

// targetOf is the server of this name, or the one that lacks least, of those that have said their states.
func (m *member) targetOf(others []group.Member, states map[string]group.State, to string) (group.Member, error) {
	var best group.Member
	most := ""
	for _, o := range others {
		s, answers := states[o.Name()]
		switch {
		case to != "" && o.Name() != to, !answers, s.Epoch != m.data.db.Epoch():
			continue
		case best == nil || contains(s.Executed, most):
			best, most = o, s.Executed
		}
	}
	switch {
	case best == nil && to == "":
		return nil, errors.New("no replica answers in this epoch")
	case best == nil:
		return nil, fmt.Errorf("no replica %s answers in this epoch", to)
	}
	return best, nil
}

// hasAll reports whether a server has executed what is in the log here.
func (m *member) hasAll(ctx context.Context, o group.Member) (bool, error) {
	s, err := o.State(ctx)
	return err == nil && contains(s.Executed, m.data.db.ExecutedSet()), err
}

// contains reports whether a GTID set holds another. What is no set holds nothing.
func contains(set, other string) bool {
	a, err := event.ParseGTIDs(set)
	if err != nil {
		return false
	}
	b, err := event.ParseGTIDs(other)
	return err == nil && a.Contains(mysql.GTIDSet(b))
}
