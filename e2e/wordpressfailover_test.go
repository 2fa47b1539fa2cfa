package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// poster writes one post after the other, as a person does: whose page fails waits until the site has a primary
// again, and sends the same once more.
type poster struct {
	wp       *blog
	writable func() bool // somebody takes writes behind the endpoint
	stop     chan struct{}
	wait     sync.WaitGroup

	mu     sync.Mutex
	event  int      // odd while the database changes its primary
	posts  []post   // answered
	failed []string // what failed pages said
	gaveUp string
}

// post is one that was answered.
type post struct {
	id       int
	title    string
	attempts int
	touched  bool // an event happened meanwhile
}

func (p *poster) run() {
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return
		default:
		}
		made := post{title: fmt.Sprintf("Post no. %d.", i)}
		before := p.events()
		for made.id == 0 {
			made.attempts++
			id, err := p.wp.tryPost(made.title)
			if made.id = id; err == nil {
				break
			}
			p.mu.Lock()
			p.failed = append(p.failed, err.Error())
			p.mu.Unlock()
			for deadline := time.Now().Add(time.Minute); !p.writable(); {
				if time.Now().After(deadline) {
					p.mu.Lock()
					p.gaveUp = fmt.Sprintf("no primary within a minute after %v", err)
					p.mu.Unlock()
					return
				}
			}
		}
		p.mu.Lock()
		made.touched = before%2 == 1 || before != p.event
		p.posts = append(p.posts, made)
		p.mu.Unlock()
	}
}

func (p *poster) events() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.event
}

// during does what changes the primary.
func (p *poster) during(change func()) {
	for _, do := range []func(){change, func() {}} {
		p.mu.Lock()
		p.event++
		p.mu.Unlock()
		do()
	}
}

// more waits until as many posts more are answered and returns how many pages have failed so far.
func (p *poster) more(t *testing.T, n int) int {
	t.Helper()
	p.mu.Lock()
	start := len(p.posts)
	p.mu.Unlock()
	failed := 0
	await(t, fmt.Sprintf("%d posts are answered", n), 2*time.Minute, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.gaveUp != "" {
			t.Fatal(p.gaveUp)
		}
		failed = len(p.failed)
		return len(p.posts) >= start+n
	})
	return failed
}

// tryPost publishes a post, once.
func (b *blog) tryPost(title string) (id int, err error) {
	body, err := json.Marshal(map[string]any{"title": title, "content": "<p>" + title + "</p>", "status": "publish"})
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequest("POST", b.base+"/index.php?rest_route=/wp/v2/posts", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-WP-Nonce", b.nonce)
	response, err := b.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	var made struct {
		ID int `json:"id"`
	}
	if response.StatusCode != http.StatusCreated || json.Unmarshal(text, &made) != nil || made.ID == 0 {
		return 0, fmt.Errorf("%s: %.300s", response.Status, text)
	}
	return made.ID, nil
}

// WordPress behind the balancer's endpoint keeps what it answered, once, over a switchover and over the death of the
// primary with a promotion; each of them fails one page at most.
func TestWordPressFailover(t *testing.T) {
	if _, err := os.Stat(wordpress); err != nil {
		t.Skip("needs the package wordpress: make tools")
	}
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	dir := openDir(t)
	php := phpFPM(t, dir)
	d := newDatabases(t, 3, "")
	for _, name := range append([]string{"lb1"}, d.names...) {
		d.start(name)
	}
	site, errors := copyWordPress(t, dir)
	configureWordPress(t, site, errors, "shop", "root", "secret", fmt.Sprint("127.0.0.11:", d.port+2))
	write(t, filepath.Join(dir, "site.yaml"), fmt.Sprintf(`web:
  bind: ["127.0.0.1:%[2]d"]
  sites: [{root: %[3]s, php: "unix:%[4]s"}]
tls: {secrets_dir: %[1]s/secrets}
admin: {bind: ["127.0.0.1:%[5]d"], socket: %[1]s/run/s.sock}
process: {run_dir: %[1]s/run}
`, dir, d.port+4, site, php, d.port+5), 0o644)
	start(t, dir, "--config", "site.yaml").awaitOutput(`"msg":"started"`, time.Minute)
	await(t, "the endpoint leads to the primary", time.Minute, d.writable("endpoint", "CREATE TABLE IF NOT EXISTS shop.probe (id INT PRIMARY KEY)"))
	wp := newBlog(t, d.port+4)
	wp.install()
	wp.logIn()

	p := &poster{wp: wp, writable: d.writable("endpoint", "REPLACE INTO shop.probe VALUES (1)"), stop: make(chan struct{})}
	p.wait.Go(p.run)
	end := sync.OnceFunc(func() {
		close(p.stop)
		p.wait.Wait()
	})
	t.Cleanup(end)
	if n := p.more(t, 5); n > 0 {
		t.Fatalf("a page failed before anything happened: %q", p.failed)
	}
	p.during(func() {
		t.Log(must(t, d.dir, "db", "switchover", "db2", "--socket", filepath.Join(d.dir, "db1.sock")))
	})
	switched := p.more(t, 5)
	p.during(func() {
		d.kill("db2")
		await(t, "a replica is promoted in place of the primary", time.Minute, func() bool {
			out, code := run(t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, "db1.sock"))
			t.Log(out)
			return code == 0
		})
	})
	killed := p.more(t, 5) - switched
	end()
	t.Logf("%d posts; the switchover failed %d pages, the kill %d: %q", len(p.posts), switched, killed, p.failed)
	if switched > 1 || killed > 1 {
		t.Errorf("%d pages failed by the switchover and %d by the kill, want one at most: %q", switched, killed, p.failed)
	}
	for _, made := range p.posts {
		checkPost(t, d, made)
	}
	text, err := os.ReadFile(errors)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "WordPress database error") && !mayFail(line) {
			t.Errorf("%s", line)
		}
	}
}

// checkPost looks for an answered post. WordPress sends a statement whose answer was lost once more, and a person
// the page: so one that was on its way meanwhile may be there twice, though never not at all.
func checkPost(t *testing.T, d *databases, made post) {
	t.Helper()
	if got := d.mustSQL("endpoint", fmt.Sprintf("SELECT post_title FROM shop.wp_posts WHERE ID = %d AND post_status = 'publish'", made.id)); got != made.title {
		t.Errorf("post %d is %q, want %q", made.id, got, made.title)
	}
	n := d.mustSQL("endpoint", fmt.Sprintf("SELECT COUNT(*) FROM shop.wp_posts WHERE post_title = '%s' AND post_type = 'post'", made.title))
	switch {
	case n == "1":
	case made.touched && n != "0":
		t.Logf("%q was on its way while the primary changed, and is there %s times after %d attempts", made.title, n, made.attempts)
	default:
		t.Errorf("%q is there %s times", made.title, n)
	}
}

// mayFail are the errors of statements that found no primary, or whose connection ended with one. A statement that a
// demotion cuts has none of its own: WordPress would not send it again.
func mayFail(line string) bool {
	for _, text := range []string{"gone away", "read-only", "Lost connection", "can be used at the moment"} {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}
