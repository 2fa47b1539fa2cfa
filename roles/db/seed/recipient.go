package seed

import (
	"context"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-sql-driver/mysql"

	"stack/roles/db/store"
)

// Options of Clone.
type Options struct {
	Address  string // host:port of the donor
	User     string
	Password string
	TLS      *ctls.Config // required: it says which certificates are believed
	Dir      string       // the data directory that is filled
	Replace  bool         // put aside what Dir holds; without it a directory with data is refused
	Rate     int64        // bytes a second, 0 for no bound
	Store    store.Options
	// Progress is told how far it is: about once a second, when a step ends, and with every
	// connection that broke. nil for nobody.
	Progress func(Progress)

	// Epoch is that in which the donor is the primary, for Fetch.
	Epoch uint64

	// Room, where not nil, is asked before the first byte whether so many more may be fetched.
	Room func(bytes int64) error

	// Wanted, where not nil, says why a copy with this executed set is of no use. It is asked before the first byte,
	// and where Fetch goes on with one.
	Wanted func(executed string) error

	pause time.Duration // before the first attempt to connect again; default 1 s
}

// Progress is how far a clone is.
type Progress struct {
	Done, Total int64 // bytes; those that were there before count
	Rate        int64 // bytes a second, over the last seconds
	Step        Step
	Broken      error // why the connection ended, when it is to be made again
}

// partStart begins the name of a file that is not whole.
const partStart = "part-"

// Step is what a clone is doing.
type Step string

// The steps, in order.
const (
	StepFetch  Step = "fetching"
	StepCheck  Step = "checking" // every block is compared with its checksum
	StepSwitch Step = "switching"
)

// Result is what Clone has made.
type Result struct {
	Server   string    // UUID of the new server; empty where an earlier Clone had come that far
	Executed string    // GTID set of what it holds
	Begun    time.Time // when the donor was asked for it; zero: not known any more
	Files    int       // of the copy
	Bytes    int64     // of all files
	Fetched  int64     // of these, in this call
	Fetching float64   // seconds
	Checking float64   // seconds
	Aside    string    // where the old content is; empty where there was none
}

// tries is how often in a row a connection may break without having brought anything.
const tries = 6

// Clone fills a data directory with a copy of the donor's database, as a server of its own.
// The directory must not exist or be empty, or Replace is set. When it returns an error or
// its process dies, another call for the same address goes on with what was fetched, and one for another begins anew; until
// the end nothing opens a directory that was empty, and one that held data can still be used as it was.
func Clone(ctx context.Context, o Options) (_ Result, err error) {
	o.setDefaults()
	s, err := store.BeginSeeding(o.Store.FS, o.Dir, o.Replace)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := &recipient{opts: o, seeding: s, fs: s.FS()}
	if r.state, err = readState(s.FS(), s.Path(stateFile)); err != nil {
		return Result{}, err
	}
	if err := r.forgetOthers(); err != nil {
		return Result{}, err
	}
	if !s.Whole() {
		if !r.state.Finishing {
			if err := r.fetchAll(ctx); err != nil {
				return Result{}, err
			}
		}
		if err := r.finish(ctx); err != nil {
			return Result{}, err
		}
	}
	o.Progress(Progress{Done: r.state.total(), Total: r.state.total(), Step: StepSwitch})
	r.result.Executed, r.result.Begun, r.result.Files, r.result.Bytes = r.state.Executed, r.state.Begun, len(r.state.Files), r.state.total()
	if r.result.Aside, err = s.Switch(); err != nil {
		return Result{}, err
	}
	return r.result, nil
}

// forgetOthers removes a copy of another server, one that the server has fetched for itself, and one
// of which nobody knows whose it is. One that is on its way in already is brought there, and that is all that was done.
func (r *recipient) forgetOthers() error {
	known := r.state.ID != ""
	switch {
	case known && !r.state.Site && r.state.From == r.opts.Address:
		return nil
	case known && r.seeding.Switching():
		if _, err := r.seeding.Switch(); err != nil {
			return err
		}
		return fmt.Errorf("a copy of the data of %s was being put into data directory %s, and now is there: for one of %s, run stack db clone again with --replace",
			r.state.From, r.opts.Dir, r.opts.Address)
	case known || r.seeding.Whole() && !r.seeding.Switching():
		r.state = state{}
		return r.seeding.Anew(func() error { return Remove(r.fs, r.opts.Dir) })
	}
	return nil
}

