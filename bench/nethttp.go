package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

// standardArgument, as first argument, makes this program what the standard library
// offers for the same work, for scale: httputil.ReverseProxy and http.FileServer. On
// one core the runtime has GOMAXPROCS = 1.
const standardArgument = "net/http"

// serveStandard proxies on one address and serves files on another.
func serveStandard(arguments []string) error {
	if len(arguments) != 4 {
		return fmt.Errorf("%s: use PROXY ORIGIN STATIC ROOT", standardArgument)
	}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 600, IdleConnTimeout: 5 * time.Minute},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: arguments[1]})
			r.SetXForwarded()
			r.Out.Header.Set("Forwarded", "for="+r.In.RemoteAddr+";host="+r.In.Host+";proto=http")
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("X-Stack-Balancer", "peer")
			return nil
		},
	}
	files := http.FileServerFS(os.DirFS(arguments[3]))
	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(arguments[2], files) }()
	go func() { failed <- http.ListenAndServe(arguments[0], proxy) }()
	return <-failed
}
