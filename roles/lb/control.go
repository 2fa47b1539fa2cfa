package lb

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"stack/roles/internal/upstream"
)

// control serves /v1/lb/: what is there, and what an operator does to servers.
type control struct{ r *Role }

func newControl(r *Role) http.Handler {
	c := &control{r}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/lb/backends", c.backends)
	mux.HandleFunc("POST /v1/lb/servers/{pool}/{server}/{action}", c.act)
	return mux
}

func (c *control) backends(w http.ResponseWriter, _ *http.Request) {
	if c.r.current.Load() == nil {
		refuse(w, http.StatusServiceUnavailable, "the balancer is starting; try again in a moment")
		return
	}
	answer(w, http.StatusOK, c.r.pools.View())
}

// act changes one server. The answer is the server's pool afterwards.
func (c *control) act(w http.ResponseWriter, q *http.Request) {
	if c.r.current.Load() == nil {
		refuse(w, http.StatusServiceUnavailable, "the balancer is starting; try again in a moment")
		return
	}
	pool := c.r.pools.Pool(q.PathValue("pool"))
	if pool == nil {
		refuse(w, http.StatusNotFound, "there is no backend %q; there are %s", q.PathValue("pool"), names(c.r.pools.Pools(), (*upstream.Pool).Name))
		return
	}
	server := pool.Server(q.PathValue("server"))
	if server == nil {
		refuse(w, http.StatusNotFound, "backend %s has no server %q; it has %s", pool.Name(), q.PathValue("server"), names(pool.Servers(), (*upstream.Server).Name))
		return
	}
	switch action := q.PathValue("action"); action {
	case "ready":
		server.SetAdmin(upstream.Ready)
	case "drain":
		server.SetAdmin(upstream.Drain)
	case "maint":
		server.SetAdmin(upstream.Maint)
	case "weight":
		var body struct {
			Weight *int `json:"weight"`
		}
		dec := json.NewDecoder(io.LimitReader(q.Body, 4096))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&body); err != nil || body.Weight == nil || *body.Weight < 0 || *body.Weight > 256 {
			refuse(w, http.StatusBadRequest, `the weight must be a whole number from 0 to 256, sent as {"weight": N}`)
			return
		}
		server.SetWeight(*body.Weight)
	default:
		refuse(w, http.StatusNotFound, "a server cannot be set to %q; use ready, drain, maint or weight", action)
		return
	}
	c.r.keepSettings()
	answer(w, http.StatusOK, pool.View())
}

func names[T any](list []T, name func(T) string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = name(v)
	}
	return strings.Join(out, ", ")
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a caller that has gone needs no answer
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}
