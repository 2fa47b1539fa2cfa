package vip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// maxRelease bounds how long an operator's release lasts: longer is a change of the config.
const maxRelease = 24 * time.Hour

// Release is the body of a release.
type Release struct {
	For string `json:"for"` // a duration: 1s to 24h
}

// control serves /v1/net/vips: what there is, and what an operator does to it.
type control struct{ r *Role }

func newControl(r *Role) http.Handler {
	c := &control{r}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/net/vips", c.list)
	mux.HandleFunc("POST /v1/net/vips/{group}/{action}", c.act)
	return mux
}

func (c *control) list(w http.ResponseWriter, _ *http.Request) {
	e := c.r.running()
	if e == nil {
		refuse(w, http.StatusServiceUnavailable, errors.New("virtual addresses are not served yet; try again in a moment"))
		return
	}
	answer(w, http.StatusOK, *e.view.Load())
}

// act releases or forces a group. The answer is the group afterwards.
func (c *control) act(w http.ResponseWriter, q *http.Request) {
	e := c.r.running()
	if e == nil {
		refuse(w, http.StatusServiceUnavailable, errors.New("virtual addresses are not served yet; try again in a moment"))
		return
	}
	group, err := Choose(*e.view.Load(), []string{q.PathValue("group")})
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	switch action := q.PathValue("action"); action {
	case "release":
		lasting, bad := releaseTime(q.Body)
		if bad != nil {
			refuse(w, http.StatusBadRequest, bad)
			return
		}
		err = e.releaseGroup(group, lasting)
	case "force":
		err = e.forceGroup(group)
	default:
		refuse(w, http.StatusNotFound, fmt.Errorf("a group cannot be set to %q; use release or force", action))
		return
	}
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	for _, v := range *e.view.Load() {
		if v.Name == group {
			answer(w, http.StatusOK, v)
			return
		}
	}
	refuse(w, http.StatusConflict, fmt.Errorf("a reload has just removed the group %s", group))
}

func releaseTime(body io.Reader) (time.Duration, error) {
	var b Release
	dec := json.NewDecoder(io.LimitReader(body, 4096))
	dec.DisallowUnknownFields()
	err := dec.Decode(&b)
	lasting, bad := time.ParseDuration(b.For)
	if err != nil || bad != nil || lasting < time.Second || lasting > maxRelease {
		return 0, fmt.Errorf(`the time must be a duration from 1s to %s, sent as {"for": "10m"}`, maxRelease)
	}
	return lasting, nil
}

// Choose finds the group that an operator means; without a name it is the only one.
func Choose(views []View, args []string) (string, error) {
	var names []string
	for _, v := range views {
		names = append(names, v.Name)
	}
	switch {
	case len(args) == 0 && len(names) == 1:
		return names[0], nil
	case len(args) == 0:
		return "", fmt.Errorf("name a group; there are %s", strings.Join(names, ", "))
	case !slices.Contains(names, args[0]):
		return "", fmt.Errorf("there is no group %q; there are %s", args[0], strings.Join(names, ", "))
	}
	return args[0], nil
}

// WriteTable shows groups to a person.
func WriteTable(w io.Writer, views []View, now time.Time) error {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "GROUP\tSTATE\tSINCE\tPRIORITY\tVRID\tINTERFACE\tADDRESSES\tREASON")
	for _, v := range views {
		since := now.Sub(time.Unix(v.Since, 0)).Round(time.Second)
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", v.Name, v.State, since, v.Priority, v.VRID, v.Interface, strings.Join(v.Addresses, " "), v.Reason)
	}
	return t.Flush()
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a caller that has gone needs no answer
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, map[string]string{"error": err.Error()})
}
