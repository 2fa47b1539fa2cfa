package apply

import (
	"context"
	"fmt"
	"io"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// FromLog gives what a log holds now, as a Source. The reader stays the caller's.
func FromLog(r *binlog.Reader) Source { return logSource{r} }

type logSource struct{ r *binlog.Reader }

func (s logSource) Next(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ev, err := s.r.TryNext()
	if err != nil {
		return nil, err
	}
	if ev == nil {
		return nil, io.EOF
	}
	if err := event.Verify(ev.Bytes); err != nil {
		return nil, fmt.Errorf("the binary log is damaged at %s: %w", ev.Position, err)
	}
	return ev.Bytes[:len(ev.Bytes)-event.ChecksumSize], nil
}
