package db

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stack/roles/db/backup"
	"stack/roles/db/store"
)

// post calls a command of the role as the supervisor does.
func (r *running) post(ctx context.Context, path string, body any) *httptest.ResponseRecorder {
	r.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.role.Control().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(string(text))))
	return w
}

// Of several backups into one directory at the same time one is taken, and the others do
// not touch it.
func TestBackupsAtOnce(t *testing.T) {
	r := start(t, testNode(t))
	mustExec(t, r.rootDB("wordpress").Exec, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100))", "INSERT INTO t VALUES (1, 'x')")
	parent := t.TempDir()
	for round := range 20 {
		dir := filepath.Join(parent, fmt.Sprint(round))
		var wait sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for range 4 {
			wait.Go(func() {
				w := r.post(t.Context(), "/v1/db/backup", BackupRequest{Dir: dir})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case w.Code == http.StatusOK:
					done++
				case !strings.Contains(w.Body.String(), "another backup is being taken") && !strings.Contains(w.Body.String(), "is not empty"):
					t.Errorf("refused with %s", w.Body)
				}
			})
		}
		wait.Wait()
		if report, err := backup.Backup(t.Context(), store.Options{Dir: dir}); done != 1 || err != nil || !report.OK() {
			t.Fatalf("round %d: %d backups taken, the check says %v, %v", round, done, report, err)
		}
	}
}

// A stop of the database ends what runs beside the clients, and the store is closed after
// it. Nothing begins afterwards.
func TestStopEndsJobs(t *testing.T) {
	r := start(t, testNode(t))
	role := r.role
	ctx, done, err := role.jobs.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := role.Close(); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("a stop does not end the job")
	}
	if context.Cause(ctx) != errStopping {
		t.Errorf("it ends with %v", context.Cause(ctx))
	}
	select {
	case <-closed:
		t.Error("the store was closed under the job")
	case <-time.After(50 * time.Millisecond):
	}
	done()
	<-closed
	for _, path := range []string{"/v1/db/backup", "/v1/db/check"} {
		if w := r.post(t.Context(), path, BackupRequest{Dir: filepath.Join(t.TempDir(), "late")}); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s of a database that has stopped gives %d, %s", path, w.Code, w.Body)
		}
	}
	r.role = nil
}
