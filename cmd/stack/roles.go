package main

import (
	"stack/appliance/supervise"
	"stack/roles/db"
	"stack/roles/lb"
	"stack/roles/vip"
	"stack/roles/web"
)

// roles is the list of all roles, in the order of their start. The lower the OOM score,
// the later the kernel chooses a process of the role when memory runs out.
func roles() []supervise.Spec {
	return []supervise.Spec{
		{Name: "db", Exclusive: true, Process: db.Process, Probe: db.Probe, New: db.New},
		{Name: "web", OOMScoreAdj: 200, Process: web.Process, Probe: web.Probe, New: web.New},
		{Name: "lb", OOMScoreAdj: 100, Process: lb.Process, Probe: lb.Probe, New: lb.New},
		{
			Name: "net", Capabilities: []string{"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_NICE"}, OOMScoreAdj: 50,
			Needed: vip.Needed, Process: vip.Process, Probe: vip.Probe, New: vip.NewChild,
		},
	}
}
