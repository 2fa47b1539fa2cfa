package db

import (
	"context"
	ctls "crypto/tls"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/seed"
	"stack/roles/db/store"
)

// copyOf are options for a copy of the data of a server that runs.
func copyOf(t *testing.T, r *running, fs vfs.FS) seed.Options {
	t.Helper()
	roots, err := seed.Roots(vfs.Default, filepath.Join(r.node.TLS.SecretsDir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return seed.Options{
		Address: r.addr.String(), User: "root", Password: r.secret("db-root"), Dir: filepath.Join(t.TempDir(), "copy"),
		TLS: &ctls.Config{MinVersion: ctls.VersionTLS12, RootCAs: roots, ServerName: "db1"}, Store: store.Options{FS: fs},
	}
}

// A clone that is ended behind its last byte has the files, or can get them without fetching them again: that they are
// here is durable before the donor is told to forget them.
func TestCloneEndsBehindItsLastByte(t *testing.T) {
	r := start(t, testNode(t))
	var states, parts atomic.Int32
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch name := filepath.Base(op.Path); {
		case op.Kind == errorfs.OpCreate && strings.HasPrefix(name, "part-"):
			parts.Add(1)
		case op.Kind == errorfs.OpRename && name == "SEED.json.new" && states.Add(1) == 3: // nothing, the list, all is here
			return errors.New("the disk has gone")
		}
		return nil
	}))
	o := copyOf(t, r, fs)
	if _, err := seed.Clone(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the disk has gone") {
		t.Fatalf("the clone was not ended: %v", err)
	}
	fetched := parts.Swap(0)
	if fetched < 5 {
		t.Fatalf("only %d files were fetched", fetched)
	}
	if held := r.role.data.donor.Sending(); len(held) != 1 {
		t.Errorf("the donor holds %v", held)
	}
	done, err := seed.Clone(t.Context(), o)
	if err != nil || parts.Load() != 0 || done.Fetched != 0 || done.Files != int(fetched) {
		t.Errorf("of %d files %d were fetched again: %+v, %v", fetched, parts.Load(), done, err)
	}
	if held := r.role.data.donor.Sending(); len(held) != 0 {
		t.Errorf("the donor still holds %v", held)
	}
}

// A server that is started anew while it fetches a copy for itself goes on with the files that are whole.
func TestFetchGoesOnAfterAStart(t *testing.T) {
	r := start(t, testNode(t))
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var named, parts atomic.Int32
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch name := filepath.Base(op.Path); {
		case op.Kind == errorfs.OpCreate && strings.HasPrefix(name, "part-"):
			parts.Add(1)
		case op.Kind == errorfs.OpRename && strings.HasPrefix(name, "part-") && named.Add(1) == 3:
			end()
		}
		return nil
	}))
	o := copyOf(t, r, fs)
	opts := store.Options{Dir: filepath.Join(t.TempDir(), "db"), FS: fs}
	for _, whole := range []bool{false, true} {
		st, err := store.Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		parts.Store(0)
		err = seed.Fetch(ctx, st, o)
		if (err == nil) != whole {
			t.Fatalf("fetched: %v", err)
		}
		ctx = t.Context()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if all, again := named.Load(), parts.Load(); again > all-3 {
		t.Errorf("%d of %d files were fetched after the start, 3 were here", again, all)
	}
	if ready, _, _, err := seed.Ready(fs, opts.Dir); err != nil || !ready {
		t.Errorf("no copy is ready: %v", err)
	}
}
