package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed peers
var peers embed.FS

// underTest is the core of the contender; loadCore that of the load and the origin.
const (
	underTest = 0
	loadCore  = 1
)

// field is every program of a run, started once and left idle while others are measured.
type field struct {
	dir     string
	root    string // what is served
	binary  string // of stack
	port    int    // of the origin
	origin  *exec.Cmd
	running map[string]*contender
}

type contender struct {
	command       *exec.Cmd
	proxy, static int // ports
}

// values fill the templates of peers/.
type values struct {
	Dir, Root                    string
	Proxy, Static, Origin, Admin int
}

func startField(ctx context.Context, binary string) (_ *field, err error) {
	dir, err := os.MkdirTemp("", "stack-bench-")
	if err != nil {
		return nil, err
	}
	f := &field{dir: dir, running: make(map[string]*contender)}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	// Workers that drop privileges must reach the files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "root")
	if err := makeFiles(root); err != nil {
		return nil, err
	}
	originPort, err := freePort()
	if err != nil {
		return nil, err
	}
	origin, err := f.render("origin.conf", values{Dir: dir, Root: root, Origin: originPort})
	if err != nil {
		return nil, err
	}
	if f.origin, err = start(ctx, loadCore, filepath.Join(dir, "origin.log"), "nginx", "-p", dir, "-c", origin); err != nil {
		return nil, err
	}
	if err := waitPort(ctx, originPort); err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	f.root, f.port = root, originPort
	if f.binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	for _, name := range proxies {
		if err := f.launch(ctx, name, name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// launch starts a program of the field under a name of its own, on free ports.
func (f *field) launch(ctx context.Context, name, program string) error {
	v := values{Dir: filepath.Join(f.dir, name), Root: f.root, Origin: f.port}
	if err := os.Mkdir(v.Dir, 0o755); err != nil {
		return err
	}
	for _, port := range []*int{&v.Proxy, &v.Static, &v.Admin} {
		var err error
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	file := map[string]string{"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "stack": "stack.yaml"}[program]
	config, err := f.render(file, v)
	if err != nil {
		return err
	}
	arguments := map[string][]string{
		"haproxy": {"haproxy", "-db", "-f", config},
		"nginx":   {"nginx", "-p", v.Dir, "-c", config},
		"stack":   {f.binary, "--config", config},
	}[program]
	log := filepath.Join(v.Dir, "log")
	command, err := start(ctx, underTest, log, arguments...)
	if err != nil {
		return err
	}
	f.running[name] = &contender{command: command, proxy: v.Proxy, static: v.Static}
	if err := waitPort(ctx, v.Proxy); err != nil {
		text, _ := os.ReadFile(log)
		return fmt.Errorf("%s: %w\n%s", name, err, text)
	}
	return nil
}

func (f *field) render(name string, v values) (string, error) {
	t, err := template.ParseFS(peers, "peers/"+name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(v.Dir, name)
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer out.Close()
	return path, t.Execute(out, v)
}

// stop ends everything that was started, by pid, and removes the directory.
func (f *field) stop() {
	commands := []*exec.Cmd{f.origin}
	for _, c := range f.running {
		commands = append(commands, c.command)
	}
	for _, c := range commands {
		if c == nil {
			continue
		}
		c.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { c.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			c.Process.Kill()
			<-done
		}
	}
	os.RemoveAll(f.dir)
}

func makeFiles(root string) error {
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	for name, size := range files {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte('a' + rand.IntN(26))
		}
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// start runs a command pinned to one core with its output in a file.
func start(ctx context.Context, core int, logFile string, command ...string) (*exec.Cmd, error) {
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(core)}, command...)...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w: run `make tools` first", command[0], err)
	}
	return c, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func waitPort(ctx context.Context, port int) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("does not listen on " + address)
}

// pids returns a process and all its descendants.
func pids(root int) []int {
	all := []int{root}
	for i := 0; i < len(all); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, file := range tasks {
			text, _ := os.ReadFile(file)
			for _, word := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(word); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}
