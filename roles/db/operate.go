package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"stack/roles/db/backup"
	"stack/roles/db/sql"
)

// BackupRequest is the body of POST /v1/db/backup.
type BackupRequest struct {
	Dir string `json:"dir"` // absolute; must not exist or be empty
}

// BackupDone is the answer to it.
type BackupDone struct {
	Dir      string  `json:"dir"`
	Executed string  `json:"executed"` // GTID set of what the backup holds
	Files    int     `json:"files"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
}

// decode reads the body of a request, which has known keys only.
func decode(q *http.Request, into any) error {
	dec := json.NewDecoder(io.LimitReader(q.Body, 64<<10))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// alone begins a job of which one runs at a time; busy is the answer while another does. Call
// done at its end; nil: the request is answered.
func (r *Role) alone(w http.ResponseWriter, q *http.Request, one *sync.Mutex, busy string) (ctx context.Context, done func()) {
	ctx, end, err := r.jobs.begin(q.Context())
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return nil, nil
	}
	if !one.TryLock() {
		end()
		refuse(w, http.StatusConflict, errors.New(busy))
		return nil, nil
	}
	return ctx, func() { one.Unlock(); end() }
}

// backUp serves POST /v1/db/backup. It answers when the backup is durable; a caller that
// goes away ends it.
func (r *Role) backUp(w http.ResponseWriter, q *http.Request) {
	if r.current.Load() == nil {
		refuse(w, http.StatusServiceUnavailable, errNotOpen)
		return
	}
	var body BackupRequest
	if err := decode(q, &body); err != nil || !filepath.IsAbs(body.Dir) {
		refuse(w, http.StatusBadRequest, errors.New(`name the directory of the backup by its absolute path, as {"dir": "/var/lib/stack/backup/monday"}`))
		return
	}
	ctx, done := r.alone(w, q, &r.jobs.backup, "another backup is being taken: wait for its end")
	if done == nil {
		return
	}
	defer done()
	start := time.Now()
	m, err := backup.Take(ctx, r.data.store, nil, filepath.Clean(body.Dir), sql.Version)
	if err != nil {
		r.env.Log.Error("the database was not backed up", "dir", body.Dir, "error", err)
		refuse(w, http.StatusConflict, err)
		return
	}
	took := time.Since(start)
	r.env.Log.Info("the database was backed up", "dir", body.Dir, "executed", m.Executed, "files", len(m.Files), "bytes", m.Bytes, "took", took)
	answer(w, BackupDone{Dir: body.Dir, Executed: m.Executed, Files: len(m.Files), Bytes: m.Bytes, Seconds: took.Seconds()})
}

// check serves POST /v1/db/check.
func (r *Role) check(w http.ResponseWriter, q *http.Request) {
	if r.current.Load() == nil {
		refuse(w, http.StatusServiceUnavailable, errNotOpen)
		return
	}
	ctx, done, err := r.jobs.begin(q.Context())
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	defer done()
	report, err := backup.Running(ctx, r.data.store, r.data.db)
	if err != nil {
		refuse(w, http.StatusConflict, fmt.Errorf("check the database: %w", err))
		return
	}
	if !report.OK() {
		r.env.Log.Error("the check of the database found damage", "problems", len(report.Problems)+report.More, "first", report.Problems[0])
	}
	answer(w, report)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // a caller that has gone needs no answer
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
