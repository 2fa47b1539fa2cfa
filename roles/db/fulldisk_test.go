package db

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// smallFileSystem mounts one of this many MiB: ext4 on a loop device, else a tmpfs.
func smallFileSystem(t *testing.T, mib int64) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, mib<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", `mkfs.ext4 -q -m 0 "$0" && mount -o loop "$0" "$1"`, image, dir).CombinedOutput()
	if err != nil {
		t.Logf("no ext4 on a loop device, so a tmpfs: %v: %s", err, out)
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
			t.Skipf("a small file system cannot be mounted: %v", err)
		}
	}
	// Not lazily: the image must not be in use when its directory is removed. What has been
	// killed may need a moment to be gone.
	t.Cleanup(func() {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			err := unix.Unmount(dir, 0)
			if err == nil || time.Now().After(deadline) {
				if err != nil {
					t.Errorf("unmount %s: %v", dir, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)))
				}
				return
			}
		}
	})
	return dir
}

// glutton takes every byte of a file system, and what others give back as soon as it sees it.
type glutton struct {
	path string
	stop chan struct{}
	wait sync.WaitGroup
}

func startGlutton(t *testing.T, dir string) *glutton {
	t.Helper()
	g := &glutton{path: filepath.Join(dir, "glutton"), stop: make(chan struct{})}
	f, err := os.Create(g.path)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	most := int64(st.Bavail)*st.Bsize - 4<<20
	if err := unix.Fallocate(int(f.Fd()), 0, 0, most); err != nil {
		t.Fatal(err)
	}
	g.wait.Go(func() {
		defer f.Close()
		block := make([]byte, 64<<10)
		for at := most; ; {
			for size := len(block); size >= 512; {
				n, err := f.WriteAt(block[:size], at)
				at += int64(n)
				if err != nil {
					size /= 2
				}
			}
			select {
			case <-g.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	waitUntilFull(t, dir)
	return g
}

func waitUntilFull(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(time.Millisecond) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		if st.Bavail == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d blocks were still free after 60 s", st.Bavail)
		}
	}
}

// startsNot starts a server and returns what it says about the disk that is full.
func startsNot(t *testing.T, node *config.Node) string {
	t.Helper()
	text, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), helperNode+"="+path, helperLog+"=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "no space left on device") {
			return lines.Text()
		}
	}
	t.Fatal("it said nothing about the disk")
	return ""
}

// leave gives everything back.
func (g *glutton) leave(t *testing.T) {
	t.Helper()
	close(g.stop)
	g.wait.Wait()
	if err := os.Remove(g.path); err != nil {
		t.Fatal(err)
	}
}

// diskFull reports whether a statement was refused for want of space, as MySQL says it.
func diskFull(err error) bool {
	var m *mysql.MySQLError
	return errors.As(err, &m) && (m.Number == 1021 || m.Number == 1114)
}

