package lb

import (
	"fmt"
	"net/http"

	"stack/roles/internal/exchange"
)

// explanations say to a visitor what happened, without a word about the inside.
var explanations = map[int]string{
	400: "The request could not be understood.",
	404: "There is nothing at this address.",
	408: "The request took too long to arrive.",
	413: "The request is too large.",
	414: "The address is too long.",
	417: "The request expects something that this server does not do.",
	431: "The request's header fields are too large.",
	501: "The request asks for something that this server does not do.",
	502: "The server behind this site gave no valid answer. Please try again in a moment.",
	503: "The site cannot answer at present. Please try again in a moment.",
	504: "The server behind this site took too long to answer. Please try again in a moment.",
	505: "The request's HTTP version is not spoken here.",
}

var errorPages = func() map[int][]byte {
	pages := make(map[int][]byte, len(explanations))
	for status, text := range explanations {
		pages[status] = fmt.Appendf(nil, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%d %s</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#222}h1{font-size:1.4rem}</style></head>
<body><h1>%d %s</h1><p>%s</p></body></html>
`, status, http.StatusText(status), status, http.StatusText(status), text)
	}
	return pages
}()

// errorPage is exchange.Frontend.ErrorPage: the body of an answer that the balancer
// gives by itself. A status without a page gets exchange's own.
func errorPage(_ *exchange.Exchange, status int) (string, []byte) {
	page := errorPages[status]
	if page == nil {
		return "text/plain; charset=utf-8", []byte(http.StatusText(status) + "\n")
	}
	return "text/html; charset=utf-8", page
}
