package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"stack/appliance/config"
	"stack/appliance/metrics"
	"stack/appliance/supervise"
)

const (
	memberEvery   = 5 * time.Second
	memberTimeout = 2 * time.Second
)

// Status is the answer of GET /v1/status.
type Status struct {
	supervise.NodeStatus
	Members []Member `json:"members,omitempty"`
}

// Member is what this node last saw of a node of the site.
type Member struct {
	Name        string    `json:"name"`
	Roles       []string  `json:"roles"`
	Address     string    `json:"address"`
	State       string    `json:"state"` // self, ready, not ready, unreachable, unknown
	Version     string    `json:"version,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	SameConfig  bool      `json:"same_config"`
	Seen        time.Time `json:"seen,omitzero"`
}

// site asks the other nodes how they are, every 5 s, over their TCP listeners.
type site struct {
	node     Node
	client   *http.Client
	registry *prometheus.Registry

	mu   sync.Mutex
	seen map[string]Member
}

func newSite(node Node) *site {
	s := &site{
		node: node,
		client: &http.Client{
			Timeout:   memberTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second},
		},
		registry: prometheus.NewRegistry(),
		seen:     make(map[string]Member),
	}
	s.registry.MustRegister(s, metrics.NewHost(metrics.Paths(node.Config())))
	return s
}

func (s *site) watch(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	tick := time.NewTicker(memberEvery)
	defer tick.Stop()
	for {
		s.ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *site) ask(ctx context.Context) {
	node := s.node.Config()
	var asked sync.WaitGroup
	for _, m := range node.Members {
		if m.Name == node.Name {
			continue
		}
		asked.Go(func() {
			seen := s.askOne(ctx, m, node)
			s.mu.Lock()
			defer s.mu.Unlock()
			if seen.State == "unreachable" {
				seen.Seen = s.seen[m.Name].Seen
			}
			s.seen[m.Name] = seen
		})
	}
	asked.Wait()
}

// memberAnswer is the body of GET /v1/member.
type memberAnswer struct {
	Node        string `json:"node"`
	Version     string `json:"version"`
	Fingerprint string `json:"fingerprint"`
	Ready       bool   `json:"ready"`
}

func (s *Server) member(w http.ResponseWriter, _ *http.Request) {
	st := s.node.Status()
	answer(w, http.StatusOK, memberAnswer{Node: st.Node, Version: st.Version, Fingerprint: st.Fingerprint, Ready: st.Ready})
}

func (s *site) askOne(ctx context.Context, m config.Member, node *config.Node) Member {
	seen := describeMember(m)
	seen.State = "unreachable"
	url := "http://" + net.JoinHostPort(m.Address.String(), strconv.Itoa(adminPort(node))) + "/v1/member"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return seen
	}
	response, err := s.client.Do(request)
	if err != nil {
		return seen
	}
	defer response.Body.Close()
	var got memberAnswer
	if err := json.NewDecoder(io.LimitReader(response.Body, 4096)).Decode(&got); err != nil || got.Node != m.Name {
		return seen
	}
	seen.Version, seen.Fingerprint, seen.Seen = got.Version, got.Fingerprint, time.Now()
	seen.SameConfig = got.Fingerprint == node.Fingerprint
	seen.State = "not ready"
	if got.Ready {
		seen.State = "ready"
	}
	return seen
}

// adminPort is the port of this node's TCP listener: the same on every node.
func adminPort(node *config.Node) int {
	for _, l := range node.Admin.Bind {
		return int(l.Addr.Port())
	}
	return 9180
}

func describeMember(m config.Member) Member {
	return Member{Name: m.Name, Roles: m.Roles, Address: addressText(m.Address)}
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// members lists the nodes of the site in the order of the config.
func (s *site) members() []Member {
	node := s.node.Config()
	st := s.node.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Member
	for _, m := range node.Members {
		seen, ok := s.seen[m.Name]
		switch {
		case m.Name == node.Name:
			seen = describeMember(m)
			seen.State, seen.Version, seen.Fingerprint, seen.SameConfig, seen.Seen = "self", st.Version, st.Fingerprint, true, time.Now()
		case !ok:
			seen = describeMember(m)
			seen.State = "unknown"
		}
		list = append(list, seen)
	}
	return list
}

var (
	memberUp = prometheus.NewDesc("stack_site_member_ready", "1 if the node of the site answered that it is ready.", []string{"member"}, nil)
	differs  = prometheus.NewDesc("stack_site_member_config_differs", "1 if the node of the site runs another site config than this one.", []string{"member"}, nil)
	nodeInfo = prometheus.NewDesc("stack_node_info", "Always 1; what this node runs.", []string{"version", "fingerprint"}, nil)
	ready    = prometheus.NewDesc("stack_role_ready", "1 if the role serves.", []string{"role"}, nil)
	reloadOK = prometheus.NewDesc("stack_reload_failed", "1 if the last reload was refused and the config before it still serves.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *site) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{memberUp, differs, nodeInfo, ready, reloadOK} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *site) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v bool, labels ...string) {
		value := 0.0
		if v {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	st := s.node.Status()
	gauge(nodeInfo, true, st.Version, st.Fingerprint)
	gauge(reloadOK, st.ReloadError != "")
	for _, r := range st.Roles {
		gauge(ready, r.Ready, r.Role)
	}
	for _, m := range s.members() {
		if m.State == "self" {
			continue
		}
		gauge(memberUp, m.State == "ready", m.Name)
		gauge(differs, m.Fingerprint != "" && !m.SameConfig, m.Name)
	}
}

// merge joins two sets of families that share no name, sorted as the text format wants.
func merge(a, b []*dto.MetricFamily) []*dto.MetricFamily {
	all := append(append([]*dto.MetricFamily{}, a...), b...)
	sort.Slice(all, func(i, j int) bool { return all[i].GetName() < all[j].GetName() })
	return all
}
