package seed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// Fetch makes a copy of the donor's database beside the data of an open store, which goes on as it is.
// Options.Dir and Options.Replace say nothing. What was fetched before, from the same donor in the same epoch, is used again. The next start puts the
// copy in place by Install.
func Fetch(ctx context.Context, st *store.Store, o Options) (err error) {
	o.setDefaults()
	if err := forgetForeign(st, o); err != nil {
		return err
	}
	s, err := st.BeginSeeding()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := &recipient{opts: o, seeding: s, fs: s.FS(), site: true}
	if r.state, err = readState(s.FS(), s.Path(stateFile)); err != nil || s.Whole() {
		return err
	}
	if !r.state.Finishing {
		if err := r.fetchAll(ctx); err != nil {
			return err
		}
	}
	return r.finish(ctx)
}

// forgetForeign removes what a clone by hand has left, what is of another donor or epoch or of no use any more, and what
// cannot be read: it may be of any server.
func forgetForeign(st *store.Store, o Options) error {
	at := store.SeedingDir(st.Dir())
	if _, err := st.FS().Stat(at); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if s, err := readState(st.FS(), filepath.Join(at, stateFile)); err == nil && s.Site && s.From == o.Address && s.Epoch == o.Epoch && o.Wanted(s.Executed) == nil {
		return nil
	}
	return Remove(st.FS(), st.Dir())
}

// Remove removes a copy that nobody needs. A crash on the way leaves none that looks whole. fs nil is the operating
// system's.
func Remove(fs vfs.FS, dir string) error {
	fs = orDefault(fs)
	at := store.SeedingDir(dir)
	err := fs.Remove(filepath.Join(at, stateFile)) // without it nothing is ready
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = syncDir(fs, at)
	}
	if err == nil {
		err = fs.RemoveAll(at)
	}
	if err != nil {
		return fmt.Errorf("remove the copy in %s: %w", at, err)
	}
	return nil
}

// Ready reports whether a data directory has a copy that Fetch has made and Install has to put
// in place, and of which epoch; begun says that an Install has begun to. fs nil is the operating system's.
func Ready(fs vfs.FS, dir string) (ready, begun bool, epoch uint64, err error) {
	fs = orDefault(fs)
	if begun, err = store.SwitchInterrupted(fs, dir); begun || err != nil {
		return begun, begun, 0, err
	}
	if !store.WholeSeeding(fs, dir) {
		return false, false, 0, nil
	}
	s, err := readState(fs, filepath.Join(store.SeedingDir(dir), stateFile))
	return s.Site, false, s.Epoch, err
}

// Install puts the copy of Fetch in the place of the content of a data directory that nothing has open, and
// returns where that is kept. carry writes into the copy before what must not be lost of the old content; it is not called
// where an earlier Install has come further. Each step can be repeated after a crash.
func Install(fs vfs.FS, dir string, opts store.Options, carry func(*store.Store) error) (aside string, err error) {
	begun, err := store.SwitchInterrupted(orDefault(fs), dir)
	if err != nil {
		return "", err
	}
	s, err := store.BeginSeeding(fs, dir, true)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.Automatic()
	if !begun {
		st, err := s.OpenCopy(opts)
		if err != nil {
			return "", err
		}
		if err := errors.Join(carry(st), st.Close()); err != nil {
			return "", err
		}
	}
	return s.Switch()
}

func orDefault(fs vfs.FS) vfs.FS {
	if fs == nil {
		return vfs.Default
	}
	return fs
}
