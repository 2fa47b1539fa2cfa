package seed

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// PieceSize is the most that one row of SEED FILE holds, bytes.
const PieceSize = 256 << 10

// Why a donor refuses. The errors it returns wrap one of these, or are of the file system.
var (
	// ErrGone: there is no such checkpoint, or it is another account's: begin anew.
	ErrGone = errors.New("there is no such seed: begin a new one")
	// ErrBusy: as many checkpoints are held as may be, all of them in use.
	ErrBusy = errors.New("other seeds are being taken: wait for their end")
	// ErrDisk: there is too little space to hold a checkpoint.
	ErrDisk = errors.New("the disk of the donor is nearly full: a seed would keep files that the database wants to remove")
	// ErrStopping: the donor is being closed.
	ErrStopping = errors.New("the database is being stopped")
)

// DonorOptions shape a Donor. The zero value has the defaults.
type DonorOptions struct {
	// Held is how many checkpoints may exist at a time; default 2.
	Held int
	// Keep is how long a checkpoint is kept after its last connection has ended, so that
	// the recipient can go on; default 10 min.
	Keep time.Duration
	// Longest is how long one is kept at all; default 24 h.
	Longest time.Duration
	// Rate bounds what all seeds together send, bytes a second; 0 is no bound.
	Rate int64
	// FreeSpace is the free bytes of the data directory's file system and those that are
	// kept; default is the store's. Both 0 means unknown.
	FreeSpace func() (free, reserve uint64)
	// Tick is how often the bounds are looked at; default 1 s.
	Tick time.Duration
	Log  *slog.Logger // default: discards
}

// Donor gives copies of a store to other nodes. All methods are safe for concurrent use.
type Donor struct {
	st   *store.Store
	fs   vfs.FS
	dir  string
	opts DonorOptions
	rate limiter

	taking sync.Mutex // one checkpoint is made at a time

	mu     sync.Mutex
	held   map[string]*checkpoint
	slots  int // held, and being made
	closed bool

	stop context.CancelCauseFunc // ends everything that is under way
	ctx  context.Context
	wait sync.WaitGroup
}

// Client is who asks a donor.
type Client struct {
	Connection uint32
	Account    string // as user@host of the account that logged in
	Address    string // for status
}

// File is a file of a checkpoint.
type File struct {
	Name  string `json:"name"` // as in a backup: FORMAT or store/NAME
	Bytes int64  `json:"bytes"`
}

// Checkpoint is the store as it was at one moment.
type Checkpoint struct {
	ID       string // 32 hexadecimal digits, not to be guessed
	Executed string // GTID set of what it holds
	Files    []File
	Bytes    int64 // of all files
}

type checkpoint struct {
	Checkpoint
	dir     string
	account string
	made    time.Time
	sizes   map[string]int64
	ctx     context.Context
	cancel  context.CancelCauseFunc
	wait    sync.WaitGroup // of files being sent

	// Under Donor.mu:
	users   map[uint32]string // connections that use it, with their addresses
	left    time.Time         // when the last one ended
	sent    int64
	measure meter
}

