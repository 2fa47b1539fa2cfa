package sockets

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxUnixPath is the room in sockaddr_un for a path and its final NUL.
const maxUnixPath = 107

// OpenUnix opens a stream socket at path (0660, group "stack" if there is one), unless
// it is held already. A file left by a process that has died is replaced; a socket that
// answers belongs to somebody and is an error.
func (r *Registry) OpenUnix(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.unix[path]; ok {
		return nil
	}
	fd, err := listenUnix(path)
	if err != nil {
		return err
	}
	r.unix[path] = fd
	return nil
}

// UnixFD returns the descriptor held for a path.
func (r *Registry) UnixFD(path string) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fd, ok := r.unix[path]
	return fd, ok
}

func listenUnix(path string) (int, error) {
	if len(path) > maxUnixPath {
		return -1, fmt.Errorf("control socket %s: a socket path has at most %d bytes; choose a shorter admin.socket", path, maxUnixPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return -1, fmt.Errorf("control socket %s: cannot make its directory; choose another admin.socket or run as root: %w", path, err)
	}
	if err := clearStale(path); err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("control socket %s: %w", path, err)
	}
	// The file is born without rights for others: bind applies the mode of the
	// descriptor (fchmod before bind works for Unix sockets on Linux).
	err = unix.Fchmod(fd, 0o660)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		unix.Close(fd)
		if errors.Is(err, os.ErrPermission) {
			return -1, fmt.Errorf("control socket %s: %w: let the user that runs stack write to %s, or choose another admin.socket", path, err, filepath.Dir(path))
		}
		return -1, fmt.Errorf("control socket %s: %w", path, err)
	}
	if g, err := user.LookupGroup("stack"); err == nil {
		if gid, err := strconv.Atoi(g.Gid); err == nil {
			// Only root or a member may give the file to the group; without it the
			// socket is its owner's alone, which is safe.
			_ = os.Chown(path, -1, gid)
		}
	}
	return fd, nil
}

// clearStale removes the file of a socket on which nobody listens.
func clearStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	if st.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("control socket %s: a file that is not a socket is in the way; remove it", path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if errors.Is(err, unix.ECONNREFUSED) {
		return os.Remove(path)
	}
	if err == nil || errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("control socket %s: another stack answers on it; stop it, or give this node another name or admin.socket", path)
	}
	return fmt.Errorf("control socket %s: %w", path, err)
}
