package sql

import (
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// SlowStatement is a statement for the slow log.
type SlowStatement struct {
	Begun         time.Time
	Took          time.Duration
	LockWait      time.Duration
	Sent          uint64 // rows
	Examined      uint64 // rows
	Connection    uint32
	User, Account string // as sent by the client, and of its account
	Host, IP      string // of the client
	Database      string
	Text          string // without passwords
}

// SetSlowLog says who takes slow statements. take must not block.
func (e *Engine) SetSlowLog(take func(SlowStatement)) { e.slowLog.Store(&take) }

// noteSlow counts and logs the statement of the session that has just ended, if it is slow: if it
// took long_query_time, or read a whole index while log_queries_not_using_indexes is on; and has
// looked at min_examined_row_limit rows. What changes the structure of tables is so only
// with log_slow_admin_statements.
func (s *Session) noteSlow(took time.Duration, sent uint64) {
	o, w := &s.seen, &s.doing.Work
	n := s.settingsNow()
	if took < n.longQuery && !(w.Scans > 0 && globalOn("log_queries_not_using_indexes")) {
		return
	}
	if w.Examined() < n.minExamined || o.command.administers() && !globalOn("log_slow_admin_statements") {
		return
	}
	s.tally.add(itemSlow, 1)
	take := s.engine.slowLog.Load()
	if take == nil || !globalOn("slow_query_log") {
		return
	}
	ip := ""
	if a := s.client.Addr; a.IsValid() {
		ip = a.Addr().String()
	}
	text := o.text
	if o.command == commandNone {
		text = blankSecrets(text)
	} else {
		text = withoutSecrets(text)
	}
	(*take)(SlowStatement{
		Begun: o.begun, Took: took, LockWait: w.RowWait + w.TableWait, Sent: sent, Examined: w.Examined(),
		Connection: s.ID(), User: s.client.User, Account: s.client.Account.User, Host: s.client.Host, IP: ip,
		Database: s.GetCurrentDatabase(), Text: written(text),
	})
}

// administers says whether MySQL takes the command for an administrative one.
func (c command) administers() bool {
	switch c {
	case commandAlterTable, commandAnalyze, commandCheck, commandCreateIndex, commandDropIndex, commandOptimize, commandRepair:
		return true
	}
	return false
}

func globalOn(variable string) bool {
	_, v, ok := gms.SystemVariables.GetGlobal(variable)
	return ok && isOn(v)
}

// SetSlow gives the variables of the slow log the values that new sessions begin with.
func SetSlow(enabled bool, after time.Duration, notUsingIndexes bool) error {
	on := map[bool]int8{true: 1}
	return gms.SystemVariables.AssignValues(map[string]any{
		"slow_query_log": on[enabled], "long_query_time": after.Seconds(), "log_queries_not_using_indexes": on[notUsingIndexes],
	})
}
