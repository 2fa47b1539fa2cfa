package static

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// SmallFile is the size in bytes up to which a file's content is kept in memory and
// leaves with its head in one send.
const SmallFile = 64 << 10

// Kind says what is at a path.
type Kind uint8

const (
	Absent    Kind = iota // nothing that may be served
	File                  // a regular file
	Directory             // a directory
)

// Entry is what was found at a path below a root: immutable but for what the Cache of
// one loop keeps in it.
type Entry struct {
	Kind Kind
	// Err is what kept the file from being opened for a passing reason (ErrBusy); such
	// an entry is not kept.
	Err error
	// Forbidden says of an absent file that permissions are the reason.
	Forbidden bool
	// Name is the real place of the file (Opened.Name).
	Name string
	// Source says that the file is a script: it is run or refused, never shown.
	Source bool
	// Size in bytes.
	Size int64
	// Body is the content of a small file; a large one is read from its descriptor.
	Body []byte
	Validators
	// Fields are the header fields of every 200 and 304 for the file, each line ended:
	// ETag, Last-Modified. TypeFields are Content-Type, nosniff and Accept-Ranges.
	Fields, TypeFields []byte
	MediaType          string

	root *Root
	path string
	stat bool // found by Stat: nothing was read
	id   identity
	fd   int // -1 with Body
	// settled says that the file had not changed for a while when it was read, so that
	// one more change must show in its identity.
	settled bool

	// Of the loop's cache.
	checked    time.Time
	asked      time.Time // the value of checked for which a worker was sent to look again
	used       time.Time
	refs       int
	prev, next *Entry
}

// identity tells one state of a file from another. The change time is in it because
// a file can be rewritten with its old size and modification time.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// grain is the coarsest clock of file times that is met (FAT: 2 s; ext4 and others
// before Linux 6.13: a timer tick). A file that changed twice within a grain, with the
// same size, has the times of its first change still.
const grain = 2 * time.Second

func settled(st *unix.Stat_t, now time.Time) bool {
	return now.Sub(time.Unix(st.Ctim.Unix())) > grain
}

func identify(st *unix.Stat_t) identity {
	return identity{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
}

// Load looks at path below root and reads what a cache wants to keep of it, or, with
// stat, only whether it is there. It blocks. prior, if not nil, is what was known: when
// the file is the same, prior is returned.
func Load(root *Root, path string, stat bool, prior *Entry) *Entry {
	if prior != nil && prior.Kind == File && prior.settled {
		if o, err := root.Stat(path); err == nil && identify(&o.Stat) == prior.id && o.Name == prior.Name {
			return prior
		}
	}
	e := &Entry{root: root, path: path, stat: stat, fd: -1}
	begun := time.Now()
	o, err := root.Stat(path)
	source := err == nil && root.Source != nil && root.Source(path, o.Name)
	if err == nil && !stat && !source {
		o, err = root.Open(path)
	}
	switch err {
	case nil:
	case ErrNotFound:
		return e
	case ErrForbidden:
		e.Forbidden = true
		if root.Denied != nil {
			root.Denied(path)
		}
		return e
	case ErrDirectory:
		e.Kind = Directory
		return e
	default:
		e.Err = err
		return e
	}
	e.Kind, e.Name, e.Size, e.id, e.Source = File, o.Name, o.Stat.Size, identify(&o.Stat), source
	e.settled = settled(&o.Stat, begun)
	if o.FD < 0 {
		return e // a script is never read
	}
	// What was opened may be another file than what was looked at.
	if root.Source != nil && root.Source(path, o.Name) {
		_ = unix.Close(o.FD)
		e.Source = true
		return e
	}
	e.describe(&o.Stat)
	if e.Size > SmallFile {
		e.fd = o.FD
		return e
	}
	e.Body, err = readAll(o.FD, int(e.Size))
	_ = unix.Close(o.FD)
	if err != nil {
		return &Entry{root: root, path: path, stat: stat, fd: -1, Err: ErrBusy}
	}
	return e
}

// readAll reads size bytes. A file that shrinks meanwhile is an error: its size was
// already taken for the validators.
func readAll(fd, size int) ([]byte, error) {
	b := make([]byte, size)
	for n := 0; n < size; {
		k, err := unix.Pread(fd, b[n:], int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case k == 0:
			return nil, unix.EIO
		default:
			n += k
		}
	}
	return b, nil
}

// describe makes the validators and the fields that carry them. The entity tag is of
// the modification time and the size, without the inode: all web servers of a site
// must give the same tag for the same deployed file.
func (e *Entry) describe(st *unix.Stat_t) {
	modified := time.Unix(st.Mtim.Sec, 0).UTC()
	tag := append([]byte(nil), '"')
	tag = strconv.AppendInt(tag, st.Mtim.Nano(), 36)
	tag = append(tag, '-')
	tag = strconv.AppendInt(tag, st.Size, 36)
	e.ETag = append(tag, '"')
	e.LastModified = modified
	e.MediaType = MediaType(e.path)
	e.Fields = append(e.Fields, "ETag: "...)
	e.Fields = append(e.Fields, e.ETag...)
	e.Fields = append(e.Fields, "\r\nLast-Modified: "...)
	e.Fields = modified.AppendFormat(e.Fields, "Mon, 02 Jan 2006 15:04:05 GMT")
	e.Fields = append(e.Fields, "\r\n"...)
	e.TypeFields = append(e.TypeFields, "Content-Type: "...)
	e.TypeFields = append(e.TypeFields, e.MediaType...)
	e.TypeFields = append(e.TypeFields, "\r\nX-Content-Type-Options: nosniff\r\nAccept-Ranges: bytes\r\n"...)
}

// Path is where the entry was looked for, in normal form.
func (e *Entry) Path() string { return e.path }

// Fd is the descriptor of a large file, valid while the entry is retained.
func (e *Entry) Fd() int { return e.fd }

// Retain keeps the descriptor open until Release. On the loop of the cache.
func (e *Entry) Retain() { e.refs++ }

// Release undoes Retain, or ends an entry that no cache took.
func (e *Entry) Release() {
	if e.refs--; e.refs <= 0 && e.fd >= 0 {
		_ = unix.Close(e.fd)
		e.fd = -1
	}
}
