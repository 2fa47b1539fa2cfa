package vip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	Engine savedState                  `json:"engine"`
	Others map[string]supervise.Health `json:"others"`
	Failed []string                    `json:"failed"` // of the tracker
	States map[string]string           `json:"states"` // by group
}

func (from handOver) holding(group string) bool {
	return slices.ContainsFunc(from.Engine.Groups, func(g savedGroup) bool { return g.Name == group && g.Master })
}

// awaitOld bounds the wait for the process before, which is told to hand over as soon as
// this one is ready. It may have died, or be of a version that leaves by itself.
const awaitOld = 2 * time.Second

// await keeps what is prepared until the process before hands over.
func (r *Role) await(list []plan, groups []*group) {
	if r.groups == nil {
		time.AfterFunc(awaitOld, func() {
			r.succeed(handOver{}, errors.New("the process before did not hand over in time"))
		})
	}
	for _, g := range r.groups { // of an earlier config
		g.close()
	}
	r.plans, r.groups = list, groups
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
	if r.begun {
		return
	}
	if err != nil {
		r.env.Log.Warn("the virtual addresses may move", "err", err)
	}
	if r.begin(from) {
		r.serve(r.plans, r.groups, from.holding)
	}
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
	if r.engine == nil {
		return false
	}
	err := r.send(next)
	if err != nil {
		r.env.Log.Warn("the virtual addresses move: no hand-over to the next process", "err", err)
		return false
	}
	if err := r.engine.abandon(); err != nil {
		r.env.Log.Warn("close the sockets of virtual addresses", "err", err)
	}
	r.engine, r.groups = nil, nil
	r.tracker.close()
	return true
}

func (r *Role) send(next *sockets.Passage) error {
	text, err := r.engine.state()
	if err != nil {
		return err
	}
	from := handOver{Others: r.others, Failed: r.tracker.failed(), States: map[string]string{}}
	for _, v := range *r.engine.view.Load() {
		from.States[v.Name] = v.State
	}
	if from.Engine, err = parseState(text); err != nil {
		return err
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
