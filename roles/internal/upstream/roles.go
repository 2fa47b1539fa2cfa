package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"stack/roles/internal/dbcheck"
	stacktls "stack/tls"
)

// Roles that a check of type mysql may ask for.
const (
	rolePrimary = "primary"
	roleReplica = "replica"
)

// siteAccess is how the database servers of the site are asked for their roles.
type siteAccess struct {
	pem      string // of the CA
	roots    *x509.CertPool
	password string
}

// readSite reads what is needed for that from the secrets directory.
func readSite(dir string) (*siteAccess, error) {
	key, err := stacktls.BalancerKey(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "ca.crt")
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the CA of the site: %w", err)
	}
	a := &siteAccess{pem: string(pem), roots: x509.NewCertPool(), password: dbcheck.Password(key)}
	if !a.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate: restore it from a backup", path)
	}
	return a, nil
}

func (a *siteAccess) equal(b *siteAccess) bool {
	return a == b || a != nil && b != nil && a.pem == b.pem && a.password == b.password
}

// probeMySQL greets the server of this name and, where a role matters, asks it. conn has a deadline.
func (c checkSpec) probeMySQL(ctx context.Context, conn net.Conn, name string) CheckResult {
	if c.role == "" {
		g, _, err := dbcheck.ReadGreeting(conn)
		if err != nil {
			return CheckResult{Text: plainError(err, c.timeout)}
		}
		return CheckResult{OK: true, Text: "greeted by " + g.Version}
	}
	said, err := dbcheck.Ask(ctx, conn, c.site.password, &tls.Config{RootCAs: c.site.roots, ServerName: name, MinVersion: tls.VersionTLS12})
	switch {
	case err != nil:
		return CheckResult{Text: plainError(err, c.timeout)}
	case said.Name != name:
		return CheckResult{Text: fmt.Sprintf("answers as %q: servers of this pool bear the names of their nodes", said.Name)}
	}
	return CheckResult{OK: true, Text: said.String(), said: &said}
}

// roles is what the servers of a pool have said of themselves, where their check asks for a role.
type roles struct {
	mu   sync.Mutex // not taken by a loop; before Server.mu and Pool.mu
	role string     // empty: the pool has none
	lag  time.Duration
	left []*Server // that are not in the configuration any more and may have sessions; only with rolePrimary
}

// claim is what a server has said last. Guarded by roles.mu of its pool.
type claim struct {
	name  string         // of the server
	said  *dbcheck.State // nil: nothing yet
	heard bool           // it still answers
	text  string         // of the last check
}

// knowsLag reports whether the server answers as a replica of this epoch that knows how far it is behind. Without a primary that is
// the time since it had all.
func (c claim) knowsLag(epoch uint64) bool {
	return c.heard && !c.said.Open && c.said.Epoch == epoch && c.said.LagKnown
}

// verdict is what follows for a server.
type verdict struct {
	up     bool
	resort bool // taken only where no other server is
	cut    bool // its sessions are ended: it must not be written to
	text   string
	// but is why a server that answers is not used, where that is not what it says of itself; a part of text.
	but string
}

// except adds to the text why the server is not used.
func (v *verdict) except(format string, args ...any) {
	v.but = fmt.Sprintf(format, args...)
	v.text += ", " + v.but
}

