package vip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/sockets"
	"stack/appliance/supervise"
)

// handOver is what a net child that is replaced by an upgrade tells the next one, so that
// no address moves. The next has its sockets open by then; between the last advert of the
// one and the first of the other lie a few milliseconds.
type handOver struct {
	Engine  savedState                  `json:"engine"`
	Others  map[string]supervise.Health `json:"others"`
	Tracked map[string]bool             `json:"tracked"` // verdicts of the tracker
	States  map[string]string           `json:"states"`  // by group
	Untold  []string                    `json:"untold"`  // groups whose hooks do not know the state yet
	Heard   map[string]uint64           `json:"heard"`   // numbers of authenticated adverts
}

func (from handOver) holding(group string) bool {
	return slices.ContainsFunc(from.Engine.Groups, func(g savedGroup) bool { return g.Name == group && g.Master })
}

const (
	// awaitOld bounds the wait for the process before once it was told to hand over. It may
	// be stuck, or of a version that leaves by itself.
	awaitOld = 2 * time.Second
	// awaitPassage bounds the wait for that order, before which the supervisor looks at this
	// process (supervise.Timing.Watchdog). Who begins too early takes the addresses from one
	// that holds them.
	awaitPassage = 10 * time.Second
)

// await keeps what is prepared until the process before hands over.
func (r *Role) await(list []plan, groups []*group) {
	if r.patience == nil {
		r.patience = time.AfterFunc(awaitPassage, func() {
			r.succeed(handOver{}, errors.New("the process before did not hand over in time"))
		})
	}
	for _, g := range r.groups { // of an earlier config
		g.close()
	}
	r.plans, r.groups = list, groups
	r.warm() // so that less is left to do between the two; begin tries again
}

// PassageChanged implements supervise.Heir.
func (r *Role) PassageChanged(open bool) {
	if !open {
		r.succeed(handOver{}, errors.New("the process before ended without a hand-over"))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.patience != nil && !r.begun.Load() {
		r.patience.Reset(awaitOld)
	}
}

// Adopt implements supervise.Role: what arrives is the hand-over.
func (r *Role) Adopt(fd int, meta []byte) {
	unix.Close(fd)
	from, err := parseHandOver(meta)
	r.succeed(from, err)
}

// parseHandOver reads the state of the process before, which may be of another version.
func parseHandOver(b []byte) (from handOver, err error) {
	if err := json.Unmarshal(b, &from); err != nil {
		return handOver{}, fmt.Errorf("state of the process before: %w", err)
	}
	return from, nil
}

// succeed begins to serve, unless that was begun already. After an error it begins like
// one that was never there: it listens first.
func (r *Role) succeed(from handOver, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun.Load() {
		return
	}
	if r.patience != nil {
		r.patience.Stop()
	}
	if err != nil {
		r.env.Log.Warn("the virtual addresses may move", "err", err)
	}
	if !r.begin(from) {
		return
	}
	for _, g := range r.groups {
		if g.auth != nil {
			g.auth.learn(g.router.vrid, from.Heard)
		}
	}
	r.serve(r.plans, r.groups, from.holding)
	r.running().tellFaults(from.States)
}

// Drain hands over to a newer process, or gives the addresses away. It returns when the
// hooks have ended, too.
func (r *Role) Drain(ctx context.Context, next *sockets.Passage) error {
	var err error
	if next == nil || !r.leave(next) {
		err = r.Close()
	}
	return errors.Join(err, r.hooks.wait(ctx))
}

// leave ends silently once the next process knows everything; false: it does not.
func (r *Role) leave(next *sockets.Passage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.running()
	if e == nil {
		return false
	}
	heard, last := e.numbers()
	if err := r.send(e, heard, next); err != nil {
		r.env.Log.Warn("the virtual addresses move: no hand-over to the next process", "err", err)
		return false
	}
	e.abandon()
	r.ended(heard, last)
	r.hooks.set(nil) // the next process tells what they have not
	return true
}

func (r *Role) send(e *engine, heard map[string]uint64, next *sockets.Passage) error {
	from := handOver{Engine: e.state(), Others: map[string]supervise.Health{}, Tracked: r.tracker.verdicts(), States: map[string]string{}, Untold: r.hooks.untold(), Heard: heard}
	r.health.Lock()
	maps.Copy(from.Others, r.others)
	r.health.Unlock()
	for _, v := range *e.view.Load() {
		from.States[v.Name] = v.State
	}
	meta, err := json.Marshal(from)
	if err != nil {
		return err
	}
	// A passage carries descriptors; what counts here travels beside one.
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	return next.Send(int(null.Fd()), meta)
}
