package web

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stack/appliance/config"
)

// fpm is a php-fpm of the test.
type fpm struct {
	t      testing.TB
	cmd    *exec.Cmd
	socket string
	log    string
	conf   string
	path   string
}

func startFPM(t testing.TB, children int) *fpm {
	t.Helper()
	var path string
	for _, name := range []string{"php-fpm8.4", "php-fpm8.3", "php-fpm8.2", "php-fpm8.1", "php-fpm"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		for _, p := range []string{"/usr/sbin/php-fpm8.4", "/usr/sbin/php-fpm8.2"} {
			if _, err := os.Stat(p); err == nil {
				path = p
				break
			}
		}
	}
	if path == "" {
		t.Skip("php-fpm is not installed; make test installs it")
	}
	// A socket's path is short: the test's own directory may be too deep.
	dir, err := os.MkdirTemp("", "fpm")
	if err != nil {
		t.Fatal(err)
	}
	f := &fpm{t: t, path: path, socket: dir + "/s", log: dir + "/log", conf: dir + "/conf"}
	user := ""
	if os.Geteuid() == 0 {
		user = "user = root\ngroup = root\n"
	}
	writeFile(t, f.conf, []byte(fmt.Sprintf("[global]\nerror_log = %s\ndaemonize = no\n[www]\n%slisten = %s\npm = static\npm.max_children = %d\n"+
		"clear_env = yes\ncatch_workers_output = no\nphp_admin_value[upload_max_filesize] = 64M\nphp_admin_value[post_max_size] = 64M\n"+
		"php_admin_value[upload_tmp_dir] = %s\n", f.log, user, f.socket, children, dir)))
	t.Cleanup(func() {
		f.stop()
		os.RemoveAll(dir)
	})
	f.start()
	return f
}

func (f *fpm) start() {
	f.t.Helper()
	args := []string{"--nodaemonize", "--fpm-config", f.conf}
	if os.Geteuid() == 0 {
		args = append(args, "--allow-to-run-as-root")
	}
	f.cmd = exec.Command(f.path, args...)
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := f.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		c, err := net.Dial("unix", f.socket)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(f.log)
			f.t.Fatalf("php-fpm does not start: %v\n%s", err, text)
		}
		time.Sleep(10 * time.Millisecond) // another process: there is no event to wait for
	}
}

// stop kills the process group: the master and its workers.
func (f *fpm) stop() {
	if f.cmd != nil {
		_ = syscall.Kill(-f.cmd.Process.Pid, syscall.SIGKILL)
		_ = f.cmd.Wait()
		f.cmd = nil
		// The workers share the socket: it refuses when the last of them is gone.
		for end := time.Now().Add(time.Minute); time.Now().Before(end); runtime.Gosched() {
			c, err := net.Dial("unix", f.socket)
			if err != nil {
				return
			}
			c.Close()
		}
		f.t.Error("php-fpm does not end")
	}
}

