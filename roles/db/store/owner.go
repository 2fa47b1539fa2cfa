package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

const lockFile = "LOCK"

// owner is the claim of this process on a data directory: an flock(2) on a file that
// holds the process id, so that another process can name who has it. The lock ends
// with the process, however it ends.
type owner struct {
	file *os.File // operating system
	lock io.Closer
}

// takeOwnership makes the directory where needed and claims it.
func takeOwnership(fs vfs.FS, dir string) (*owner, error) {
	if dir == "" {
		return nil, errors.New("no data directory is given; set db.data_dir")
	}
	if !onDisk(fs) {
		return lockIn(fs, dir)
	}
	if err := checkOwner(dir); err != nil {
		return nil, err
	}
	if err := makeDir(fs, dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, inUse(dir, file)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	// In place: a full disk may not give back the block that it is in.
	n, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	if err == nil {
		err = file.Truncate(int64(n))
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return &owner{file: file}, nil
}

func onDisk(fs vfs.FS) bool { return vfs.Root(fs) == vfs.Default }

// makeDir makes a directory and those above it, durably: without the sync of the
// parents a crash could take the whole directory back.
func makeDir(fs vfs.FS, dir string) error {
	made := []string{}
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := fs.Stat(d); err == nil || filepath.Dir(d) == d {
			break
		}
		made = append(made, filepath.Dir(d))
	}
	err := fs.MkdirAll(dir, 0o700)
	for i := len(made) - 1; i >= 0 && err == nil; i-- {
		parent := made[i]
		if parent == "." && !onDisk(fs) {
			parent = "" // the root of a file system in memory
		}
		err = syncDir(fs, parent)
	}
	if err != nil {
		return fmt.Errorf("cannot make data directory %s: %w", dir, err)
	}
	return nil
}

func lockIn(fs vfs.FS, dir string) (*owner, error) {
	if err := makeDir(fs, dir); err != nil {
		return nil, err
	}
	lock, err := fs.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("data directory %s is in use: %w", dir, err)
	}
	return &owner{lock: lock}, nil
}

func inUse(dir string, file *os.File) error {
	b, _ := io.ReadAll(io.LimitReader(file, 32))
	who := "another process"
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 0 {
		who = fmt.Sprintf("process %d", pid)
	}
	return fmt.Errorf("data directory %s is in use by %s; stop it or set another db.data_dir", dir, who)
}

func (o *owner) release() error {
	if o.lock != nil {
		return o.lock.Close()
	}
	return o.file.Close()
}

// checkOwner refuses a directory of another user: files made in it now could not be
// read by the user that it belongs to. A directory that does not exist is fine.
func checkOwner(dir string) error {
	var st unix.Stat_t
	err := unix.Stat(dir, &st)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("data directory %s is a file; set another db.data_dir", dir)
	}
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return fmt.Errorf("data directory %s belongs to %s, this process runs as %s; run it as that user or chown the directory",
			dir, userName(int(st.Uid)), userName(uid))
	}
	return nil
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return "user " + u.Username
	}
	return fmt.Sprintf("uid %d", uid)
}
