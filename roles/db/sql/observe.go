package sql

import (
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/txn"
)

// observed is what is known of the statement that a client runs.
type observed struct {
	begun   time.Time
	text    string // until it is parsed, all that the client has sent
	kind    kind
	command command
	path    path
	digest  *digest // nil until it is known
}

// observe begins a statement of a client.
func (s *Session) observe(text string) {
	s.seen = observed{begun: time.Now(), text: text}
	s.doing.Work = txn.Work{}
}

// observedDirect notes that the statement is answered without the planner.
func (s *Session) observedDirect(k kind, c command) {
	s.seen.kind, s.seen.command, s.seen.path = k, c, byDirect
	s.countStatement(k, c, byDirect)
}

// countStatement counts a statement of a client or of a routine.
func (s *Session) countStatement(k kind, c command, p path) {
	s.tally.add(itemQueries, 1)
	s.tally.commands[c].Add(1)
	s.tally.statements[k][p].Add(1)
}

// rowsSent is what a sink tells of the rows that it has sent.
type rowsSent interface{ Sent() uint64 }

// observedEnd ends a statement of a client. Here all that is known of it is added up.
//
// Hot path: BenchmarkDirectPoint.
func (s *Session) observedEnd(out sink, err error) {
	o, w, t := &s.seen, &s.doing.Work, &s.tally
	end := time.Now()
	took := end.Sub(o.begun)
	s.idle.Store(end.UnixNano())
	var sent uint64
	if r, ok := out.(rowsSent); ok {
		sent = r.Sent()
	}
	t.add(itemQuestions, 1)
	t.add(itemRowsSent, sent)
	t.took(o.path, took)
	t.work(w)
	if w.Scans > 0 && o.command == commandSelect {
		t.add(itemSelectScan, 1)
	}
	if o.digest == nil {
		o.digest = s.engine.digests.of(s.GetCurrentDatabase(), o.text)
	}
	o.digest.add(end, took, sent, w, s.affected(err), err != nil, s.WarningCount())
	if took >= s.settingsNow().longQuery || w.Scans > 0 {
		s.noteSlow(took, sent)
	}
	s.statementEnds()
}

// affected is how many rows the statement has changed.
func (s *Session) affected(err error) uint64 {
	if err != nil {
		return 0
	}
	return uint64(max(s.GetLastQueryInfo().RowCount.Load(), 0))
}

// statementBegins shows the statement to the process list and to deadlocks; the context is
// ended by KILL.
func (s *Session) statementBegins(ctx *gms.Context, text string) (*gms.Context, error) {
	s.views = viewsRead{}
	shown := written(withoutSecrets(text))
	s.doing.Statement.Store(&shown)
	return s.engine.gms.ProcessList.BeginQuery(ctx, shown)
}

func (s *Session) statementEnds() {
	if s.doing.Statement.Load() != nil {
		s.doing.Statement.Store(nil)
	}
}

// observedParsed notes what the client's statement has turned out to be.
func (s *Session) observedParsed(k kind, st sqlparser.Statement, text string) {
	c := commandOf(st, text)
	s.seen.kind, s.seen.command, s.seen.text = k, c, text
	s.countStatement(k, c, byPlanner)
}
