package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const (
	readerSection = "db: with a dump reader"
	// readerWanted is the CPU time per commit with a reader of the binary log ÷ without.
	readerWanted = 1.15
)

// measureReader inserts rows into stack alone, in turn with and without a program that
// reads the binary log as it grows, and prints what the reader costs the server.
func measureReader(ctx context.Context, w io.Writer, s settings) error {
	if !s.wants(readerSection) {
		return nil
	}
	dir, err := os.MkdirTemp(s.dataDir, "stack-bench-reader-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := startDatabase(ctx, stack, dir, s)
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.fill(ctx, s.rows); err != nil {
		return fmt.Errorf("fill the table: %w", err)
	}
	fmt.Fprintf(w, "\n%s: oltp_insert, CPU µs of the server per commit\n\n| Threads | Without | With | With ÷ without (wanted: at most %.2f) |\n|---|---|---|---|\n", readerSection, readerWanted)
	for _, threads := range s.threads {
		b := sysbench{test: "insert", threads: threads, durable: true}
		var without, with []float64
		for round := range 2 * s.rounds {
			reads := round%2 == 1
			stop := func() error { return nil }
			if reads {
				if stop, err = d.readLog(filepath.Join(dir, "copy-"+strconv.Itoa(threads)+"-"+strconv.Itoa(round)+"-")); err != nil {
					return err
				}
			}
			got, err := d.measure(ctx, b, s)
			if e := stop(); err == nil {
				err = e
			}
			if err != nil {
				return fmt.Errorf("%s, %d threads, round %d: %w", readerSection, threads, round+1, err)
			}
			fmt.Fprintf(os.Stderr, "round %d  %s, %d threads, reader %-5v %9.0f/s %8.2f µs CPU/commit\n", round+1, readerSection, threads, reads, got.rate, got.cpu)
			if reads {
				with = append(with, got.cpu)
			} else {
				without = append(without, got.cpu)
			}
		}
		fmt.Fprintf(w, "| %d | %.1f | %.1f | %.2f |\n", threads, middle(without), middle(with), middle(with)/middle(without))
	}
	return nil
}

// readLog starts a program that reads the log from its newest file on; stop ends it and
// says whether it had read anything.
func (d *databaseServer) readLog(to string) (stop func() error, err error) {
	files, err := d.client(context.Background(), "FLUSH BINARY LOGS; SHOW MASTER STATUS")
	if err != nil {
		return nil, err
	}
	var file string
	if _, err := fmt.Sscan(files, &file); err != nil {
		return nil, fmt.Errorf("SHOW MASTER STATUS says %q: %w", files, err)
	}
	c := exec.Command("mariadb-binlog", "--no-defaults", "--read-from-remote-server", "--raw", "--stop-never", "--result-file="+to,
		"--socket="+filepath.Join(d.dir, "sql.sock"), "--user=root", file)
	c.Env = append(os.Environ(), "MYSQL_PWD="+benchPassword)
	if err := c.Start(); err != nil {
		return nil, err
	}
	gone := make(chan error, 1)
	go func() { gone <- c.Wait() }()
	select {
	case err := <-gone:
		return nil, fmt.Errorf("mariadb-binlog ended at once: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	return func() error {
		select {
		case err := <-gone:
			return fmt.Errorf("mariadb-binlog ended while it should have read: %v", err)
		default:
		}
		c.Process.Kill()
		<-gone
		copied, err := filepath.Glob(to + "*")
		var read int64
		for _, path := range copied {
			if info, err := os.Stat(path); err == nil {
				read += info.Size()
				os.Remove(path)
			}
		}
		if err == nil && read < 1<<20 {
			err = fmt.Errorf("mariadb-binlog has read %d bytes", read)
		}
		return err
	}, nil
}
