package dump

import (
	"context"
	"errors"
	"fmt"
	"math"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// openWithin opens the log within a transaction where a MariaDB replica has counted up to an offset
// there, and says from which offset it counts on; false: it begins between two transactions, or the file is
// not there.
func (s *Source) openWithin(ctx context.Context, st *Stream, file string, offset uint64) (on uint64, within bool, err error) {
	number, err := binlog.ParseFileName(file)
	if err != nil {
		return 0, false, nil // said by who opens it
	}
	at := binlog.Position{File: number, Offset: offset}
	var begins []uint64
	if s.beyond(at) {
		begins, err = s.apartAt(ctx, st.dialect.checksum, at)
	} else {
		begins, err = s.transactionAt(ctx, at)
	}
	switch {
	case errors.Is(err, binlog.ErrNoFile) || errors.Is(err, binlog.ErrPurged):
		return 0, false, nil // the same
	case err != nil || len(begins) == 0:
		return 0, false, err
	case len(begins) > 1:
		return 0, false, errWhere(at, "which may be in several transactions")
	}
	if st.reader, err = s.log.Open(binlog.Position{File: number, Offset: begins[0]}); err != nil {
		return 0, false, err
	}
	told, found, err := st.dialect.follow(ctx, st.reader, at)
	if err == nil && !found {
		err = errWhere(at, "at which no event begins")
	}
	if err != nil {
		st.reader.Close()
		return 0, false, err
	}
	if told {
		offset = st.reader.Position().Offset
	}
	return offset, true, nil
}

func errWhere(at binlog.Position, what string) error {
	return Refused(fmt.Sprintf("bogus data in log event; the reader asked for a position %s: %s. "+
		"Let it begin at the end of the last transaction that it has executed", what, at))
}

// beyond reports whether a position is apart from all that its file holds.
func (s *Source) beyond(at binlog.Position) bool {
	if at.Offset < apart {
		return false
	}
	for _, f := range s.log.Files() {
		if f.Number == at.File {
			return f.Size < apart
		}
	}
	return false
}

// scan shows visit the events of a file that come next, until it is done or the file ends. There may be many: the end of ctx is an
// error.
func scan(ctx context.Context, r *binlog.Reader, file uint32, visit func(ev *binlog.Event) (done bool, err error)) error {
	for n := 0; ; n++ {
		if n%skipSlice == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		ev, err := r.TryNext()
		if err != nil || ev == nil || ev.File != file {
			return err
		}
		if done, err := visit(ev); done || err != nil {
			return err
		}
	}
}

// follow translates the transaction at which r is as far as a replica has it that has counted up to at. told: it has
// all of it, and has to be told where it is.
func (m *mariadb) follow(ctx context.Context, r *binlog.Reader, at binlog.Position) (told, found bool, err error) {
	first := true
	err = scan(ctx, r, at.File, func(ev *binlog.Event) (done bool, err error) {
		if (event.Type(ev.Bytes[4]) == event.TypeGTID) != first {
			return true, nil
		}
		first = false
		t, err := m.translate(nil, ev)
		// A position has 32 bits, whatever was counted.
		if err == nil && m.count&math.MaxUint32 == at.Offset {
			told, found = t.told, true
		}
		return found, err
	})
	return told, found, err
}

// transactionAt is where the transaction begins within which an offset is: behind its beginning and before
// its end. Empty: there is none.
func (s *Source) transactionAt(ctx context.Context, at binlog.Position) (begins []uint64, err error) {
	r, err := s.log.Open(binlog.Position{File: at.File})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	found := false
	err = scan(ctx, r, at.File, func(ev *binlog.Event) (done bool, err error) {
		switch event.Type(ev.Bytes[4]) {
		case event.TypeGTID:
			if begins = nil; ev.Offset < at.Offset {
				begins = []uint64{ev.Offset}
			}
		case event.TypeFormatDescription, event.TypePreviousGTIDs, event.TypeRotate:
			begins = nil
		}
		found = ev.End > at.Offset
		return found, nil
	})
	if err != nil || !found {
		return nil, err
	}
	return begins, nil
}

// apartAt are where the transactions begin within which a replica may have counted up to a position that is apart.
func (s *Source) apartAt(ctx context.Context, checksum int, at binlog.Position) (begins []uint64, err error) {
	r, err := s.log.Open(binlog.Position{File: at.File})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	m := mariadb{checksum: checksum}
	err = scan(ctx, r, at.File, func(ev *binlog.Event) (done bool, err error) {
		if event.Type(ev.Bytes[4]) == event.TypeGTID && ev.Offset > at.Offset-apart {
			return true, nil
		}
		if _, err := m.translate(nil, ev); err != nil {
			return false, err
		}
		if m.apart && m.count&math.MaxUint32 == at.Offset && (len(begins) == 0 || begins[len(begins)-1] != m.begin) {
			begins = append(begins, m.begin)
		}
		return false, nil
	})
	return begins, err
}
