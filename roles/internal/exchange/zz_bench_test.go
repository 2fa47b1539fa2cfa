package exchange

import (
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"testing"
	"time"
)

// TestZZServe is run by hand only.
func TestZZServe(t *testing.T) {
	target := os.Getenv("ZZ_TARGET")
	if target == "" {
		t.Skip()
	}
	debug.SetGCPercent(400)
	var h Handler = hello(string(make([]byte, 200)))
	if target != "static" {
		pass := passTo(t, target)
		h = HandlerFunc(func(x *Exchange) { x.Forward(pass) })
	}
	r := newRig(t, 1, &Frontend{Handler: h})
	r.point.front[0].Log = nil
	os.WriteFile(os.Getenv("ZZ_ADDR"), []byte(r.addr), 0o644)
	if p := os.Getenv("ZZ_PROF"); p != "" {
		f, _ := os.Create(p)
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	n, _ := strconv.Atoi(os.Getenv("ZZ_SECONDS"))
	time.Sleep(time.Duration(n) * time.Second)
}
