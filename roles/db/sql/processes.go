package sql

import (
	"sort"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// process is a connection as the process list shows it.
type process struct {
	id             uint32
	user, host     string
	database, info any // text or nil
	command, state string
	seconds        int64
}

// processes are the connections that the session may see, in order: all with PROCESS, else those of
// its user.
func (s *Session) processes(ctx *gms.Context) []process {
	all := s.seesProcesses(ctx)
	now := time.Now()
	var list []process
	for _, p := range s.engine.gms.ProcessList.Processes() {
		if !all && p.User != s.client.User {
			continue
		}
		x := process{id: p.Connection, user: p.User, host: p.Host, command: string(p.Command), seconds: int64(p.Seconds())}
		if p.Database != "" {
			x.database = p.Database
		}
		if p.Query != "" {
			x.info = p.Query
		}
		if o := s.engine.session(p.Connection); o != nil {
			x.state = o.stateNow(p.Command == gms.ProcessCommandQuery)
			if dump := o.dumps.Load(); dump != nil {
				x.command, x.info, x.state = *dump, nil, "Sending binlog events to the replica"
			}
			if last := o.idle.Load(); p.Command == gms.ProcessCommandSleep && last != 0 {
				// Point reads do not show up in the planner's list.
				x.seconds = max(0, min(x.seconds, int64(now.Sub(time.Unix(0, last))/time.Second)))
			}
		}
		list = append(list, x)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].id < list[j].id })
	return list
}

// session is the session of a connection, nil if there is none.
func (e *Engine) session(id uint32) *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[id]
}

// waitsForDefinition is the state of who waits for a table, by which tools find it.
var waitsForDefinition = "Waiting for table metadata lock"

// stateNow is what the session does: it may be asked by anybody.
func (s *Session) stateNow(running bool) string {
	if !running {
		return ""
	}
	if own := s.state.Load(); own != nil {
		return *own
	}
	if tx := s.shown.Load(); tx != nil {
		if since, definition := tx.WaitsSince(); !since.IsZero() {
			if definition {
				return waitsForDefinition
			}
			return "Waiting for row lock"
		}
	}
	return "executing"
}

// showProcesses is SHOW PROCESSLIST. Without FULL it shows the first 100 characters of statements.
func showProcesses(ctx *gms.Context) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	show, ok := s.running.st.(*sqlparser.Show)
	full := ok && show.Full
	var rows []gms.Row
	for _, p := range s.processes(ctx) {
		if text, ok := p.info.(string); ok && !full {
			p.info = clipText(text, 100)
		}
		rows = append(rows, gms.Row{int64(p.id), p.user, p.host, p.database, p.command, p.seconds, p.state, p.info})
	}
	return gms.RowsToRowIter(rows...), nil
}