var scripts = map[string]string{
	"index.php":     `<?php echo "front ", $_SERVER['REQUEST_URI'], " ", $_SERVER['QUERY_STRING'];`,
	"info.php":      `<?php header('Content-Type: text/plain'); foreach (explode(',', $_GET['k']) as $k) { echo $k, '=', $_SERVER[$k] ?? '(none)', "\n"; }`,
	"post.php":      `<?php echo $_SERVER['CONTENT_TYPE'], '|', $_SERVER['CONTENT_LENGTH'], '|', $_POST['a'] ?? '', '|', $_POST['b'] ?? '';`,
	"hash.php":      `<?php $h = hash_init('sha256'); $n = 0; $f = fopen('php://input', 'r'); while (!feof($f)) { $d = fread($f, 65536); $n += strlen($d); hash_update($h, $d); } echo $n, ' ', hash_final($h), ' ', $_SERVER['CONTENT_LENGTH'];`,
	"upload.php":    `<?php $f = $_FILES['f']; echo $f['error'], ' ', $f['size'], ' ', hash_file('sha256', $f['tmp_name']);`,
	"status.php":    `<?php http_response_code((int)$_GET['s']); echo "status ", $_GET['s'];`,
	"redirect.php":  `<?php header('Location: /elsewhere?x=1');`,
	"cookies.php":   `<?php setcookie('a', '1'); setcookie('b', '2'); header('X-One: 1'); header('Connection: close'); echo 'ok';`,
	"big.php":       `<?php for ($i = 0; $i < (int)$_GET['n']; $i++) { echo str_repeat(chr(65 + $i % 26), 1024); }`,
	"length.php":    `<?php header('Content-Length: ' . $_GET['n']); echo 'hello';`,
	"slow.php":      `<?php usleep((int)($_GET['ms'] * 1000)); echo 'slow';`,
	"drip.php":      `<?php for ($i = 0; $i < 5; $i++) { echo str_repeat('x', 100000); flush(); usleep(50000); }`,
	"die.php":       `<?php echo str_repeat('x', 200000); flush(); posix_kill(posix_getpid(), 9); sleep(5);`,
	"dienow.php":    `<?php posix_kill(posix_getpid(), 9); sleep(5);`,
	"stderr.php":    `<?php error_log("first of its lines\nsecond of its lines"); echo 'said';`,
	"dir/index.php": `<?php echo 'dir index';`,
	"pid.php":       `<?php echo getmypid();`,
}

func phpSite(t testing.TB, f *fpm, edit func(*config.Web)) *server {
	t.Helper()
	root := t.TempDir()
	for name, text := range scripts {
		writeFile(t, filepath.Join(root, name), []byte(text))
	}
	writeFile(t, filepath.Join(root, "static.txt"), []byte("static"))
	writeFile(t, filepath.Join(root, "pic.jpg"), []byte("<?php echo 'owned';"))
	web := testWeb(config.WebSite{Root: root, Hosts: []string{"site.test"}, Index: []string{"index.html", "index.php"}, TryFiles: []string{"$uri", "$uri/", "/index.php"},
		Locations: []config.Location{{Regex: `\.php(/|$)`, FastCGI: &config.FastCGI{Address: "unix:" + f.socket, Index: "index.php"}}}})
	if edit != nil {
		edit(web)
	}
	return serve(t, web)
}

func TestPHP(t *testing.T) {
	f := startFPM(t, 4)
	for _, keep := range []int{0, 2} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			s := phpSite(t, f, func(w *config.Web) { w.Sites[0].Locations[0].FastCGI.Keep = keep })
			testPHP(t, s)
		})
	}
}

// php-fpm by a host name: looked up, used, and its absence said.
func TestPHPByName(t *testing.T) {
	f := startFPM(t, 2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	go func() { // the unix socket, by TCP
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				u, err := net.Dial("unix", f.socket)
				if err != nil {
					return
				}
				defer u.Close()
				go io.Copy(u, c)
				io.Copy(c, u)
			}()
		}
	}()
	s := phpSite(t, f, func(w *config.Web) {
		w.Sites[0].Locations[0].FastCGI.Address = "localhost:" + port
		w.Sites[0].Locations = append(w.Sites[0].Locations, config.Location{Regex: `\.php5$`, FastCGI: &config.FastCGI{Address: "nobody.invalid:9000"}})
	})
	writeFile(t, filepath.Join(s.node.Web.Sites[0].Root, "x.php5"), []byte("<?php"))
	for end := time.Now().Add(time.Minute); ; {
		a := s.get("GET", "/pid.php")
		if a.StatusCode == 200 {
			break
		}
		if a.StatusCode != 502 || time.Now().After(end) {
			t.Fatal(a.StatusCode)
		}
	}
	if a := s.get("GET", "/x.php5"); a.StatusCode != 502 {
		t.Error("a name that nobody has:", a.StatusCode)
	}
	s.log.wait(t, "its name is not resolved")
}

