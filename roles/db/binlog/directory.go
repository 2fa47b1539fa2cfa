package binlog

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
)

// Directory is plain files of a log without the store that they come from: an archive, or
// a copy of a server's.
type Directory struct {
	fs    vfs.FS
	dir   string
	files []uint32 // in order
}

// OpenDirectory lists the files of a log in dir. It fails, naming the file, where one is
// missing between others or is no plain file.
func OpenDirectory(fs vfs.FS, dir string) (*Directory, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read the binary log: %w", err)
	}
	d := &Directory{fs: fs, dir: dir}
	for _, name := range names {
		if number, err := ParseFileName(name); err == nil {
			d.files = append(d.files, number)
		}
	}
	slices.Sort(d.files)
	if len(d.files) == 0 {
		return nil, fmt.Errorf("%s holds no file of a binary log (%s and on)", dir, FileName(1))
	}
	for i, number := range d.files {
		if want := d.files[0] + uint32(i); number != want {
			return nil, fmt.Errorf("the binary log in %s has a gap: %s is missing; fetch it from where the others are kept", dir, FileName(want))
		}
		path := d.path(number)
		info, err := fs.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read the binary log: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no plain file", path)
		}
	}
	return d, nil
}

func (d *Directory) path(number uint32) string { return filepath.Join(d.dir, FileName(number)) }

// From returns a reader of the files that hold what is not in executed; it begins with a
// whole file. It fails where the files begin too late.
func (d *Directory) From(executed mysql.Mysql56GTIDSet) (*DirectoryReader, error) {
	for i := len(d.files) - 1; i >= 0; i-- {
		r := &DirectoryReader{d: d, at: i}
		if err := r.begin(); err != nil {
			r.Close()
			return nil, err
		}
		if executed.Contains(r.seen) {
			return r, nil
		}
		missing := event.Without(r.seen, executed)
		r.Close()
		if i == 0 {
			return nil, fmt.Errorf("the binary log in %s begins with %s, behind the transactions %s, which the backup does not hold: add the older files, or use a newer backup", d.dir, FileName(d.files[0]), missing)
		}
	}
	return nil, nil
}

// DirectoryReader reads the events of a Directory in order and checks all that can be
// checked: sums, that each file goes on where the one before it ends, and that the last
// ends between transactions. Close must be called.
type DirectoryReader struct {
	d    *Directory
	at   int // of the file in d.files
	file vfs.File
	in   *bufio.Reader
	size int64
	read int64 // bytes of the file

	seen  mysql.Mysql56GTIDSet // all transactions up to here
	begun []byte               // the event that follows the format, given out at the next call
	open  bool                 // within a transaction
	ended bool                 // behind the event that ends the file
	ev    []byte
}

// Close gives free what the reader holds.
func (r *DirectoryReader) Close() {
	if r.file != nil {
		r.file.Close() // it was only read
		r.file = nil
	}
}

// damaged says what is wrong with the file that is read.
func (r *DirectoryReader) damaged(format string, args ...any) error {
	return fmt.Errorf("the binary log is damaged: %s, at %d: %s; fetch it again from where it is kept, or stop before it", r.d.path(r.d.files[r.at]), r.read, fmt.Sprintf(format, args...))
}

// begin opens the file at r.at and reads what it begins with.
func (r *DirectoryReader) begin() error {
	r.Close()
	path := r.d.path(r.d.files[r.at])
	file, err := r.d.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return fmt.Errorf("read the binary log: %w", err)
	}
	r.file, r.read, r.ended = file, 0, false
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	r.size, r.in = info.Size(), bufio.NewReaderSize(file, chunkSize)
	magic := make([]byte, len(event.Magic))
	if _, err := io.ReadFull(r.in, magic); err != nil || string(magic) != event.Magic {
		return r.damaged("it is no binary log")
	}
	r.read = int64(len(magic))
	for _, want := range []event.Type{event.TypeFormatDescription, event.TypePreviousGTIDs} {
		ev, err := r.event()
		if err == nil && event.Type(ev[4]) != want {
			err = r.damaged("it begins with an event of type %v where %v is expected", event.Type(ev[4]), want)
		}
		if err != nil {
			return err
		}
	}
	previous, err := event.ParsePreviousGTIDs(r.ev)
	if err != nil {
		return r.damaged("%v", err)
	}
	if r.seen != nil && !r.seen.Equal(previous) {
		return r.damaged("it does not go on where the file before it ends: that is %s, this begins after %s", r.seen, previous)
	}
	r.seen, r.begun = previous, r.ev
	return nil
}

// event reads one event and checks its sum. The result is without it.
func (r *DirectoryReader) event() ([]byte, error) {
	head, err := r.in.Peek(event.HeaderSize)
	if err != nil {
		return nil, r.damaged("it ends within an event")
	}
	h, err := event.ParseHeader(head)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	if int64(h.Size) > r.size-r.read {
		return nil, r.damaged("it ends within an event of %d bytes", h.Size)
	}
	if cap(r.ev) < int(h.Size) {
		r.ev = make([]byte, h.Size)
	}
	r.ev = r.ev[:h.Size]
	if _, err := io.ReadFull(r.in, r.ev); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.d.path(r.d.files[r.at]), err)
	}
	if err := event.Verify(r.ev); err != nil {
		return nil, r.damaged("the checksum of an event is wrong")
	}
	r.read += int64(h.Size)
	r.ev = r.ev[:h.Size-event.ChecksumSize]
	return r.ev, nil
}

// Next returns the next event without its checksum, valid until the next call; io.EOF at
// the end of the last file.
func (r *DirectoryReader) Next(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ev := r.begun; ev != nil {
		r.begun = nil
		return ev, nil
	}
	if r.read == r.size {
		return r.nextFile()
	}
	if r.ended {
		return nil, r.damaged("it goes on behind its end")
	}
	ev, err := r.event()
	if err != nil {
		return nil, err
	}
	if err := r.follow(ev); err != nil {
		return nil, err
	}
	return ev, nil
}

// follow keeps where transactions begin and end.
func (r *DirectoryReader) follow(ev []byte) error {
	switch event.Type(ev[4]) {
	case event.TypeGTID:
		g, err := event.ParseGTID(ev)
		if err != nil {
			return r.damaged("%v", err)
		}
		if r.open {
			return r.damaged("transaction %s begins within another", g)
		}
		r.open = true
		r.seen = r.seen.AddGTID(mysql.Mysql56GTID{Server: mysql.SID(g.UUID), Sequence: g.Number}).(mysql.Mysql56GTIDSet)
	case event.TypeXID:
		r.open = false
	case event.TypeQuery:
		q, err := event.ParseQuery(ev)
		if err != nil {
			return r.damaged("%v", err)
		}
		r.open = q.RowsFollow()
	case event.TypeRotate:
		r.ended = true
	}
	return nil
}

// nextFile goes on with the next file, or ends.
func (r *DirectoryReader) nextFile() ([]byte, error) {
	last := r.at == len(r.d.files)-1
	switch {
	case r.open:
		return nil, r.damaged("it ends within a transaction; if it is of a server that has stopped, name its data directory, which has the rest")
	case last:
		return nil, io.EOF
	case !r.ended:
		return nil, r.damaged("it has lost its end")
	}
	r.at++
	if err := r.begin(); err != nil {
		return nil, err
	}
	r.begun = nil
	return r.ev, nil
}
