package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wordpress is where Debian's package puts its files.
const wordpress = "/usr/share/wordpress"

// TestWordPress installs WordPress by its web installer on the web and db roles, and uses it
// as its people do. WordPress hides the errors of its database: it is made to log them, and
// none is allowed.
func TestWordPress(t *testing.T) {
	if _, err := os.Stat(wordpress); err != nil {
		t.Skip("needs the package wordpress: make tools")
	}
	dir := openDir(t)
	base := nextPorts()
	site, errors := copyWordPress(t, dir)
	write(t, filepath.Join(dir, "site.yaml"), fmt.Sprintf(`web:
  bind: ["127.0.0.1:%[2]d"]
  sites: [{root: %[3]s, php: "unix:%[4]s"}]
db:
  bind: ["127.0.0.1:%[5]d"]
  data_dir: %[1]s/data
  databases: [wordpress]
tls: {secrets_dir: %[1]s/secrets}
admin: {bind: ["127.0.0.1:%[6]d"], socket: %[1]s/run/s.sock}
process: {run_dir: %[1]s/run}
`, dir, base, site, phpFPM(t, dir), base+1, base+2), 0o644)
	must(t, dir, "secrets", "init", "--config", "site.yaml")
	start(t, dir, "--config", "site.yaml").awaitOutput(`"msg":"started"`, 60*time.Second)
	password, err := os.ReadFile(filepath.Join(dir, "secrets/db-wordpress"))
	if err != nil {
		t.Fatal(err)
	}
	configureWordPress(t, site, errors, "wordpress", "wordpress", strings.TrimSpace(string(password)), fmt.Sprint("127.0.0.1:", base+1))

	wp := newBlog(t, base)
	wp.install()
	wp.logIn()
	wp.write()
	wp.pages()

	// What was answered is there after a crash of the database, and WordPress finds its way
	// back by itself.
	socket := filepath.Join(dir, "run/s.sock")
	pid := pidOf(t, dir, status(t, dir, "--socket", socket)[0].Node, "db", "--socket", socket)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "WordPress is back", 30*time.Second, func() bool {
		response, err := wp.client.Get(wp.base + "/?s=needle-3")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode == http.StatusOK && strings.Contains(string(text), "Post 3 über 😀")
	})
	wp.pages()
	if text, err := os.ReadFile(errors); err == nil {
		for line := range strings.Lines(string(text)) {
			// Between the kill and the return there is no server, which says nothing of SQL.
			if strings.Contains(line, "WordPress database error") && !strings.Contains(line, "gone away") && !strings.Contains(line, "Connection refused") {
				t.Errorf("%s", line)
			}
		}
	}
	_, text, err := get(newPlainClient(), fmt.Sprintf("http://127.0.0.1:%d/metrics", base+2))
	if err != nil {
		t.Fatal(err)
	}
	direct, planned := metric(text, "stack_db_direct_statements_total"), metric(text, "stack_db_direct_refused_total")
	t.Logf("%.0f statements answered directly, %.0f by the planner: %.0f %%", direct, planned, 100*direct/(direct+planned))
}

// copyWordPress puts its files below dir, and says where it will log errors.
func copyWordPress(t *testing.T, dir string) (site, errors string) {
	t.Helper()
	site = filepath.Join(dir, "www")
	// The package links to files of others; and the media must be writable.
	if out, err := exec.Command("cp", "-rL", wordpress, site).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, dir := range []string{filepath.Join(site, "wp-content/uploads"), filepath.Join(dir, "errors")} {
		if err := os.Mkdir(dir, 0o777); err != nil && !os.IsExist(err) || os.Chmod(dir, 0o777) != nil {
			t.Fatal(dir, err)
		}
	}
	return site, filepath.Join(dir, "errors/log")
}

func configureWordPress(t *testing.T, site, errors, database, user, password, host string) {
	t.Helper()
	write(t, filepath.Join(site, "wp-config.php"), fmt.Sprintf(`<?php
define('DB_NAME', '%s'); define('DB_USER', '%s'); define('DB_PASSWORD', '%s'); define('DB_HOST', '%s');
define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');
define('WP_DEBUG', true); define('WP_DEBUG_LOG', '%s'); define('WP_DEBUG_DISPLAY', false);
define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true);
foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT'] as $k) define($k, 'of the test: ' . $k);
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
`, database, user, password, host, errors), 0o644)
}

func newBlog(t *testing.T, port int) *blog {
	jar, _ := cookiejar.New(nil) // it cannot fail without options
	return &blog{t: t, base: fmt.Sprintf("http://127.0.0.1:%d", port), client: &http.Client{Timeout: 30 * time.Second, Jar: jar}}
}

// blog is a person's browser at a WordPress.
type blog struct {
	t      *testing.T
	base   string
	client *http.Client
	nonce  string
}

