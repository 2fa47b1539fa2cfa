package fastcgi

import (
	"bytes"
	"testing"

	"stack/roles/internal/exchange"
	"stack/roles/internal/http1"
)

func TestParamsOfClientCertificates(t *testing.T) {
	var req http1.Request
	head := "GET / HTTP/1.1\r\nHost: x\r\nX-SSL-Client-Verify: SUCCESS\r\nX-Other: y\r\n\r\n"
	if n, err := req.Parse([]byte(head), http1.Limits{Bytes: 1 << 10, Fields: 10}); err != nil || n != len(head) {
		t.Fatal(n, err)
	}
	alice := &exchange.ClientCertificate{Subject: "CN=alice", Names: "DNS:alice", Fingerprint: "00ff"}
	for _, c := range []struct {
		env       Env
		has, none []string
	}{
		{Env{}, []string{"HTTP_X_OTHERy"}, []string{"SSL_CLIENT"}},
		{Env{Believe: true}, []string{"HTTP_X_SSL_CLIENT_VERIFYSUCCESS"}, nil},
		{Env{Asked: true}, []string{"SSL_CLIENT_VERIFYNONE"}, []string{"S_DN", "SUCCESS"}},
		{Env{Asked: true, Certificate: alice}, []string{"SSL_CLIENT_VERIFYSUCCESS", "SSL_CLIENT_S_DNCN=alice", "SSL_CLIENT_SANDNS:alice", "SSL_CLIENT_FINGERPRINT00ff"}, []string{"HTTP_X_SSL"}},
	} {
		got := AppendParams(nil, &req, &c.env)
		for _, want := range c.has {
			if !bytes.Contains(got, []byte(want)) {
				t.Errorf("%+v: %q is not in %q", c.env, want, got)
			}
		}
		for _, not := range c.none {
			if bytes.Contains(got, []byte(not)) {
				t.Errorf("%+v: %q is in %q", c.env, not, got)
			}
		}
	}
}
