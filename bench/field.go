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

// contender is a program of the field, or a second name of one.
type contender struct {
	command *exec.Cmd
	ports   [numPorts]int
	log     string // its access log, "" if it writes none
}

func (c *contender) address(p port) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.ports[p]))
}

// values fill the templates of peers/.
type values struct {
	Dir, Root, Certs               string
	Log                            string // access log, "" for none
	Proxy, TLS, Clear, TCP, Static int
	Splice, Origin, Admin          int
}

func startField(ctx context.Context, s settings) (_ *field, err error) {
	dir, err := os.MkdirTemp("", "stack-bench-")
	if err != nil {
		return nil, err
	}
	f := &field{dir: dir, root: filepath.Join(dir, "root"), running: make(map[string]*contender)}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	// Workers that drop privileges must reach the files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	if err := errors.Join(makeFiles(f.root), makeCertificate(dir)); err != nil {
		return nil, err
	}
	if f.binary, err = filepath.Abs(s.binary); err != nil {
		return nil, err
	}
	if err := f.startOrigin(ctx); err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	for _, name := range []string{stack, haproxy, nginx, standard, stackLogs, nginxLogs} {
		if !s.runs(name) {
			continue
		}
		if err := f.launch(ctx, name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *field) startOrigin(ctx context.Context) (err error) {
	if f.port, err = freePort(); err != nil {
		return err
	}
	config, err := f.render("origin.conf", values{Dir: f.dir, Root: f.root, Origin: f.port})
	if err != nil {
		return err
	}
	if f.origin, err = start(ctx, loadCore, filepath.Join(f.dir, "origin.log"), "nginx", "-p", f.dir, "-c", config); err != nil {
		return err
	}
	return waitPort(ctx, "127.0.0.1", f.port)
}

// program is what runs under a name: the word before further ones.
func program(name string) string {
	first, _, _ := strings.Cut(name, " ")
	return first
}

// launch starts a program of the field under a name of its own, on free ports.
func (f *field) launch(ctx context.Context, name string) error {
	dir, err := os.MkdirTemp(f.dir, program(name)[:3]+"-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	v := values{Dir: dir, Root: f.root, Certs: f.dir, Origin: f.port}
	for _, port := range []*int{&v.Proxy, &v.TLS, &v.Clear, &v.TCP, &v.Static, &v.Splice, &v.Admin} {
		var err error
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	if strings.HasSuffix(name, " log") {
		v.Log = filepath.Join(v.Dir, "access.log")
	}
	if program(name) != nginx {
		v.Clear = v.Proxy // the others tell the two protocols apart by the first bytes
	}
	command, err := f.command(name, v)
	if err != nil {
		return err
	}
	log := filepath.Join(v.Dir, "log")
	running, err := start(ctx, underTest, log, command...)
	if err != nil {
		return err
	}
	c := &contender{command: running, ports: [numPorts]int{v.Proxy, v.TLS, v.Clear, v.TCP, v.Static}, log: v.Log}
	f.running[name] = c
	err = waitPort(ctx, "127.0.0.1", v.Proxy)
	if err == nil && program(name) != standard {
		err = checkTLS(c.address(tlsPort))
	}
	if err != nil {
		text, _ := os.ReadFile(log)
		return fmt.Errorf("%s: %w\n%s", name, err, text)
	}
	if name == haproxy {
		second := *c
		second.ports[tcpPort] = v.Splice
		f.running[splicing] = &second
	}
	return nil
}

// command returns what is executed, having written the program's configuration.
func (f *field) command(name string, v values) ([]string, error) {
	if program(name) == standard {
		self, err := os.Executable()
		address := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
		return []string{self, standardArgument, address(v.Proxy), address(v.Origin), address(v.Static), v.Root}, err
	}
	file := map[string]string{haproxy: "haproxy.cfg", nginx: "nginx.conf", stack: "stack.yaml"}[program(name)]
	config, err := f.render(file, v)
	return map[string][]string{
		haproxy: {"haproxy", "-db", "-f", config},
		nginx:   {"nginx", "-p", v.Dir, "-c", config},
		stack:   {f.binary, "--config", config},
	}[program(name)], err
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

// emptyLog makes sure that the access log was written and makes room for the next.
func (c *contender) emptyLog() error {
	if c.log == "" {
		return nil
	}
	info, err := os.Stat(c.log)
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return fmt.Errorf("%s: nothing was logged", c.log)
	}
	return os.Truncate(c.log, 0)
}

// end stops one program, by pid.
func (f *field) end(name string) {
	interrupt(f.running[name].command)
	delete(f.running, name)
}

// stop ends everything that was started and removes the directory.
func (f *field) stop() {
	delete(f.running, splicing) // haproxy itself
	for name := range f.running {
		f.end(name)
	}
	if f.origin != nil {
		interrupt(f.origin)
	}
	os.RemoveAll(f.dir)
}

func interrupt(c *exec.Cmd) {
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

func waitPort(ctx context.Context, host string, port int) error {
	address := net.JoinHostPort(host, strconv.Itoa(port))
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