// decide says which servers may be used as role. before is what held until now. The primary is the one that
// says it is, of the highest epoch that any server has told, whether it still answers or not: a
// server that accepted an epoch has ended all lower ones. primary is its index, -1: there is none.
func decide(role string, maxLag time.Duration, claims []claim, before []verdict) (list []verdict, primary int) {
	top, topOf := uint64(0), -1
	for i, c := range claims {
		if c.said != nil && (topOf < 0 || c.said.Epoch > top) {
			top, topOf = c.said.Epoch, i
		}
	}
	primary = -1
	for i, c := range claims {
		if primary < 0 && c.heard && c.said.Open && c.said.Epoch == top {
			primary = i
		}
	}
	newest := time.Duration(math.MaxInt64) // the least lag of a replica
	for _, c := range claims {
		if c.knowsLag(top) {
			newest = min(newest, c.said.Lag)
		}
	}
	list = make([]verdict, len(claims))
	for i, c := range claims {
		v := &list[i]
		v.text = c.text
		switch {
		case i == primary:
			v.up, v.resort = true, role == roleReplica
		case c.heard && c.said.Open:
			v.except("but %s has accepted epoch %d", claims[topOf].name, top)
			v.cut = true
		case role == rolePrimary:
			// One that is silent keeps its sessions until another has taken over: perhaps it is only slow.
			v.cut = primary >= 0 || c.heard
		case !c.heard:
		case primary < 0:
			// Nothing newer is answered meanwhile, so a replica stays what it was, and those that have as much come too: a
			// balancer that has just begun knows of no other.
			v.up = before[i].up && !before[i].resort || c.knowsLag(top) && c.said.Lag-newest <= maxLag
		case c.said.Epoch != top:
			v.except("but %s has accepted epoch %d", claims[topOf].name, top)
		case !c.said.Follows || !c.said.LagKnown:
		case c.said.Lag > maxLag:
			v.except("more than check.max_lag %v", maxLag)
		default:
			v.up = true
		}
	}
	return list, primary
}

// claim is what the first check of the server found.
func (sp *serverPlan) claim() claim {
	if sp.first == nil {
		return claim{name: sp.server.name, text: "has not answered yet"}
	}
	return claim{name: sp.server.name, said: sp.first.said, heard: sp.first.OK, text: sp.first.Text}
}

// keepsServing refuses to ask the servers of a pool that is in use for their roles before one of them can be used by what it says:
// database servers that run by a configuration with one of them know no balancers.
func (plan *poolPlan) keepsServing() error {
	if !plan.newRole() || !plan.pool.Usable() {
		return nil
	}
	claims := make([]claim, len(plan.servers))
	for i := range plan.servers {
		claims[i] = plan.servers[i].claim()
	}
	list, _ := decide(plan.check.role, plan.check.lag, claims, make([]verdict, len(claims)))
	var said []string
	for i, v := range list {
		if v.up {
			return nil
		}
		said = append(said, claims[i].name+": "+v.text)
	}
	return fmt.Errorf("check.role %s would leave no server in rotation (%s); restart the database servers with this configuration first, then reload the balancers",
		plan.check.role, strings.Join(said, "; "))
}

// newRole reports whether the servers of the pool were asked for no role before, or another one.
func (plan *poolPlan) newRole() bool {
	if plan.check.role == "" {
		return false
	}
	plan.pool.roles.mu.Lock()
	defer plan.pool.roles.mu.Unlock()
	return plan.pool.roles.role == ""
}

// wants is which role the servers of the pool are asked for.
func (p *Pool) wants() string {
	p.roles.mu.Lock()
	defer p.roles.mu.Unlock()
	return p.roles.role
}

// asks reports whether the servers of the pool are asked for their roles.
func (p *Pool) asks() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.check.role != ""
}

// commitRoles takes over which role is asked for, and what the first checks found.
func (p *Pool) commitRoles(plan *poolPlan) {
	p.roles.mu.Lock()
	had := p.roles.role
	p.roles.role, p.roles.lag = plan.check.role, plan.check.lag
	for _, sp := range plan.servers {
		if plan.check.role == "" {
			sp.server.claim = claim{}
			sp.server.resort.Store(false)
		} else if sp.first != nil {
			sp.server.claim = sp.claim()
		}
	}
	if plan.check.role != rolePrimary {
		p.roles.left = nil
	}
	p.roles.mu.Unlock()
	if had != "" && plan.check.role == "" {
		p.refresh()
	}
	p.judge()
}

