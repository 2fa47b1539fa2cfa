package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

const (
	wordpressCase = "db: WordPress home page"
	// wordpressFiles is where Debian's package puts them.
	wordpressFiles = "/usr/share/wordpress"
	// wordpressWanted is requests per second on stack / on MariaDB.
	wordpressWanted = 0.9
	// visitors ask at once: as many as php-fpm has children.
	visitors = 4
)

// blogs are two WordPress sites behind one web server and one php-fpm; they differ in
// their database alone.
type blogs struct {
	dir      string
	port     int
	running  []*exec.Cmd
	database map[string]*databaseServer
}

// blogSample is one measurement of one site.
type blogSample struct {
	rate float64 // pages per second
	cpu  float64 // CPU ms of the database per page
}

// measureWordPress loads the home page of both sites in turn and prints the table.
func measureWordPress(ctx context.Context, w io.Writer, s settings) error {
	if !strings.Contains(wordpressCase, s.only) || !s.runs(stack) || !s.runs(mariadb) {
		return nil
	}
	if _, err := os.Stat(wordpressFiles); err != nil {
		return fmt.Errorf("%w: run `make tools` first", err)
	}
	dir, err := os.MkdirTemp(s.dataDir, "stack-bench-wp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// php-fpm's children run as nobody.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	b := &blogs{dir: dir, database: map[string]*databaseServer{}}
	defer b.stop()
	if err := b.start(ctx, s); err != nil {
		return err
	}
	all := map[string][]blogSample{}
	names := []string{stack, mariadb}
	for round := range s.rounds {
		for _, name := range turned(names, round) {
			got, err := b.measure(ctx, name, s)
			if err != nil {
				return fmt.Errorf("%s, %s, round %d: %w", wordpressCase, name, round+1, err)
			}
			all[name] = append(all[name], got)
			fmt.Fprintf(os.Stderr, "round %d  %-36s %-8s %9.1f/s %8.2f ms CPU of the database/page\n", round+1, wordpressCase, name, got.rate, got.cpu)
		}
	}
	rate := func(name string) float64 { return middleOf(all[name], func(s blogSample) float64 { return s.rate }) }
	cpu := func(name string) float64 { return middleOf(all[name], func(s blogSample) float64 { return s.cpu }) }
	fmt.Fprintf(w, `
The home page of WordPress as installed, %d visitors at once, on one web role and one php-fpm (opcache on); medians of %d rounds of %v in turn. The
database's part of a page is its CPU time.

| database | pages/s | CPU ms of the database/page | pages ratio | CPU ratio | wanted |
|---|---|---|---|---|---|
`, visitors, s.rounds, s.duration)
	fmt.Fprintf(w, "| stack | %.1f | %.2f | | | |\n", rate(stack), cpu(stack))
	pages := rate(stack) / rate(mariadb)
	fmt.Fprintf(w, "| mariadb | %.1f | %.2f | %.2f | %.2f | %s |\n", rate(mariadb), cpu(mariadb), pages, cpu(mariadb)/cpu(stack), verdict(pages, wordpressWanted))
	return nil
}

// start starts the databases, php-fpm and the web role, and installs both sites.
func (b *blogs) start(ctx context.Context, s settings) (err error) {
	for _, name := range []string{stack, mariadb} {
		if b.database[name], err = startDatabase(ctx, name, b.dir, s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := b.files(name); err != nil {
			return err
		}
	}
	if err := b.startPHP(ctx); err != nil {
		return err
	}
	if err := b.startWeb(ctx, s); err != nil {
		return err
	}
	for name := range b.database {
		if err := b.install(ctx, name); err != nil {
			return fmt.Errorf("install WordPress on %s: %w", name, err)
		}
	}
	return nil
}

// root is where a site's files are, beside the database's own folder.
func (b *blogs) root(name string) string { return filepath.Join(b.dir, "www", name) }

func (b *blogs) files(name string) error {
	if err := os.MkdirAll(filepath.Dir(b.root(name)), 0o755); err != nil {
		return err
	}
	// The package links to files of others.
	if out, err := exec.Command("cp", "-rL", wordpressFiles, b.root(name)).CombinedOutput(); err != nil {
		return fmt.Errorf("copy WordPress: %w: %s", err, out)
	}
	return os.WriteFile(filepath.Join(b.root(name), "wp-config.php"), fmt.Appendf(nil, `<?php
define('DB_NAME', 'sbtest'); define('DB_USER', 'bench'); define('DB_PASSWORD', '%s'); define('DB_HOST', '127.0.0.1:%d');
define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', ''); define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true);
foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT'] as $k) define($k, 'of the benchmark: ' . $k);
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
`, benchPassword, b.database[name].port), 0o644)
}

func (b *blogs) startPHP(ctx context.Context) error {
	found, _ := filepath.Glob("/usr/sbin/php-fpm*") // the pattern is well-formed
	if len(found) == 0 {
		return fmt.Errorf("no php-fpm: run `make tools` first")
	}
	config := filepath.Join(b.dir, "php.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, `[global]
error_log = %[1]s/php.log
daemonize = no
[www]
user = nobody
group = nogroup
listen = %[1]s/php.sock
listen.mode = 0666
pm = static
pm.max_children = %[2]d
php_admin_value[opcache.revalidate_freq] = 60
`, b.dir, visitors), 0o600); err != nil {
		return err
	}
	if err := b.run(exec.CommandContext(ctx, found[0], "-F", "-R", "-y", config)); err != nil {
		return err
	}
	socket := filepath.Join(b.dir, "php.sock")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

func (b *blogs) startWeb(ctx context.Context, s settings) (err error) {
	t, err := template.ParseFS(peers, "peers/wordpress.yaml")
	if err != nil {
		return err
	}
	config := filepath.Join(b.dir, "wordpress.yaml")
	out, err := os.Create(config)
	if err != nil {
		return err
	}
	defer out.Close()
	if b.port, err = freePort(); err != nil {
		return err
	}
	admin, err := freePort()
	if err != nil {
		return err
	}
	if err := t.Execute(out, struct {
		Dir         string
		Port, Admin int
	}{b.dir, b.port, admin}); err != nil {
		return err
	}
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, binary, "secrets", "init", "--config", config).CombinedOutput(); err != nil {
		return fmt.Errorf("secrets init: %w: %s", err, text)
	}
	if err := b.run(exec.CommandContext(ctx, binary, "--config", config)); err != nil {
		return err
	}
	return waitPort(ctx, "127.0.0.1", b.port)
}

func (b *blogs) run(c *exec.Cmd) error {
	log, err := os.Create(filepath.Join(b.dir, filepath.Base(c.Path)+".out"))
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	b.running = append(b.running, c)
	return nil
}

// install runs the web installer and asks for the home page once.
func (b *blogs) install(ctx context.Context, name string) error {
	text, err := b.ask(ctx, http.MethodPost, name, "/wp-admin/install.php?step=2", url.Values{"weblog_title": {"The bench"}, "user_name": {"admin"},
		"admin_password": {benchPassword}, "admin_password2": {benchPassword}, "pw_weak": {"1"}, "admin_email": {"admin@example.com"}, "language": {""}})
	if err != nil {
		return err
	}
	if !strings.Contains(text, "Success!") {
		return fmt.Errorf("the installer says %.500s", text)
	}
	text, err = b.ask(ctx, http.MethodGet, name, "/", nil)
	if err == nil && !strings.Contains(text, "Hello world!") {
		err = fmt.Errorf("the home page is %.500s", text)
	}
	return err
}

func (b *blogs) ask(ctx context.Context, method, site, path string, form url.Values) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", b.port, path), strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Host = site + ".test:" + strconv.Itoa(b.port)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, response.Status, text)
	}
	return string(text), err
}

// measure loads the home page of a site: a warm-up that does not count, then the
// measurement. An answer other than 200 makes the run worthless.
func (b *blogs) measure(ctx context.Context, name string, s settings) (out blogSample, err error) {
	if _, err := b.load(ctx, name, s.warm); err != nil {
		return out, err
	}
	pid := b.database[name].command.Process.Pid
	before, err := cpuTime(pid)
	if err != nil {
		return out, err
	}
	start := time.Now()
	pages, err := b.load(ctx, name, s.duration)
	if err != nil {
		return out, err
	}
	took := time.Since(start)
	after, err := cpuTime(pid)
	if err != nil {
		return out, err
	}
	if pages == 0 {
		return out, fmt.Errorf("no page in %v", s.duration)
	}
	return blogSample{rate: pages / took.Seconds(), cpu: float64((after - before).Microseconds()) / 1e3 / pages}, nil
}

func (b *blogs) load(ctx context.Context, name string, d time.Duration) (pages float64, err error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c", strconv.Itoa(visitors), "-d", seconds(d), "--timeout", "10s",
		"-H", "Host: "+name+".test:"+strconv.Itoa(b.port), fmt.Sprintf("http://127.0.0.1:%d/", b.port)).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if bad := wrkFailure.FindString(string(out)); bad != "" {
		return 0, fmt.Errorf("wrk: %s", bad)
	}
	m := wrkResult.FindStringSubmatch(string(out))
	if m == nil {
		return 0, fmt.Errorf("wrk printed no result: %s", out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// stop ends what runs, by pid.
func (b *blogs) stop() {
	for _, c := range b.running {
		c.Process.Signal(unix.SIGTERM)
		c.Wait()
	}
	for _, d := range b.database {
		d.stop()
	}
}