// NewDonor makes a donor for st, and removes checkpoints that an earlier process has left.
// It starts one goroutine, which Close ends.
func NewDonor(st *store.Store, opts DonorOptions) (*Donor, error) {
	setDefault(&opts.Held, 2)
	setDefault(&opts.Keep, 10*time.Minute)
	setDefault(&opts.Longest, 24*time.Hour)
	setDefault(&opts.Tick, time.Second)
	if opts.FreeSpace == nil {
		opts.FreeSpace = st.FreeSpace
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	d := &Donor{st: st, fs: st.FS(), dir: filepath.Join(st.Dir(), store.SeedsDir), opts: opts, held: map[string]*checkpoint{}}
	d.ctx, d.stop = context.WithCancelCause(context.Background())
	if err := d.fs.RemoveAll(d.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the seeds that an earlier process has left: %w", err)
	}
	d.rate.set(opts.Rate)
	d.wait.Go(d.watch)
	return d, nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// SetRate changes DonorOptions.Rate, for seeds under way too.
func (d *Donor) SetRate(bytes int64) { d.rate.set(bytes) }

// Begin takes a checkpoint for the client, or takes up the one with this id where id is not
// empty. It is the client's until Detach, End, or one of the bounds.
func (d *Donor) Begin(ctx context.Context, client Client, id string) (Checkpoint, error) {
	if id != "" {
		d.mu.Lock()
		defer d.mu.Unlock()
		c, err := d.find(client, id)
		if err != nil {
			return Checkpoint{}, err
		}
		c.users[client.Connection] = client.Address
		return c.Checkpoint, nil
	}
	if err := d.room(); err != nil {
		return Checkpoint{}, err
	}
	c, err := d.take(ctx, client)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.closed {
		err = ErrStopping
	}
	if err != nil {
		d.slots--
		return Checkpoint{}, err
	}
	d.held[c.ID] = c
	return c.Checkpoint, nil
}

// room takes a slot, from a checkpoint that nobody uses where there is no other.
func (d *Donor) room() error {
	if d.low() {
		return ErrDisk
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return ErrStopping
	}
	var oldest *checkpoint
	if d.slots >= d.opts.Held {
		for _, c := range d.held {
			if len(c.users) == 0 && (oldest == nil || c.left.Before(oldest.left)) {
				oldest = c
			}
		}
		if oldest == nil {
			d.mu.Unlock()
			return ErrBusy
		}
		d.drop(oldest, ErrGone)
	}
	d.slots++
	d.mu.Unlock()
	if oldest != nil {
		d.remove(oldest, "another one was asked for")
	}
	return nil
}

// low reports whether the disk has less than half of the reserve beyond it.
func (d *Donor) low() bool {
	free, reserve := d.opts.FreeSpace()
	return (free != 0 || reserve != 0) && free < reserve+reserve/2
}

// take makes a checkpoint, which is the client's.
func (d *Donor) take(ctx context.Context, client Client) (_ *checkpoint, err error) {
	d.taking.Lock()
	defer d.taking.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.ctx, func() { cancel(ErrStopping) })()
	start := time.Now()
	var random [16]byte
	rand.Read(random[:]) // never fails
	c := &checkpoint{
		Checkpoint: Checkpoint{ID: hex.EncodeToString(random[:])},
		account:    client.Account, made: start, sizes: map[string]int64{},
		users: map[uint32]string{client.Connection: client.Address},
	}
	if _, err := d.st.MakeDir(store.SeedsDir); err != nil {
		return nil, err
	}
	if c.dir, err = d.st.MakeDir(filepath.Join(store.SeedsDir, c.ID)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.fs.RemoveAll(c.dir))
		}
	}()
	if err = d.st.Checkpoint(ctx, c.dir); err != nil {
		return nil, err
	}
	if c.Executed, err = executed(d.fs, c.dir); err != nil {
		return nil, err
	}
	names, err := store.CopyFiles(d.fs, c.dir)
	if err != nil {
		return nil, fmt.Errorf("list the checkpoint: %w", err)
	}
	for _, name := range names {
		info, err := d.fs.Stat(c.path(name))
		if err != nil {
			return nil, fmt.Errorf("list the checkpoint: %w", err)
		}
		c.Files = append(c.Files, File{name, info.Size()})
		c.sizes[name] = info.Size()
		c.Bytes += info.Size()
	}
	c.ctx, c.cancel = context.WithCancelCause(d.ctx)
	d.opts.Log.Info("a seed begins", "account", client.Account, "client", client.Address, "executed", c.Executed,
		"files", len(c.Files), "bytes", c.Bytes, "took", time.Since(start))
	return c, nil
}