// hear takes what a check of the server found. gone: it failed so often that the server counts as
// not there. Off the loops.
func (p *Pool) hear(s *Server, r CheckResult, gone bool) {
	p.roles.mu.Lock()
	c := &s.claim
	c.name, c.text = s.name, r.Text
	switch {
	case r.said != nil:
		c.said, c.heard = r.said, true
	case gone:
		c.heard = false
	}
	p.roles.mu.Unlock()
	p.judge()
}

// unhear forgets a server, which the operator took out: what it has said binds nobody then.
func (p *Pool) unhear(s *Server) {
	p.roles.mu.Lock()
	s.claim = claim{name: s.name, text: "in maintenance"}
	p.roles.mu.Unlock()
	p.judge() // which wakes nobody in maintenance
}

// judge puts the servers into and out of rotation by what all of them have said. Those that come do so
// before others go, so that a change of roles never leaves the pool empty.
func (p *Pool) judge() {
	p.roles.mu.Lock()
	defer p.roles.mu.Unlock()
	if p.roles.role == "" {
		return
	}
	servers := p.Servers()
	claims, before := make([]claim, len(servers)), make([]verdict, len(servers))
	for i, s := range servers {
		claims[i], before[i] = s.claim, verdict{up: s.Up(), resort: s.resort.Load()}
	}
	after, primary := decide(p.roles.role, p.roles.lag, claims, before)
	turned := false
	for i, s := range servers {
		turned = s.resort.Swap(after[i].resort) != after[i].resort || turned
	}
	if turned {
		p.refresh()
	}
	for _, up := range []bool{true, false} {
		for i, s := range servers {
			if after[i].up == up {
				s.judged(after[i])
			}
		}
	}
	for i, s := range servers {
		if primary < 0 && p.roles.role == rolePrimary && s.Admin() != Maint {
			s.kick() // it may be another one soon
		}
		if after[i].cut {
			p.cut(s, after[i].text)
		}
	}
	p.roles.left = slices.DeleteFunc(p.roles.left, func(s *Server) bool {
		// Another address of the same server says nothing about the sessions at the old one.
		if primary >= 0 && servers[primary].name != s.name {
			p.cut(s, "left the configuration, and "+servers[primary].name+" is the primary")
		}
		return s.InFlight() == 0
	})
}

// leave keeps a server that has left the configuration until its sessions have ended: where another becomes the primary, they are.
func (p *Pool) leave(s *Server) {
	p.roles.mu.Lock()
	defer p.roles.mu.Unlock()
	if p.roles.role == rolePrimary && s.InFlight() > 0 {
		p.roles.left = append(p.roles.left, s)
	}
}

// judged puts the server into or out of rotation, and keeps why. That it answers and is not used is logged once, unless it goes out
// of rotation by that, which is logged anyway. roles.mu of the pool is held.
func (s *Server) judged(v verdict) {
	changed := s.setUp(v.up, v.text)
	s.mu.Lock()
	s.reason = v.text
	s.mu.Unlock()
	if v.but != s.but && v.but != "" && !changed {
		s.pool.set.log.Warn("server answers and is not used", "backend", s.pool.name, "server", s.name, "reason", v.text)
	}
	s.but = v.but
}

// cut ends the sessions on a server that must not be written to.
func (p *Pool) cut(s *Server, reason string) {
	conn := s.conn.Load()
	if conn == nil || s.InFlight() == 0 || p.set.cut == nil {
		return
	}
	p.set.log.Warn("sessions ended: the server is not the primary", "backend", p.name, "server", s.name, "sessions", s.InFlight(), "reason", reason)
	p.set.cut(conn)
}

// answers reports whether the server is up for those who look at it: where roles are asked for, most servers answer and are not used.
func (s *Server) answers() bool {
	r := &s.pool.roles
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.role == "" {
		return s.Up()
	}
	return s.claim.heard
}
