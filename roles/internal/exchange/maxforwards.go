package exchange

import "stack/roles/internal/http1"

// hopsLeft returns how many more intermediaries may pass the request on; -1 if nothing
// bounds them: Max-Forwards counts for OPTIONS and TRACE (RFC 9110 section 7.6.2).
func (x *Exchange) hopsLeft() int64 {
	switch string(x.Req.Method()) {
	case "OPTIONS", "TRACE":
	default:
		return -1
	}
	value, ok := x.Req.Find(http1.MaxForwards)
	if !ok || len(value) == 0 || len(value) > 9 {
		return -1
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// isLastHop answers a request that may not be passed on. What TRACE would show is the
// fields that this hop has got, credentials too; that is refused.
func (x *Exchange) isLastHop() bool {
	if x.hopsLeft() != 0 {
		return false
	}
	if string(x.Req.Method()) == "TRACE" {
		x.Error(501, None)
		return true
	}
	x.Start(200)
	x.End(nil)
	return true
}
