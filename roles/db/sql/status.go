package sql

import (
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// refreshStatus gives the status variables that monitoring looks at their values of now;
// the planner counts some others itself.
func (e *Engine) refreshStatus() {
	st := e.db.Stats()
	m := e.sizes.store.DB.Metrics()
	running := 0
	for _, p := range e.gms.ProcessList.Processes() {
		if p.Command == gms.ProcessCommandQuery {
			running++
		}
	}
	e.mu.Lock()
	connected := len(e.sessions)
	e.mu.Unlock()
	for name, value := range map[string]uint64{
		"Uptime":                           uint64(time.Since(e.start) / time.Second),
		"Threads_connected":                uint64(connected),
		"Threads_running":                  uint64(running),
		"Innodb_row_lock_waits":            st.LockWaits,
		"Innodb_row_lock_current_waits":    st.LockWaiting,
		"Innodb_buffer_pool_bytes_data":    uint64(max(m.BlockCache.Size, 0)),
		"Innodb_buffer_pool_read_requests": uint64(max(m.BlockCache.Hits+m.BlockCache.Misses, 0)),
		"Innodb_buffer_pool_reads":         uint64(max(m.BlockCache.Misses, 0)),
		"Innodb_os_log_written":            m.WAL.BytesWritten,
		"Handler_commit":                   st.Commits,
	} {
		// An unknown name is one that this version of the planner lacks.
		_ = gms.StatusVariables.SetGlobal(name, value)
	}
}

// showsStatus says whether a statement is SHOW STATUS.
func showsStatus(st sqlparser.Statement) bool {
	show, ok := st.(*sqlparser.Show)
	return ok && show.Type == "status"
}

// parseReplicaStatus is SHOW SLAVE STATUS and its like, which monitoring asks every
// server: this one replicates from nobody.
func parseReplicaStatus(_ *Session, sc *scanner) (*ownStatement, error) {
	for sc.accept("NONBLOCKING") || sc.accept("NOLOCK") {
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindOther, nil, func(ctx *gms.Context, _ *Session, out sink) error {
		return reply(ctx, out, textColumns("Slave_IO_State", "Master_Host", "Master_User", "Master_Port", "Connect_Retry", "Master_Log_File",
			"Read_Master_Log_Pos", "Relay_Log_File", "Relay_Log_Pos", "Relay_Master_Log_File", "Slave_IO_Running", "Slave_SQL_Running",
			"Last_Errno", "Last_Error", "Exec_Master_Log_Pos", "Seconds_Behind_Master"))
	}), nil
}