// executed reads the GTID set that a copy holds, which also proves that it opens.
func executed(fs vfs.FS, dir string) (set string, err error) {
	st, err := store.OpenBackup(store.Options{Dir: dir, FS: fs, CacheBytes: 1 << 20})
	if err != nil {
		return "", fmt.Errorf("the checkpoint does not open: %w", err)
	}
	own, err := store.Get(st.DB, store.MetaExecutedKey())
	return st.ExecutedWith(string(own)), errors.Join(err, st.Close())
}

func (c *checkpoint) path(name string) string { return filepath.Join(c.dir, filepath.FromSlash(name)) }

// find is the checkpoint with this id, if it is the client's. d.mu is held.
func (d *Donor) find(client Client, id string) (*checkpoint, error) {
	if d.closed {
		return nil, ErrStopping
	}
	c := d.held[id]
	if c == nil || c.account != client.Account {
		return nil, ErrGone
	}
	return c, nil
}

// Send gives a file to emit, in pieces of PieceSize at most, and returns its SHA-256 in
// hexadecimal. rate bounds it further, bytes a second; 0 does not. The client has begun this
// checkpoint on its connection.
func (d *Donor) Send(ctx context.Context, client Client, id, name string, rate int64, emit func([]byte) error) (sum string, err error) {
	d.mu.Lock()
	c, err := d.find(client, id)
	var size int64
	if err == nil {
		var known bool
		if _, begun := c.users[client.Connection]; !begun {
			err = fmt.Errorf("this connection has not begun the seed: %w", ErrGone)
		} else if size, known = c.sizes[name]; !known {
			// The names of the checkpoint alone: no path of a client is ever opened.
			err = fmt.Errorf("the seed has no file %q", name)
		}
	}
	if err != nil {
		d.mu.Unlock()
		return "", err
	}
	c.wait.Add(1)
	d.mu.Unlock()
	defer c.wait.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })()
	in, err := d.fs.Open(c.path(name), vfs.SequentialReadsOption)
	if err != nil {
		return "", fmt.Errorf("read %s of the seed: %w", name, err)
	}
	defer in.Close()
	var own limiter
	own.set(rate)
	hash := sha256.New()
	buf := make([]byte, min(PieceSize, max(size, 1)))
	for size > 0 {
		p := buf[:min(int64(len(buf)), size)]
		if _, err := io.ReadFull(in, p); err != nil {
			return "", fmt.Errorf("read %s of the seed: %w", name, err)
		}
		hash.Write(p)
		if err := errors.Join(d.rate.wait(ctx, len(p)), own.wait(ctx, len(p))); err != nil {
			return "", context.Cause(ctx)
		}
		if err := emit(p); err != nil {
			return "", err
		}
		if c.ctx.Err() != nil { // asked itself: ctx follows it a moment later
			return "", context.Cause(c.ctx)
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		size -= int64(len(p))
		d.mu.Lock()
		c.sent += int64(len(p))
		c.measure.add(int64(len(p)))
		d.mu.Unlock()
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// End removes a checkpoint of the client.
func (d *Donor) End(client Client, id string) error {
	d.mu.Lock()
	c, err := d.find(client, id)
	if err == nil {
		d.drop(c, ErrGone)
		d.slots--
	}
	d.mu.Unlock()
	if err == nil {
		d.remove(c, "it was fetched")
	}
	return err
}

// Detach says that a connection has ended. Its checkpoints stay for DonorOptions.Keep.
func (d *Donor) Detach(connection uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.held {
		if _, ok := c.users[connection]; ok {
			if delete(c.users, connection); len(c.users) == 0 {
				c.left = time.Now()
			}
		}
	}
}

// drop forgets a checkpoint and ends what is sent of it. d.mu is held; remove follows, and
// the slot is the caller's.
func (d *Donor) drop(c *checkpoint, why error) {
	delete(d.held, c.ID)
	c.cancel(why)
	d.wait.Add(1)
}

// remove removes the files of a dropped checkpoint. A file that is being sent goes when its
// client has taken the piece under way, or its connection ends.
func (d *Donor) remove(c *checkpoint, why string) {
	defer d.wait.Done()
	d.mu.Lock()
	sent := c.sent
	d.mu.Unlock()
	d.opts.Log.Info("a seed ends", "account", c.account, "why", why, "sent", sent, "bytes", c.Bytes)
	if err := d.fs.RemoveAll(c.dir); err != nil {
		d.opts.Log.Error("a checkpoint was not removed: it takes space until the next start", "dir", c.dir, "error", err)
	}
}

// watch removes checkpoints that have met a bound.
func (d *Donor) watch() {
	tick := time.NewTicker(d.opts.Tick)
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
		}
		for c, why := range d.overdue(time.Now()) {
			d.remove(c, why)
		}
	}
}