func testPHP(t *testing.T, s *server) {
	is := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q\n%s", what, got[:min(len(got), 300)], want[:min(len(want), 300)], s.log)
		}
	}
	is("front controller", s.get("GET", "/some/post?a=1&b=2").body, "front /some/post?a=1&b=2 a=1&b=2")
	is("root", s.get("GET", "/").body, "front / ")
	is("directory", s.get("GET", "/dir/").body, "dir index")
	is("static beside", s.get("GET", "/static.txt").body, "static")
	is("a picture is no script", s.get("GET", "/pic.jpg").body, "<?php echo 'owned';")
	is("nor with a script behind it", fmt.Sprint(s.get("GET", "/pic.jpg/x.php").StatusCode), "404")

	keys := "REQUEST_METHOD,SCRIPT_NAME,PATH_INFO,REQUEST_URI,QUERY_STRING,DOCUMENT_URI,SERVER_PROTOCOL,GATEWAY_INTERFACE,SERVER_NAME,SERVER_PORT," +
		"REMOTE_ADDR,HTTPS,REQUEST_SCHEME,HTTP_HOST,HTTP_X_TWO,HTTP_PROXY,HTTP_COOKIE,HTTP_UNDER_SCORE,HTTP_CONTENT_TYPE,REDIRECT_STATUS"
	got := s.get("GET", "/info.php/extra/path?k="+keys, "Host: site.test", "X-Two: a", "X-Two: b", "Proxy: evil", "Cookie: a=1", "Cookie: b=2", "Under_Score: x").body
	want := "REQUEST_METHOD=GET\nSCRIPT_NAME=/info.php\nPATH_INFO=/extra/path\nREQUEST_URI=/info.php/extra/path?k=" + keys + "\nQUERY_STRING=k=" + keys +
		"\nDOCUMENT_URI=/info.php/extra/path\nSERVER_PROTOCOL=HTTP/1.1\nGATEWAY_INTERFACE=CGI/1.1\nSERVER_NAME=site.test\nSERVER_PORT=80\n" +
		"REMOTE_ADDR=127.0.0.1\nHTTPS=(none)\nREQUEST_SCHEME=http\nHTTP_HOST=site.test\nHTTP_X_TWO=a, b\nHTTP_PROXY=(none)\nHTTP_COOKIE=a=1; b=2\n" +
		"HTTP_UNDER_SCORE=(none)\nHTTP_CONTENT_TYPE=(none)\nREDIRECT_STATUS=200\n"
	is("parameters", got, want)
	// The name in an absolute target chooses the site, so the script sees it too.
	keys = "REQUEST_URI,SERVER_NAME,HTTP_HOST"
	is("absolute target", s.raw("GET http://site.test/info.php?k="+keys+" HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n"),
		"200 REQUEST_URI=/info.php?k="+keys+"\nSERVER_NAME=site.test\nHTTP_HOST=site.test\n")

	is("form", s.curl("--data", "a=x%20y&b=2", "URL/post.php"), "application/x-www-form-urlencoded|11|x y|2")
	is("front controller takes a form", s.curl("--data", "a=1", "URL/p?q=1"), "front /p?q=1 q=1")
	body := pattern(5 << 20)
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	upload := filepath.Join(t.TempDir(), "upload")
	writeFile(t, upload, body)
	is("upload", s.curl("--form", "f=@"+upload, "URL/upload.php"), fmt.Sprintf("0 %d %s", len(body), sum))
	is("body with a length", s.curl("--data-binary", "@"+upload, "--header", "Content-Type: application/octet-stream", "URL/hash.php"), fmt.Sprintf("%d %s %d", len(body), sum, len(body)))
	is("chunked body", s.curl("--data-binary", "@"+upload, "--header", "Transfer-Encoding: chunked", "--header", "Content-Type: application/octet-stream", "URL/hash.php"),
		fmt.Sprintf("%d %s %d", len(body), sum, len(body)))
	is("small chunked body", s.curl("--data-binary", "hello", "--header", "Transfer-Encoding: chunked", "--header", "Content-Type: x/y", "URL/hash.php"),
		fmt.Sprintf("5 %x 5", sha256.Sum256([]byte("hello"))))
	is("empty chunked body", s.raw("POST /hash.php HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		fmt.Sprintf("200 0 %x 0", sha256.Sum256(nil)))
	is("a body nobody reads", s.curl("--data-binary", "@"+upload, "--header", "Content-Type: x/y", "URL/status.php?s=403"), "status 403")

	for _, status := range []int{200, 201, 301, 404, 418, 500, 503} {
		a := s.get("GET", "/status.php?s="+strconv.Itoa(status))
		is("status", fmt.Sprint(a.StatusCode, " ", a.body), fmt.Sprintf("%d status %d", status, status))
	}
	if a := s.get("GET", "/status.php?s=204"); a.StatusCode != 204 || a.body != "" {
		t.Error("204:", a.StatusCode, a.body)
	}
	if a := s.get("GET", "/redirect.php"); a.StatusCode != 302 || a.Header.Get("Location") != "/elsewhere?x=1" {
		t.Error("redirect:", a.StatusCode, a.Header)
	}
	a := s.get("GET", "/cookies.php")
	is("cookies", strings.Join(a.Header["Set-Cookie"], ";"), "a=1;b=2")
	is("field", a.Header.Get("X-One"), "1")
	is("hop-by-hop", a.Header.Get("Connection"), "")
	if a := s.get("HEAD", "/big.php?n=500"); a.StatusCode != 200 || a.body != "" || a.Header.Get("Content-Length") != "" {
		t.Error("HEAD:", a.StatusCode, len(a.body), a.Header)
	}
	if a := s.get("HEAD", "/length.php?n=5"); a.ContentLength != 5 {
		t.Error("HEAD with a length:", a.ContentLength)
	}
	if a := s.get("GET", "/big.php?n=20000"); len(a.body) != 20000<<10 || a.body[:1024] != strings.Repeat("A", 1024) {
		t.Errorf("big output: %d bytes", len(a.body))
	}
	if a := s.get("GET", "/big.php?n=2"); a.ContentLength != 2048 {
		t.Error("a short answer has a length:", a.ContentLength)
	}
	is("its own length", s.get("GET", "/length.php?n=5").body, "hello")
	is("too much", s.get("GET", "/length.php?n=3").body, "hel")
	is("too little", fmt.Sprint(s.get("GET", "/length.php?n=9").StatusCode), "502")
	if a := s.get("GET", "/drip.php"); len(a.body) != 500000 {
		t.Errorf("drip: %d", len(a.body))
	}
	is("stderr", s.get("GET", "/stderr.php").body, "said")
	s.log.wait(t, "first of its lines")
	s.log.wait(t, "second of its lines")
}

func TestPHPFailures(t *testing.T) {
	f := startFPM(t, 2)
	s := phpSite(t, f, func(w *config.Web) {
		w.Timeouts.Response, w.Timeouts.Body, w.Limits.BodyBytes = 2*time.Second, 2*time.Second, 1<<20
	})
	if a := s.get("GET", "/slow.php?ms=6000"); a.StatusCode != 504 {
		t.Error("a slow script:", a.StatusCode)
	}
	s.log.wait(t, "took too long")
	if a := s.get("GET", "/dienow.php"); a.StatusCode != 502 {
		t.Error("a worker that dies:", a.StatusCode)
	}
	res, err := http.Get("http://" + s.addr + "/die.php")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("an answer that breaks off ends as if whole after %d bytes", n)
	}
	res.Body.Close()
	big := strings.Repeat("x", 2<<20)
	if got := s.raw("POST /hash.php HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n"); !strings.HasPrefix(got, "413") {
		t.Error("a body over the limit:", got)
	}
	if got := s.raw("POST /hash.php HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + big[:1100000]); !strings.HasPrefix(got, "413") {
		t.Error("a chunked body over the limit:", got)
	}
	// The master and all workers gone, then back.
	f.stop()
	if a := s.get("GET", "/pid.php"); a.StatusCode != 502 {
		t.Error("php-fpm gone:", a.StatusCode)
	}
	s.log.wait(t, "cannot be reached")
	os.Remove(f.socket)
	if a := s.get("GET", "/pid.php"); a.StatusCode != 502 {
		t.Error("socket gone:", a.StatusCode)
	}
	f.start()
	if a := s.get("GET", "/pid.php"); a.StatusCode != 200 {
		t.Error("php-fpm back:", a.StatusCode)
	}
	s.log.wait(t, "answers again")
	if n := strings.Count(s.log.String(), "cannot be reached"); n != 1 {
		t.Errorf("the outage was logged %d times:\n%s", n, s.log)
	}
}

