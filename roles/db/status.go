package db

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"stack/appliance/supervise"
	"stack/roles/db/replica"
	"stack/roles/db/rewind"
	"stack/roles/db/seed"
	"stack/roles/db/sql"
	"stack/roles/db/store"
)

// Detail is what `stack status` and /v1/db/status show of a database.
type Detail struct {
	Version        string   `json:"version"`
	Server         string   `json:"server_uuid"`
	Role           string   `json:"role"` // primary, replica, or closed: nobody is the primary of the epoch yet
	Primary        string   `json:"primary,omitempty"`
	Epoch          uint64   `json:"epoch,omitempty"`
	Acks           *acks    `json:"acknowledgements,omitempty"` // nil: the site has no other database server
	Executed       string   `json:"executed"`                   // GTID set, empty before the first commit
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
	Source         *Source  `json:"source,omitempty"`
	Readers        []Reader `json:"log_readers,omitempty"`

	BinlogTrouble string   `json:"binlog_trouble,omitempty"` // why the binary log keeps what should have left it
	Trouble       string   `json:"trouble,omitempty"`        // what keeps a server of a site from its role
	Rejoin        *Rejoin  `json:"rejoin,omitempty"`         // nil: no copy of the primary's data is needed
	Errant        []string `json:"errant_files,omitempty"`   // binary logs of transactions that were taken back
	Replaced      []string `json:"replaced,omitempty"`       // directories of data that a copy has replaced

	Seeds []seed.Sending `json:"seeds"` // copies that other nodes are fetching
}

// Reader is a connection that reads the binary log.
type Reader struct {
	Host         string `json:"host"`
	ServerID     uint32 `json:"server_id"`
	UUID         string `json:"server_uuid,omitempty"`
	Name         string `json:"name,omitempty"` // of a node of ours
	MariaDB      bool   `json:"mariadb,omitempty"`
	Position     string `json:"position"` // file and offset that were sent
	Bytes        uint64 `json:"bytes"`    // sent since it began
	Acknowledged uint64 `json:"acknowledged,omitempty"`
}

// Source is how the server that this one follows is followed.
type Source struct {
	Address  string   `json:"address"`
	State    string   `json:"state"`
	Error    string   `json:"error,omitempty"`
	Diverged string   `json:"diverged,omitempty"`
	Position string   `json:"position"`              // file and offset, or GTIDs of MariaDB
	Lag      *float64 `json:"lag_seconds,omitempty"` // absent: not known
	Behind   uint64   `json:"behind_transactions"`
	Applied  uint64   `json:"applied_transactions"` // since the start
}

// sourceStates name the states.
var sourceStates = map[replica.State]string{
	replica.StateStopped: "stopped", replica.StateConnecting: "connecting", replica.StateStreaming: "running",
	replica.StateWaiting: "waiting to connect again", replica.StateIOFailed: "ended: the source cannot be followed",
	replica.StateSQLFailed: "ended: a transaction cannot be applied",
}

// source is nil where none is configured.
func (r *Role) source() *Source {
	s, ok := r.data.replica.Status()
	if !ok {
		return nil
	}
	out := &Source{
		Address: net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))), State: sourceStates[s.State], Diverged: s.Diverged,
		Position: fmt.Sprintf("%s:%d", s.Applied.File, s.Applied.Offset), Behind: s.Behind, Applied: s.AppliedTotal,
	}
	if len(s.Applied.Maria) > 0 {
		out.Position = s.Applied.Maria.String()
	}
	if out.Error = s.SQL.Text; out.Error == "" {
		out.Error = s.IO.Text
	}
	if s.State == replica.StateStreaming && s.LagKnown {
		lag := s.Lag.Seconds()
		out.Lag = &lag
	}
	return out
}

var errNotOpen = errors.New("the database is not open")

// Alive says whether the store answers.
func (r *Role) Alive() error {
	r.asked.RLock()
	defer r.asked.RUnlock()
	if r.current.Load() == nil {
		return errNotOpen
	}
	return r.data.alive()
}

// Status is the database in one line and in detail.
func (r *Role) Status() supervise.Status {
	r.asked.RLock()
	defer r.asked.RUnlock()
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
	if s := d.Source; s != nil {
		st.Text += ", follows " + s.Address + ": " + s.State
	}
	if d.Trouble != "" {
		st.Text = d.Trouble + "; " + st.Text
	}
	if d.Rejoin != nil {
		st.Text = d.Rejoin.String() + "; " + st.Text
	}
	if alarm := d.Acks.alarm(); alarm != "" {
		st.Text = alarm + "; " + st.Text
	}
	if d.BinlogTrouble != "" {
		st.Text = "the binary log grows: " + d.BinlogTrouble + "; " + st.Text
	}
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

// readers are the connections that read the log.
func (r *Role) readers() (list []Reader) {
	for _, x := range r.data.engine.Source().Replicas() {
		if !x.Reading {
			continue
		}
		list = append(list, Reader{
			Host: x.Host, ServerID: x.Server, UUID: x.UUID, Name: x.Name, MariaDB: x.MariaDB,
			Position: x.Position.String(), Bytes: x.Bytes, Acknowledged: x.AckedSeq,
		})
	}
	return list
}

func (r *Role) detail() Detail {
	st := r.current.Load()
	free, reserve := r.data.store.FreeSpace()
	stats := r.data.db.Stats()
	d := Detail{
		Version:        sql.Version,
		Server:         r.data.store.Server,
		Role:           "primary",
		Executed:       r.data.db.ExecutedSet(),
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
		Source:         r.source(),
		Readers:        r.readers(),
		Seeds:          r.data.donor.Sending(),
		BinlogTrouble:  r.data.db.Binlog().Trouble(),
	}
	if r.data.replica.Following() {
		d.Role = "replica"
	}
	r.siteDetail(&d)
	r.keptDetail(&d)
	for _, db := range r.data.engine.Databases() {
		d.Databases = append(d.Databases, db)
	}
	return d
}

// keptDetail adds what is kept of data that is no longer in use. What cannot be listed is told when the disk is used.
func (r *Role) keptDetail(d *Detail) {
	st := r.data.store
	d.Replaced, _, _ = store.Replaced(st.FS(), st.Dir())
	d.Errant, _ = rewind.Files(st)
}

func (r *Role) showStatus(w http.ResponseWriter, _ *http.Request) {
	r.asked.RLock()
	if r.current.Load() == nil {
		r.asked.RUnlock()
		http.Error(w, errNotOpen.Error(), http.StatusServiceUnavailable)
		return
	}
	d := r.detail()
	r.asked.RUnlock()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(d); err != nil {
		r.env.Log.Debug("the status was not sent", "error", err)
	}
}
