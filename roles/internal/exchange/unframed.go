package exchange

import "golang.org/x/sys/unix"

// endsByClose says whether the body under way has neither a length nor chunks, so that the
// client takes the end of the connection for its end (RFC 9112 section 6.3, HTTP/1.0).
func (x *Exchange) endsByClose() bool {
	if x.chunkedOut || x.noBody || x.st != nil {
		return false
	}
	switch x.phase {
	case inRelay:
		return x.fwd.body == byClose || x.fwd.body == byChunks
	case inStream:
		return x.remain < 0 && x.Req.Minor == 0
	}
	return false
}

// resetUnframed has the connection end by a reset where an orderly close would make a part
// of the body pass for the whole.
func (x *Exchange) resetUnframed() {
	if x.endsByClose() {
		unix.SetsockoptLinger(x.c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
}

// announcesMore says whether a server that may send no body behind 204 says that it does:
// its bytes would be in the way of the next answer.
func (f *forward) announcesMore() bool {
	r := &f.resp
	return r.Status == 204 && (r.Chunked() || r.ContentLength() > 0)
}
