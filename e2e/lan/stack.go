package lan

import "strings"

// Stack is a balancer of a Site.
type Stack struct {
	site    *Site
	node    string
	process *Process
}

// Balancer is the balancer of a node, which does not run yet.
func (s *Site) Balancer(node string) *Stack { return &Stack{site: s, node: node} }

// Host implements Balancer.
func (b *Stack) Host() string { return b.node }

// Start implements Balancer. The supervisor starts a proxy again by itself.
func (b *Stack) Start() (err error) {
	if b.process == nil || !b.process.Running() {
		b.process, err = b.site.Start(b.node)
	}
	return err
}

// Stop implements Balancer.
func (b *Stack) Stop() error { return b.process.Stop() }

// Kill implements Balancer.
func (b *Stack) Kill() {
	if b.process != nil {
		b.process.Kill()
	}
}

// Freeze implements Balancer.
func (b *Stack) Freeze() { b.process.Freeze() }

// Thaw implements Balancer.
func (b *Stack) Thaw() { b.process.Thaw() }

// Proxy implements Balancer.
func (b *Stack) Proxy() int { return b.process.Child("stack-lb") }

// Net is the process that holds the addresses, 0 if there is none.
func (b *Stack) Net() int { return b.process.Child("stack-net") }

// Process is the supervisor.
func (b *Stack) Process() *Process { return b.process }

// State implements Balancer: that of all groups, or "mixed".
func (b *Stack) State() string {
	states := map[float64]string{0: "fault", 1: "backup", 2: "master"}
	state := ""
	for _, name := range b.site.groups() {
		v, err := b.site.Metric(b.node, "stack_vip_state", `vip="`+name+`"`)
		switch {
		case err != nil:
			return ""
		case state == "":
			state = states[v]
		case state != states[v]:
			return "mixed"
		}
	}
	return state
}

// groups are the names in the list vip of the site.
func (s *Site) groups() (names []string) {
	for _, part := range strings.Split(s.VIP, "name: ")[1:] {
		name, _, _ := strings.Cut(part, ",")
		names = append(names, strings.TrimSpace(name))
	}
	return names
}
