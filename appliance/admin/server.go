package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/net/netutil"
)

const (
	maxConnections = 256 // per listener: scrapers, checks and people, never traffic
	maxHeadBytes   = 16 << 10
	maxBodyBytes   = 1 << 20
	headTimeout    = 5 * time.Second
	// A scrape must answer before Prometheus's default time-out of 10 s.
	gatherTimeout = 8 * time.Second
	// A scraper that does not read must not hold one of the connections for ever.
	writeTimeout = 30 * time.Second
)

// Server serves the control and health interface of one node.
type Server struct {
	node  Node
	site  *site
	log   *slog.Logger
	local *http.Server // the Unix socket
	open  *http.Server // TCP
}

// New makes the server of node; Serve starts it.
func New(node Node, log *slog.Logger) *Server {
	s := &Server{node: node, site: newSite(node), log: log}
	s.local = s.server(s.localRoutes())
	s.open = s.server(s.openRoutes())
	s.open.WriteTimeout = writeTimeout // commands on the Unix socket may take longer
	return s
}

func (s *Server) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           http.MaxBytesHandler(handler, maxBodyBytes),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHeadBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Serve answers on the listeners until ctx ends; it closes them then. unix may be nil.
func (s *Server) Serve(ctx context.Context, unix net.Listener, tcp []net.Listener) {
	go s.site.watch(ctx)
	run := func(server *http.Server, l net.Listener) {
		err := server.Serve(netutil.LimitListener(l, maxConnections))
		if err != nil && !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
			s.log.Error("the control interface stopped answering", "address", l.Addr().String(), "err", err)
		}
	}
	if unix != nil {
		go run(s.local, unix)
	}
	for _, l := range tcp {
		go run(s.open, l)
	}
	<-ctx.Done()
	// An answer under way (of /v1/stop itself) gets a moment to leave.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.open.Close()
	if s.local.Shutdown(grace) != nil {
		s.local.Close()
	}
}

// openRoutes are what the network may see: nothing here changes anything.
func (s *Server) openRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /primary", s.primary)
	mux.HandleFunc("GET /replica", s.replica)
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("GET /v1/member", s.member)
	return mux
}

func (s *Server) localRoutes() *http.ServeMux {
	mux := s.openRoutes()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("POST /v1/reload", s.act(s.node.Reload))
	mux.HandleFunc("POST /v1/upgrade", s.act(s.node.Upgrade))
	mux.HandleFunc("POST /v1/stop", s.act(func(context.Context) error { s.node.Stop(); return nil }))
	mux.HandleFunc("/v1/{role}/", s.role)
	return mux
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	st := s.node.Status()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !st.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	for _, r := range st.Roles {
		state := "ready"
		if !r.Ready {
			state = "not ready"
		}
		fmt.Fprintf(w, "%s: %s: %s\n", r.Role, state, r.Text)
	}
}

// primary answers 200 where this node's database takes writes, for balancers that
// choose servers by status code.
func (s *Server) primary(w http.ResponseWriter, r *http.Request) { s.databaseRole(w, "primary") }

// replica answers 200 where this node's database is a replica.
func (s *Server) replica(w http.ResponseWriter, r *http.Request) { s.databaseRole(w, "replica") }

func (s *Server) databaseRole(w http.ResponseWriter, want string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, r := range s.node.Status().Roles {
		var is struct {
			Role string `json:"role"`
		}
		if r.Role == "db" && r.Ready && json.Unmarshal(r.Detail, &is) == nil && is.Role == want {
			fmt.Fprintln(w, want)
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(w, "not a %s\n", want)
}

type gatherer func() ([]*dto.MetricFamily, error)

func (g gatherer) Gather() ([]*dto.MetricFamily, error) { return g() }

func (s *Server) metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), gatherTimeout)
		defer cancel()
		gather := gatherer(func() ([]*dto.MetricFamily, error) {
			families, err := s.node.Gather(ctx)
			if err != nil {
				return nil, err
			}
			own, err := s.site.registry.Gather()
			if err != nil {
				return nil, err
			}
			return merge(families, own), nil
		})
		promhttp.HandlerFor(gather, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}).ServeHTTP(w, r)
	})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, Status{NodeStatus: s.node.Status(), Members: s.site.members()})
}

// act makes the handler of a command: 200 with {} or 409 with the reason.
func (s *Server) act(do func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// A command under way is not undone because its caller went away. What goes wrong
		// is logged by the supervisor.
		if err := do(context.WithoutCancel(r.Context())); err != nil {
			answer(w, http.StatusConflict, problem{Error: err.Error()})
			return
		}
		answer(w, http.StatusOK, struct{}{})
	}
}

func (s *Server) role(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("role")
	handler := s.node.Role(name)
	if handler == nil {
		answer(w, http.StatusNotFound, problem{Error: fmt.Sprintf("node %s has no role %s; it has %s", s.node.Name(), name, strings.Join(s.node.Config().Roles, ", "))})
		return
	}
	handler.ServeHTTP(w, r)
}

// problem is the body of every answer that is not a success.
type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(body) // a client that went away is no news
}