func (o *Options) setDefaults() {
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Room == nil {
		o.Room = func(int64) error { return nil }
	}
	if o.Wanted == nil {
		o.Wanted = func(string) error { return nil }
	}
	if o.pause == 0 {
		o.pause = time.Second
	}
}

type recipient struct {
	opts    Options
	seeding *store.Seeding
	fs      vfs.FS
	state   state
	site    bool // the server fetches it for itself
	result  Result

	done    int64 // bytes of the copy that are here
	measure meter
	told    time.Time
}

// fetchAll fetches what is missing, over as many connections as it takes.
func (r *recipient) fetchAll(ctx context.Context) error {
	start := time.Now()
	defer func() { r.result.Fetching = time.Since(start).Seconds() }()
	connected, failed := false, 0
	for {
		before := r.result.Fetched
		err := r.fetch(ctx, &connected)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if r.result.Fetched > before {
			failed = 0
		}
		if failed++; !connected || failed >= tries || final(err) {
			return fmt.Errorf("fetch the database from %s: %w", r.opts.Address, err)
		}
		r.opts.Progress(Progress{Done: r.done, Total: r.state.total(), Step: StepFetch, Broken: err})
		t := time.NewTimer(r.opts.pause << min(failed-1, 4))
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

// final reports whether trying again is of no use.
func final(err error) bool {
	var said *mysql.MySQLError
	if errors.As(err, &said) {
		return said.Number != 1053 && said.Number != 1040 // shutdown, too many connections
	}
	var untrusted *ctls.CertificateVerificationError
	var here *hereError
	return errors.As(err, &untrusted) || errors.As(err, &here)
}

// hereError is a failure on this side, which a new connection does not help.
type hereError struct{ err error }

func (e *hereError) Error() string { return e.err.Error() }
func (e *hereError) Unwrap() error { return e.err }

func here(err error) error {
	if err == nil {
		return nil
	}
	return &hereError{err}
}

// fetch fetches what is missing over one connection.
func (r *recipient) fetch(ctx context.Context, connected *bool) error {
	c, err := connect(ctx, &r.opts)
	if err != nil {
		return err
	}
	defer c.close()
	*connected = true
	if err := r.begin(ctx, c); err != nil {
		return err
	}
	missing, err := r.missing()
	if err != nil {
		return here(err)
	}
	if err := errors.Join(r.opts.Wanted(r.state.Executed), r.opts.Room(r.state.total()-r.done)); err != nil {
		return here(err)
	}
	w := newWriter(r.fs)
	for i, f := range missing {
		if err = r.file(ctx, c, w, i, f); err != nil {
			break
		}
	}
	// What has arrived is kept, whatever became of the rest.
	if failed := w.wait(); failed != nil {
		return here(errors.Join(failed, err))
	}
	if err != nil {
		return err
	}
	r.progress(true)
	// From here on the store changes its files: another fetch would not know them. It is durable before the donor forgets its own.
	finishing := r.state
	finishing.Finishing = true
	if err = syncDir(r.fs, r.seeding.Path("store")); err == nil {
		err = writeState(r.fs, r.seeding.Path(stateFile), finishing)
	}
	if err != nil {
		return here(err)
	}
	r.state = finishing
	c.end(ctx, r.state.ID)
	return nil
}

// begin goes on with the seed that was begun, or begins one.
func (r *recipient) begin(ctx context.Context, c *connection) error {
	if r.state.ID != "" {
		list, err := c.begin(ctx, r.state.ID)
		if err == nil && list.ID == r.state.ID && list.same(r.state) {
			return nil
		}
		if err != nil && !gone(err) {
			return err
		}
		r.state = state{}
	}
	// What is there is of another checkpoint.
	if err := errors.Join(r.seeding.Clear(), writeState(r.fs, r.seeding.Path(stateFile), state{})); err != nil {
		return here(err)
	}
	now := time.Now().UTC()
	list, err := c.begin(ctx, "")
	if err != nil {
		return err
	}
	r.state = list
	r.state.Begun = now
	r.state.From, r.state.Site, r.state.Epoch = r.opts.Address, r.site, r.opts.Epoch
	return here(writeState(r.fs, r.seeding.Path(stateFile), r.state))
}

// missing lists the files that are not here, and removes what is not of the copy.
func (r *recipient) missing() (out []File, err error) {
	present, err := r.fs.List(r.seeding.Path("store"))
	if err != nil {
		return nil, fmt.Errorf("look at what was fetched: %w", err)
	}
	wanted := map[string]bool{}
	r.done = 0
	for _, f := range r.state.Files {
		wanted[f.Name] = true
		// A file has its name when it is whole and durable.
		info, err := r.fs.Stat(r.seeding.Path(f.Name))
		if err == nil && info.Size() == f.Bytes {
			r.done += f.Bytes
			continue
		}
		out = append(out, f)
	}
	parts, err := r.fs.List(r.seeding.Path("."))
	if err != nil {
		return nil, fmt.Errorf("look at what was fetched: %w", err)
	}
	for _, name := range parts {
		if strings.HasPrefix(name, partStart) {
			if err := r.fs.Remove(r.seeding.Path(name)); err != nil {
				return nil, fmt.Errorf("remove a part of a file: %w", err)
			}
		}
	}
	for _, name := range present {
		if !wanted["store/"+name] {
			if err := r.fs.RemoveAll(r.seeding.Path("store/" + name)); err != nil {
				return nil, fmt.Errorf("remove what is not of the copy: %w", err)
			}
		}
	}
	return out, nil
}

// file fetches one file; it is whole when the writer has made it so.
func (r *recipient) file(ctx context.Context, c *connection, w *writer, n int, f File) (err error) {
	part := r.seeding.Path(fmt.Sprintf("%s%d", partStart, n))
	out, err := w.create(part)
	if err != nil {
		return here(err)
	}
	var written int64
	begun := r.done
	defer func() {
		if err != nil {
			out.Close()
			r.done = begun
		}
	}()
	err = c.file(ctx, r.state.ID, f.Name, r.opts.Rate, func(p []byte) error {
		if written += int64(len(p)); written > f.Bytes {
			return here(fmt.Errorf("the donor sends more of %s than the %d bytes it said", f.Name, f.Bytes))
		}
		n := int64(len(p))
		if _, err := out.Write(p); err != nil {
			return here(fmt.Errorf("write %s: %w", part, err))
		}
		r.done += n
		r.result.Fetched += n
		r.measure.add(n)
		r.progress(false)
		return nil
	})
	if err != nil {
		return err
	}
	if written != f.Bytes {
		return fmt.Errorf("the donor sent %d bytes of %s, not %d", written, f.Name, f.Bytes)
	}
	w.keep(out, part, r.seeding.Path(f.Name))
	return nil
}

// progress tells how far it is, not more often than once a second unless it must.
func (r *recipient) progress(must bool) {
	if now := time.Now(); must || now.Sub(r.told) >= time.Second {
		r.told = now
		r.opts.Progress(Progress{Done: r.done, Total: r.state.total(), Rate: r.measure.rate(), Step: StepFetch})
	}
}

// finish makes the copy a server of its own, and compares its blocks with their checksums.
func (r *recipient) finish(ctx context.Context) error {
	// The store ends the process where it finds no space for its log, and it may be that of a server.
	if err := r.opts.Room(0); err != nil {
		return err
	}
	r.opts.Progress(Progress{Done: r.state.total(), Total: r.state.total(), Step: StepCheck})
	start := time.Now()
	server, err := r.seeding.Finish(r.opts.Store, func(st *store.Store) error {
		var bad error
		_, err := st.CheckFiles(ctx, func(file string, err error) {
			switch {
			case bad != nil:
			case noRoom(err):
				bad = fmt.Errorf("check the copy: file %s: %w", filepath.Base(file), err)
			default:
				bad = fmt.Errorf("the copy is damaged: file %s: %w; run stack db check on the donor, and stack db clone again", filepath.Base(file), err)
			}
		})
		return errors.Join(bad, err)
	})
	r.result.Checking = time.Since(start).Seconds()
	if err != nil {
		if ctx.Err() == nil && !noRoom(err) {
			// The next call begins anew.
			err = errors.Join(err, writeState(r.fs, r.seeding.Path(stateFile), state{}))
		}
		return err
	}
	r.result.Server = server
	return nil
}

// noRoom reports whether the disk was full, or as much is open here as may be: that says nothing of the copy.
func noRoom(err error) bool {
	return slices.ContainsFunc([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}, func(no syscall.Errno) bool {
		return errors.Is(err, no)
	})
}

// Roots are the certificates in a file, for tls.Config.RootCAs.
func Roots(fs vfs.FS, path string) (*x509.CertPool, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, math.MaxInt32))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}