// overdue drops the checkpoints that have met a bound, and says which. Of those that are in
// the way of a full disk, all that nobody uses go first.
func (d *Donor) overdue(now time.Time) map[*checkpoint]string {
	low := d.low()
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[*checkpoint]string{}
	for _, c := range d.held {
		switch {
		case len(c.users) == 0 && now.Sub(c.left) >= d.opts.Keep:
			out[c] = "nobody went on with it"
		case now.Sub(c.made) >= d.opts.Longest:
			out[c] = "it took too long"
		case low && len(c.users) == 0:
			out[c] = "the disk is nearly full"
		}
	}
	if low && len(out) == 0 {
		for _, c := range d.held {
			out[c] = "the disk is nearly full"
		}
	}
	for c, why := range out {
		if low {
			d.drop(c, ErrDisk)
		} else {
			d.drop(c, fmt.Errorf("%s: %w", why, ErrGone))
		}
		d.slots--
	}
	return out
}

// Sending is a seed under way, for status.
type Sending struct {
	Account   string   `json:"account"`
	Clients   []string `json:"clients"`  // connected; none while it waits for the recipient to come back
	Executed  string   `json:"executed"` // GTID set of the checkpoint
	Bytes     int64    `json:"bytes"`
	Sent      int64    `json:"sent_bytes"` // what was sent twice counts twice
	Rate      int64    `json:"bytes_per_second"`
	Age       float64  `json:"age_seconds"`
	HeldBytes int64    `json:"held_bytes"` // on disk only for the sake of it
}

// Sending lists the seeds under way, oldest first.
func (d *Donor) Sending() []Sending {
	d.mu.Lock()
	var held []*checkpoint
	var out []Sending
	for _, c := range d.held {
		held = append(held, c)
	}
	sortByAge(held)
	for _, c := range held {
		s := Sending{Account: c.account, Clients: []string{}, Executed: c.Executed, Bytes: c.Bytes, Sent: c.sent, Rate: c.measure.rate(), Age: time.Since(c.made).Seconds()}
		for _, address := range c.users {
			s.Clients = append(s.Clients, address)
		}
		out = append(out, s)
	}
	d.mu.Unlock()
	for i, c := range held {
		for _, f := range c.Files {
			// One link: the store has removed its own.
			if info, err := d.fs.Stat(c.path(f.Name)); err == nil && links(info) == 1 {
				out[i].HeldBytes += info.Size()
			}
		}
	}
	return out
}

func links(info vfs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 0
}

// Close ends all seeds and removes their checkpoints.
func (d *Donor) Close() error {
	d.mu.Lock()
	d.closed = true
	var held []*checkpoint
	for _, c := range d.held {
		held = append(held, c)
		d.drop(c, ErrStopping)
		d.slots--
	}
	d.mu.Unlock()
	d.stop(ErrStopping)
	for _, c := range held {
		d.remove(c, ErrStopping.Error())
	}
	d.taking.Lock() // nobody makes one any more
	defer d.taking.Unlock()
	for _, c := range held {
		c.wait.Wait()
	}
	d.wait.Wait()
	if err := d.fs.RemoveAll(d.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the seeds: %w", err)
	}
	return nil
}
