package vip

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"stack/appliance/config"
)

// testHooks serves one group, www, with the given hooks.
func testHooks(t *testing.T, list ...config.VIPNotify) (*hooks, *output) {
	t.Helper()
	log := &output{}
	h := newHooks(slog.New(slog.NewTextHandler(log, nil)), "lb1", prometheus.NewRegistry())
	h.set([]config.VIP{{Name: "www", Notify: list}})
	return h, log
}

func (h *hooks) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := h.wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func (h *hooks) counted(kind, result string) float64 {
	return testutil.ToFloat64(h.runs.WithLabelValues("www", kind, result))
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHookCommand(t *testing.T) {
	t.Setenv("STACK_DB_ROOT_PASSWORD", "hush")
	h, log := testHooks(t, config.VIPNotify{Command: []string{script(t, `echo "$1|$VIP_GROUP|$VIP_STATE|$VIP_REASON|$VIP_ADDRESSES|$VIP_NODE|$STACK_DB_ROOT_PASSWORD|"; echo oops >&2`), "a b; $(id)"}, Timeout: time.Minute})
	h.tell(news{Group: "www", State: "master", Reason: "no advert", Addresses: []string{"10.0.0.10", "fd00::10"}})
	h.tell(news{Group: "other", State: "master"})
	h.settle(t)
	if want := `output="a b; $(id)|www|master|no advert|10.0.0.10 fd00::10|lb1||\noops"`; !strings.Contains(log.String(), want) {
		t.Errorf("log %s\nhas no %s", log, want)
	}
	if h.counted("command", "ok") != 1 {
		t.Error("not counted")
	}
}

func TestHookCommandThatFails(t *testing.T) {
	h, log := testHooks(t, config.VIPNotify{Command: []string{script(t, "head -c 100000 /dev/zero | tr '\\0' x; echo end; exit 3")}, Timeout: time.Minute},
		config.VIPNotify{Command: []string{"/nonexistent/program"}, Timeout: time.Minute})
	h.tell(news{Group: "www", State: "master"})
	h.settle(t)
	text := log.String()
	if !strings.Contains(text, "exit status 3") || !strings.Contains(text, `xend`) || len(text) > 2*maxOutput {
		t.Errorf("log of %d bytes: %.300s", len(text), text)
	}
	if !strings.Contains(text, "/nonexistent/program: no such file") {
		t.Errorf("log %s", text[len(text)-300:])
	}
	if h.counted("command", "failed") != 2 {
		t.Error("not counted")
	}
}

// What a program has started dies with it at the time-out.
func TestHookCommandIsKilledWithItsGroup(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	h, log := testHooks(t, config.VIPNotify{Command: []string{script(t, "trap '' TERM; sleep 1000 & echo $$ $! >$1; wait"), pids}, Timeout: 500 * time.Millisecond})
	h.tell(news{Group: "www", State: "master"})
	h.settle(t)
	if !strings.Contains(log.String(), "killed: it ran longer than 500ms") {
		t.Errorf("log %s", log)
	}
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	var parent, child int
	if _, err := fmt.Sscan(string(b), &parent, &child); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{parent, child} {
		for end := time.Now().Add(5 * time.Second); runs(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d still runs", pid)
			}
		}
	}
}

func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}

// A program begins with the default action of the signals that this process ignores.
func TestHookCommandHasDefaultSignals(t *testing.T) {
	h, log := testHooks(t, config.VIPNotify{Command: []string{script(t, "grep SigIgn /proc/self/status; kill -TERM $$; echo survived")}, Timeout: time.Minute})
	h.tell(news{Group: "www", State: "master"})
	h.settle(t)
	if strings.Contains(log.String(), "survived") || !strings.Contains(log.String(), "signal: terminated") {
		t.Errorf("log %s", log)
	}
}

