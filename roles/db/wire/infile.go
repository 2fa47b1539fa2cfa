package wire

import (
	"context"
	"errors"
	"io"
)

// LocalFile is a file of the client, sent while a statement runs (LOAD DATA LOCAL). It
// holds no more of it in memory than the connection's read buffer. It belongs to the call
// whose Results made it, and to that call's goroutine.
//
// The exchange ("Protocol::LOCAL INFILE Request"): the server answers the statement with
//
//	1 byte   0xfb
//	string   name of the file, to the end of the packet
//
// the client sends packets of content and an empty one, and the server the real answer.
// A client that cannot read the file sends the empty packet at once.
type LocalFile struct {
	c    *conn
	ctx  context.Context
	left int  // of the packet that is being read
	end  bool // the empty packet has been read
	err  error
}

const (
	// infileBuffer is how much of a file is read at a time, bytes.
	infileBuffer = 64 << 10

	erNotSupportedInPS   = 1295
	erLocalInfileRefused = 3948
)

// LocalFile asks the client for one of its files by name. It must come before Columns and
// OK, and the statement must still answer with OK or an error. What it leaves unread of the
// file is thrown away.
//
// Errors: 3948 where the client does not allow it, 1295 for a prepared statement, and those
// of a client that has gone.
func (r *Results) LocalFile(ctx context.Context, name string) (*LocalFile, error) {
	switch {
	case r.kind != resultNone || r.local != nil:
		return nil, errResultOrder
	case r.binary:
		return nil, Errorf(erNotSupportedInPS, "This command is not supported in the prepared statement protocol yet")
	case r.c.caps&capLocalFiles == 0:
		return nil, Errorf(erLocalInfileRefused, "Loading local data is disabled; this must be enabled on both the client and server sides")
	}
	c := r.c
	text, err := c.encodeText(name)
	if err != nil {
		return nil, err
	}
	c.begin()
	c.wbuf = append(append(c.wbuf, 0xfb), text...)
	if err := c.stream.end(); err != nil {
		return nil, err
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	if len(c.rbuf) < infileBuffer {
		grown := make([]byte, infileBuffer)
		c.rend = copy(grown, c.rbuf[c.rpos:c.rend])
		c.rbuf, c.rpos = grown, 0
	}
	r.local = &LocalFile{c: c, ctx: ctx}
	c.receiving.Store(true)
	c.eager = true
	c.srv.stats.localFiles.Add(1)
	return r.local, nil
}

// Read implements io.Reader. An error other than io.EOF ends the connection when the
// statement has returned; the end of the statement's context is noticed while it waits.
func (f *LocalFile) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.read(p)
	f.err = err
	return n, err
}

func (f *LocalFile) read(p []byte) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	if len(p) == 0 {
		return 0, nil
	}
	for f.left == 0 {
		if f.end {
			return 0, io.EOF
		}
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	c := f.c
	if err := f.wait(1); err != nil {
		return 0, err
	}
	n := copy(p, c.rbuf[c.rpos:min(c.rend, c.rpos+f.left)])
	c.rpos += n
	f.left -= n
	return n, nil
}

// next reads the header of a packet.
func (f *LocalFile) next() error {
	c := f.c
	if err := f.wait(headerSize); err != nil {
		return err
	}
	h := c.rbuf[c.rpos:]
	f.left = int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	f.end = f.left == 0
	if err := c.sequence(h[3]); err != nil {
		return err
	}
	c.rpos += headerSize
	return nil
}

// wait reads until n bytes are there. Each of its waits may take net_read_timeout.
func (f *LocalFile) wait(n int) error {
	c := f.c
	for {
		err := c.more(n, c.readTimeout)
		switch {
		case errors.Is(err, errWoken):
			if f.ctx.Err() != nil {
				return context.Cause(f.ctx)
			}
		case errors.Is(err, errIdle):
			return errReadStall
		case errors.Is(err, io.EOF):
			return errTruncated
		default:
			return err
		}
	}
}

// close reads what is left, so that the client comes to read the answer. An error means
// that the connection has to end.
func (f *LocalFile) close() error {
	c := f.c
	c.receiving.Store(false)
	c.eager = false
	if f.err != nil && !errors.Is(f.err, io.EOF) && !errors.Is(f.err, ErrQueryKilled) {
		return f.err
	}
	f.ctx, f.err = c.ctx, nil // a statement that was killed still has its file read to the end
	var sink [4 << 10]byte
	for {
		if _, err := f.Read(sink[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
