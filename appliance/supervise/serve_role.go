package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/sockets"
)

// take keeps sockets that the supervisor sends.
func (s *server) take(fr frame) {
	var groups []socketGroup
	if err := json.Unmarshal(fr.body, &groups); err != nil {
		fr.closeFDs()
		return
	}
	for _, g := range groups {
		n := min(max(g.N, 0), len(fr.fds))
		s.held[g.Addr] = append(s.held[g.Addr], fr.fds[:n]...)
		fr.fds = fr.fds[n:]
	}
	fr.closeFDs()
}

func (s *server) prepare(fr frame) error {
	var req prepareRequest
	if err := json.Unmarshal(fr.body, &req); err != nil {
		return fmt.Errorf("config from the supervisor: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), req.Timeout)
	defer cancel()
	s.calls.Lock()
	defer s.calls.Unlock()
	role := s.role.Load()
	if role == nil {
		r, err := s.spec.New(Env{Node: s.hello.Node, Role: s.hello.Role, Generation: s.hello.Generation, Succeeds: s.hello.Succeeds, Log: s.log.Logger, Metrics: s.metrics, Restart: s.restart})
		if err != nil {
			return err
		}
		role = &r
		s.role.Store(role)
	}
	groups := map[netip.AddrPort][]int{}
	for _, a := range req.Addrs {
		groups[a] = s.held[a]
		if len(groups[a]) == 0 {
			return fmt.Errorf("no socket for %s arrived from the supervisor", a)
		}
	}
	s.offered = req.Addrs
	p := s.spec.process(req.Node)
	s.memory = p.MemoryLimit
	change, err := (*role).Prepare(ctx, req.Node, sockets.NewSet(groups))
	if err != nil {
		s.release(s.committed, 0)
		return err
	}
	change.Commit = s.withSettings(change.Commit, req.Node.Log.Level)
	s.change = &change
	return nil
}

// withSettings adds to a commit what belongs to the process rather than the role.
func (s *server) withSettings(commit func(), level string) func() {
	memory := s.memory
	return func() {
		if memory > 0 {
			debug.SetMemoryLimit(memory)
		}
		if err := s.log.SetLevel(level); err != nil {
			s.log.Error("log level unchanged", "error", err)
		}
		commit()
	}
}

func (s *server) commit() error {
	if s.change == nil {
		return errors.New("nothing is prepared")
	}
	s.calls.Lock()
	s.change.Commit()
	s.calls.Unlock()
	s.change = nil
	s.committed = s.offered
	s.release(s.committed, socketLinger)
	select {
	case <-s.serving:
	default:
		close(s.serving)
	}
	return nil
}

func (s *server) abort() {
	if s.change != nil {
		s.calls.Lock()
		s.change.Abort()
		s.calls.Unlock()
		s.change = nil
	}
	s.release(s.committed, 0)
}

// release closes the sockets that keep does not name, after a while.
func (s *server) release(keep []netip.AddrPort, after time.Duration) {
	for addr, fds := range s.held {
		if slices.Contains(keep, addr) {
			continue
		}
		delete(s.held, addr)
		closeFDs := func() {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
		if after == 0 {
			closeFDs()
		} else {
			time.AfterFunc(after, closeFDs)
		}
	}
}

func (s *server) drain(fr frame) {
	var req drainRequest
	var next *sockets.Passage
	if err := json.Unmarshal(fr.body, &req); err != nil {
		s.log.Error("drain", "error", err)
	}
	if len(fr.fds) > 0 {
		next = sockets.PassageFrom(fr.fds[0])
		fr.fds = fr.fds[1:]
		defer next.Close()
	}
	fr.closeFDs()
	role := s.role.Load()
	if role == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), req.Timeout)
	defer cancel()
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.stopAdopting()
	s.calls.Lock()
	defer s.calls.Unlock()
	// A drained generation may live for an hour: it must not keep a port open that a
	// reload meanwhile gave up.
	s.release(nil, socketLinger)
	if err := (*role).Drain(ctx, next); err != nil {
		s.log.Warn("connections were cut at the end of the drain", "error", err)
	}
}

// restart lets the worker end the process behind what it is at.
func (s *server) restart() {
	select {
	case s.again <- struct{}{}:
	default: // it is asked for already
	}
}

// end closes the role and sends the last counters.
func (s *server) end() error {
	var err error
	if role := s.role.Load(); role != nil {
		s.calls.Lock()
		err = (*role).Close()
		s.calls.Unlock()
	}
	s.send(header{Kind: kindClose, Reply: true}, encodeMetrics(s.metrics))
	if err != nil {
		return fmt.Errorf("close of role %s: %w", s.hello.Role, err)
	}
	return nil
}

// adopt serves connections from an older generation until it closes the passage or
// this generation itself has to drain.
func (s *server) adopt(fr frame) {
	if len(fr.fds) != 1 {
		fr.closeFDs()
		return
	}
	p := sockets.PassageFrom(fr.fds[0])
	s.amu.Lock()
	if s.draining {
		s.amu.Unlock()
		p.Close()
		return
	}
	s.passages[p] = struct{}{}
	s.adopting.Add(1)
	s.amu.Unlock()
	go func() {
		defer s.adopting.Done()
		defer func() {
			s.amu.Lock()
			delete(s.passages, p)
			s.amu.Unlock()
			p.Close()
		}()
		select {
		case <-s.serving:
		case <-s.stop:
			return
		}
		s.passageChanged(true)
		for {
			fd, meta, err := p.Receive()
			if err != nil {
				s.passageChanged(false)
				return
			}
			unix.SetNonblock(fd, true)
			s.calls.Lock()
			(*s.role.Load()).Adopt(fd, meta)
			s.calls.Unlock()
		}
	}()
}

// passageChanged tells the role of an older generation, unless it drains itself.
func (s *server) passageChanged(open bool) {
	heir, ok := (*s.role.Load()).(Heir)
	s.amu.Lock()
	draining := s.draining
	s.amu.Unlock()
	if ok && !draining {
		s.calls.Lock()
		defer s.calls.Unlock()
		heir.PassageChanged(open)
	}
}

// stopAdopting takes what is on its way and refuses the rest, which stays with the
// older generation.
func (s *server) stopAdopting() {
	s.amu.Lock()
	s.draining = true
	for p := range s.passages {
		p.StopReceiving()
	}
	s.amu.Unlock()
	s.adopting.Wait()
}
