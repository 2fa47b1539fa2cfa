package upstream

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"stack/appliance/config"
)

// Loops pick while servers flap, operators act and the configuration is reloaded. What
// must hold: no panic, no race, maxconn never exceeded, and every slot given back.
func TestPicksBesideChanges(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const loops = 3
	file := func(r *rand.Rand) config.Backend {
		b := config.Backend{Name: "p", Algorithm: []string{"roundrobin", "leastconn"}[r.IntN(2)], AllBackups: r.IntN(2) == 0}
		for i := range 6 {
			if r.IntN(4) > 0 {
				s := server(fmt.Sprint("s", i), r.IntN(5))
				s.MaxConn, s.Backup = 4, i == 5
				b.Servers = append(b.Servers, s)
			}
		}
		return b
	}
	r := rand.New(rand.NewPCG(seed, 0))
	set := NewSet(loops, quiet(), nil)
	defer set.Close()
	commit(t, set, file(r))
	p := set.Pool("p")

	var stop atomic.Bool
	var all sync.Map // every server ever picked
	var wg sync.WaitGroup
	for l := range loops {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(l+1)))
			var held []*Server
			for !stop.Load() || len(held) > 0 {
				if len(held) > 0 && (stop.Load() || r.IntN(2) == 0) {
					held[0].Release()
					held = held[1:]
					continue
				}
				var failed *Server
				if len(held) > 0 && r.IntN(4) == 0 {
					failed = held[0]
				}
				s, err := p.Choose(l, failed)
				if err != nil {
					continue
				}
				if n := s.InFlight(); n > 4 {
					t.Errorf("%s: %d in flight, maxconn 4", s.Name(), n)
				}
				all.Store(s, true)
				held = append(held, s)
				switch r.IntN(8) {
				case 0:
					s.ConnectFailed(l)
				case 1:
					s.reached()
				}
			}
		})
	}
	for range 400 {
		switch r.IntN(4) {
		case 0:
			commit(t, set, file(r))
		default:
			servers := p.Servers()
			if len(servers) == 0 {
				continue
			}
			s := servers[r.IntN(len(servers))]
			s.setUp(r.IntN(2) == 0, "chaos")
			s.SetAdmin(Admin(r.IntN(3)))
			s.SetWeight(r.IntN(4))
		}
		set.View()
	}
	stop.Store(true)
	wg.Wait()
	all.Range(func(k, _ any) bool {
		if n := k.(*Server).InFlight(); n != 0 {
			t.Errorf("%s: %d slots not given back", k.(*Server).Name(), n)
		}
		return true
	})
}
