package http1

import "testing"

func TestResponse(t *testing.T) {
	for name, c := range map[string]struct {
		in     string
		status int // 0: refused
		reason string
		length int64
	}{
		"plain":                {lines("HTTP/1.1 200 OK", "Content-Length: 3"), 200, "OK", 3},
		"no reason":            {lines("HTTP/1.1 204"), 204, "", -1},
		"empty reason":         {lines("HTTP/1.1 500 "), 500, "", -1},
		"old":                  {lines("HTTP/1.0 404 Not Found"), 404, "Not Found", -1},
		"chunked":              {lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), 200, "OK", -1},
		"no HTTP":              {"SSH-2.0-x\r\n\r\n", 0, "", 0},
		"HTTP/2":               {lines("HTTP/2 200 OK"), 0, "", 0},
		"status of four":       {lines("HTTP/1.1 2000 OK"), 0, "", 0},
		"status below":         {lines("HTTP/1.1 099 OK"), 0, "", 0},
		"status above":         {lines("HTTP/1.1 600 OK"), 0, "", 0},
		"signed status":        {lines("HTTP/1.1 +20 OK"), 0, "", 0},
		"bare LF":              {"HTTP/1.1 200 OK\nA: b\r\n\r\n", 0, "", 0},
		"NUL in the reason":    {"HTTP/1.1 200 O\x00K\r\n\r\n", 0, "", 0},
		"two lengths":          {lines("HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 5"), 0, "", 0},
		"length and coding":    {lines("HTTP/1.1 200 OK", "Content-Length: 3", "Transfer-Encoding: chunked"), 0, "", 0},
		"unknown coding":       {lines("HTTP/1.1 200 OK", "Transfer-Encoding: gzip"), 0, "", 0},
		"space before a colon": {lines("HTTP/1.1 200 OK", "A : b"), 0, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var r Response
			n, err := r.Parse([]byte(c.in), testLimits)
			if c.status == 0 {
				if err == nil {
					t.Fatalf("accepted as %d", r.Status)
				}
				return
			}
			if err != nil || n != len(c.in) || r.Status != c.status || string(r.Reason()) != c.reason || r.ContentLength() != c.length {
				t.Errorf("%d %v %d %q %d", n, err, r.Status, r.Reason(), r.ContentLength())
			}
		})
	}
}

func TestResponseBody(t *testing.T) {
	for status, want := range map[int]bool{100: false, 101: false, 200: true, 204: false, 304: false, 404: true} {
		r := Response{Status: status}
		if r.HasBody(false) != want || r.HasBody(true) {
			t.Error(status)
		}
	}
}
