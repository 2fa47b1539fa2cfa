package metrics

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"stack/appliance/config"
)

func TestHostShowsTheMachine(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewHost([]string{"/"}))
	for _, name := range []string{"stack_host_cpu_seconds_total", "stack_host_memory_bytes", "stack_host_load_average",
		"stack_host_filesystem_bytes", "stack_host_network_bytes_total", "stack_host_boot_time_seconds", "stack_host_file_handles"} {
		if n, err := testutil.GatherAndCount(registry, name); err != nil || n == 0 {
			t.Errorf("%s: %d samples, %v", name, n, err)
		}
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestPathsAreThoseWrittenTo(t *testing.T) {
	node := &config.Node{DB: &config.DB{DataDir: "/var/lib/stack/db"}, Web: &config.Web{AccessLog: config.AccessLog{Path: "/var/log/stack/web.log"}}}
	got := Paths(node)
	if len(got) != 3 || got[0] != "/" || got[1] != "/var/lib/stack/db" || got[2] != "/var/log/stack" {
		t.Error(got)
	}
}
