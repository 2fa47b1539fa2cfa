package vip

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// retryAfter are the pauses before a webhook that failed is tried again.
var retryAfter = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}

// post sends n to a webhook, several times if need be, until a newer state waits or another
// queue is to tell it.
func (h *hooks) post(q *hookQueue, n news) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		if err = postOnce(q, body); err == nil || try == len(retryAfter) {
			return err
		}
		h.mu.Lock()
		q.failing = &n
		h.mu.Unlock()
		pause := time.NewTimer(retryAfter[try])
		select {
		case <-pause.C:
		case <-q.newer:
			pause.Stop()
			return fmt.Errorf("given up for a newer state: %w", err)
		case <-q.gone:
			pause.Stop()
			return fmt.Errorf("left to the next config or process: %w", err)
		}
	}
}

// postOnce reads the files at each turn, so that they may be replaced at any time.
func postOnce(q *hookQueue, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), q.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, q.Webhook, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used") // err would show it
	}
	request.Header.Set("Content-Type", "application/json")
	if q.TokenFile != "" {
		token, err := os.ReadFile(q.TokenFile)
		if err != nil {
			return fmt.Errorf("token of the webhook: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{}}
	if q.CAFile != "" {
		if transport.TLSClientConfig.RootCAs, err = authorities(q.CAFile); err != nil {
			return err
		}
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		var with *url.Error
		if errors.As(err, &with) {
			err = with.Err // without the URL, which may be a secret
		}
		return err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("it answered %s", response.Status)
	}
	return nil
}

func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authorities of the webhook: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authorities of the webhook: %s holds no certificate", file)
	}
	return pool, nil
}

// origin is what a URL shows of itself in a log.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "webhook"
	}
	return u.Scheme + "://" + u.Host
}