// While a hook runs, only the newest state is kept.
func TestHookTellsTheNewestState(t *testing.T) {
	dir := t.TempDir()
	for _, run := range []string{"0", "3"} {
		if err := syscall.Mkfifo(dir+"/go"+run, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, _ := testHooks(t, config.VIPNotify{Command: []string{script(t, `read x <`+dir+`/go$VIP_REASON; echo $VIP_STATE $VIP_REASON >>`+dir+`/told`)}, Timeout: time.Minute})
	for i, state := range []string{"master", "backup", "fault", "master"} {
		h.tell(news{Group: "www", State: state, Reason: fmt.Sprint(i)})
	}
	for _, run := range []string{"0", "3"} {
		if err := os.WriteFile(dir+"/go"+run, []byte("\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
	h.settle(t)
	told, err := os.ReadFile(dir + "/told")
	if err != nil || string(told) != "master 0\nmaster 3\n" {
		t.Errorf("told %q, %v", told, err)
	}
	if h.counted("command", "replaced") != 2 || h.counted("command", "ok") != 2 {
		t.Error("counted wrong")
	}
}

func TestHookWebhook(t *testing.T) {
	var mu sync.Mutex
	var got []news
	var token string
	fail := 1
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var n news
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &n); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %q: %v", r.Method, body, err)
		}
		token = r.Header.Get("Authorization")
		if fail--; fail >= 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		got = append(got, n)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the clients that refuse it
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, text := range map[string][]byte{"ca": ca, "token": []byte("sesame\n"), "bad": []byte("no certificate")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, said := testHooks(t, config.VIPNotify{Webhook: server.URL + "/path-secret", CAFile: dir + "/ca", TokenFile: dir + "/token", Timeout: 5 * time.Second})
	h.tell(news{Group: "www", State: "master", Reason: "no advert", Addresses: []string{"10.0.0.10"}})
	h.settle(t)
	mu.Lock()
	if len(got) != 1 || got[0].Node != "lb1" || got[0].State != "master" || got[0].Addresses[0] != "10.0.0.10" || token != "Bearer sesame" {
		t.Errorf("got %+v, token %q", got, token)
	}
	mu.Unlock()

	short := retryAfter
	retryAfter = short[:1]
	defer func() { retryAfter = short }()
	for _, bad := range []config.VIPNotify{
		{Webhook: server.URL + "/path-secret", Timeout: 5 * time.Second}, // the system does not know that authority
		{Webhook: server.URL + "/path-secret", CAFile: dir + "/bad", Timeout: 5 * time.Second},
		{Webhook: "http://127.0.0.1:1/path-secret", Timeout: 5 * time.Second},
	} {
		h.set([]config.VIP{{Name: "www", Notify: []config.VIPNotify{bad}}})
		h.tell(news{Group: "www", State: "backup"})
		h.settle(t)
	}
	for _, want := range []string{"unknown authority", "holds no certificate", "connection refused"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("not in the log: %s", want)
		}
	}
	for _, secret := range []string{"sesame", "path-secret"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// A webhook that fails does not hold a newer state back.
func TestHookWebhookGivesWay(t *testing.T) {
	failed, told := make(chan struct{}, 10), make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n news
		json.NewDecoder(r.Body).Decode(&n)
		if n.State == "master" {
			w.WriteHeader(http.StatusInternalServerError)
			failed <- struct{}{}
			return
		}
		told <- n.State
	}))
	defer server.Close()
	usual := retryAfter
	retryAfter = []time.Duration{time.Hour}
	defer func() { retryAfter = usual }()
	h, _ := testHooks(t, config.VIPNotify{Webhook: server.URL, Timeout: 5 * time.Second})
	h.tell(news{Group: "www", State: "master"})
	<-failed
	h.tell(news{Group: "www", State: "backup"})
	h.settle(t)
	if state := <-told; state != "backup" || h.counted("webhook", "failed") != 1 {
		t.Errorf("told %s", state)
	}
}

// A webhook that fails is not told again by the queue of a hook that was edited, whose news
// would come after newer ones, but by the one in its place.
func TestHookWebhookThatIsReplaced(t *testing.T) {
	failed, told := make(chan struct{}, 10), make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n news
		json.NewDecoder(r.Body).Decode(&n)
		if r.URL.Path == "/old" {
			w.WriteHeader(http.StatusInternalServerError)
			failed <- struct{}{}
			return
		}
		told <- n.State
	}))
	defer server.Close()
	usual := retryAfter
	retryAfter = []time.Duration{time.Hour}
	defer func() { retryAfter = usual }()
	h, _ := testHooks(t, config.VIPNotify{Webhook: server.URL + "/old", Timeout: 5 * time.Second})
	h.tell(news{Group: "www", State: "master"})
	<-failed
	for end := time.Now().Add(10 * time.Second); len(h.untold()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is left to tell")
		}
	}
	h.set([]config.VIP{{Name: "www", Notify: []config.VIPNotify{{Webhook: server.URL + "/new", Timeout: 5 * time.Second}}}})
	h.settle(t)
	if state := <-told; state != "master" || len(failed) != 0 || len(h.untold()) != 0 {
		t.Errorf("told %s; untold of %v", state, h.untold())
	}
	// A hand-over ends all the same.
	h.set([]config.VIP{{Name: "www", Notify: []config.VIPNotify{{Webhook: server.URL + "/old", Timeout: 5 * time.Second}}}})
	h.tell(news{Group: "www", State: "backup"})
	<-failed
	h.set(nil)
	h.settle(t)
}
