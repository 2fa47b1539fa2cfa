package db

import (
	"context"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stack/appliance/config"
	"stack/roles/db/group"
	"stack/roles/internal/dbcheck"
	"stack/tls"
)

// ensure makes what the configuration asks for: at once where this is the only database server of
// the site, else when it is the primary. Root's account is each server's own; its password can change
// only at a start here, later by setRoot.
func (r *Role) ensure(ctx context.Context, node *config.Node, root string, users []user) (undo func(), err error) {
	nothing := func() {}
	switch {
	case len(node.Databases()) < 2:
		if r.current.Load() == nil {
			if err := r.data.ensureRoot(ctx, root); err != nil {
				return nothing, err
			}
		}
		return r.data.ensure(ctx, node, users)
	case r.data.member != nil:
		if r.isOpen() {
			return r.data.ensure(ctx, node, users)
		}
		return nothing, nil // made when it is opened
	}
	key, err := tls.ReadKey(node.TLS.SecretsDir, "replication.key")
	if err != nil {
		return nothing, err
	}
	if !r.data.db.ReadOnly() {
		if err := r.data.ensureRoot(ctx, root); err != nil {
			return nothing, err
		}
	}
	password := group.Password(key)
	if r.data.member, err = newMember(node, r.data, r.env.Log, password); err != nil {
		return nothing, err
	}
	r.data.member.opened = r.opened
	r.data.member.demoted = r.demoted
	balancer, err := tls.BalancerKey(node.TLS.SecretsDir)
	if err != nil {
		return nothing, err
	}
	r.data.engine.SetSite(password, dbcheck.Password(balancer), r.data.member, r.data.member.role, r.data.member.serves, r.data.member.shown)
	if r.data.member.others, err = remotes(node, password); err != nil {
		return nothing, err
	}
	// A primary that was started anew beside servers that live is open before clients are served.
	m := r.data.member
	states, answered := m.learn(ctx)
	if err := m.overtaken(states); err != nil {
		return nothing, err
	}
	_ = m.openWhereAllowed(ctx, answered, 0) // what keeps it closed is told by govern
	_ = m.follow(states)                     // as is what keeps it from following
	if m.leaving {
		return nothing, errAnew
	}
	m.restart = r.restart
	return nothing, nil
}

// isOpen reports whether this server is the primary of its site.
func (r *Role) isOpen() bool {
	s, _ := r.data.member.State(context.Background())
	return s.Open
}

// setRoot gives root the password of a configuration that is in force: one that was refused
// must not have changed it.
func (r *Role) setRoot(root string) {
	if r.data.member != nil && !r.isOpen() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rootTimeout)
	defer cancel()
	if err := r.data.ensureRoot(ctx, root); err != nil {
		r.env.Log.Error("root keeps its old password; the next reload tries again", "error", err)
	}
}

// rootTimeout is how long a reload waits for root's password: its commit may wait for replicas.
const rootTimeout = 10 * time.Second

// errAnew: the database has to be opened anew, which takes back what the primary lacks.
var errAnew = errors.New("the primary lacks transactions of this server")

// sameSite refuses to change who the database servers of a site are while they run.
func sameSite(old, next *config.Node) error {
	was, is := old.Databases(), next.Databases()
	for _, list := range [][]config.Member{was, is} {
		slices.SortFunc(list, func(a, b config.Member) int { return strings.Compare(a.Name, b.Name) })
	}
	if slices.EqualFunc(was, is, func(a, b config.Member) bool { return a.Name == b.Name && a.DB == b.DB }) {
		return nil
	}
	return errors.New("the nodes of the role db cannot change while the database runs: restart the node")
}

// joinSite begins to work with the other database servers, and takes over what commits wait for.
func (r *Role) joinSite(first bool, st *state) {
	m := r.data.member
	if m == nil {
		return
	}
	if err := m.setPolicy(ackPolicy(st.node)); err != nil {
		r.env.Log.Error("commits wait for the replicas that they waited for before", "error", err)
	}
	if !first {
		return
	}
	if r.isOpen() {
		r.opened()
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stopSite = stop
	r.site.Go(func() { m.govern(ctx) })
}

// leaveSite ends that, and drops the commits that would wait.
func (r *Role) leaveSite() {
	if r.stopSite != nil {
		r.stopSite()
		r.site.Wait()
		r.stopSite = nil
	}
	if r.data != nil {
		r.data.db.DropUnacknowledged()
	}
}

// remotes are the other database servers of the site.
func remotes(node *config.Node, password string) ([]group.Member, error) {
	path := filepath.Join(node.TLS.SecretsDir, "ca.crt")
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the CA of the site: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate: restore it from a backup", path)
	}
	var list []group.Member
	for _, x := range node.Databases() {
		if x.Name != node.Name {
			list = append(list, group.NewRemote(x.Name, x.DB, password, &ctls.Config{RootCAs: pool, MinVersion: ctls.VersionTLS12}))
		}
	}
	return list, nil
}

// opened makes what the configuration asks for, once the server is the primary.
func (r *Role) opened() {
	st := r.current.Load()
	if st == nil {
		return
	}
	ctx, done, err := r.jobs.begin(context.Background())
	if err != nil {
		return // it stops
	}
	go func() {
		defer done()
		root, users, err := passwords(st.node, true)
		if err == nil {
			err = r.data.ensureRoot(ctx, root)
		}
		if err == nil {
			_, err = r.data.ensure(ctx, st.node, users)
		}
		if err != nil && ctx.Err() == nil {
			r.env.Log.Error("what the configuration asks for was not made in the database; the next reload tries again", "error", err)
		}
	}()
}

// demoted closes the sessions of clients: their pools would go on with a server that refuses
// what they write. Statements under way end without an answer, not with 1317: applications repeat on a new
// connection what was lost with the old one, and take an error for the end.
func (r *Role) demoted() {
	for _, id := range r.data.engine.Clients() {
		r.server.Drop(id)
	}
}

// restart starts the process anew.
func (r *Role) restart() {
	if r.env.Restart == nil {
		r.env.Log.Error("nobody starts this server anew: restart it")
		return
	}
	r.env.Restart()
}

// PromoteRequest is the body of POST /v1/db/promote.
type PromoteRequest struct {
	Force bool `json:"force"`
}

// promote serves POST /v1/db/promote, with group.Promoted as its answer.
func (r *Role) promote(w http.ResponseWriter, q *http.Request) {
	st := r.current.Load()
	if st == nil {
		refuse(w, http.StatusServiceUnavailable, errNotOpen)
		return
	}
	var body PromoteRequest
	if err := decode(q, &body); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`the body is {"force": false}: %w`, err))
		return
	}
	m := r.data.member
	if m == nil {
		refuse(w, http.StatusConflict, errors.New("the site has one database server: there is nobody to promote"))
		return
	}
	ctx, done := r.alone(w, q, &r.jobs.promotion, "another promotion runs here: wait for its end")
	if done == nil {
		return
	}
	defer done()
	p := group.Promotion{Self: m.name, Need: st.node.AckNeed(), Degrades: !ackPolicy(st.node).Strict, Force: body.Force, Members: append([]group.Member{m}, m.others...)}
	start := time.Now()
	promoted, err := p.Run(ctx)
	if err != nil {
		r.env.Log.Error("no server was promoted", "forced", body.Force, "error", err)
		refuse(w, http.StatusConflict, err)
		return
	}
	r.env.Log.Info("a server was promoted", "primary", promoted.Primary, "epoch", promoted.Epoch, "before", promoted.Before,
		"proved", promoted.Proved, "missing", promoted.Missing, "took", time.Since(start))
	answer(w, promoted)
}
