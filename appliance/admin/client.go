package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Client talks to a node's Unix socket.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the socket at path. It connects with each call.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Get decodes the JSON answer of GET path into to.
func (c *Client) Get(ctx context.Context, path string, to any) error {
	return c.do(ctx, http.MethodGet, path, nil, to)
}

// Post sends body (nil for none) and decodes the answer into to (nil to drop it). An
// answer that is not a success is the error, in the node's own words.
func (c *Client) Post(ctx context.Context, path string, body, to any) error {
	return c.do(ctx, http.MethodPost, path, body, to)
}

func (c *Client) do(ctx context.Context, method, path string, body, to any) error {
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		send = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://node"+path, send)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.explain(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.path, err)
	}
	if response.StatusCode >= 300 {
		var p problem
		if json.Unmarshal(text, &p) == nil && p.Error != "" {
			return errors.New(p.Error)
		}
		return fmt.Errorf("%s answered %s: %s", c.path, response.Status, strings.TrimSpace(string(text)))
	}
	if to == nil {
		return nil
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", c.path, err)
	}
	return nil
}

// explain says what a failed connection means to the one who typed the command.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers on %s: is stack running? (systemctl status stack)", c.path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no access to %s: run as root or as a member of the group stack", c.path)
	}
	return fmt.Errorf("talk to %s: %w", c.path, err)
}

// Sockets finds the control sockets of the nodes that run here: those of `stack dev`
// in the current directory, else those in /run/stack. node selects one of them.
func Sockets(node string) ([]string, error) {
	for _, dir := range []string{filepath.Join(".stack", "run"), "/run/stack"} {
		found, err := filepath.Glob(filepath.Join(dir, "*.sock"))
		if err != nil {
			return nil, err
		}
		var names, live []string
		for _, path := range found {
			if Answers(path) {
				live = append(live, path)
				names = append(names, strings.TrimSuffix(filepath.Base(path), ".sock"))
			}
		}
		if len(live) == 0 {
			continue
		}
		if node == "" {
			return live, nil
		}
		for i, name := range names {
			if name == node {
				return live[i : i+1], nil
			}
		}
		return nil, fmt.Errorf("no node %q runs here; there are %s", node, strings.Join(names, ", "))
	}
	return nil, errors.New("no node runs here: neither ./.stack/run nor /run/stack holds a control socket that answers (systemctl status stack)")
}

// Answers tells a live socket from one that a killed process left. A socket that may
// not be opened counts as live, so that the error says so.
func Answers(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return true
	}
	return errors.Is(err, os.ErrPermission)
}
