package group

import (
	"context"
	"fmt"
)

// Switchover is Run for a primary that lives and hands over, on itself: Prefer takes its place if it has all that the
// others have. Where that fails after this server was closed, it takes part and has everything, so it becomes the
// primary again, in yet another epoch; the error says so.
func (p *Promotion) Switchover(ctx context.Context) (*Promoted, error) {
	p.Switch = true
	done, err := p.Run(ctx)
	if err == nil {
		return done, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*answerWithin)
	defer cancel()
	for _, m := range p.Members {
		if m.Name() != p.Self {
			continue
		}
		if s, failed := m.State(ctx); failed == nil && s.Open {
			return nil, fmt.Errorf("%w; nothing was changed", err)
		}
	}
	back := &Promotion{Members: p.Members, Self: p.Self, Need: p.Need, Degrades: p.Degrades, Switch: true, Prefer: p.Self}
	again, failed := back.Run(ctx)
	if failed != nil {
		return nil, fmt.Errorf("%w; nor is there a primary: %w", err, failed)
	}
	return nil, fmt.Errorf("%w; %s is the primary, of epoch %d", err, again.Primary, again.Epoch)
}

// silent is a server that has not answered, and is not waited for again.
type silent struct {
	Member
	err error
}

func (s silent) State(context.Context) (State, error)                   { return State{}, s.err }
func (s silent) Accept(context.Context, uint64, string) (string, error) { return "", s.err }
func (s silent) Open(context.Context, uint64) error                     { return s.err }

// Answering asks all servers at once. It returns them all, of which those that have not answered fail at once from
// then on, and what the others have said, by name.
func Answering(ctx context.Context, members []Member) ([]Member, map[string]State) {
	states := map[string]State{}
	asked := make([]Member, len(members))
	for i, a := range each(ctx, members, func(ctx context.Context, m Member) (State, error) { return m.State(ctx) }) {
		if asked[i] = members[i]; a.err != nil {
			asked[i] = silent{members[i], a.err}
			continue
		}
		states[members[i].Name()] = a.got
	}
	return asked, states
}
