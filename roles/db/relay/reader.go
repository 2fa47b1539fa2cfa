package relay

import "fmt"

// Reader reads the log from what is not applied. It is for one goroutine at a time, which may be another one than the writer's;
// there may be one at a time.
type Reader struct {
	l     *Log
	at    Pos // behind what Next has returned
	cur   cursor
	ahead *Record // what Next returns next
	then  Pos     // behind it
}

// Reader begins to read.
func (l *Log) Reader() *Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Reader{l: l, at: l.start}
}

// Close gives the file free.
func (r *Reader) Close() {
	if r.cur.file != nil {
		_ = r.cur.file.Close() // it was only read
		r.cur.file = nil
	}
}

// At is behind what Next has returned last.
func (r *Reader) At() Pos { return r.at }

// Ready reports whether there is a record.
func (r *Reader) Ready() bool {
	if r.ahead != nil {
		return true
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.l.end.N > r.at.N
}

// Next is the next record, nil where there is none yet. Its events stay as they are.
func (r *Reader) Next() (*Record, error) {
	next, err := r.Peek()
	if next != nil {
		r.at, r.ahead = r.then, nil
	}
	return next, err
}

// Peek is what Next returns next.
func (r *Reader) Peek() (*Record, error) {
	if r.ahead == nil && r.Ready() {
		rec, at, err := r.read()
		if err != nil {
			return nil, fmt.Errorf("relay log %s: %w; look at the disk, and restart this server: what it can have from the primary comes again", r.l.dir, err)
		}
		r.ahead, r.then = rec, at
	}
	return r.ahead, nil
}

// read reads the next record, which is there, and returns where it ends.
func (r *Reader) read() (*Record, Pos, error) {
	at := r.at
	for {
		limit, next, err := r.l.reach(at)
		if err != nil {
			return nil, at, err
		}
		if at.Segment == 0 || at.Offset == limit {
			if next == 0 {
				return nil, at, fmt.Errorf("it ends at %d of segment %d: %w", at.Offset, at.Segment, ErrDamaged)
			}
			at.Segment, at.Offset = next, beginSize
			continue
		}
		if err := r.open(at); err != nil {
			return nil, at, err
		}
		p, err := r.cur.next(limit)
		if err == nil && p == nil {
			err = errFrame
		}
		if err != nil {
			return nil, at, fmt.Errorf("segment %d at %d: %w: %w", at.Segment, at.Offset, err, ErrDamaged)
		}
		rec, err := parseRecord(p)
		if err != nil {
			return nil, at, fmt.Errorf("segment %d at %d: %w", at.Segment, at.Offset, err)
		}
		at.Offset = r.cur.at
		if rec.Last {
			at.N++
		}
		return rec, at, nil
	}
}

// open makes the cursor stand at a place.
func (r *Reader) open(at Pos) error {
	if r.cur.file != nil && r.cur.number == at.Segment {
		return nil // it stands where the last record ended
	}
	r.Close()
	f, err := r.l.st.FS().Open(r.l.path(at.Segment))
	if err != nil {
		return err
	}
	r.cur = cursor{file: f, number: at.Segment, at: at.Offset}
	return nil
}

// reach is how far the segment of a place may be read, and the segment behind it, 0: none.
func (l *Log) reach(at Pos) (limit int64, next uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Segment == 0 && len(l.segments) > 0 {
		return 0, l.segments[0].number, nil
	}
	for i, s := range l.segments {
		if s.number != at.Segment {
			continue
		}
		if i+1 < len(l.segments) {
			next = l.segments[i+1].number
		}
		if s.number == l.end.Segment {
			return l.end.Offset, next, nil
		}
		return s.limit, next, nil
	}
	return 0, 0, fmt.Errorf("there is no segment %d: %w", at.Segment, ErrDamaged)
}
