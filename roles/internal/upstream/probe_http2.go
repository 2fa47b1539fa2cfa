package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// probeHTTP2 is the http check of a pool whose servers speak HTTP/2: a connection of its
// own, over TLS or with prior knowledge, and one GET.
func (c checkSpec) probeHTTP2(ctx context.Context, t Target, secret *tls.Config) (ok bool, text string) {
	var d net.Dialer
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, t.Network(), t.Address())
		},
		TLSClientConfig:        secret,
		Protocols:              new(http.Protocols),
		MaxResponseHeaderBytes: maxCheckAnswer,
		DisableKeepAlives:      true,
	}
	defer transport.CloseIdleConnections()
	scheme := "http://"
	if secret != nil {
		scheme = "https://"
		transport.Protocols.SetHTTP2(true)
	} else {
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	host := c.host
	if host == "" {
		host = t.Address()
		if t.Path != "" {
			host = "localhost"
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+host+c.path, nil)
	if err != nil {
		return false, err.Error()
	}
	r.Header.Set("User-Agent", "stack-check")
	answer, err := transport.RoundTrip(r) // no redirect is followed
	if err != nil {
		var cert *tls.CertificateVerificationError
		var alert tls.AlertError
		if errors.As(err, &cert) || errors.As(err, &alert) {
			return false, plainHandshake(err, c.timeout)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return false, plainError(context.DeadlineExceeded, c.timeout)
		}
		return false, plainError(err, c.timeout)
	}
	defer answer.Body.Close()
	stop := time.AfterFunc(50*time.Millisecond, func() { answer.Body.Close() })
	defer stop.Stop()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxCheckAnswer))
	return c.judge(answer.StatusCode)
}
