package exchange

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// HandOver drains the set as a role's process does: what has not ended after t.Drain is
// cut, tunnels after t.TunnelDrain. With next a newer generation goes on, and idle plain
// connections are passed to it with what Point.Adopt is to know; without it this is a
// plain stop.
func (s *Set) HandOver(ctx context.Context, next *sockets.Passage, t config.Timeouts) error {
	defer time.AfterFunc(t.Drain, func() { s.Cut(false) }).Stop()
	defer time.AfterFunc(t.TunnelDrain, func() { s.Cut(true) }).Stop()
	if next == nil {
		return s.Drain(ctx, nil)
	}
	return s.Drain(ctx, func(fd int, meta []byte) bool {
		if next.Send(fd, meta) != nil {
			return false
		}
		unix.Close(fd)
		return true
	})
}
