package db

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"stack/appliance/supervise"
	"stack/roles/db/sql"
)

// Detail is what `stack status` and /v1/db/status show of a database.
type Detail struct {
	Version        string   `json:"version"`
	Server         string   `json:"server_uuid"`
	Role           string   `json:"role"`
	Executed       string   `json:"executed"` // GTID set, empty before the first commit
	DataDir        string   `json:"data_dir"`
	DataBytes      uint64   `json:"data_bytes"`    // on disk
	FreeBytes      uint64   `json:"free_bytes"`    // of the file system
	ReserveBytes   uint64   `json:"reserve_bytes"` // kept free: below it writes are refused
	Connections    int      `json:"connections"`
	MaxConnections int      `json:"max_connections"`
	Transactions   int64    `json:"transactions"` // open
	LockWaiting    uint64   `json:"lock_waiting"` // transactions that wait for a lock
	OldestView     float64  `json:"oldest_view_seconds"`
	Databases      []string `json:"databases"`
	Users          []user   `json:"users"` // that the configuration asks for
}

var errNotOpen = errors.New("the database is not open")

// Alive says whether the store answers.
func (r *Role) Alive() error {
	if r.current.Load() == nil {
		return errNotOpen
	}
	return r.data.alive()
}

// Status is the database in one line and in detail.
func (r *Role) Status() supervise.Status {
	if r.current.Load() == nil {
		return supervise.Status{Text: errNotOpen.Error()}
	}
	r.mu.Lock()
	drained := r.drained
	r.mu.Unlock()
	d := r.detail()
	st := supervise.Status{Ready: !drained, Detail: d}
	st.Text = fmt.Sprintf("%s, %d of %d connections, %d transactions open, at %s",
		d.Role, d.Connections, d.MaxConnections, d.Transactions, position(d.Executed))
	if d.FreeBytes < d.ReserveBytes {
		st.Text = "disk full: writes are refused; " + st.Text
	}
	return st
}

func position(executed string) string {
	if executed == "" {
		return "the beginning"
	}
	return executed
}

func (r *Role) detail() Detail {
	st := r.current.Load()
	free, reserve := r.data.store.FreeSpace()
	stats := r.data.db.Stats()
	d := Detail{
		Version:        sql.Version,
		Server:         r.data.store.Server,
		Role:           "primary",
		Executed:       r.data.store.ExecutedWith(r.data.db.Executed().String()),
		DataDir:        r.data.store.Dir(),
		DataBytes:      r.data.store.DB.Metrics().DiskSpaceUsage(),
		FreeBytes:      free,
		ReserveBytes:   reserve,
		Connections:    r.server.Stats().Connections,
		MaxConnections: st.node.DB.MaxConnections,
		Transactions:   r.data.engine.Transactions(),
		LockWaiting:    stats.LockWaiting,
		OldestView:     stats.OldestViewAge.Seconds(),
		Users:          st.users,
	}
	for _, db := range r.data.engine.Databases() {
		d.Databases = append(d.Databases, db)
	}
	return d
}

func (r *Role) showStatus(w http.ResponseWriter, _ *http.Request) {
	if r.current.Load() == nil {
		http.Error(w, errNotOpen.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(r.detail()); err != nil {
		r.env.Log.Debug("the status was not sent", "error", err)
	}
}