// php-fpm restarts while connections to it are kept: no request is lost.
func TestPHPRestartWithKeptConnections(t *testing.T) {
	f := startFPM(t, 4)
	s := phpSite(t, f, func(w *config.Web) { w.Sites[0].Locations[0].FastCGI.Keep = 2 })
	for range 3 {
		for range 6 {
			if a := s.get("GET", "/pid.php"); a.StatusCode != 200 {
				t.Error(a.StatusCode)
			}
		}
		f.stop()
		f.start()
		if got := s.curl("--data", "a=1&b=2", "URL/post.php"); !strings.HasSuffix(got, "|1|2") {
			t.Error(got)
		}
	}
}

// A client that leaves frees the worker's connection at once.
func TestPHPClientLeaves(t *testing.T) {
	f := startFPM(t, 1)
	s := phpSite(t, f, nil)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /big.php?n=400000 HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 10000)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	// The only worker stops writing to a closed connection and takes the next request.
	if a := s.get("GET", "/pid.php"); a.StatusCode != 200 {
		t.Error(a.StatusCode)
	}
}

// A slow reader holds up the script, not our memory.
func TestPHPBackPressure(t *testing.T) {
	f := startFPM(t, 1)
	s := phpSite(t, f, nil)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /big.php?n=200000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	head := make([]byte, 1000)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	before := residentMiB(t)
	time.Sleep(300 * time.Millisecond) // what must not happen would happen now
	if grown := residentMiB(t) - before; grown > 50 {
		t.Errorf("%d MiB more while the client does not read", grown)
	}
	n, err := io.Copy(io.Discard, c)
	if err != nil || n < 200000<<10 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func residentMiB(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize() >> 20
}

// More requests at once than php-fpm has workers. Kept connections hold workers, so
// their number stays below that of the workers (docs/decisions/044).
func TestPHPManyAtOnce(t *testing.T) {
	f := startFPM(t, 4)
	for _, keep := range []int{0, 2} {
		s := phpSite(t, f, func(w *config.Web) { w.Sites[0].Locations[0].FastCGI.Keep = keep })
		const clients, each = 16, 40
		errs := make(chan error, clients)
		for i := range clients {
			go func() {
				for j := range each {
					want := fmt.Sprintf("front /x%d-%d ", i, j)
					res, err := http.Get("http://" + s.addr + fmt.Sprintf("/x%d-%d", i, j))
					if err != nil {
						errs <- err
						return
					}
					b, _ := io.ReadAll(res.Body)
					res.Body.Close()
					if !bytes.Equal(b, []byte(want)) {
						errs <- fmt.Errorf("%q, want %q", b, want)
						return
					}
				}
				errs <- nil
			}()
		}
		for range clients {
			if err := <-errs; err != nil {
				t.Errorf("keep %d: %v", keep, err)
			}
		}
		s.close()
	}
}