// ask sends a request and checks the status of its answer.
func (b *blog) ask(method, path, contentType string, body []byte, want int, more ...string) string {
	b.t.Helper()
	request, err := http.NewRequest(method, b.base+path, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if b.nonce != "" {
		request.Header.Set("X-WP-Nonce", b.nonce)
	}
	for i := 0; i+1 < len(more); i += 2 {
		request.Header.Set(more[i], more[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		b.t.Fatalf("%s %s: %s, want %d (%v): %.500s", method, path, response.Status, want, err, text)
	}
	return string(text)
}

func (b *blog) page(path string, holds ...string) {
	b.t.Helper()
	text := b.ask("GET", path, "", nil, http.StatusOK)
	for _, part := range holds {
		if !strings.Contains(text, part) {
			b.t.Errorf("%s does not hold %q", path, part)
		}
	}
}

func (b *blog) form(path string, fields url.Values) string {
	b.t.Helper()
	return b.ask("POST", path, "application/x-www-form-urlencoded", []byte(fields.Encode()), http.StatusOK)
}

func (b *blog) rest(method, path string, body any, want int, answer any) {
	b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	got := b.ask(method, "/index.php?rest_route="+path, "application/json", text, want)
	if err := json.Unmarshal([]byte(got), answer); err != nil {
		b.t.Fatalf("%s: %v: %.300s", path, err, got)
	}
}

func (b *blog) install() {
	b.t.Helper()
	text := b.form("/wp-admin/install.php?step=2", url.Values{"weblog_title": {"The stack"}, "user_name": {"admin"}, "admin_password": {"a Long-1 one"},
		"admin_password2": {"a Long-1 one"}, "pw_weak": {"1"}, "admin_email": {"admin@example.com"}, "Submit": {"Install"}, "language": {""}})
	if !strings.Contains(text, "Success!") {
		b.t.Fatalf("the installer says %.2000s", text)
	}
}

func (b *blog) logIn() {
	b.t.Helper()
	b.page("/wp-login.php") // which sets the cookie that the next step asks for
	b.form("/wp-login.php", url.Values{"log": {"admin"}, "pwd": {"a Long-1 one"}, "wp-submit": {"Log In"}, "redirect_to": {b.base + "/wp-admin/"}, "testcookie": {"1"}})
	b.nonce = b.ask("GET", "/wp-admin/admin-ajax.php?action=rest-nonce", "", nil, http.StatusOK)
}

// write makes posts, a comment, a category, a picture, and activates a plug-in.
func (b *blog) write() {
	b.t.Helper()
	var made struct {
		ID int `json:"id"`
	}
	b.rest("POST", "/wp/v2/categories", map[string]any{"name": "News"}, http.StatusCreated, &made)
	category := made.ID
	for i := 1; i <= 5; i++ {
		b.rest("POST", "/wp/v2/posts", map[string]any{"title": fmt.Sprintf("Post %d über 😀", i), "content": fmt.Sprintf("<p>needle-%d</p>", i),
			"status": "publish", "categories": []int{category}}, http.StatusCreated, &made)
	}
	last := made.ID
	b.rest("POST", fmt.Sprintf("/wp/v2/posts/%d", last), map[string]any{"title": "Edited"}, http.StatusOK, &made)
	b.rest("DELETE", fmt.Sprintf("/wp/v2/posts/%d", last-1), nil, http.StatusOK, &made) // to the trash
	b.form("/wp-comments-post.php", url.Values{"comment": {"What a fine post"}, "comment_post_ID": {fmt.Sprint(last)}})
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 400, 300))); err != nil {
		b.t.Fatal(err)
	}
	var media struct {
		URL string `json:"source_url"`
	}
	text := b.ask("POST", "/index.php?rest_route=/wp/v2/media", "image/png", picture.Bytes(), http.StatusCreated, "Content-Disposition", "attachment; filename=picture.png")
	if err := json.Unmarshal([]byte(text), &media); err != nil {
		b.t.Fatal(err)
	}
	b.page(strings.TrimPrefix(media.URL, b.base), "\x89PNG")
	var plugins []struct {
		Plugin string `json:"plugin"`
		Status string `json:"status"`
	}
	b.rest("GET", "/wp/v2/plugins", nil, http.StatusOK, &plugins)
	if len(plugins) == 0 {
		b.t.Fatal("no plug-in to activate")
	}
	var plugin struct {
		Status string `json:"status"`
	}
	b.rest("POST", "/wp/v2/plugins/"+plugins[0].Plugin, map[string]any{"status": "active"}, http.StatusOK, &plugin)
	if plugin.Status != "active" {
		b.t.Errorf("the plug-in %s is %s", plugins[0].Plugin, plugin.Status)
	}
}

// pages looks at what visitors and the administrator look at.
func (b *blog) pages() {
	b.t.Helper()
	b.page("/", "Edited", "Post 3 über 😀")
	b.page("/?s=needle-2", "Post 2 über 😀")
	b.page("/?feed=rss2", "<rss", "Post 1 über 😀")
	b.page("/index.php?rest_route=/wp/v2/posts&categories=2", "needle-1")
	b.page("/wp-admin/", "At a Glance")
	b.page("/wp-admin/edit.php", "Edited")
	b.page("/wp-admin/edit.php?post_status=trash&post_type=post", "Post 4 über 😀")
	b.page("/wp-admin/edit-comments.php", "What a fine post")
	b.page("/wp-admin/upload.php?mode=list", "picture")
	b.page("/wp-admin/plugins.php", "Deactivate")
	b.page("/wp-admin/users.php", "admin@example.com")
	b.page("/wp-admin/options-general.php", "The stack")
	b.page("/wp-admin/edit-tags.php?taxonomy=category", "News")
	b.page("/wp-admin/site-health.php", "Site Health")
}
