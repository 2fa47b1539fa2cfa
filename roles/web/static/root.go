// Package static finds files below a root and says how they are answered: the safe
// open, the open-file cache, validators, conditions, ranges and media types. It
// owns file descriptors and cached bytes; it never writes a response and never
// blocks an event loop: what may block (Root.Open, File reads) is called by workers.
//
// Sources: openat2(2), path_resolution(7), RFC 9110 sections 8.8, 13 and 14.
package static

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Symlinks says which symbolic links below a root are followed.
type Symlinks uint8

const (
	Within Symlinks = iota // those whose target is inside the root
	Follow                 // all
	Deny                   // none
)

// ParseSymlinks reads the config word.
func ParseSymlinks(word string) (Symlinks, error) {
	switch word {
	case "", "within":
		return Within, nil
	case "follow":
		return Follow, nil
	case "deny":
		return Deny, nil
	}
	return 0, fmt.Errorf("symlinks: %q is not one of within, follow, deny", word)
}

// Errors of Open. Everything that is not there, that the policy hides or that is no
// regular file is ErrNotFound, so that an answer does not tell which it was.
// ErrForbidden is a matter of permissions, which the operator must hear of.
var (
	ErrNotFound  = errors.New("no such file")
	ErrForbidden = errors.New("the system does not let the process read it")
	ErrDirectory = errors.New("is a directory")
	ErrBusy      = errors.New("out of file descriptors or memory")
)

// Root is an open directory below which files are found. Safe for concurrent use.
// Its directory is closed when nobody refers to it any more.
type Root struct {
	// Source tells script sources by the path asked for and the file's real place
	// (Entry.Source). nil = none. Set before use. It is called by workers.
	Source func(path, name string) bool

	// Denied is told of files that may not be read. nil = nobody. Called by workers.
	Denied func(path string)

	path     string // as configured, absolute
	symlinks Symlinks
	dir      atomic.Pointer[directory]
}

// directory is what the root's path led to when it was last looked at.
type directory struct {
	fd       int
	real     string // with links resolved
	dev, ino uint64
}

// OpenRoot opens the directory path. The error is one sentence for the operator.
func OpenRoot(path string, symlinks Symlinks) (*Root, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("root %s: %w", path, err)
	}
	d, err := openDirectory(abs)
	if err != nil {
		return nil, err
	}
	r := &Root{path: abs, symlinks: symlinks}
	r.dir.Store(d)
	return r, nil
}

func openDirectory(path string) (*directory, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("root %s: the directory does not exist; create it, or correct the path", path)
	case errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("root %s: is not a directory; name the directory that holds the files", path)
	case err != nil:
		return nil, fmt.Errorf("root %s: cannot be opened: %w; give the user that stack runs as search permission on it", path, err)
	}
	d := &directory{fd: fd}
	runtime.AddCleanup(d, func(fd int) { _ = unix.Close(fd) }, fd)
	if d.real, err = procPath(fd); err != nil {
		return nil, fmt.Errorf("root %s: %w; is /proc mounted?", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("root %s: %w", path, err)
	}
	d.dev, d.ino = st.Dev, st.Ino
	// Without openat2 no path would be safe: better not to start.
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH}
	probe, err := unix.Openat2(fd, ".", &how)
	if err != nil {
		return nil, fmt.Errorf("root %s: openat2 fails: %w; it needs Linux 5.6, and no seccomp filter that hides it (RestrictSUIDSGID= in a unit does)", path, err)
	}
	_ = unix.Close(probe)
	return d, nil
}

// Path is the absolute path of the root as configured.
func (r *Root) Path() string { return r.path }

// Symlinks is the policy that the root was opened with.
func (r *Root) Symlinks() Symlinks { return r.symlinks }

// Check tells whether the directory can still be opened.
func (r *Root) Check() error {
	_, err := openDirectory(r.path)
	return err
}

// Refresh looks again where the root's path leads: a deployment may have turned a
// link to another directory. While it leads nowhere the old directory stays. It may
// block and is called about once a second, off the loops.
func (r *Root) Refresh() {
	var st unix.Stat_t
	old := r.dir.Load()
	if unix.Stat(r.path, &st) != nil || st.Dev == old.dev && st.Ino == old.ino {
		return
	}
	if d, err := openDirectory(r.path); err == nil {
		r.dir.Store(d)
	}
}

// Opened is a regular file below a root.
type Opened struct {
	FD   int // open for reading; -1 from Stat
	Stat unix.Stat_t
	// Name is the file's place with every link resolved: what it really is, by
	// which script sources are told from content.
	Name string
}

// Open opens the regular file at path (normal form, beginning with /) for reading.
// It may block on a slow disk. The caller owns FD.
func (r *Root) Open(path string) (Opened, error) { return r.open(path, true) }

// Stat is Open without a descriptor to read from.
func (r *Root) Stat(path string) (Opened, error) { return r.open(path, false) }

func (r *Root) open(path string, read bool) (Opened, error) {
	o := Opened{FD: -1}
	d := r.dir.Load()
	defer runtime.KeepAlive(d)
	// O_PATH touches nothing: a FIFO does not wait and a device does not act before
	// its kind is known.
	fd, err := d.locate(r.symlinks, strings.TrimLeft(path, "/"))
	if err != nil {
		return o, kind(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Fstat(fd, &o.Stat); err != nil {
		return o, kind(err)
	}
	switch o.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if strings.HasSuffix(path, "/") {
			return o, ErrNotFound
		}
	case unix.S_IFDIR:
		return o, ErrDirectory
	default:
		return o, ErrNotFound
	}
	if o.Name, err = procPath(fd); err != nil {
		return o, kind(err)
	}
	if read {
		o.FD, err = unix.Open(fdPath(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			return Opened{FD: -1}, kind(err)
		}
	}
	return o, nil
}

// locate returns an O_PATH descriptor of rel under the symlink policy.
func (d *directory) locate(symlinks Symlinks, rel string) (int, error) {
	if rel == "" {
		rel = "."
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	switch symlinks {
	case Deny:
		how.Resolve |= unix.RESOLVE_NO_SYMLINKS
	case Follow:
		// Magic links (/proc/self/root …) lead out of every policy and stay refused.
		how.Resolve = unix.RESOLVE_NO_MAGICLINKS
	}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(d.fd, rel, &how)
		switch {
		case err == nil:
			return fd, nil
		case (err == unix.EAGAIN || err == unix.EINTR) && try < 8:
			continue // a rename raced with the walk; openat2(2) asks to try again
		case err == unix.EXDEV && symlinks == Within:
			return d.locateResolved(rel)
		}
		return -1, err
	}
}

// locateResolved serves links that are absolute, or climb above the root and come
// back: RESOLVE_BENEATH refuses those although their target may be inside. The file
// is held first and its real place looked at afterwards, so nothing can be swapped
// in between.
func (d *directory) locateResolved(rel string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(d.fd, rel, &how)
	if err != nil {
		return -1, err
	}
	real, err := procPath(fd)
	if err == nil && inside(d.real, real) {
		return fd, nil
	}
	_ = unix.Close(fd)
	return -1, unix.EXDEV
}

func inside(root, path string) bool {
	return path == root || root == "/" || strings.HasPrefix(path, root+"/")
}

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// procPath is where the kernel says that fd is.
func procPath(fd int) (string, error) { return os.Readlink(fdPath(fd)) }

func kind(err error) error {
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EIO):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, unix.EACCES):
		return ErrForbidden
	}
	return ErrNotFound
}
