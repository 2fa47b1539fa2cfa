package web

import (
	"context"
	"time"

	"stack/roles/web/fastcgi"
)

const (
	// refreshEvery is how often roots and error pages are looked at.
	refreshEvery = time.Second
	// resolveEvery is how often the names of application servers are looked up; one that
	// was never resolved is tried at each refresh.
	resolveEvery = 30 * time.Second
)

// maintain replaces the upkeep of the generation before: certificates, roots that may
// lead elsewhere now, error pages that may have changed.
func (r *Role) maintain(g *generation) {
	ctx, cancel := context.WithCancel(context.Background())
	if r.stopping != nil {
		r.stopping()
	}
	r.stopping = cancel
	if g.certs != nil {
		r.upkeep.Go(func() { g.certs.Maintain(ctx, r.log) })
	}
	loops := r.loops
	r.upkeep.Go(func() {
		tick := time.NewTicker(refreshEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				g.refresh(r.log)
				for _, ls := range loops {
					ls.expire()
				}
			}
		}
	})
	for _, a := range g.apps {
		r.upkeep.Go(func() { keepResolved(ctx, a) })
	}
}

// keepResolved follows the name of an application server until ctx ends.
func keepResolved(ctx context.Context, a *fastcgi.App) {
	for {
		a.Resolve(ctx)
		wait := resolveEvery
		if !a.Known() {
			wait = refreshEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