// With not one byte left on the disk, and everything that is freed taken by somebody else at
// once, reads go on and statements that write are refused, whatever they are; so after a
// kills. When there is space again, they are taken, and nothing is lost.
func TestDiskWithoutAByte(t *testing.T) {
	dir := smallFileSystem(t, 1400)
	node := testNode(t)
	node.DB.DataDir = filepath.Join(dir, "data")
	p := startProcess(t, node)
	root := p.rootDB("wordpress")
	do := func(queries ...string) {
		t.Helper()
		for _, q := range queries {
			if _, err := root.Exec(q); err != nil {
				t.Fatalf("%.80s: %v", q, err)
			}
		}
	}
	do("CREATE TABLE kept (id INT PRIMARY KEY, v VARCHAR(300), KEY (v))",
		"CREATE TABLE counted (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(300))",
		"CREATE TABLE other (id INT PRIMARY KEY, v VARCHAR(300))", "CREATE TABLE gone (id INT PRIMARY KEY, v VARCHAR(300))")
	const rows = 8000
	for from := 0; from < rows; from += 1000 {
		values := make([]string, 1000)
		for i := range values {
			values[i] = fmt.Sprintf("(%d,'%0250d')", from+i, rand.Uint64())
		}
		do("INSERT INTO kept VALUES "+strings.Join(values, ","), "INSERT INTO counted (v) SELECT v FROM kept WHERE id >= "+fmt.Sprint(from))
	}
	do("INSERT INTO gone SELECT * FROM kept")
	var acknowledged atomic.Int64 // numbers of other, from 1 on
	next := func(exec func(string, ...any) error) error {
		n := acknowledged.Load() + 1
		// One that was not answered may be there.
		err := exec("REPLACE INTO other VALUES (?, 'x')", n)
		if err == nil {
			acknowledged.Store(n)
		}
		return err
	}
	run := func(q string, args ...any) error { _, err := root.Exec(q, args...); return err }
	for range 20 {
		if err := next(run); err != nil {
			t.Fatal(err)
		}
	}

	g := startGlutton(t, dir)
	last := 10 * time.Second
	if !testing.Short() {
		last = time.Minute
	}
	for { // what is taken before the server looks at its disk, each second, is kept too
		if err := next(run); diskFull(err) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	do("TRUNCATE TABLE gone") // gives space back
	t.Run("statements go on", func(t *testing.T) {
		p.withoutSpace(t, last, rows, next)
	})
	for range 3 {
		p.kill()
		p = startProcess(t, node)
	}
	t.Run("also after kills", func(t *testing.T) {
		p.withoutSpace(t, last/3, rows, next)
	})
	spare := filepath.Join(node.DB.DataDir, "store", "SPARE")
	t.Run("without what is kept, a start says what it lacks", func(t *testing.T) {
		p.kill()
		if err := os.Remove(spare); err != nil {
			t.Fatal(err)
		}
		waitUntilFull(t, dir)
		if said := startsNot(t, node); !strings.Contains(said, node.DB.DataDir) || !strings.Contains(said, " free ") {
			t.Errorf("it said: %s", said)
		}
	})
	g.leave(t)
	p = startProcess(t, node)
	root = p.rootDB("wordpress")
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := root.Exec("INSERT INTO counted (v) VALUES ('after')")
		if err == nil {
			break
		}
		if !diskFull(err) || time.Now().After(deadline) {
			t.Fatalf("there is space again: %v", err)
		}
	}
	if st, err := os.Stat(spare); err != nil || st.Size() == 0 {
		t.Errorf("nothing is kept for the next time: %v", err)
	}
	do("ALTER TABLE kept ADD COLUMN n INT", "FLUSH BINARY LOGS", "TRUNCATE TABLE gone")
	for query, want := range map[string]int64{
		"SELECT COUNT(*) FROM kept": rows, "SELECT COUNT(*) FROM counted WHERE v LIKE '0%'": rows,
		"SELECT COUNT(*) FROM counted WHERE v = 'refused'":                          0,
		"SELECT COUNT(*) FROM other WHERE id <= " + fmt.Sprint(acknowledged.Load()): acknowledged.Load(),
	} {
		var n int64
		if err := root.QueryRow(query).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d, want %d (%v)", query, n, want, err)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait()
	r := start(t, node)
	defer r.close()
	report, err := r.role.data.db.Check(context.Background(), nil)
	if err != nil || !report.OK() {
		t.Errorf("%v %+v", err, report)
	}
}

// withoutSpace runs statements of all kinds for this long: reads succeed, and whatever fails
// does so for want of space. All that write are refused.
func (p *process) withoutSpace(t *testing.T, last time.Duration, rows int, next func(func(string, ...any) error) error) {
	deadline := time.Now().Add(last)
	var done sync.WaitGroup
	client := func(what string, mayFail bool, each func(exec func(string, ...any) error) error) {
		db := p.rootDB("wordpress")
		db.SetMaxOpenConns(1)
		done.Go(func() {
			refused, times := 0, 0
			for ; time.Now().Before(deadline) && !t.Failed(); times++ {
				ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
				err := each(func(q string, args ...any) error { _, err := db.ExecContext(ctx, q, args...); return err })
				cancel()
				if diskFull(err) && mayFail {
					refused++
				} else if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			t.Logf("%s: %d times, refused %d", what, times, refused)
			if mayFail && refused == 0 {
				t.Errorf("%s: was never refused", what)
			}
		})
	}
	reader := func(what, query string, want any) {
		db := p.rootDB("wordpress")
		done.Go(func() {
			times := 0
			for ; time.Now().Before(deadline) && !t.Failed(); times++ {
				var got string
				if err := db.QueryRow(query).Scan(&got); err != nil || got != fmt.Sprint(want) {
					t.Errorf("%s: %q, %v", what, got, err)
				}
			}
			t.Logf("%s: %d times", what, times)
		})
	}
	reader("read all", "SELECT COUNT(*) FROM kept WHERE v LIKE '0%'", rows)
	reader("read one", "SELECT COUNT(*) FROM kept WHERE id = 17", 1)
	reader("sort", "SELECT id FROM kept WHERE id < 1000 ORDER BY CONCAT(v, id) DESC, id LIMIT 1 OFFSET 999", first(t, p, "SELECT id FROM kept WHERE id < 1000 ORDER BY CONCAT(v, id), id DESC LIMIT 1"))

	type exec = func(string, ...any) error
	each := func(queries ...string) func(exec) error {
		return func(run exec) error {
			var refused error
			for _, q := range queries {
				if err := run(q); err != nil && !diskFull(err) {
					return fmt.Errorf("%s: %w", q, err)
				} else if err != nil {
					refused = err
				}
			}
			return refused
		}
	}
	client("insert", true, next)
	for i := range 3 {
		client(fmt.Sprint("auto increment ", i), true, each("INSERT INTO counted (v) VALUES ('refused')"))
	}
	client("transaction", true, each("BEGIN", "INSERT INTO counted (v) VALUES ('refused')", "COMMIT"))
	client("rollback", false, each("BEGIN", "INSERT INTO counted (v) VALUES ('refused')", "ROLLBACK"))
	client("large", true, each("BEGIN", "INSERT INTO counted (v) SELECT a.v FROM kept a, kept b WHERE b.id < 4", "ROLLBACK", "UPDATE kept SET v = CONCAT('x', id)"))
	client("definitions", true, each("CREATE TABLE IF NOT EXISTS late (id INT)", "CREATE USER late IDENTIFIED BY 'x'", "ALTER TABLE kept COMMENT 'x'"))
	client("rebuilds", true, each("ALTER TABLE other ADD COLUMN n INT NOT NULL DEFAULT 5, ADD KEY (n)", "ALTER TABLE kept ENGINE = InnoDB"))
	client("temporary tables", false, func(run exec) error {
		err := each("DROP TEMPORARY TABLE IF EXISTS mine", "CREATE TEMPORARY TABLE mine (id INT PRIMARY KEY, v TEXT)",
			"INSERT INTO mine SELECT id, v FROM kept WHERE id < 100")(run)
		var m *mysql.MySQLError
		if diskFull(err) || errors.As(err, &m) && m.Number == 1146 { // what was not made is not there
			return nil
		}
		return err
	})
	client("administration", true, each("ANALYZE TABLE kept", "FLUSH BINARY LOGS"))
	done.Wait()
}

func first(t *testing.T, p *process, query string) (v string) {
	t.Helper()
	if err := p.rootDB("wordpress").QueryRow(query).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
