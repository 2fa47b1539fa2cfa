package db

import (
	"context"
	"errors"
	"sync"
	"time"

	"stack/roles/db/group"
)

const (
	// governEvery is how often a server asks the others for their terms.
	governEvery = time.Second
	// openAlone is how long a primary waits for another server to answer before it takes
	// writes without, where commits may go on without acknowledgements anyway.
	openAlone = 30 * time.Second
)

// govern keeps the member in the newest term that any server of the site knows, opens it
// where it is the primary, and follows the primary where it is not. It ends with ctx.
func (m *member) govern(ctx context.Context) {
	begun := time.Now()
	defer m.seeder.end(false)
	tick := time.NewTicker(governEvery)
	defer tick.Stop()
	last := ""
	for {
		states, answered := m.learn(ctx)
		if ctx.Err() != nil {
			return
		}
		err := m.overtaken(states)
		if err == nil {
			err = m.openWhereAllowed(ctx, answered, time.Since(begun))
		}
		if err == nil {
			err = m.follow(states)
		}
		if err == nil {
			err = m.tidy()
		}
		m.reseed(ctx, states)
		if text := errorText(err); text != last {
			last = text
			m.mu.Lock()
			m.trouble = text
			m.mu.Unlock()
			if text != "" {
				m.log.Error("the server cannot take its role: " + text)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.hurry:
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// learn asks the others, and enters the highest term that one of them knows. It returns their
// states, nil for who has not answered, and how many have.
func (m *member) learn(ctx context.Context) (states []*group.State, answered int) {
	own, err := m.known()
	m.mu.Lock()
	known := m.term.Epoch
	if err == nil {
		m.asked = own
	}
	m.mu.Unlock()
	if epoch := m.data.db.Epoch(); epoch > known { // an acknowledgement has carried it
		if _, err := m.Accept(ctx, epoch, ""); err != nil {
			m.log.Error("a higher epoch was not entered", "epoch", epoch, "error", err)
		}
	}
	states = make([]*group.State, len(m.others))
	var wait sync.WaitGroup
	for i, o := range m.others {
		wait.Go(func() {
			if s, err := o.State(ctx); err == nil {
				states[i] = &s
			}
		})
	}
	wait.Wait()
	for _, s := range states {
		if s == nil {
			continue
		}
		answered++
		own, _ := m.State(ctx)
		primary := s.Primary
		if primary == m.name && (s.Epoch > own.Epoch || s.Epoch == own.Epoch && own.Primary == "") {
			// It keeps that it is the primary before it tells anybody: this is another disk, empty or older.
			m.mu.Lock()
			m.forgot = true
			m.mu.Unlock()
			primary = ""
		}
		if s.Epoch < own.Epoch || s.Epoch == own.Epoch && (own.Primary != "" || primary == "") {
			continue
		}
		if _, err := m.Accept(ctx, s.Epoch, primary); err != nil {
			m.log.Error("the term of another server was not accepted", "server", s.Name, "epoch", s.Epoch, "error", err)
		}
	}
	m.data.db.Asked()
	return states, answered
}

// openWhereAllowed opens a primary that was started anew. Where another server has answered, no
// higher epoch is known. Under strict nothing is answered without an acknowledgement that carries
// the epoch. Else it waits for somebody, and opens alone in the end.
func (m *member) openWhereAllowed(ctx context.Context, answered int, waited time.Duration) error {
	m.mu.Lock()
	t, open, policy, forgot := m.term, m.open, m.policy, m.forgot
	m.mu.Unlock()
	if forgot && t.Primary == "" {
		return errors.New("the other servers know this one as the primary, and its data directory does not: it is not the one that it had, so it takes no writes; run stack db promote")
	}
	if t.Lost != "" {
		return errors.New(t.Lost)
	}
	fresh := t == term{}
	if fresh {
		t.Primary = m.first // who answers knows of nobody either
	}
	if t.Primary != m.name || open {
		return nil
	}
	switch {
	case answered > 0:
	case policy.Need > 0 && policy.Strict && !fresh:
	case waited >= openAlone:
		m.log.Error("no other database server answers: this one takes writes without knowing whether another has been promoted", "waited", openAlone)
	default:
		return nil
	}
	return m.Open(ctx, t.Epoch)
}
